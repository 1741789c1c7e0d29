"""Files read whole, as bytes or as UTF-8 text."""

from os import PathLike
from pathlib import Path

from eric_fast.errors import ProgramError


def read_file(path: str | PathLike[str]) -> bytes:
    """All bytes of a file. Raises ProgramError if it can't be read."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise ProgramError(f"{path} can't be read: {reason}; give the path of a file") from error


def find_place(text: str, at: int) -> str:
    """The line and the column of an offset, each from 1: `17:3`."""
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"{line}:{column}"


def decode_text(content: bytes, name: str) -> str:
    """The text that these UTF-8 bytes spell.

    Raises:
        ProgramError: they are not UTF-8: `name:line:column`, with the byte.
    """
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ProgramError(f"{name}:{line}:{column}: expected UTF-8, got byte {content[error.start]:#04x}") from error
