"""Model files of other tools: bytes that may be wrong anywhere, read into values whose place an error can name."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError

SPARE_COLUMNS = 2**16  # columns that a file may have and not name, whatever its size


def peek_file(source: Any, n_bytes: int = 64) -> bytes:
    """The first bytes of a file, none if `source` isn't the path of one."""
    if not isinstance(source, str | os.PathLike):
        return b""
    try:
        with Path(source).open("rb") as file:
            return file.read(n_bytes)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""


def peek_json_key(source: Any) -> str:
    """The first key of a JSON file that holds an object, empty for any other source."""
    found = re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(\w+)"\s*:', peek_file(source, 256))
    return found[1].decode("ascii", "replace") if found else ""


def read_bytes(path: Any) -> bytes:
    """All of a file. Raises ProgramError where it can't be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise ProgramError(f"can't read {path}: {error}") from error


def parse_json(data: bytes | str, name: str) -> "Part":
    """The object that a JSON text holds. Raises ProgramError where it isn't one; `name` is what the error calls it."""
    try:
        value = json.loads(data)
    except RecursionError as error:
        raise ProgramError(f"{name}: nested too deeply") from error
    except ValueError as error:  # wrong JSON, wrong UTF-8, a number of thousands of digits
        raise ProgramError(f"{name}: not JSON: {error}") from error
    return Part(value, name).as_object()


class Part:
    """A value in a file and its place there. Methods that expect something raise ProgramError where it isn't so.

    Args:
        value: what `json.loads` gives; arrays may be NumPy arrays.
        place: what errors call it: `model.json: learner.objective`.
    """

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def as_object(self) -> "Part":
        if not isinstance(self.value, Mapping):
            raise self.fail(f"an object is needed, not {describe(self.value)}")
        return self

    def get(self, key: str) -> "Part | None":
        """What an object has under a key, None where it has nothing or null."""
        value = self.as_object().value.get(key)
        return None if value is None else Part(value, _join(self.place, key))

    def __getitem__(self, key: str) -> "Part":
        found = self.get(key)
        if found is None:
            raise self.fail(f"'{key}' is missing")
        return found

    def items(self) -> list["Part"]:
        """The elements of a list."""
        if not isinstance(self.value, list | np.ndarray):
            raise self.fail(f"a list is needed, not {describe(self.value)}")
        return [Part(value, f"{self.place}[{i}]") for i, value in enumerate(self.value)]

    def as_text(self) -> str:
        if not isinstance(self.value, str):
            raise self.fail(f"a text is needed, not {describe(self.value)}")
        return self.value

    def as_float(self) -> float:
        """A finite number, or a text that is one."""
        value = self.value
        if not isinstance(value, bool | np.bool_) and isinstance(value, str | int | float | np.number):
            try:
                number = float(value)
            except (ValueError, OverflowError):
                number = np.nan
            if np.isfinite(number):
                return number
        raise self.fail(f"a number is needed, not {describe(value)}")

    def as_int(self, least: int = 0, most: int = 2**31 - 1) -> int:
        """A whole number, or a text that is one."""
        number = self.as_float()
        if number != int(number) or not least <= number <= most:
            raise self.fail(f"a whole number from {least} to {most} is needed, not {describe(self.value)}")
        return int(number)

    def as_texts(self) -> list[str]:
        return [part.as_text() for part in self.items()]

    def as_array(self, dtype: type[np.float32 | np.float64 | np.int64], length: int | None = None) -> NDArray[Any]:
        """A list of numbers as an array `[length]`; whole numbers alone where the dtype is int64."""
        value = self.value
        whole = dtype is np.int64
        if isinstance(value, np.ndarray):
            fits = value.ndim == 1 and value.dtype.kind in ("iub" if whole else "iubf")
        elif isinstance(value, list):
            # Anything else, lists in lists included, would become an array of some other shape or of objects.
            fits = set(map(type, value)) <= ({int, bool} if whole else {int, float, bool})
        else:
            fits = False
        if not fits:
            raise self.fail(f"a list of {'whole ' * whole}numbers is needed, not {describe(value)}")
        if length is not None and len(value) != length:
            raise self.fail(f"{length} numbers are needed, not {len(value)}")
        try:
            with np.errstate(over="ignore", invalid="ignore"):
                return np.asarray(value, np.int64 if whole else np.float64).astype(dtype)
        except OverflowError as error:
            raise self.fail(f"a number is too large: {error}") from error


def describe(value: Any) -> str:
    """A value as an error shows it, cut where it is long."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | np.ndarray):
        return f"a list of {len(value)}"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def name_columns(names: list[str], n_columns: int, size: int, name: str, prefix: str = "x") -> list[str]:
    """The names of columns; `x0`, `x1` and so on, with this prefix, where there are none.

    Args:
        names: as many as there are columns, or none.
        n_columns: as the file says.
        size: of the file in bytes; how many columns it may have without naming them depends on it.

    Raises:
        ProgramError: too many or too few, or a name that stands twice.
    """
    if not names:
        if n_columns > max(SPARE_COLUMNS, size):
            raise ProgramError(f"{name}: {n_columns:,} features are more than a file of {size:,} bytes can be about")
        return [f"{prefix}{i}" for i in range(n_columns)]
    if len(names) != n_columns:
        raise ProgramError(f"{name}: {len(names)} names of features for {n_columns} features")
    return names


def _join(place: str, key: str) -> str:
    """`model.json: a.b` of `model.json: a` and `b`."""
    return f"{place}.{key}" if ": " in place else f"{place}: {key}"
