"""One column of a table, whatever holds it: as numbers, or as places among a program's texts."""

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.table.names import fold_text

logger = logging.getLogger(__name__)

OTHER = -1.0  # the place of a value that is none of the program's
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity|nan)$"
_TRUTHS = {False: ("False", "false", "0"), True: ("True", "true", "1")}


class Values:
    """The texts that a program compares one column with, each with its place.

    A text that equals one of them has its place. Where they are `loose`, any other has the place of the only one that
    it equals when both are folded. So what a row's text stands for depends on the program, and on no other row.
    """

    def __init__(self, texts: Sequence[str], *, loose: bool) -> None:
        self.texts = list(texts)
        self.loose = loose
        self.place_of = {text: float(place) for place, text in enumerate(self.texts)}
        self._folded: dict[str, float] = {}
        for text, place in self.place_of.items() if loose else ():
            folded = fold_text(text)
            self._folded[folded] = OTHER if folded in self._folded else place

    def find(self, text: str) -> float:
        """The place of a text."""
        place = self.place_of.get(text)
        return place if place is not None else self._folded.get(fold_text(text), OTHER) if self.loose else OTHER

    def find_number(self, number: Any) -> float:
        """The place of the text that spells a number: its own `repr`, or that of the integer that it equals."""
        return next((self.place_of[text] for text in spell_number(number) if text in self.place_of), OTHER)


def spell_number(number: Any) -> tuple[str, ...]:
    """2.0 is spelled `2.0` and `2`; True is spelled `True`, `true` and `1`."""
    if isinstance(number, bool | np.bool_):
        return _TRUTHS[bool(number)]
    own = str(number)
    return (own, str(int(number))) if math.isfinite(number) and number == int(number) else (own,)


class ColumnData(Protocol):
    """What a table needs of a column of `n` rows."""

    def to_numbers(self, dtype: torch.dtype, *, quiet: bool = False) -> Tensor:
        """`[n]`, rounded to nearest; NaN where there is no number, which is logged of texts unless `quiet`."""

    def to_places(self, values: Values) -> Tensor:
        """float32 `[n]`: the place of each value's text, `OTHER`, or NaN where there is no value."""


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers or truths `[n]` on any device; `missing`: bool `[n]`, where there is none, besides NaN."""

    values: Tensor
    missing: Tensor | None = None

    def to_numbers(self, dtype: torch.dtype, *, quiet: bool = False) -> Tensor:
        numbers = self.values.to(dtype)
        return numbers if self.missing is None else torch.where(self.missing, torch.nan, numbers)

    def to_places(self, values: Values) -> Tensor:
        known = _list_numbers(values, self.values.dtype)
        numbers = self.values
        if numbers.dtype in (torch.bool, torch.float16, torch.bfloat16):  # torch sorts none of these everywhere
            numbers = numbers.to(torch.uint8 if numbers.dtype == torch.bool else torch.float32)
        constants = torch.tensor(sorted(known), dtype=numbers.dtype, device=numbers.device)
        targets = torch.tensor([known[number] for number in sorted(known)], device=numbers.device)
        places = find_places(numbers, constants)
        if len(targets):
            places = torch.where(places >= 0, targets[places.clamp(min=0).long()], places)
        return places if self.missing is None else torch.where(self.missing, torch.nan, places)


def find_places(numbers: Tensor, constants: Tensor) -> Tensor:
    """float32: the place of each number among the ascending constants, `OTHER`, NaN where the number is."""
    if not len(constants):
        places = torch.full_like(numbers, OTHER, dtype=torch.float32)
    else:
        near = torch.searchsorted(constants, numbers.contiguous()).clamp(max=len(constants) - 1)
        places = torch.where(constants[near] == numbers, near.float(), OTHER)
    return torch.where(numbers.isnan(), torch.nan, places) if numbers.is_floating_point() else places


def _list_numbers(values: Values, dtype: torch.dtype) -> dict[Any, float]:
    """The numbers of this type that the texts spell, and the place of each one's text."""
    if dtype == torch.bool:
        return {int(truth): values.find_number(truth) for truth in (False, True)}
    make: Callable[[str], Any] = float
    if not dtype.is_floating_point:
        limits = torch.iinfo(dtype)

        def make(text: str) -> int:
            number = int(text)
            if not limits.min <= number <= limits.max:
                raise ValueError(text)
            return number

    elif dtype != torch.float64:
        make = np.float32
    known = {}
    for text in values.texts:
        try:
            number = make(text)
        except ValueError:
            continue
        if number == number and text in spell_number(number):
            known[float(number) if dtype.is_floating_point else number] = values.find_number(number)
    return known


@dataclass(frozen=True, eq=False)
class Texts:
    """Texts, an Arrow array `[n]` of strings; null where there is none."""

    values: pa.Array
    name: str

    def to_numbers(self, dtype: torch.dtype, *, quiet: bool = False) -> Tensor:
        try:
            numbers = pc.cast(self.values, pa.float64())
        except pa.ArrowInvalid:
            trimmed = pc.utf8_trim_whitespace(self.values)
            fits = pc.match_substring_regex(trimmed, _NUMBER)
            n_odd = pc.sum(pc.and_(pc.invert(fits), pc.greater(pc.utf8_length(trimmed), 0))).as_py() or 0
            if n_odd and not quiet:
                logger.warning("column '%s': %d of %d values are no numbers: missing", self.name, n_odd, len(trimmed))
            plain = pc.replace_substring_regex(pc.if_else(fits, trimmed, None), r"^\+", "")
            numbers = pc.cast(plain, pa.float64())
        return to_tensor(pc.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)).to(dtype)

    def to_places(self, values: Values) -> Tensor:
        if values.loose:
            return Coded.from_arrow(self.values.dictionary_encode(), self.name, loop=True).to_places(values)
        found = pc.fill_null(pc.index_in(self.values, value_set=pa.array(values.texts, self.values.type)), int(OTHER))
        places = to_tensor(found.to_numpy(zero_copy_only=False)).float()
        if self.values.null_count:
            places[to_tensor(self.values.is_null().to_numpy(zero_copy_only=False))] = torch.nan
        return places


@dataclass(frozen=True, eq=False)
class Cells:
    """Python objects of any type; a loop goes over them, so they are the different ones of a column."""

    values: Sequence[Any]
    name: str

    def to_numbers(self, dtype: torch.dtype, *, quiet: bool = False) -> Tensor:
        texts = pa.array([value if isinstance(value, str) else None for value in self.values], pa.string())
        numbers = Texts(texts, self.name).to_numbers(torch.float64, quiet=quiet)
        for place, value in enumerate(self.values):
            if not isinstance(value, str) and not is_missing(value):
                numbers[place] = float(self._check(value))
        return numbers.to(dtype)

    def to_places(self, values: Values) -> Tensor:
        places = [
            math.nan
            if is_missing(value)
            else values.find(value)
            if isinstance(value, str)
            else values.find_number(self._check(value))
            for value in self.values
        ]
        return torch.tensor(places, dtype=torch.float32)

    def _check(self, value: Any) -> Any:
        if isinstance(value, bool | int | float | np.bool_ | np.number | Decimal):
            return value
        raise DataError(f"column '{self.name}' holds a {type(value).__name__}, neither a number nor a text")


@dataclass(frozen=True, eq=False)
class Coded:
    """Places `[n]` among different values, -1 where there is none."""

    indices: NDArray[Any]
    values: ColumnData

    @classmethod
    def from_arrow(cls, array: pa.Array, name: str, *, loop: bool = False) -> "Coded":
        """A dictionary array; `loop`: over its values, which must be texts, in Python."""
        indices = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
        if loop:
            return cls(indices, Cells(array.dictionary.to_pylist(), name))
        return cls(indices, read_arrow(array.dictionary, name))

    def to_numbers(self, dtype: torch.dtype, *, quiet: bool = False) -> Tensor:
        return self._spread(self.values.to_numbers(dtype, quiet=quiet))

    def to_places(self, values: Values) -> Tensor:
        return self._spread(self.values.to_places(values))

    def _spread(self, of_values: Tensor) -> Tensor:
        table = np.append(of_values.numpy(), of_values.numpy().dtype.type(np.nan))  # -1 is the last
        return torch.from_numpy(table[self.indices])


def is_missing(value: Any) -> bool:
    """None, NaN, pandas.NA, pandas.NaT."""
    return (
        value is None or type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
    )


def read_column(column: Any, name: str) -> ColumnData:
    """A column of any kind, `[n]`.

    Raises:
        DataError: what it holds is neither numbers nor texts, or isn't one value per row.
    """
    if getattr(column, "ndim", 1) != 1:
        raise DataError(f"column '{name}' is no column but an array {list(column.shape)}")
    if isinstance(column, Tensor):
        column = column.detach()
        return Numbers(widen(column))
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
            return Numbers(to_tensor(array.data), to_tensor(np.ma.getmaskarray(array)))
        return Numbers(to_tensor(array))
    if kind in "US":
        return read_arrow(pa.array(array.tolist() if kind == "S" else array), name)
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
        return Coded.from_arrow(array, name)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        try:
            return Texts(array.cast(pa.large_string()), name)
        except pa.ArrowInvalid as error:
            raise DataError(f"column '{name}' holds bytes that are no UTF-8 text") from error
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return Texts(array, name)
    if pa.types.is_string_view(kind):
        return Texts(array.cast(pa.large_string()), name)
    if pa.types.is_null(kind) or pa.types.is_decimal(kind) or pa.types.is_float16(kind):
        array = array.cast(pa.float64())
    elif not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
        raise DataError(f"column '{name}' holds {kind}, neither numbers nor texts")
    missing = None
    if array.null_count:
        missing = to_tensor(array.is_null().to_numpy(zero_copy_only=False))
        array = pc.fill_null(array, False if pa.types.is_boolean(kind) else 0)
    return Numbers(to_tensor(array.to_numpy(zero_copy_only=False)), missing)


def _join_chunks(array: pa.ChunkedArray) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        array = array.unify_dictionaries()
    elif pa.types.is_string(array.type) and array.nbytes >= 2**31:  # more than one array of them can hold
        array = array.cast(pa.large_string())
    return array.combine_chunks()


def _read_series(series: Any, name: str) -> ColumnData:
    """A pandas Series."""
    dtype = series.dtype
    if isinstance(dtype, np.dtype):
        return read_array(series.to_numpy(), name)
    if hasattr(dtype, "categories") and hasattr(series, "cat"):
        return Coded(series.cat.codes.to_numpy(), read_column(series.cat.categories.to_series(), name))
    return read_arrow(pa.array(series, from_pandas=True), name)


def _make_objects(column: Any) -> NDArray[Any]:
    """A list, or anything else that goes over values, `[n]`."""
    values = list(column)
    array = np.empty(len(values), object)
    array[:] = values
    return array


def _read_objects(values: list[Any], name: str) -> Coded:
    """Objects of several types. True, 1 and 1.0 are equal and spelled differently, so types are told apart."""
    place_of: dict[tuple[type, Any], int] = {}
    try:
        keys = list(zip(map(type, values), values, strict=True))
        for key in dict.fromkeys(keys):
            place_of[key] = len(place_of)
    except TypeError as error:
        raise DataError(f"column '{name}' holds lists or the like, not one value in a row") from error
    indices = np.fromiter(map(place_of.__getitem__, keys), np.int64, len(keys))
    return Coded(indices, Cells([value for _, value in place_of], name))


def widen(tensor: Tensor) -> Tensor:
    """The same numbers in a type that torch sorts."""
    if tensor.dtype in (torch.uint16, torch.uint32, torch.uint64):
        return to_tensor(tensor.cpu().numpy()).to(tensor.device)
    return tensor


def to_tensor(array: NDArray[Any]) -> Tensor:
    """The same memory as a tensor where torch has the type; it is not written to."""
    dtype = array.dtype
    if dtype.kind == "u" and dtype.itemsize > 1:
        array = array.astype(np.float64 if array.size and array.max() > np.iinfo(np.int64).max else np.int64)
    elif dtype.kind == "f" and dtype.itemsize not in (4, 8):
        array = array.astype(np.float32 if dtype.itemsize == 2 else np.float64)
    elif not dtype.isnative:
        array = array.astype(dtype.newbyteorder("="))
    if any(stride < 0 or stride % array.itemsize for stride in array.strides):
        array = array.copy()
    if not array.flags.writeable:  # torch would warn
        array = np.asarray(_Writeable(array))
    return torch.from_numpy(array)


class _Writeable:
    """The memory of an array that may not be written to."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
