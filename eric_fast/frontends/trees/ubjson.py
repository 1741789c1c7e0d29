"""Universal Binary JSON, as XGBoost writes it."""

from typing import Any

import numpy as np

from eric_fast.frontends.byte_reader import ByteReader
from eric_fast.frontends.fields import Field

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


def parse_ubjson(data: bytes, name: str) -> Field:
    """The object that the bytes hold; typed arrays become NumPy arrays.

    Raises:
        ProgramError: the bytes are invalid; the error gives `name` and the byte.
    """
    reader = _Reader(data, name)
    value = reader.read_value(0)
    reader.check_end()
    return Field(value, name).as_object()


class _Reader(ByteReader):
    def take_if(self, marker: bytes) -> bool:
        found = self.data[self.at : self.at + 1] == marker
        self.at += found
        return found

    def read_number(self, marker: bytes) -> int | float:
        number: int | float = self.take_array(_NUMBERS[marker], 1)[0].item()
        return number

    def read_length(self) -> int:
        marker = self.take(1)
        length = self.read_number(marker) if marker in _NUMBERS else -1
        if type(length) is not int or length < 0:
            raise self.fail("expected a length")
        return length

    def read_text(self) -> str:
        return self.take_text(self.read_length())

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
        raise self.fail(f"expected a value, got marker {marker!r}")

    def read_object(self, depth: int) -> dict[str, Any]:
        if self.data[self.at : self.at + 1] in (b"$", b"#"):
            raise self.fail("objects with a stated size are not supported; XGBoost writes none")
        found = {}
        while not self.take_if(b"}"):
            key = self.read_text()
            found[key] = self.read_value(depth + 1)
        return found

    def read_array(self, depth: int) -> Any:
        if self.take_if(b"$"):
            marker = self.take(1)
            if marker not in _NUMBERS or not self.take_if(b"#"):
                raise self.fail("expected an array of numbers")
            return self.take_array(_NUMBERS[marker], self.read_length())
        if self.take_if(b"#"):
            length = self.read_length()  # every value takes a byte at least, so this ends with the file
            return [self.read_value(depth + 1) for _ in range(length)]
        values = []
        while not self.take_if(b"]"):
            values.append(self.read_value(depth + 1))
        return values
