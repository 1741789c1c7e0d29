"""`FrontEnd`: what each front end tells the registry, and how it recognises its sources."""

import re
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from eric_fast.table.model import RuleModel


class FrontEnd(NamedTuple):
    """One kind of model that can be loaded.

    Attributes:
        name: what users call it, such as `XGBoost`.
        matches: whether an object or a path is of this kind; cheap, and imports no optional package.
        load: converts it. Raises EricError if it can't.
        has_rounds: whether `load` takes `n_rounds`.
    """

    name: str
    matches: Callable[[Any], bool]
    load: Callable[..., RuleModel]
    has_rounds: bool = False


def is_from(source: Any, package: str) -> bool:
    """Whether an object's class is defined in this package; false for a subclass that a user defined."""
    return type(source).__module__.partition(".")[0] == package


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
