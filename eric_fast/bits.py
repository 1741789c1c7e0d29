"""Packed bits: `BitMatrix`, and the one place that knows how bits lie in words.

Row `a` of `words` is atom `a`; sample `s` is bit `s % 32` (least significant first) of word `s // 32`.
Bits past `n_samples` are zero in every stored row.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import EricError, say_count, suggest_nearest
from eric_fast.processes.forks import prepare_forks
from eric_fast.processes.pickling import PickledByFields
from eric_fast.results.described import Described
from eric_fast.tensors import read_plain

prepare_forks()  # whoever uses bits uses tensors

WORD_BITS = 32
ROW_WORDS = 32  # rows are padded to 128 bytes: a GPU warp's load, and whole 64-bit words for a CPU


def count_words(n_samples: int) -> int:
    """Words in a row of `n_samples` bits, padding included."""
    return -(-n_samples // (WORD_BITS * ROW_WORDS)) * ROW_WORDS


def pack_bits(bits: Tensor) -> Tensor:
    """bool `[n_samples, n_atoms]` -> int32 words `[n_atoms, n_words]`, on the same device."""
    n_samples, n_atoms = bits.shape
    n_words = count_words(n_samples)
    if bits.device.type == "cpu":  # NumPy packs there, twenty times as fast as the lines below
        packed = np.zeros((n_atoms, 4 * n_words), np.uint8)
        packed[:, : -(-n_samples // 8)] = np.packbits(bits.numpy().T.copy(), axis=1, bitorder="little")
        return torch.from_numpy(packed.view(np.int32))
    rows = torch.zeros(n_atoms, n_words * WORD_BITS, dtype=torch.uint8, device=bits.device)
    rows[:, :n_samples] = bits.T
    shifts = torch.arange(8, dtype=torch.uint8, device=bits.device)
    octets = (rows.view(n_atoms, n_words * 4, 8) << shifts).sum(dim=2, dtype=torch.uint8)  # [n_atoms, n_bytes]
    return octets.view(torch.int32) if n_words else octets.to(torch.int32)  # an empty view is refused


def unpack_words(words: Tensor, n_samples: int) -> Tensor:
    """int32 words `[n_atoms, n_words]` -> bool `[n_samples, n_atoms]`, on the same device."""
    shifts = torch.arange(8, dtype=torch.uint8, device=words.device)
    octets = words.contiguous().view(torch.uint8)  # [n_atoms, n_bytes]
    rows = ((octets[:, :, None] >> shifts) & 1).view(len(words), words.shape[1] * WORD_BITS)
    return rows[:, :n_samples].T.to(torch.bool)


def encode_rows(words: Tensor, n_samples: int) -> bytes:
    """int32 words `[n_atoms, n_words]` -> the rows one after another, little-endian, without the words of padding."""
    return words[:, : -(-n_samples // WORD_BITS)].cpu().numpy().astype("<i4").tobytes()


def read_bits(words: Tensor, samples: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The bits of one row, int32 `[n_words]`, on these samples, `[n]`: bool `[n]`. In NumPy, so on the CPU."""
    bits: NDArray[np.bool_] = (words.cpu().numpy()[samples >> 5] >> (samples & 31).astype(np.int32)) & 1 != 0
    return bits


def mask_tail(words: Tensor, n_samples: int) -> Tensor:
    """The same rows with every bit past `n_samples` zero (a negation sets them). In place."""
    whole, rest = divmod(n_samples, WORD_BITS)
    if rest:
        words[:, whole] &= (1 << rest) - 1
        whole += 1
    words[:, whole:] = 0
    return words


def cut_words(words: Tensor, first: int, n_samples: int) -> Tensor:
    """The words of `n_samples` samples from `first` on, `[n_atoms, count_words(n_samples)]`.

    Args:
        words: rows as `pack_bits` makes them.
        first: a multiple of `WORD_BITS * ROW_WORDS`, and so is `n_samples`, unless the last sample is among them.
    """
    start = first // WORD_BITS
    return words[:, start : start + count_words(n_samples)].contiguous()


def join_words(parts: Sequence[Tensor], sizes: Sequence[int]) -> Tensor:
    """Rows of words `[n_atoms, count_words(sizes[i])]` one after the other, as if packed together.

    A plain concatenation where every part but the last fills whole padded rows; bits are shifted otherwise.
    """
    if len(parts) == 1:
        return parts[0]
    if all(size % (WORD_BITS * ROW_WORDS) == 0 for size in sizes[:-1]):
        return torch.cat(list(parts), dim=1)
    joined = torch.zeros(len(parts[0]), count_words(sum(sizes)) + 1, dtype=torch.int32, device=parts[0].device)
    start = 0
    for words, size in zip(parts, sizes, strict=True):
        first, shift = divmod(start, WORD_BITS)
        n_words = -(-size // WORD_BITS)
        wide = (words[:, :n_words].long() & 0xFFFFFFFF) << shift  # the low word, and what spills into the next
        joined[:, first : first + n_words] |= wide.to(torch.int32)
        joined[:, first + 1 : first + 1 + n_words] |= (wide >> WORD_BITS).to(torch.int32)
        start += size
    return joined[:, :-1].contiguous()


@dataclass(frozen=True, eq=False, repr=False)
class BitMatrix(Described, PickledByFields):
    """The truth of atoms on samples.

    Attributes:
        words: int32 `[n_atoms, count_words(n_samples)]`, on any device, zero past `n_samples`.
        n_samples: how many samples the rows hold.
        atoms: the atoms' names, one per row, all different.

    Examples:
        >>> bits = ef.BitMatrix.from_bools(torch.tensor([[True, False], [True, True], [False, True]]), ["a", "b"])
        >>> bits.n_samples, bits.select_atoms(["b"]).to_bools().flatten().tolist()
        (3, [False, True, True])
    """

    words: Tensor
    n_samples: int
    atoms: tuple[str, ...]

    def list_facts(self) -> Iterator[str]:
        yield f"{self.words.shape[0]:,} rows"
        yield say_count(self.n_samples, "sample")

    def __post_init__(self) -> None:
        self.validate()

    @classmethod
    def from_bools(cls, bits: Tensor, atoms: Sequence[str]) -> "BitMatrix":
        """From bool `[n_samples, n_atoms]`."""
        if bits.dtype != torch.bool or bits.ndim != 2:
            raise EricError(f"bits must be bool [n_samples, n_atoms], not {bits.dtype} {list(bits.shape)}")
        return cls(pack_bits(read_plain(bits, "the bits")), bits.shape[0], tuple(atoms))

    def to_bools(self) -> Tensor:
        """bool `[n_samples, n_atoms]`."""
        return unpack_words(self.words, self.n_samples)

    def to(self, device: str | torch.device) -> "BitMatrix":
        """The same bits on another device; no copy where they already are."""
        return BitMatrix(self.words.to(device), self.n_samples, self.atoms)

    def select_atoms(self, names: Sequence[str]) -> "BitMatrix":
        """The rows of these atoms, in this order; no copy where they lie so already."""
        if tuple(names) == self.atoms:
            return self
        row_of = {name: row for row, name in enumerate(self.atoms)}
        for name in names:
            if name not in row_of:
                raise EricError(f"there are no bits of '{name}'{suggest_nearest(name, self.atoms)}")
        rows = [row_of[name] for name in names]
        first = rows[0] if rows else 0
        if rows == list(range(first, first + len(rows))):
            return BitMatrix(self.words[first : first + len(rows)], self.n_samples, tuple(names))
        return BitMatrix(self.words[torch.tensor(rows, device=self.words.device)], self.n_samples, tuple(names))

    def select_samples(self, samples: NDArray[np.int64]) -> "BitMatrix":
        """These samples, in this order; a row at a time, as all bits unpacked may be too large."""
        words = torch.empty(len(self.words), count_words(len(samples)), dtype=torch.int32)
        for row, own in zip(words, self.words, strict=True):
            row[:] = pack_bits(torch.from_numpy(read_bits(own, samples))[:, None])[0]
        return BitMatrix(words.to(self.words.device), len(samples), self.atoms)

    def validate(self) -> None:
        if not isinstance(self.n_samples, int) or self.n_samples < 0 or not isinstance(self.words, Tensor):
            raise EricError(f"bits are a tensor of words and a number of samples, not of {self.n_samples!r}")
        read_plain(self.words, "a bit matrix")
        shape = (len(self.atoms), count_words(self.n_samples))
        if self.words.dtype != torch.int32 or self.words.shape != shape:
            raise EricError(f"words must be int32 {list(shape)}, not {self.words.dtype} {list(self.words.shape)}")
        if len(set(self.atoms)) != len(self.atoms):
            raise EricError("two rows of a bit matrix have the same name")
        whole = self.n_samples // WORD_BITS
        tail = self.words[:, whole:].clone()
        if bool((mask_tail(tail, self.n_samples % WORD_BITS) != self.words[:, whole:]).any()):
            raise EricError(f"bits past the last sample ({self.n_samples}) must be zero")
