"""Values in the model files of other tools, each checked when it is read; errors say where in the file it stands."""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError


def parse_json(data: bytes | str, name: str) -> "Field":
    """The object in a JSON text. Raises ProgramError if there is none; `name` is what the error calls the text."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ProgramError(f"{name}: nested too deeply") from error
    except ValueError as error:  # wrong JSON, wrong UTF-8, a number of thousands of digits
        raise ProgramError(f"{name}: invalid JSON: {error}") from error
    return Field(value, name).as_object()


class Field:
    """A value in a file, and its place there. The methods raise ProgramError if it is of another type than they return.

    Args:
        value: as `json.loads` returns it; lists may be NumPy arrays.
        place: for errors: `model.json: learner.objective`.
    """

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def as_object(self) -> "Field":
        if not isinstance(self.value, Mapping):
            raise self.fail(f"expected an object, got {describe_value(self.value)}")
        return self

    def get(self, key: str) -> "Field | None":
        """The value of a key; None if it is missing or null."""
        value = self.as_object().value.get(key)
        return None if value is None else Field(value, _join(self.place, key))

    def __getitem__(self, key: str) -> "Field":
        found = self.get(key)
        if found is None:
            raise self.fail(f"'{key}' is missing")
        return found

    def get_list(self, key: str) -> list["Field"]:
        """The elements of the list at a key; none if it is missing or null."""
        found = self.get(key)
        return [] if found is None else found.items()

    def items(self) -> list["Field"]:
        """The elements of a list."""
        if not isinstance(self.value, list | np.ndarray):
            raise self.fail(f"expected a list, got {describe_value(self.value)}")
        return [Field(value, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def as_text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail(f"expected a string, got {describe_value(self.value)}")
        return self.value

    def as_float(self) -> float:
        """A finite number, or a string that spells one."""
        value = self.value
        if not isinstance(value, bool | np.bool_) and isinstance(value, str | int | float | np.number):
            try:
                number = parse_number(value) if isinstance(value, str) else float(value)
            except (ValueError, OverflowError):
                number = np.nan
            if np.isfinite(number):
                return number
        raise self.fail(f"expected a number, got {describe_value(value)}")

    def as_int(self, least: int = 0, most: int = 2**31 - 1) -> int:
        """An integer, or a string that spells one."""
        number = self.as_float()
        if number != int(number) or not least <= number <= most:
            raise self.fail(f"expected an integer from {least} to {most}, got {describe_value(self.value)}")
        return int(number)

    def as_texts(self) -> list[str]:
        return [part.as_text() for part in self.items()]

    def as_array(self, dtype: type[np.float32 | np.float64 | np.int64], length: int | None = None) -> NDArray[Any]:
        """A list of numbers as an array `[length]`; of integers for int64."""
        value = self.value
        whole = dtype is np.int64
        if isinstance(value, np.ndarray):
            fits = value.ndim == 1 and value.dtype.kind in ("iub" if whole else "iubf")
        elif isinstance(value, list):
            # Anything else, such as nested lists, would become an array of another shape or of objects.
            fits = set(map(type, value)) <= ({int, bool} if whole else {int, float, bool})
        else:
            fits = False
        if not fits:
            raise self.fail(f"expected a list of {'integers' if whole else 'numbers'}, got {describe_value(value)}")
        if length is not None and len(value) != length:
            raise self.fail(f"expected {length} numbers, got {len(value)}")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray(value, np.int64 if whole else np.float64).astype(dtype)
        except OverflowError as error:
            raise self.fail(f"a number is too large: {error}") from error


def parse_number(text: str) -> float:
    """A number as other languages spell it, so without Python's underscores and digits of other scripts.

    Raises:
        ValueError: it is none.
    """
    if "_" in text or not text.isascii():
        raise ValueError(f"{text!r} is not a number")
    return float(text)


def describe_value(value: Any) -> str:
    """A value as errors show it, cut if it is long."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | np.ndarray):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _join(place: str, key: str) -> str:
    """`model.json: a` and `b` make `model.json: a.b`."""
    return f"{place}.{key}" if ": " in place else f"{place}: {key}"


class Budget(NamedTuple):
    """What may be made of a file: `spare` of any file, and `per_byte` for each byte of a larger one."""

    spare: int
    per_byte: int


OBJECTS = Budget(2**16, 1)  # of which each takes some hundred bytes: columns, outputs, trees
NUMBERS = Budget(2**24, 16)  # in arrays


def check_claim(number: int, size: int, what: str, place: str, budget: Budget = OBJECTS) -> None:
    """Refuse a number in a file that is out of proportion to the file, before anything is made as large as it says.

    Args:
        number: of `what`, such as outputs.
        size: of the file in bytes.
        place: what errors call the file.
        budget: how many a file of this size can be about.

    Raises:
        ProgramError: there are more.
    """
    most = max(budget.spare, size * budget.per_byte)
    if number > most:
        raise ProgramError(f"{place}: {number:,} {what} are too many for a file of its size, {most:,} at most")
