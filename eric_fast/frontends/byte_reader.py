"""`ByteReader`: a binary file, read from front to back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError


class ByteReader:
    """The bytes of a file; every length is checked against what is left of them.

    Args:
        data: the whole file.
        name: what errors call it.
    """

    def __init__(self, data: bytes, name: str) -> None:
        self.data, self.name = data, name
        self.at = 0

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.name}: byte {self.at}: {what}")

    def take(self, n_bytes: int) -> bytes:
        if n_bytes > len(self.data) - self.at:
            raise self.fail("the file is cut short")
        self.at += n_bytes
        return self.data[self.at - n_bytes : self.at]

    def take_array(self, dtype: np.dtype[Any], length: int) -> NDArray[Any]:
        """An array `[length]` that is stored as this dtype, in native byte order."""
        return np.frombuffer(self.take(length * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))

    def take_text(self, n_bytes: int) -> str:
        try:
            return self.take(n_bytes).decode("utf-8")
        except UnicodeDecodeError as error:
            raise self.fail("expected UTF-8 text") from error

    def check_end(self) -> None:
        """Raises ProgramError if anything is left."""
        if self.at != len(self.data):
            raise self.fail("expected the end of the file")
