"""What kind of file a path leads to, by the first bytes."""

import re
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from eric_fast.errors import ProgramError


def is_rule_text(source: Any) -> bool:
    """Whether this is the text of a program itself, not a path."""
    return isinstance(source, str) and ":-" in source


def peek_file(source: Any, n_bytes: int = 2**16) -> bytes:
    """The first bytes of a file; empty if `source` is not the path of a readable file."""
    if not isinstance(source, str | PathLike):
        return b""
    try:
        with Path(source).open("rb") as file:
            return file.read(n_bytes)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return b""


def peek_json_key(source: Any) -> str:
    """The first key of a JSON file that holds an object; empty for any other source."""
    found = re.match(rb'(?:\xef\xbb\xbf)?\s*\{\s*"(\w+)"\s*:', peek_file(source, 256))
    return found[1].decode("ascii", "replace") if found else ""


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
