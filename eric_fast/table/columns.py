"""`ColumnData`: one column of a table, as numbers, or as codes of the texts that a program compares it with."""

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
from eric_fast.table.column_names import fold_text

OTHERS = -1.0  # the code of a value that the program doesn't mention
_NUMBER = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity|nan)$"
# Texts that stand for a missing value among numbers: those of pandas, R, databases and Weka
GAP = r"^(?i:nan|na|<na>|n/a|nat|null|none|\?)?$"
_TRUTHS = {False: ("False", "false", "0"), True: ("True", "true", "1")}


class KnownTexts:
    """The texts that a program compares a column with; the code of each is its index.

    A text that equals none of them has the code `OTHERS`. If they are `loose`, it has the code of the only one that it
    equals after folding. So the code of a text depends on the program alone, and on no other row.
    """

    def __init__(self, texts: Sequence[str], *, loose: bool) -> None:
        self.texts = list(texts)
        self.loose = loose
        self.code_of = {text: float(code) for code, text in enumerate(self.texts)}
        self._folded: dict[str, float] = {}
        for text, code in self.code_of.items() if loose else ():
            folded = fold_text(text)
            self._folded[folded] = OTHERS if folded in self._folded else code

    def find(self, text: str) -> float:
        """The code of a text."""
        code = self.code_of.get(text)
        return code if code is not None else self._folded.get(fold_text(text), OTHERS) if self.loose else OTHERS

    @property
    def has_numbers(self) -> bool:
        """Whether one of the texts spells a number or a truth."""
        return any(_spells_number(text) for text in self.texts)

    def find_number(self, number: Any) -> float:
        """The code of the text that spells a number: its `repr`, or that of the integer that it equals."""
        return next((self.code_of[text] for text in spell_number(number) if text in self.code_of), OTHERS)


def _spells_number(text: str) -> bool:
    try:
        return float(text) == float(text)
    except ValueError:
        return any(text in spellings for spellings in _TRUTHS.values())


def spell_number(number: Any) -> tuple[str, ...]:
    """The texts that spell a number: `2.0` and `2` for 2.0; `True`, `true` and `1` for True."""
    if isinstance(number, bool | np.bool_):
        return _TRUTHS[bool(number)]
    own = str(number)
    return (own, str(int(number))) if math.isfinite(number) and number == int(number) else (own,)


class ColumnData(Protocol):
    """A column of `n` rows."""

    def to_numbers(self, dtype: torch.dtype) -> Tensor:
        """`[n]`, rounded to nearest; NaN for missing values and for texts that spell no number."""

    def list_odd(self) -> NDArray[np.bool_]:
        """bool `[n]`: which values are texts that spell neither a number nor a missing one."""

    def to_codes(self, known: KnownTexts) -> Tensor:
        """float32 `[n]`: the code of each value's text, `OTHERS`, or NaN for a missing value."""


@dataclass(frozen=True, eq=False)
class NumberColumn:
    """Numbers or bools `[n]` on any device; `missing`: bool `[n]`, which are missing besides NaN."""

    values: Tensor
    missing: Tensor | None = None

    def to_numbers(self, dtype: torch.dtype) -> Tensor:
        numbers = self.values.to(dtype)
        return numbers if self.missing is None else torch.where(self.missing, torch.nan, numbers)

    def list_odd(self) -> NDArray[np.bool_]:
        return np.zeros(len(self.values), np.bool_)

    def to_codes(self, known: KnownTexts) -> Tensor:
        code_of = _list_numbers(known, self.values.dtype)
        numbers = self.values
        if numbers.dtype in (torch.bool, torch.float16, torch.bfloat16):  # torch can't sort these on every device
            numbers = numbers.to(torch.uint8 if numbers.dtype == torch.bool else torch.float32)
        constants = torch.tensor(sorted(code_of), dtype=numbers.dtype, device=numbers.device)
        targets = torch.tensor([code_of[number] for number in sorted(code_of)], device=numbers.device)
        codes = find_codes(numbers, constants)
        if len(targets):
            codes = torch.where(codes >= 0, targets[codes.nan_to_num(0.0).clamp(min=0).long()], codes)
        return codes if self.missing is None else torch.where(self.missing, torch.nan, codes)


def find_codes(numbers: Tensor, constants: Tensor) -> Tensor:
    """float32 `[n]`: the index of each number among the ascending constants, else `OTHERS`; NaN where the number is."""
    if not len(constants):
        codes = torch.full_like(numbers, OTHERS, dtype=torch.float32)
    else:
        near = torch.searchsorted(constants, numbers.contiguous()).clamp(max=len(constants) - 1)
        codes = torch.where(constants[near] == numbers, near.float(), OTHERS)
    return torch.where(numbers.isnan(), torch.nan, codes) if numbers.is_floating_point() else codes


def _list_numbers(known: KnownTexts, dtype: torch.dtype) -> dict[Any, float]:
    """The numbers of this type that the texts spell -> the code of each one's text."""
    if dtype == torch.bool:
        return {int(truth): known.find_number(truth) for truth in (False, True)}
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
    code_of = {}
    for text in known.texts:
        try:
            number = make(text)
        except ValueError:
            continue
        if number == number and text in spell_number(number):
            code_of[float(number) if dtype.is_floating_point else number] = known.find_number(number)
    return code_of


@dataclass(frozen=True, eq=False)
class TextColumn:
    """Texts, an Arrow array `[n]` of strings, with null for missing ones."""

    values: pa.Array
    name: str

    def to_numbers(self, dtype: torch.dtype) -> Tensor:
        try:
            numbers = pc.cast(self.values, pa.float64())
        except pa.ArrowInvalid:
            trimmed = pc.utf8_trim_whitespace(self.values)
            fits = pc.match_substring_regex(trimmed, _NUMBER)
            plain = pc.replace_substring_regex(pc.if_else(fits, trimmed, None), r"^\+", "")
            numbers = pc.cast(plain, pa.float64())
        return to_tensor(pc.fill_null(numbers, math.nan).to_numpy(zero_copy_only=False)).to(dtype)

    def list_odd(self) -> NDArray[np.bool_]:
        known = pc.match_substring_regex(pc.utf8_trim_whitespace(self.values), f"{_NUMBER}|{GAP}")
        odd: NDArray[np.bool_] = ~pc.fill_null(known, True).to_numpy(zero_copy_only=False)
        return odd

    def to_codes(self, known: KnownTexts) -> Tensor:
        if known.loose:
            coded = self.values.dictionary_encode()
            return CodedColumn(list_indices(coded), ObjectColumn(coded.dictionary.to_pylist(), self.name)).to_codes(
                known
            )
        found = pc.fill_null(pc.index_in(self.values, value_set=pa.array(known.texts, self.values.type)), int(OTHERS))
        codes = to_tensor(found.to_numpy(zero_copy_only=False)).float()
        if self.values.null_count:
            codes[to_tensor(self.values.is_null().to_numpy(zero_copy_only=False))] = torch.nan
        return codes


@dataclass(frozen=True, eq=False)
class ObjectColumn:
    """The different values of a column of Python objects; they are read in a Python loop."""

    values: Sequence[Any]
    name: str

    def to_numbers(self, dtype: torch.dtype) -> Tensor:
        numbers = self._take_texts().to_numbers(torch.float64)
        for place, value in enumerate(self.values):
            if not isinstance(value, str) and not is_missing(value):
                numbers[place] = float(self._check(value))
        return numbers.to(dtype)

    def to_codes(self, known: KnownTexts) -> Tensor:
        codes = [
            math.nan
            if is_missing(value)
            else known.find(value)
            if isinstance(value, str)
            else known.find_number(self._check(value))
            for value in self.values
        ]
        return torch.tensor(codes, dtype=torch.float32)

    def list_odd(self) -> NDArray[np.bool_]:
        return self._take_texts().list_odd()

    def _take_texts(self) -> TextColumn:
        texts = [value if isinstance(value, str) else None for value in self.values]
        return TextColumn(pa.array(texts, pa.string()), self.name)

    def _check(self, value: Any) -> Any:
        if isinstance(value, bool | int | float | np.bool_ | np.number | Decimal):
            return value
        raise DataError(f"column '{self.name}' holds a {type(value).__name__}, neither a number nor a text")


@dataclass(frozen=True, eq=False)
class CodedColumn:
    """Indices `[n]` into a column's different values; -1 for a missing one."""

    indices: NDArray[Any]
    values: ColumnData

    def to_numbers(self, dtype: torch.dtype) -> Tensor:
        return self._spread(self.values.to_numbers(dtype))

    def list_odd(self) -> NDArray[np.bool_]:
        table = np.append(self.values.list_odd(), np.False_)  # -1 is the last
        odd: NDArray[np.bool_] = table[self.indices]
        return odd

    def to_codes(self, known: KnownTexts) -> Tensor:
        return self._spread(self.values.to_codes(known))

    def _spread(self, of_values: Tensor) -> Tensor:
        table = np.append(of_values.numpy(), of_values.numpy().dtype.type(np.nan))  # -1 is the last
        return torch.from_numpy(table[self.indices])


def list_indices(array: pa.DictionaryArray) -> NDArray[np.int64]:
    """The indices of a dictionary array; -1 where there is no value."""
    indices: NDArray[np.int64] = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
    return indices


def is_missing(value: Any) -> bool:
    """Whether this is None, NaN, pandas.NA or pandas.NaT."""
    if isinstance(value, float | np.floating):  # NumPy's float32 is no float of Python's
        return bool(value != value)
    return value is None or type(value).__name__ in ("NAType", "NaTType")


def widen(tensor: Tensor) -> Tensor:
    """The same numbers in a dtype that torch can sort."""
    if tensor.dtype in (torch.uint16, torch.uint32, torch.uint64):
        return to_tensor(tensor.cpu().numpy()).to(tensor.device)
    return tensor


def to_tensor(array: NDArray[Any]) -> Tensor:
    """The array as a tensor, in the same memory if torch has the dtype. Don't write to it."""
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
    """A view of a read-only array that claims to be writeable."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array = array
        address = array.__array_interface__["data"][0]
        self.__array_interface__ = {**array.__array_interface__, "data": (address, False)}
