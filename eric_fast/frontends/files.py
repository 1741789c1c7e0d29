"""What kind of file a path leads to, by the first bytes."""

import re
from os import PathLike
from pathlib import Path
from typing import Any


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
