"""The values of a few rows as Python objects, column by column and only where they are asked for."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

_SINGLE = {str, int, float, bool, type(None)}
_MOST_SINGLE = 12  # rows up to which pandas gives the values that rules ask for sooner than columns


class FewRows(NamedTuple):
    """Rows of a table of any library, not looked into yet.

    Attributes:
        n_rows: how many.
        key: what the columns' names follow from; see `has_columns_of`. None if they have none.
        n_columns: how many.
        take: the values of the column at a place, a list `[n_rows]`.
        rows: each row, which gives a value by the place of its column; None where columns are read sooner.
        by_name: whether it gives values by the columns' names instead.
    """

    n_rows: int
    key: Any
    n_columns: int
    take: Callable[[int], list[Any]]
    rows: Sequence[Any] | None = None
    by_name: bool = False

    def has_columns_of(self, key: Any, n_columns: int) -> bool:
        """Whether these columns are those of the rows with this key; False where finding out takes long."""
        if self.n_columns != n_columns:
            return False
        if isinstance(key, pa.Schema):
            return isinstance(self.key, pa.Schema) and self.key.equals(key)
        return self.key is key or (type(key) is tuple and type(self.key) is tuple and self.key == key)

    def list_names(self) -> tuple[str, ...] | None:
        """The columns' names; None if they have none."""
        if isinstance(self.key, pa.Schema):
            return tuple(self.key.names)
        return None if self.key is None else tuple(map(str, list(self.key)))


def take_few_rows(data: Any, most: int) -> FewRows | None:
    """The rows of an Arrow table, a pandas frame, an array, a mapping of columns or values, or a list of rows.

    None for others, for no rows or more than `most`, and for what isn't plainly a table: `as_table` knows what it is.
    """
    rows: FewRows | None
    if isinstance(data, pa.Table | pa.RecordBatch):
        rows = FewRows(data.num_rows, data.schema, data.num_columns, lambda place: data.column(place).to_pylist())
    elif type(data) is np.ndarray:
        rows = _take_array(data)
    elif isinstance(data, Mapping):
        rows = _take_mapping(data)
    elif type(data) is list and data:
        rows = _take_list(data, most)
    elif type(data).__module__.partition(".")[0] == "pandas" and hasattr(data, "iat") and hasattr(data, "columns"):
        rows = _take_frame(data)
    else:
        return None
    return rows if rows is not None and 0 < rows.n_rows <= most else None


def _take_array(array: Any) -> FewRows | None:
    if array.ndim != 2 or array.dtype.kind not in "biufOU":
        return None
    return FewRows(len(array), None, array.shape[1], lambda place: array[:, place].tolist())


def _take_mapping(row: Mapping[Any, Any]) -> FewRows | None:
    names, values = tuple(row), tuple(row.values())
    if set(map(type, names)) != {str}:
        return None
    types = set(map(type, values))
    if types <= _SINGLE:  # of one row
        return FewRows(1, names, len(names), lambda place: [values[place]], [row], True)
    if types != {list} or len(set(map(len, values))) != 1:
        return None
    return FewRows(len(values[0]), names, len(names), lambda place: values[place])


def _take_list(rows: list[Any], most: int) -> FewRows | None:
    if len(rows) > most:
        return None
    kinds = set(map(type, rows))
    if kinds == {dict}:
        names = tuple(rows[0])
        if set(map(type, names)) != {str} or any(tuple(row) != names for row in rows):
            return None
        return FewRows(len(rows), names, len(names), lambda place: [row[names[place]] for row in rows], rows, True)
    if not kinds <= {list, tuple} or len(set(map(len, rows))) != 1:
        return None
    return FewRows(len(rows), None, len(rows[0]), lambda place: [row[place] for row in rows], rows)


class _FrameRow(dict[int, Any]):
    """The values of a row of a frame by the places of their columns, each read when it is first asked for."""

    def __init__(self, values: Any, row: int) -> None:
        """`values`: the frame's `iat`."""
        self._values, self._row = values, row

    def __missing__(self, place: int) -> Any:
        value = self[place] = self._values[self._row, place]
        return value


def _take_frame(frame: Any) -> FewRows | None:
    names: Sequence[Any] = frame.columns
    n_rows = len(frame)
    if n_rows <= _MOST_SINGLE:
        values = frame.iat
        rows = [_FrameRow(values, row) for row in range(n_rows)]
        return FewRows(n_rows, names, len(names), lambda place: [row[place] for row in rows], rows)
    if not frame.columns.is_unique or frame.columns.nlevels > 1:
        return None
    return FewRows(n_rows, names, len(names), lambda place: _list_values(frame[names[place]].array))


def _list_values(array: Any) -> list[Any]:
    """The values of pandas' array; texts are Arrow's already, which lists them in half the time."""
    if type(array.dtype).__name__ != "StringDtype":
        return array.tolist()  # type: ignore[no-any-return]
    return array.__arrow_array__().to_pylist()  # type: ignore[no-any-return]
