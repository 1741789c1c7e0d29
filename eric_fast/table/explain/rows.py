"""One row of a table as it was given, and tables of rows that differ from it in some columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from eric_fast.errors import DataError
from eric_fast.program.table_atoms import TEXT_KINDS
from eric_fast.table.column_names import bind_columns
from eric_fast.table.columns import is_missing
from eric_fast.table.model import RuleModel
from eric_fast.table.table import Table, as_table, has_length


@dataclass(frozen=True, eq=False)
class Row:
    """A row for a model.

    Attributes:
        table: of this row alone.
        places: for each column of the model its index in the table; -1 for one that no rule mentions and the table
            lacks.
        raw: the values in the order of the table's columns, as given; None where missing.
    """

    table: Table
    places: tuple[int, ...]
    raw: tuple[Any, ...]

    @property
    def values(self) -> list[Any]:
        """The values in the order of the model's columns."""
        return [None if place < 0 else self.raw[place] for place in self.places]

    def vary(self, changed: Mapping[int, tuple[Sequence[Any], NDArray[np.int64]]], n_rows: int) -> Table:
        """A table of this row `n_rows` times, but for some columns.

        Args:
            changed: index of a column in the table -> values, and for each row the index of its own.
        """
        if self.table.matrix is not None and all(_is_number(v) for values, _ in changed.values() for v in values):
            matrix = self.table.matrix.cpu().double().repeat(n_rows, 1)
            for place, (values, indices) in changed.items():
                matrix[:, place] = torch.from_numpy(np.array(values, np.float64)[indices])
            return Table(n_rows, self.table.names, matrix=matrix)
        zeros = np.zeros(n_rows, np.int64)
        columns = [_spread(*changed.get(place, ([value], zeros))) for place, value in enumerate(self.raw)]
        return Table(n_rows, self.table.names, tuple(columns))


def read_row(model: RuleModel, row: Any) -> Row:
    """Read a row: values by the names of columns (a mapping, a pandas Series), in their order, or a table of one row.

    Raises:
        DataError: it is no row, or a column is missing.
    """
    table = _make_table(row)
    if table.n_rows != 1:
        raise DataError(f"expected one row to explain, got a table of {table.n_rows:,}; give row i alone: table[i:i+1]")
    places = find_places(model, table)
    row = Row(table, places, tuple(_find_value(table, place) for place in range(table.n_columns)))
    return _drop_gaps(model, row) if table.matrix is None else row


def find_places(model: RuleModel, table: Table) -> tuple[int, ...]:
    """For each column of the model its index in a table; -1 for one that no rule mentions and the table lacks.

    Raises:
        DataError: a column is missing.
    """
    quantiser = model.program.table_quantiser
    names = [column.name for column in quantiser.columns]
    used = {atom.column for atom in quantiser.atoms}
    given = table.names if model.named else None
    return tuple(bind_columns(used, names, given, table.n_columns, len(model.optional)))


def _drop_gaps(model: RuleModel, row: Row) -> Row:
    """The row without texts where the model compares numbers. Raises DataError: a text that it refuses."""
    raw = list(row.raw)
    for column, place in zip(model.program.table_quantiser.columns, row.places, strict=True):
        is_text = place >= 0 and column.kind not in TEXT_KINDS and isinstance(raw[place], str)
        if is_text and bool(row.table.read_numbers(place, torch.float64, odd=model.odd_texts).isnan().any()):
            raw[place] = None
    if tuple(raw) == row.raw:
        return row
    missing = Row(row.table, row.places, tuple(raw))
    return replace(missing, table=missing.vary({}, 1))


def _make_table(row: Any) -> Table:
    if isinstance(row, Mapping):
        return as_table({name: value if has_length(value) else [value] for name, value in row.items()})
    if hasattr(row, "index") and hasattr(row, "to_dict") and getattr(row, "ndim", 2) == 1:
        if not row.index.is_unique:
            raise DataError(f"column '{row.index[row.index.duplicated()][0]}' occurs twice in the row; rename one")
        return as_table({name: [value] for name, value in row.to_dict().items()})
    if isinstance(row, np.ndarray) and row.ndim == 1:
        return as_table(row.reshape(1, -1)) if row.dtype.names is None else as_table(row)
    if isinstance(row, list | tuple) and not any(map(has_length, row)):
        return as_table([row])
    return as_table(row)


def _find_value(table: Table, place: int) -> Any:
    """The only value of a column, as Python has it; None if it is missing."""
    if table.matrix is not None:
        value = table.matrix[0, place].item()
    else:
        assert table.columns is not None
        column = table.columns[place]
        value = column.iloc[0] if hasattr(column, "iloc") else next(iter(column))
    if hasattr(value, "as_py"):
        value = value.as_py()
    elif hasattr(value, "item"):
        value = value.item()
    return None if is_missing(value) else value


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _spread(values: Sequence[Any], indices: NDArray[np.int64]) -> Any:
    """A column with `values[indices]`: numbers, texts as a dictionary, or objects."""
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool} and None not in values:
        return np.array(values, np.bool_)[indices]
    if kinds <= {int, float}:
        return np.array([np.nan if value is None else value for value in values], np.float64)[indices]
    if kinds == {str}:
        return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string()))
    objects = np.empty(len(values), object)
    objects[:] = values
    return objects[indices]
