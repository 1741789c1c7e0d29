"""Sources: what runs read of images.

Activations in memory, captures on disk, and a process's selection of either are sources. A run is written once, over
the parts of a source; its result depends neither on the kind of source nor on the size of the parts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Protocol

import torch
from torch import Tensor

from eric_fast.bits import count_words, cut_words, join_words, pack_bits, unpack_words
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.store.activations import UNKNOWN, CaptureSettings
from eric_fast.store.manifest import SHARD_SIZE


class Part(Protocol):
    """Consecutive images of a source. Nothing is read before a method is called.

    Raises:
        CaptureError: from every method: a damaged capture, or one that doesn't store what is read.
    """

    @property
    def n_images(self) -> int: ...

    def read_norms(self, layer: str) -> Tensor:
        """Read the norms of a layer: finite, float32 or float16 `[n_images, n_kernels]`."""
        ...

    def read_words(self, layer: str) -> Tensor:
        """Read the stored bits of a layer: int32 words `[n_atoms, count_words(n_images)]`."""
        ...

    def read_labels(self) -> Tensor:
        """Read the labels, as `Activations.labels`."""
        ...

    def read_predictions(self) -> Tensor:
        """Read the network's answers: int64 `[n_images]`, an index into the classes."""
        ...

    def read_logits(self) -> Tensor:
        """Read the network's outputs: finite, float16 `[n_images, n_classes]`."""
        ...

    def read_ids(self) -> Sequence[str]:
        """Read the names of the images."""
        ...


class Source(Protocol):
    """Images, and what a network did on them.

    Attributes:
        name: how messages call the source.
        settings: how the norms were made.
        classes: names of the network's outputs.
        layers: names of the layers, in execution order.
        n_kernels: layer -> number of kernels.
        graph: which layers feed which.
        n_images: how many images there are; of a selection, over all processes.
        has_norms: whether norms can be read; otherwise there are stored bits alone.
        has_logits: whether logits can be read.
        quantiser: the atoms of the stored bits; None if there are none.
        parts: the images, in order; of a selection, those of this process.
    """

    @property
    def name(self) -> str: ...
    @property
    def settings(self) -> CaptureSettings: ...
    @property
    def classes(self) -> tuple[str, ...]: ...
    @property
    def layers(self) -> tuple[str, ...]: ...
    @property
    def n_kernels(self) -> Mapping[str, int]: ...
    @property
    def graph(self) -> LayerGraph: ...
    @property
    def n_images(self) -> int: ...
    @property
    def has_norms(self) -> bool: ...
    @property
    def has_logits(self) -> bool: ...
    @property
    def quantiser(self) -> Quantiser | None: ...
    @property
    def parts(self) -> Sequence[Part]: ...


@dataclass(frozen=True, eq=False)
class DerivedSource:
    """What a source says that is made of another, as far as that is the same; see `Source`.

    Attributes:
        source: the other.
    """

    source: Source

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def settings(self) -> CaptureSettings:
        return self.source.settings

    @property
    def classes(self) -> tuple[str, ...]:
        return self.source.classes

    @property
    def n_kernels(self) -> Mapping[str, int]:
        return self.source.n_kernels

    @property
    def graph(self) -> LayerGraph:
        return self.source.graph

    @property
    def has_norms(self) -> bool:
        return self.source.has_norms

    @property
    def has_logits(self) -> bool:
        return self.source.has_logits

    @property
    def quantiser(self) -> Quantiser | None:
        return self.source.quantiser


@dataclass(frozen=True, eq=False)
class Rows(PickledByFields):
    """Some images of a part: a part as well.

    Attributes:
        part: the whole part.
        rows: int64 `[n]`, indices of images; or a slice with start and stop, the start a multiple of `SHARD_UNIT`.
    """

    part: Part
    rows: slice | Tensor

    @property
    def n_images(self) -> int:
        return self.rows.stop - self.rows.start if isinstance(self.rows, slice) else len(self.rows)

    def read_norms(self, layer: str) -> Tensor:
        return self.part.read_norms(layer)[self.rows]

    def read_words(self, layer: str) -> Tensor:
        words = self.part.read_words(layer)
        if isinstance(self.rows, slice):
            return cut_words(words, self.rows.start, self.n_images)
        return pack_bits(unpack_words(words, self.part.n_images)[self.rows])

    def read_labels(self) -> Tensor:
        return self.part.read_labels()[self.rows]

    def read_predictions(self) -> Tensor:
        return self.part.read_predictions()[self.rows]

    def read_logits(self) -> Tensor:
        return self.part.read_logits()[self.rows]

    def read_ids(self) -> Sequence[str]:
        ids = self.part.read_ids()
        return ids[self.rows] if isinstance(self.rows, slice) else [ids[i] for i in self.rows.tolist()]


def cut_parts(parts: Sequence[Part], n_images: int = SHARD_SIZE) -> list[Part]:
    """Cut parts of more than `n_images` images, a multiple of `SHARD_UNIT`; smaller parts stay as they are."""
    return [piece for part in parts for piece in _cut_part(part, n_images)]


def _cut_part(part: Part, n_images: int) -> Iterator[Part]:
    if part.n_images <= n_images:
        yield part
    elif isinstance(part, Rows) and not isinstance(part.rows, slice):
        yield from (Rows(part.part, rows) for rows in part.rows.split(n_images))
    else:
        for start in range(0, part.n_images, n_images):
            yield Rows(part, slice(start, min(start + n_images, part.n_images)))


def join_parts(parts: Sequence[Tensor], sizes: Sequence[int], n_atoms: int) -> Tensor:
    """Join int32 words `[n_atoms, count_words(sizes[i])]` as if packed together; there may be no parts."""
    return join_words(parts, sizes) if parts else torch.zeros(n_atoms, count_words(0), dtype=torch.int32)


def read_words(source: Source, layer: str) -> Tensor:
    """Read the stored bits of a layer of all parts: int32 words `[n_atoms, count_words(n)]`."""
    n_atoms = 0 if source.quantiser is None else len(source.quantiser.atoms_of_layer(layer))
    sizes = [part.n_images for part in source.parts]
    return join_parts([part.read_words(layer) for part in source.parts], sizes, n_atoms)


def read_layer(source: Source, layer: str) -> Tensor:
    """Read the norms of a layer of all parts: float32 `[n, n_kernels]`."""
    parts = [part.read_norms(layer).float() for part in source.parts]
    return _join(parts, torch.zeros(0, source.n_kernels[layer]))


def read_labels(source: Source) -> Tensor:
    """Read the labels of all parts, as `Activations.labels`."""
    empty = torch.zeros(0, dtype=torch.int64)
    if source.settings.has_labels:
        empty = torch.zeros(0, len(source.classes), dtype=torch.int8)
    return _join([part.read_labels() for part in source.parts], empty)


def read_predictions(source: Source) -> Tensor:
    """Read the network's answers of all parts: int64 `[n]`, an index into the classes."""
    return _join([part.read_predictions() for part in source.parts], torch.zeros(0, dtype=torch.int64))


def read_logits(source: Source) -> Tensor:
    """Read the network's outputs of all parts: float16 `[n, n_classes]`."""
    parts = [part.read_logits() for part in source.parts]
    return _join(parts, torch.zeros(0, len(source.classes), dtype=torch.float16))


def _join(parts: Sequence[Tensor], empty: Tensor) -> Tensor:
    """All parts in a row; a single part is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat([empty, *parts])


def hash_images(source: Source, *, are_labelled: bool = False) -> str:
    """Hash the images of a source, by their ids, labels and network's answers: 16 hexadecimal digits.

    The order of the images and the size of the parts make no difference.

    Args:
        source: the images.
        are_labelled: take those with a known label alone.
    """
    total, n_labels = 0, len(source.classes)
    for part in source.parts:
        facts = zip(part.read_ids(), part.read_labels().tolist(), part.read_predictions().tolist(), strict=True)
        for name, label, answer in facts:
            if are_labelled and (label == UNKNOWN or label == [UNKNOWN] * n_labels):
                continue
            line = f"{label} {answer} {name}".encode(errors="surrogatepass")
            total += int.from_bytes(blake2b(line, digest_size=8).digest(), "little")
    return f"{total % 2**64:016x}"
