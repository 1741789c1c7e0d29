"""From a table to the packed bits of a program's comparisons."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.quantiser import TABLE_OPERATORS, TEXT_KINDS, Quantiser, TableAtom, TableAtoms
from eric_fast.tables.columns import Values, find_places
from eric_fast.tables.names import bind_columns
from eric_fast.tables.table import Table, as_table

_OPERATORS = {
    ">": kernels.GREATER,
    "<=": kernels.LESS_EQUAL,
    "==": kernels.EQUAL,
    "<": kernels.LESS,
    ">=": kernels.GREATER_EQUAL,
    "!=": kernels.UNEQUAL,
}
_DTYPES = {"float32": torch.float32, "float64": torch.float64, "loose": torch.float64}


class TablePacker:
    """A quantiser's comparisons, laid out once for the kernels and used on any number of tables.

    Args:
        quantiser: of a table.
        named: whether its columns are found by name; by position where their names are made up.
    """

    def __init__(self, quantiser: Quantiser, *, named: bool = True) -> None:
        self.named = named
        self.quantiser = quantiser
        atoms = quantiser.table_atoms
        self._sets: dict[int, list[int]] = {}  # column -> its atoms that are sets
        for index, atom in enumerate(() if isinstance(atoms, TableAtoms) else atoms):
            if atom.operator == "in":
                self._sets.setdefault(atom.column, []).append(index)
        numbers = _list_numbers(atoms)
        is_double = np.array([column.kind != "float32" for column in quantiser.columns], np.bool_)[numbers.columns]
        halves = ((torch.float32, np.flatnonzero(~is_double)), (torch.float64, np.flatnonzero(is_double)))
        self._groups = [_Group(numbers, places, dtype) for dtype, places in halves if len(places)]
        self._used = sorted({*self._sets, *np.unique(numbers.columns).tolist()})
        self._names = tuple(column.name for column in quantiser.columns)

    def pack(self, data: Any, *, engine: str = "auto") -> tuple[Tensor, int]:
        """The bits of a table: int32 words `[n_atoms, n_words]` where the data are, and how many rows it has.

        Columns are found by name, without regard to case where only one fits; by position where there are no names.
        Where numbers are compared, they are rounded to nearest in the column's kind, integers past 2^53 too; a text is
        the number that it spells, and missing where it spells none; a truth is 1 or 0. Where texts are compared, a
        number is what spells it: 2.0 is `2.0` and `2`, -0.0 is `0` too; True is `True`, `true` and `1`. None, NaN, NA
        and null are missing values.

        Args:
            data: `[n_rows, n_columns]`: a `Table`, a NumPy array (of objects or structured too), a tensor on any
                device, a pandas or polars frame, a pyarrow table, a mapping of columns, or a list of rows.
            engine: see `kernels.pack_columns`; for `gpu` the values of columns are moved there.

        Raises:
            DataError: what is no table; a column that is missing, or holds neither numbers nor texts.
        """
        table = as_table(data)
        places = bind_columns(self._used, self._names, table.names if self.named else None, table.n_columns)
        device = table.device
        if engine == "gpu" and table.matrix is None and torch.cuda.is_available():
            device = torch.device("cuda", torch.cuda.current_device())
        parts: list[tuple[Tensor, Tensor]] = []
        for group in self._groups:
            numbers, column_of = table.stack_numbers([places[column] for column in group.columns], group.dtype)
            comparisons = group.place_comparisons(column_of, device)
            parts.append((group.rows, kernels.pack_comparisons(numbers.to(device), comparisons, engine=engine)))
        for column, rows in self._sets.items():
            atoms = [self.quantiser.table_atoms[row] for row in rows]
            codes, values = self._find_codes(table, places[column], column, atoms)
            parts.append((torch.tensor(rows), _pack_sets(codes[:, None].to(device), values, atoms, engine)))
        if len(parts) == 1 and len(parts[0][0]) == len(self.quantiser.atoms):
            return parts[0][1], table.n_rows
        shape = (len(self.quantiser.atoms), count_words(table.n_rows))
        words = torch.empty(shape, dtype=torch.int32, device=device)
        for rows_of_part, part in parts:
            words[rows_of_part.to(device)] = part
        return words, table.n_rows

    def _find_codes(
        self, table: Table, place: int, column: int, atoms: Sequence[TableAtom]
    ) -> tuple[Tensor, list[float | str]]:
        """float32 `[n_rows]`: each value's place among those of the sets, -1 elsewhere, NaN for none; and those."""
        kind = self.quantiser.columns[column].kind
        values = sorted({value for atom in atoms for value in atom.constant})  # type: ignore[union-attr]
        data = table.read(place)
        if kind in TEXT_KINDS:
            return data.to_places(Values(list(map(str, values)), loose=kind == "loose")), values
        numbers = data.to_numbers(_DTYPES[kind])
        return find_places(numbers, torch.tensor(values, dtype=numbers.dtype, device=numbers.device)), values


class _Numbers(NamedTuple):
    """The comparisons with numbers among a quantiser's: their places, int64, and what the kernels take."""

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    constants: NDArray[np.float64]
    operators: NDArray[np.int8]


def _list_numbers(atoms: Sequence[TableAtom]) -> _Numbers:
    if isinstance(atoms, TableAtoms):
        codes = np.array([_OPERATORS[name] for name in TABLE_OPERATORS if name != "in"], np.int8)
        operators = codes[atoms.operators] + np.int8(kernels.MISSING) * atoms.missing.astype(np.int8)
        return _Numbers(np.arange(len(atoms)), atoms.columns.astype(np.int64), atoms.constants, operators)
    rows = [row for row, atom in enumerate(atoms) if atom.operator != "in"]
    return _Numbers(
        np.array(rows, np.int64),
        np.array([atoms[row].column for row in rows], np.int64),
        np.array([atoms[row].constant for row in rows], np.float64),
        np.array([_OPERATORS[atoms[row].operator] + kernels.MISSING * atoms[row].missing for row in rows], np.int8),
    )


class _Group:
    """The comparisons with numbers of one type: which atoms and columns they are, and what the kernels take."""

    def __init__(self, numbers: _Numbers, places: NDArray[np.int64], dtype: torch.dtype) -> None:
        columns, column_of_atom = np.unique(numbers.columns[places], return_inverse=True)
        self.dtype = dtype
        self.rows = torch.from_numpy(numbers.rows[places])
        self.columns: list[int] = columns.tolist()
        self._column_of_atom = torch.from_numpy(column_of_atom.reshape(-1))  # a place in `columns`
        self._constants = torch.from_numpy(numbers.constants[places]).to(dtype)
        self._operators = torch.from_numpy(numbers.operators[places])
        self._placed: tuple[tuple[list[int], torch.device], kernels.Comparisons] | None = None

    def place_comparisons(self, column_of: list[int], device: torch.device) -> kernels.Comparisons:
        """The comparisons for a matrix that has each of the columns at this place; the last ones are kept."""
        where = (column_of, device)
        placed = self._placed  # another thread may change it
        if placed is None or placed[0] != where:
            columns = torch.tensor(column_of)[self._column_of_atom]
            arrays = (array.to(device) for array in (columns, self._constants, self._operators))
            self._placed = placed = (where, kernels.Comparisons(*arrays))
        return placed[1]


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
