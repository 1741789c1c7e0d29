"""Bytes on disk: waited for, and failures to write them told in words."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import OutputError


def flush_to_disk(path: Path) -> None:
    """Wait until a file, or the names in a folder, would survive a loss of power."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def report_unwritten(path: Path) -> Iterator[None]:
    """Tell failures to write `path` in one line; a failure elsewhere isn't about this output. Raises OutputError."""
    try:
        yield
    except OSError as error:
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        here = path.absolute().parent, Path(os.path.realpath(path)).parent  # of a link: where it points to
        if not any(place.absolute().is_relative_to(folder) for folder in here):
            raise
        raise OutputError(f"{_shorten(path)} can't be written: {error.strerror or error}") from error


def _shorten(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"
