"""Names from outside, as people are shown them: nothing in them moves a cursor, turns a line round or runs.

What escapes, carriage returns and bidirectional controls would do is described in CVE-2021-42574 (Boucher and
Anderson, "Trojan Source") and by OWASP ("CSV Injection").
"""

import re
from collections.abc import Mapping
from typing import Any

# C0 (but for the tab and the newline), DEL and C1; bidirectional marks, embeddings and isolates; line separators
_HIDDEN = re.compile("[\0-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
_FORMULA = ("=", "+", "-", "@", "\t", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")  # the last in full width


def make_visible(text: str) -> str:
    r"""Escape control characters: `\x1b`, `\u202e`. Tabs and newlines stay."""
    return _HIDDEN.sub(lambda found: _escape(found[0]), text) if _HIDDEN.search(text) else text


def make_all_visible(content: Any) -> Any:
    """As `make_visible`, of all texts and keys of nested lists and mappings."""
    if isinstance(content, str):
        return make_visible(content)
    if isinstance(content, Mapping):
        return {make_all_visible(key): make_all_visible(value) for key, value in content.items()}
    return [make_all_visible(item) for item in content] if isinstance(content, list | tuple) else content


def escape_json_text(text: str) -> str:
    """Escape control characters in printed JSON, which stays JSON of the same values."""
    return _HIDDEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def make_encodable(name: str) -> str:
    """Escape what UTF-8 can't encode in a name, such as `\\udcff` for a byte of a file name that is not UTF-8."""
    return name.encode(errors="backslashreplace").decode()


def make_cell(value: Any) -> Any:
    """A cell of a CSV file: a text that a spreadsheet would take for a formula gets an apostrophe in front."""
    if not isinstance(value, str):
        return value
    text = make_visible(value)
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
