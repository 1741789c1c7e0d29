"""Tables: arrays, tensors and data frames to the packed bits of a program's comparisons."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.errors import DataError
from eric_fast.quantiser import TABLE_OPERATORS, Column, Quantiser, TableAtom, TableAtoms

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
        self._sets: dict[int, list[int]] = {}  # column -> its atoms that are sets
        for index, atom in enumerate(() if isinstance(atoms, TableAtoms) else atoms):
            if atom.operator == "in":
                self._sets.setdefault(atom.column, []).append(index)
        numbers = _NumberAtoms(atoms)
        kinds = np.array([column.kind for column in quantiser.columns])[numbers.columns]
        self._groups = {kind: numbers.select(np.flatnonzero(kinds == kind), kind) for kind in np.unique(kinds).tolist()}

    def pack(self, data: Any, *, engine: str = "auto") -> tuple[Tensor, int]:
        """The bits of a table: int32 words `[n_atoms, n_words]` where the data are, and how many rows it has.

        Args:
            data: `[n_rows, n_columns]` in the order of the quantiser's columns: a NumPy array or a tensor.

        Raises:
            DataError: a table that lacks columns, or whose values are no numbers where numbers are compared.
        """
        matrix = _as_matrix(data, len(self.quantiser.columns))
        n_rows = len(matrix)
        device = matrix.device if isinstance(matrix, Tensor) else torch.device("cpu")
        parts: list[tuple[Tensor, Tensor]] = []
        for kind, group in self._groups.items():
            numbers = _as_numbers(matrix, kind)
            columns, constants, operators = (array.to(device) for array in group.arrays)
            parts.append((group.rows, kernels.pack_columns(numbers, columns, constants, operators, engine=engine)))
        for column, rows in self._sets.items():
            atoms = [self.quantiser.table_atoms[row] for row in rows]
            codes, values = _as_codes(matrix, self.quantiser.columns[column], column, atoms)
            parts.append((torch.tensor(rows), _pack_sets(codes.to(device), values, atoms, engine)))
        if len(parts) == 1 and len(parts[0][0]) == len(self.quantiser.atoms):
            return parts[0][1], n_rows
        words = torch.empty(len(self.quantiser.atoms), count_words(n_rows), dtype=torch.int32, device=device)
        for rows_of_part, part in parts:
            words[rows_of_part.to(device)] = part
        return words, n_rows


class _Group(NamedTuple):
    """The numeric comparisons of one kind of column: which atoms, and what the kernels take."""

    rows: Tensor
    arrays: tuple[Tensor, Tensor, Tensor]


class _NumberAtoms:
    """The comparisons with numbers among a quantiser's, as arrays."""

    def __init__(self, atoms: Sequence[TableAtom]) -> None:
        if not isinstance(atoms, TableAtoms):
            rows = [row for row, atom in enumerate(atoms) if atom.operator != "in"]
            self.rows = np.array(rows, np.int64)
            self.columns = np.array([atoms[row].column for row in rows], np.int64)
            self.constants = np.array([atoms[row].constant for row in rows], np.float64)
            self.operators = np.array([_OPERATORS[atoms[row].operator] for row in rows], np.int8)
            self.operators += np.array([kernels.MISSING * atoms[row].missing for row in rows], np.int8)
            return
        self.rows = np.arange(len(atoms))
        self.columns = atoms.columns.astype(np.int64)
        self.constants = atoms.constants
        codes = np.array([_OPERATORS[name] for name in TABLE_OPERATORS if name != "in"], np.int8)
        self.operators = codes[atoms.operators] + np.int8(kernels.MISSING) * atoms.missing.astype(np.int8)

    def select(self, places: NDArray[np.int64], kind: str) -> _Group:
        """Those of columns of one kind."""
        arrays = (
            torch.from_numpy(self.columns[places]),
            torch.from_numpy(self.constants[places]).to(_DTYPES[kind]),
            torch.from_numpy(self.operators[places]),
        )
        return _Group(torch.from_numpy(self.rows[places]), arrays)


def _as_matrix(data: Any, n_columns: int) -> Any:
    """A tensor or an array `[n_rows, n_columns]`."""
    matrix = data if isinstance(data, Tensor) else np.asarray(data)
    if matrix.ndim != 2 or matrix.shape[1] != n_columns:
        raise DataError(f"expected a table of {n_columns} columns, not an array {list(matrix.shape)}")
    return matrix


def _as_numbers(matrix: Any, kind: str) -> Tensor:
    """float32 or float64 `[n_rows, n_columns]`."""
    if not isinstance(matrix, Tensor):
        if not np.issubdtype(matrix.dtype, np.number) and matrix.dtype != np.bool_:
            raise DataError(f"numbers are needed, not {matrix.dtype}")
        matrix = torch.from_numpy(np.ascontiguousarray(matrix, np.dtype(kind)))
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
