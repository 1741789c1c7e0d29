"""Tables: arrays, tensors and data frames to the packed bits of a program's comparisons."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.errors import DataError
from eric_fast.quantiser import Column, Quantiser, TableAtom

_OPERATORS = {
    ">": kernels.GREATER,
    "<=": kernels.LESS_EQUAL,
    "==": kernels.EQUAL,
    "<": kernels.LESS,
    ">=": kernels.GREATER_EQUAL,
    "!=": kernels.UNEQUAL,
}
_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class TablePacker:
    """A quantiser's comparisons, laid out once for the kernels and used on any number of tables.

    Args:
        quantiser: of a table.
    """

    def __init__(self, quantiser: Quantiser) -> None:
        self.quantiser = quantiser
        atoms = quantiser.table_atoms
        numbers: dict[str, list[int]] = {kind: [] for kind in _DTYPES}
        self._sets: dict[int, list[int]] = {}  # column -> its atoms that are sets
        for index, atom in enumerate(atoms):
            if atom.operator == "in":
                self._sets.setdefault(atom.column, []).append(index)
            else:
                numbers[quantiser.columns[atom.column].kind].append(index)
        self._groups = {kind: _list_comparisons(quantiser, rows, kind) for kind, rows in numbers.items() if rows}

    def pack(self, data: Any, *, out: Tensor | None = None, engine: str = "auto") -> tuple[Tensor, int]:
        """The bits of a table: int32 words `[n_atoms, n_words]` where the data are, and how many rows it has.

        Args:
            data: `[n_rows, n_columns]` in the order of the quantiser's columns: a NumPy array or a tensor.
            out: words to write to, and to give back.

        Raises:
            DataError: a table that lacks columns, or whose values are no numbers where numbers are compared.
        """
        matrix = self.as_matrix(data)
        n_rows = len(matrix)
        device = matrix.device if isinstance(matrix, Tensor) else torch.device("cpu")
        if out is None:
            out = torch.empty(len(self.quantiser.atoms), count_words(n_rows), dtype=torch.int32, device=device)
        for kind, group in self._groups.items():
            kernels.pack_comparisons(_as_numbers(matrix, kind), group, out=out, engine=engine)
        for column, rows in self._sets.items():
            atoms = [self.quantiser.table_atoms[row] for row in rows]
            codes, values = _as_codes(matrix, self.quantiser.columns[column], column, atoms)
            out[torch.tensor(rows, device=device)] = _pack_sets(codes.to(device), values, atoms, engine)
        return out, n_rows

    def as_matrix(self, data: Any) -> Any:
        """The table as a tensor or an array `[n_rows, n_columns]`, of which `pack` takes any rows.

        Raises:
            DataError: a table that lacks columns.
        """
        matrix = data if isinstance(data, Tensor) else np.asarray(data)
        n_columns = len(self.quantiser.columns)
        if matrix.ndim != 2 or matrix.shape[1] != n_columns:
            raise DataError(f"expected a table of {n_columns} columns, not an array {list(matrix.shape)}")
        return matrix


def _list_comparisons(quantiser: Quantiser, rows: list[int], kind: str) -> kernels.Comparisons:
    """The comparisons with numbers of one kind of column, for the kernels."""
    atoms = [quantiser.table_atoms[row] for row in rows]
    operators = [_OPERATORS[atom.operator] + kernels.MISSING * atom.missing for atom in atoms]
    return kernels.Comparisons(
        torch.tensor([atom.column for atom in atoms]),
        torch.tensor([atom.constant for atom in atoms], dtype=_DTYPES[kind]),
        torch.tensor(operators, dtype=torch.int8),
        torch.tensor(rows),
    )


def as_tensor(data: Any, kind: Any) -> Tensor:
    """Numbers as a tensor: float32 and float64 as they are, and where they are if possible; others as `kind`."""
    array = np.asarray(data)
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(kind)
    if not array.flags.writeable or min(array.strides, default=0) < 0:  # PyTorch takes neither
        array = array.copy()
    return torch.from_numpy(array)


def _as_numbers(matrix: Any, kind: str) -> Tensor:
    """float32 or float64 `[n_rows, n_columns]`."""
    if not isinstance(matrix, Tensor):
        if not np.issubdtype(matrix.dtype, np.number) and matrix.dtype != np.bool_:
            raise DataError(f"numbers are needed, not {matrix.dtype}")
        matrix = as_tensor(matrix, np.dtype(kind))
    numbers: Tensor = matrix.to(_DTYPES[kind])
    return numbers


def _as_codes(matrix: Any, column: Column, index: int, atoms: Sequence[TableAtom]) -> tuple[Tensor, list[float | str]]:
    """float32 `[n_rows, 1]`: each value's place among the values of the atoms' sets; -1 for others, NaN for none."""
    values = sorted({value for atom in atoms for value in atom.constant})  # type: ignore[union-attr]
    place_of_value = {value: float(place) for place, value in enumerate(values)}
    if column.kind == "text":
        cells = np.asarray(matrix, object)[:, index].tolist()
        codes = [np.nan if cell is None or cell != cell else place_of_value.get(str(cell), -1.0) for cell in cells]
        return torch.tensor(codes, dtype=torch.float32)[:, None], values
    numbers = _as_numbers(matrix, column.kind)[:, index : index + 1]
    constants = torch.tensor(values, dtype=numbers.dtype, device=numbers.device)
    places = torch.searchsorted(constants, numbers.contiguous()).clamp(max=len(values) - 1)
    found = torch.where(constants[places] == numbers, places.float(), -1.0)
    return torch.where(numbers.isnan(), torch.nan, found), values


def _pack_sets(codes: Tensor, values: Sequence[float | str], atoms: Sequence[TableAtom], engine: str) -> Tensor:
    """int32 words `[n_atoms, n_words]`: a row for each value, OR-ed where a set has several."""
    n = len(values)
    constants = torch.tensor([*range(n), 0.0], dtype=torch.float32, device=codes.device)
    operators = torch.tensor([kernels.EQUAL] * n + [kernels.MISSING], dtype=torch.int8, device=codes.device)
    columns = torch.zeros(n + 1, dtype=torch.int64, device=codes.device)
    singles = kernels.pack_columns(codes, columns, constants, operators, engine=engine)
    row_of_value = {value: row for row, value in enumerate(values)}
    words = torch.zeros(len(atoms), singles.shape[1], dtype=torch.int32, device=codes.device)
    for row, atom in enumerate(atoms):
        for value in atom.constant:  # type: ignore[union-attr]
            words[row] |= singles[row_of_value[value]]
        if atom.missing:
            words[row] |= singles[n]
    return words
