"""Universal Binary JSON as XGBoost writes it: read with every length checked against what is left of the file."""

from typing import Any

import numpy as np

from eric_fast.errors import ProgramError
from eric_fast.frontends.parts import Part

_NUMBERS: dict[bytes, np.dtype[Any]] = {
    b"i": np.dtype(">i1"),
    b"U": np.dtype(">u1"),
    b"I": np.dtype(">i2"),
    b"l": np.dtype(">i4"),
    b"L": np.dtype(">i8"),
    b"d": np.dtype(">f4"),
    b"D": np.dtype(">f8"),
}
_WORDS = {b"Z": None, b"T": True, b"F": False}
_MOST_DEPTH = 64


def parse_ubjson(data: bytes, name: str) -> Part:
    """The object that the bytes hold; arrays of one type of number become NumPy arrays.

    Raises:
        ProgramError: anything that isn't so, and at which byte; `name` is what the error calls the file.
    """
    reader = _Reader(data, name)
    value = reader.read_value(0)
    if reader.at != len(data):
        raise reader.fail("something follows the end")
    return Part(value, name).as_object()


class _Reader:
    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        self.at = 0

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.name}: byte {self.at}: {what}")

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self.data) - self.at:
            raise self.fail("the file ends here, and more was to come")
        self.at += n_bytes
        return self.data[self.at - n_bytes : self.at]

    def take_if(self, marker: bytes) -> bool:
        found = self.data[self.at : self.at + 1] == marker
        self.at += found
        return found

    def read_number(self, marker: bytes) -> int | float:
        dtype = _NUMBERS[marker]
        number: int | float = np.frombuffer(self.take(dtype.itemsize), dtype)[0].item()
        return number

    def read_length(self) -> int:
        marker = self.take(1)
        length = self.read_number(marker) if marker in _NUMBERS else -1
        if type(length) is not int or length < 0:
            raise self.fail("a length is needed here")
        return length

    def read_text(self) -> str:
        try:
            return self.take(self.read_length()).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("a text that isn't UTF-8") from error

    def read_value(self, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise self.fail("nested too deeply")
        marker = self.take(1)
        if marker in _NUMBERS:
            return self.read_number(marker)
        if marker in _WORDS:
            return _WORDS[marker]
        if marker == b"S":
            return self.read_text()
        if marker == b"C":
            return self.take(1).decode("latin-1")
        if marker == b"{":
            return self.read_object(depth)
        if marker == b"[":
            return self.read_array(depth)
        raise self.fail(f"{marker!r} starts no value")

    def read_object(self, depth: int) -> dict[str, Any]:
        if self.data[self.at : self.at + 1] in (b"$", b"#"):
            raise self.fail("an object of stated size, which XGBoost doesn't write")
        found = {}
        while not self.take_if(b"}"):
            key = self.read_text()
            found[key] = self.read_value(depth + 1)
        return found

    def read_array(self, depth: int) -> Any:
        if self.take_if(b"$"):
            marker = self.take(1)
            if marker not in _NUMBERS or not self.take_if(b"#"):
                raise self.fail("an array of this type has no meaning here")
            length = self.read_length()
            dtype = _NUMBERS[marker]
            numbers = np.frombuffer(self.take(length * dtype.itemsize), dtype)
            return numbers.astype(dtype.newbyteorder("="))
        if self.take_if(b"#"):
            length = self.read_length()  # every value takes a byte at least, so this ends with the file
            return [self.read_value(depth + 1) for _ in range(length)]
        values = []
        while not self.take_if(b"]"):
            values.append(self.read_value(depth + 1))
        return values
