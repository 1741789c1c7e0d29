"""Columns of any library, read as `ColumnData`."""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.table.columns import (
    CodedColumn,
    ColumnData,
    NumberColumn,
    ObjectColumn,
    TextColumn,
    list_indices,
    to_tensor,
    widen,
)
from eric_fast.tensors import read_plain


def read_column(column: Any, name: str) -> ColumnData:
    """A column of any kind, `[n]`.

    Raises:
        DataError: the values are neither numbers nor texts, or the column isn't one-dimensional.
    """
    if getattr(column, "ndim", 1) != 1:
        raise DataError(f"column '{name}' must have one dimension, but its shape is {list(column.shape)}")
    if isinstance(column, Tensor):
        return NumberColumn(widen(read_plain(column, f"column '{name}'")))
    if isinstance(column, pa.Array | pa.ChunkedArray):
        return read_arrow(column, name)
    if type(column).__module__.partition(".")[0] == "polars":
        return read_arrow(column.to_arrow(), name)
    if type(column).__module__.partition(".")[0] == "pandas":
        return _read_series(column, name)
    array = column if isinstance(column, np.ndarray) else _make_objects(column)
    return read_array(array, name)


def read_array(array: NDArray[Any], name: str) -> ColumnData:
    """A NumPy array `[n]` of any dtype."""
    kind = array.dtype.kind
    if kind in "biuf":
        if isinstance(array, np.ma.MaskedArray):
            return NumberColumn(to_tensor(array.data), to_tensor(np.ma.getmaskarray(array)))
        return NumberColumn(to_tensor(array))
    if kind in "US":
        try:
            texts = pa.array(array.tolist() if kind == "S" else array)
        except UnicodeDecodeError as error:
            raise DataError(f"column '{name}' holds texts that are not Unicode") from error
        return read_arrow(texts, name)
    if kind != "O":
        raise DataError(f"column '{name}' holds {array.dtype}, neither numbers nor texts")
    try:
        return read_arrow(pa.array(array, from_pandas=True), name)
    except (pa.ArrowException, OverflowError):  # of several types
        return _read_objects(array.tolist(), name)


def read_arrow(array: pa.Array | pa.ChunkedArray, name: str) -> ColumnData:
    """An Arrow array of any type."""
    if isinstance(array, pa.ChunkedArray):
        array = _join_chunks(array)
    kind = array.type
    if pa.types.is_dictionary(kind):
        return CodedColumn(list_indices(array), read_arrow(array.dictionary, name))
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return TextColumn(array.cast(pa.large_string()), name)
        except pa.ArrowInvalid as error:
            raise DataError(f"column '{name}' holds bytes that are not UTF-8 text") from error
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return TextColumn(array, name)
    if pa.types.is_string_view(kind):
        return TextColumn(array.cast(pa.large_string()), name)
    if pa.types.is_null(kind) or pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        array = array.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"column '{name}' holds {kind}, neither numbers nor texts")
    missing = None
    if array.null_count:
        missing = to_tensor(array.is_null().to_numpy(zero_copy_only=False))
        array = pc.fill_null(array, False if pa.types.is_boolean(kind) else 0)
    return NumberColumn(to_tensor(array.to_numpy(zero_copy_only=False)), missing)


def _join_chunks(array: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    elif pa.types.is_string(array.type) and array.nbytes >= 2**31:  # too large for one array of strings
        array = array.cast(pa.large_string())
    return array.combine_chunks()


def _read_series(series: Any, name: str) -> ColumnData:
    """A pandas Series."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return read_array(series.to_numpy(), name)
    if hasattr(dtype, "categories") and hasattr(series, "cat"):
        return CodedColumn(series.cat.codes.to_numpy(), read_column(series.cat.categories.to_series(), name))
    return read_arrow(pa.array(series, from_pandas=True), name)


def _make_objects(column: Any) -> NDArray[Any]:
    """The values of a list or another iterable, object `[n]`."""
    values = list(column)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _read_objects(values: list[Any], name: str) -> CodedColumn:
    """Objects of several types; these are kept apart, since True, 1 and 1.0 are equal but spelled differently."""
    code_of: dict[tuple[type, Any], int] = {}
    try:
        keys = list(zip(map(type, values), values, strict=True))
        for key in dict.fromkeys(keys):
            code_of[key] = len(code_of)
    except TypeError as error:
        raise DataError(f"column '{name}' must hold single values, but holds lists or the like") from error
    indices = np.fromiter(map(code_of.__getitem__, keys), np.int64, len(keys))
    return CodedColumn(indices, ObjectColumn([value for _, value in code_of], name))
