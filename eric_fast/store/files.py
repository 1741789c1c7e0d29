"""Files: looked at, read, hashed, and written so that they are whole after a crash."""

import csv
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from eric_fast.errors import CaptureError, DataError, OutputError, first_line
from eric_fast.output.disk import flush_to_disk
from eric_fast.visible import make_encodable

HASH = re.compile("[0-9a-f]{64}")  # a SHA-256 in hex


def is_file(path: Path) -> bool:
    """`path.is_file()`, and false where the system refuses to look: a name that is too long, a closed folder."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def hash_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def put_in_place(part: Path, path: Path) -> None:
    """Give a file that was written beside its name, once its bytes are on disk; and then the name is, too."""
    flush_to_disk(part)
    part.replace(path)
    flush_to_disk(path.parent)


def read_json(path: Path) -> Any:
    """What a file of JSON holds. Raises CaptureError."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaptureError(f"{path} can't be read ({error.strerror}); give a capture that can") from error
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{path} is damaged ({first_line(error)}); capture again") from error


class CsvRows(NamedTuple):
    """The names of a CSV file's columns, and its rows: values by name; under None those of a row that has too many."""

    columns: list[str]
    rows: list[dict[str | Any, str | Any]]


def read_csv(path: Path) -> CsvRows:
    """Read a CSV file with a header. Raises DataError."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            table = csv.DictReader(file)
            return CsvRows(list(table.fieldnames or ()), list(table))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        place = make_encodable(str(path))
        raise DataError(f"{place} can't be read ({first_line(error)}); give a CSV file in UTF-8") from error


@contextmanager
def report_failed_write(path: Path) -> Iterator[None]:
    """A full disk, a missing permission and the like as one line. Raises OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error
    except Exception as error:
        # safetensors' own type, which not every version exports, around the system's message
        if type(error).__name__ != "SafetensorError":
            raise
        reason = re.search(r'message: "(.*?)"', str(error))
        raise OutputError(f"{path} can't be written: {reason[1] if reason else first_line(error)}") from error
