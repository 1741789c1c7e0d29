"""What packing takes and returns on every engine, and the checks made first."""

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.errors import EricError, SettingError, suggest_nearest
from eric_fast.kernels.devices import find_range, keep_for_stream
from eric_fast.program.atoms import NORMS

# An operator is the set of outcomes of a comparison that make the atom true, a bit for each outcome. Any sum of them is
# an operator: LESS + GREATER is "unequal". LLVM numbers its float predicates alike.
EQUAL, GREATER, LESS, MISSING = 1, 2, 4, 8  # MISSING: either of the two is NaN
LESS_EQUAL, GREATER_EQUAL, UNEQUAL = LESS + EQUAL, GREATER + EQUAL, LESS + GREATER
N_OPERATORS = 16

COLUMN_DTYPES = (torch.float32, torch.float64)
MAP_DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int8)


@dataclass(frozen=True, eq=False)
class Comparisons:
    """What columns are compared with, for many tables; see `reference.pack_columns`. Not to be changed.

    Attributes:
        rows: int64 `[n_atoms]`: the rows that the atoms' words go to, where those belong to more atoms than these.
    """

    column_of_atom: Tensor | None
    constants: Tensor
    operators: Tensor
    rows: Tensor | None = None
    _sent: dict[torch.device, "SentComparisons"] = field(default_factory=dict, repr=False)

    def send(self, device: torch.device) -> "SentComparisons":
        """The same on a device, sent there once, for use on its current stream."""
        if device not in self._sent:
            column_of_atom = None if self.column_of_atom is None else self.column_of_atom.to(device)
            rows = None if self.rows is None else self.rows.to(device)
            constants, operators = self.constants.to(device), self.operators.to(device)
            self._sent[device] = SentComparisons(column_of_atom, constants, operators, rows, set())
        sent = self._sent[device]
        keep_for_stream([array for array in sent[:4] if array is not None], sent.streams)
        return sent

    @cached_property
    def n_rows(self) -> int:
        """How many rows of words there must be."""
        rows = self.rows
        return len(self.constants) if rows is None else int(rows.max()) + 1 if len(rows) else 0

    @property
    def arrays(self) -> tuple[Tensor | None, Tensor, Tensor]:
        return self.column_of_atom, self.constants, self.operators


class SentComparisons(NamedTuple):
    """`Comparisons` on a device, and the streams that read them there."""

    column_of_atom: Tensor | None
    constants: Tensor
    operators: Tensor
    rows: Tensor | None
    streams: set[int]


class Packed(NamedTuple):
    """words: int32 `[n_kernels, count_words(n_images)]`. norms: float32 `[n_images, n_kernels]`, where asked for."""

    words: Tensor
    norms: Tensor | None


def check_columns(columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor) -> None:
    """Raise EricError unless `reference.pack_columns` takes these."""
    if columns.dtype not in COLUMN_DTYPES or columns.ndim != 2:
        raise EricError(f"columns must be float32 or float64 [n_samples, n_columns], not {describe(columns)}")
    n_atoms = columns.shape[1] if column_of_atom is None else len(column_of_atom)
    if column_of_atom is not None:
        if column_of_atom.dtype not in (torch.int32, torch.int64) or column_of_atom.ndim != 1:
            raise EricError(f"columns of atoms must be int32 or int64 [n_atoms], not {describe(column_of_atom)}")
        check_device("columns of atoms", column_of_atom, columns)
        low, high = find_range(column_of_atom)
        if n_atoms and (low < 0 or high >= columns.shape[1]):
            wrong = low if low < 0 else high
            raise EricError(f"an atom compares column {wrong}, but the columns are 0 to {columns.shape[1] - 1}")
    _check_comparisons(columns, constants, operators, n_atoms, columns.dtype, "atom")


def check_words(out: Tensor, comparisons: Comparisons, shape: tuple[int, int]) -> Tensor:
    """Return `out`; raise EricError if words of this shape don't fit into its rows."""
    n_rows = comparisons.n_rows
    if out.dtype != torch.int32 or out.ndim != 2 or len(out) < n_rows or out.shape[1] != shape[1]:
        raise EricError(f"out must be int32 [{n_rows} or more, {shape[1]}], not {describe(out)}")
    return out


def check_maps(maps: Tensor, constants: Tensor, operators: Tensor, norm: str, scale: float | Tensor | None) -> None:
    """Raise EricError, or SettingError for the norm, unless `reference.pack_maps` takes these."""
    if norm not in NORMS:
        raise unknown_norm(norm)
    if maps.dtype not in MAP_DTYPES or maps.ndim != 4:
        raise EricError(
            "maps must be float32, bfloat16, float16 or int8 [n_images, n_kernels, height, width], "
            f"not {describe(maps)}"
        )
    if not maps.shape[2] * maps.shape[3]:
        raise EricError(f"maps have no pixels, so no norm: {describe(maps)}")
    _check_comparisons(maps, constants, operators, maps.shape[1], torch.float32, "kernel")
    if (scale is not None) != (maps.dtype == torch.int8):
        wrong = "int8 maps need a scale" if scale is None else f"{_name(maps.dtype)} maps take no scale"
        raise EricError(f"{wrong}: the value of a pixel is scale * int8")
    if isinstance(scale, Tensor):
        if scale.dtype != torch.float32 or scale.shape not in ((), (maps.shape[1],)):
            raise EricError(f"a scale is a number or float32 [{maps.shape[1]}], one per kernel, not {describe(scale)}")
        check_device("the scale", scale, maps)
        low, high = find_range(scale)
    else:
        low = high = 1.0 if scale is None else scale
    if not 0 < low <= high < math.inf:  # NaN neither
        raise EricError(
            f"a scale must be positive and finite, not {scale.tolist() if isinstance(scale, Tensor) else scale}"
        )


def spread_scale(scale: float | Tensor | None, maps: Tensor) -> Tensor:
    """float32 `[n_kernels]`: each kernel's scale, 1 if none is given."""
    if isinstance(scale, Tensor):
        return scale.to(maps.device).expand(maps.shape[1]).contiguous()
    return torch.full((maps.shape[1],), 1.0 if scale is None else scale, dtype=torch.float32, device=maps.device)


def _check_comparisons(
    values: Tensor, constants: Tensor, operators: Tensor, n_atoms: int, dtype: torch.dtype, what: str
) -> None:
    if constants.dtype != dtype or constants.shape != (n_atoms,):
        raise EricError(f"constants must be {_name(dtype)} [{n_atoms}], one per {what}, not {describe(constants)}")
    if operators.dtype != torch.int8 or operators.shape != (n_atoms,):
        raise EricError(f"operators must be int8 [{n_atoms}], one per {what}, not {describe(operators)}")
    check_device("constants", constants, values)
    check_device("operators", operators, values)


def check_device(what: str, tensor: Tensor, values: Tensor) -> None:
    """Raise EricError unless a tensor is on the device of the values: nothing is moved silently."""
    if tensor.device != values.device:
        raise EricError(f"{what} are on {tensor.device}, but the values on {values.device}; move them there")


class Pixels(NamedTuple):
    """How the pixels of a map lie in memory: `n_runs` runs, `run_stride` apart, of `n` elements, `stride` apart."""

    n_runs: int
    run_stride: int
    n: int
    stride: int


def merge_pixels(maps: Tensor) -> Pixels:
    """Cover the pixels of a map by as few runs as possible.

    The order of pixels doesn't matter to a norm, so the smaller stride is the inner one; rows of a map that follow each
    other are one run.
    """
    (height, width), (stride_y, stride_x) = maps.shape[2:], maps.stride()[2:]
    if width == 1 or (height > 1 and stride_y < stride_x):
        height, width, stride_y, stride_x = width, height, stride_x, stride_y
    if height == 1 or stride_y == width * stride_x:
        return Pixels(1, 0, height * width, stride_x)
    return Pixels(height, stride_y, width, stride_x)


def unknown_norm(norm: str) -> SettingError:
    """The error that says which norms there are."""
    return SettingError(f"'{norm}' is not a norm{suggest_nearest(norm, NORMS)}")


def describe(tensor: Tensor) -> str:
    """`float16 [3, 4]`."""
    return f"{_name(tensor.dtype)} {list(tensor.shape)}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
