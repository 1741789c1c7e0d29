"""`Table`: columns of any kind, from the objects of any library."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.table.columns import ColumnData, NumberColumn, is_missing, to_tensor, widen
from eric_fast.table.read_columns import read_column
from eric_fast.tensors import check_rows, read_plain

logger = logging.getLogger(__name__)

FEW_TEXTS = 32  # of a column, up to which Python looks each up
FEW_ROWS = 4096  # of an Arrow table, up to which its floats are copied, and texts cast together


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of the same length.

    Attributes:
        n_rows: the number of rows.
        names: of the columns; None if they have none.
        columns: as given; see `read_column`. None if there is a matrix.
        matrix: `[n_rows, n_columns]`, numbers of one dtype on any device.
        first_row: the index of the first row in the table that this one is a part of.
    """

    n_rows: int
    names: tuple[str, ...] | None = None
    columns: tuple[Any, ...] | None = None
    matrix: Tensor | None = None
    first_row: int = 0

    @property
    def n_columns(self) -> int:
        if self.matrix is not None:
            return self.matrix.shape[1]
        return len(self.columns or ())

    @property
    def device(self) -> torch.device:
        return torch.device("cpu") if self.matrix is None else self.matrix.device

    def take_rows(self, first: int, last: int) -> "Table":
        """These rows, without a copy."""
        if (first, last) == (0, self.n_rows):
            return self
        columns = None if self.columns is None else tuple(_take(column, first, last) for column in self.columns)
        matrix = None if self.matrix is None else self.matrix[first:last]
        return Table(last - first, self.names, columns, matrix, self.first_row + first)

    def read(self, place: int) -> ColumnData:
        """One column. Raises DataError if it holds neither numbers nor texts."""
        if self.matrix is not None:
            return NumberColumn(self.matrix[:, place])
        assert self.columns is not None
        name = str(place + 1) if self.names is None else self.names[place]
        return read_column(self.columns[place], name)

    def list_few_texts(self, place: int) -> list[str | None] | None:
        """The values of a column of a few texts, None for missing ones; None if there are many, or others among them.

        Python looks a few up sooner than Arrow does.
        """
        if self.columns is None or self.n_rows > FEW_TEXTS:
            return None
        column = self.columns[place]
        if isinstance(column, pa.ChunkedArray | pa.Array):
            is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
            return column.to_pylist() if is_text else None
        if str(getattr(column, "dtype", "")) not in ("object", "str", "string") or not hasattr(column, "tolist"):
            return None
        texts = [None if is_missing(value) else value for value in column.tolist()]
        return texts if all(text is None or type(text) is str for text in texts) else None

    def read_numbers(self, place: int, dtype: torch.dtype, *, odd: str = "refuse") -> Tensor:
        """One column as numbers; see `ColumnData`.

        Args:
            odd: a text that spells no number: `refuse` it, take it as NaN and `warn`, or `keep` quiet.

        Raises:
            DataError: a text that is refused, with its row.
        """
        column = self.read(place)
        numbers = column.to_numbers(dtype)
        if odd != "keep" and not isinstance(column, NumberColumn) and bool(numbers.isnan().any()):
            self._note_texts(place, column.list_odd(), odd)
        return numbers

    def stack_numbers(
        self, places: Sequence[int], dtype: torch.dtype, *, odd: str = "refuse"
    ) -> tuple[Tensor, list[int]]:
        """A matrix with these columns, perhaps among others, `[n_rows, n]`, and the index of each in it.

        Numbers are rounded to nearest; missing ones are NaN (see `ColumnData`). A matrix of this dtype is not copied.

        Args:
            odd: see `read_numbers`.

        Raises:
            DataError: see `read_numbers`.
        """
        if self.matrix is not None:
            if self.matrix.dtype == dtype or 2 * len(places) > self.n_columns:
                return self.matrix.to(dtype), list(places)
            return self.matrix[:, list(places)].to(dtype), list(range(len(places)))
        numbers = self._cast_texts(places) if self.n_rows <= FEW_ROWS else None
        if numbers is not None:
            return numbers.to(dtype).T, list(range(len(places)))
        numbers = torch.empty(len(places), self.n_rows, dtype=dtype)
        for row, place in zip(numbers, places, strict=True):
            row[:] = self.read_numbers(place, dtype, odd=odd)
        return numbers.T, list(range(len(places)))

    def _note_texts(self, place: int, is_odd: NDArray[np.bool_], odd: str) -> None:
        """Warn of the first text that spells no number, or raise DataError. `is_odd`: bool `[n_rows]`."""
        if not is_odd.any():
            return
        assert self.columns is not None
        row = int(is_odd.argmax())
        [value] = _take(self.columns[place], row, row + 1)
        text = value.as_py() if isinstance(value, pa.Scalar) else value
        name = place + 1 if self.names is None else self.names[place]
        message = f"row {self.first_row + row}, column '{name}': {text!r:.50} is not a number"
        if odd == "refuse":
            raise DataError(f"{message}; write one, or leave the value empty where it is missing")
        logger.warning("%s; %d of %d values satisfy no comparison", message, int(is_odd.sum()), len(is_odd))

    def _cast_texts(self, places: Sequence[int]) -> Tensor | None:
        """float64 `[n, n_rows]`, in one cast, where all are Arrow's or pandas' columns of texts that spell numbers."""
        assert self.columns is not None
        columns = [_find_texts(self.columns[place]) for place in places]
        kinds = {column.type for column in columns}
        if not kinds or not kinds <= {pa.string(), pa.large_string()} or len(kinds) > 1:
            return None
        try:
            joined = pa.chunked_array([chunk for column in columns for chunk in column.chunks], kinds.pop())
            numbers = pc.cast(joined, pa.float64())
        except pa.ArrowInvalid:  # some don't: each column tells its own
            return None
        return to_tensor(pc.fill_null(numbers, math.nan).to_numpy()).reshape(len(columns), self.n_rows)


_NO_TEXTS = pa.chunked_array([], pa.null())


def _find_texts(column: Any) -> pa.ChunkedArray:
    """A column of texts that is Arrow's or pandas'; of nulls, if it is another."""
    if isinstance(column, pa.ChunkedArray):
        return column
    if type(getattr(column, "dtype", None)).__name__ != "StringDtype":
        return _NO_TEXTS
    texts = pa.array(column, from_pandas=True)
    return texts if isinstance(texts, pa.ChunkedArray) else pa.chunked_array([texts])


def _take(column: Any, first: int, last: int) -> Any:
    """Some rows of a column of any library."""
    if hasattr(column, "iloc"):
        return column.iloc[first:last]
    return column.slice(first, last - first) if hasattr(column, "slice") else column[first:last]


def as_table(data: Any) -> Table:
    """A table of a NumPy array (a structured one has names), a tensor, a mapping or a frame of columns, or rows.

    A row is a list of values, or a mapping: one with a value for each column, or several in a list.

    Raises:
        DataError: not a table, or columns of different lengths.
    """
    if isinstance(data, Table):
        return data
    if isinstance(data, Tensor):
        return _from_matrix(widen(read_plain(data, "the table")))
    package = type(data).__module__.partition(".")[0]
    if package == "pandas" and hasattr(data, "columns"):
        return _from_pandas(data)
    if package == "polars" and hasattr(data, "to_arrow"):
        data = data.to_frame() if not hasattr(data, "columns") else data
        return _from_columns(list(data.columns), list(data.get_columns()), len(data))
    if hasattr(data, "collect_schema"):
        raise DataError("a lazy frame has no rows yet; call .collect() first")
    if isinstance(data, pa.Table | pa.RecordBatch):
        return _from_arrow(data)
    if hasattr(data, "toarray") and hasattr(data, "nnz"):
        raise DataError("sparse matrices are not supported; give .toarray(), in pieces if it is large")
    if isinstance(data, Mapping):
        is_row = len(data) > 0 and not any(map(has_length, data.values()))
        return _from_columns(list(map(str, data)), [[value] if is_row else value for value in data.values()])
    if isinstance(data, list | tuple):
        return _from_rows(data)
    if hasattr(data, "__array__"):
        return _from_array(data if isinstance(data, np.ndarray) else np.asarray(data))
    raise DataError(f"a {type(data).__module__}.{type(data).__name__} is no table; give an array, a frame or columns")


def _from_matrix(matrix: Tensor, names: tuple[str, ...] | None = None) -> Table:
    if matrix.ndim != 2:
        raise DataError(f"expected a table [n_rows, n_columns], got an array of shape {list(matrix.shape)}")
    if matrix.is_complex():
        raise DataError("complex numbers are not supported")
    return Table(len(matrix), names, matrix=matrix)


def _from_array(array: Any) -> Table:
    if array.dtype.names:
        return _from_columns(list(array.dtype.names), [array[name] for name in array.dtype.names])
    if array.ndim != 2:
        raise DataError(f"expected a table [n_rows, n_columns], got an array of shape {list(array.shape)}")
    check_rows(len(array), "the table")
    if array.dtype.kind in "biuf" and not isinstance(array, np.ma.MaskedArray):
        return _from_matrix(to_tensor(array))
    return Table(len(array), None, tuple(array[:, i] for i in range(array.shape[1])))


def _from_pandas(frame: Any) -> Table:
    names = tuple(map(str, frame.columns.tolist()))
    dtypes = set(frame.dtypes)
    if len(dtypes) == 1 and isinstance(dtype := dtypes.pop(), np.dtype) and dtype.kind in "biuf":
        return _from_matrix(to_tensor(frame.to_numpy()), names)
    return Table(len(frame), names, tuple(column for _, column in frame.items()))  # a third of the time of `iloc`


def _from_arrow(data: Any) -> Table:
    """A table of Arrow's columns; of a few rows of floats alone a matrix, which is read many times faster."""
    columns = list(data.columns)
    kinds = {column.type for column in columns}
    if not 0 < data.num_rows <= FEW_ROWS or kinds not in ({pa.float32()}, {pa.float64()}):
        return _from_columns(data.column_names, columns, data.num_rows)
    if any(column.null_count for column in columns):
        return _from_columns(data.column_names, columns, data.num_rows)
    matrix = np.stack([column.to_numpy() for column in columns])
    return _from_matrix(torch.from_numpy(matrix).T, tuple(data.column_names))


def _from_columns(names: Sequence[str], columns: Sequence[Any], n_rows: int | None = None) -> Table:
    lengths = {len(column) for column in columns}
    if len(lengths) > 1:
        raise DataError(f"columns must have the same length, but have {min(lengths):,} to {max(lengths):,} rows")
    if n_rows is None:
        n_rows = lengths.pop() if lengths else 0
    return Table(n_rows, tuple(map(str, names)), tuple(columns))


def has_length(value: Any) -> bool:
    """Whether this is a column of values, and not one value, as a text is."""
    return not isinstance(value, str | bytes) and hasattr(value, "__len__")


def _from_rows(rows: Sequence[Any]) -> Table:
    if rows and all(isinstance(row, Mapping) for row in rows):
        return _from_named_rows(rows)
    lengths = set()
    for row in rows:
        if isinstance(row, str) or not hasattr(row, "__len__"):
            raise DataError(f"expected rows of values, got a {type(row).__name__}")
        lengths.add(len(row))
    if len(lengths) > 1:
        raise DataError(f"rows must have the same length, but have {min(lengths):,} to {max(lengths):,} values")
    columns = tuple(zip(*rows, strict=True))
    return Table(len(rows), None, columns)


def _from_named_rows(rows: Sequence[Mapping[Any, Any]]) -> Table:
    names = list(rows[0])
    for number, row in enumerate(rows):
        if row.keys() != rows[0].keys():
            odd = sorted(map(str, row.keys() ^ rows[0].keys()))[0]
            raise DataError(
                f"row {number} and row 0 don't both have a column '{odd}'; write None where a value is missing"
            )
    return _from_columns(list(map(str, names)), [[row[name] for row in rows] for name in names])
