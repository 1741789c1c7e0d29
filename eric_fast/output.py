"""Files and folders that appear whole or not at all: written beside, then renamed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import OutputError


def check_output(path: Path, *, force: bool) -> None:
    """Refuse a path that can't be written, or that holds something and `force` isn't given. Creates nothing."""
    if (path.exists() or path.is_symlink()) and not force:
        raise OutputError(f"{path} exists; give --force to replace it, or another path")
    parent = path.absolute().parent
    while not parent.exists():
        parent = parent.parent
    if not parent.is_dir():
        raise OutputError(f"{path} can't be written: {parent} is not a folder")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} can't be written: no permission in {parent}")


@contextmanager
def replace_file(path: Path, *, force: bool) -> Iterator[Path]:
    """A path beside `path` to write to; on success it becomes `path`, on failure it is removed.

    Raises:
        OutputError: `path` exists and `force` is false, or it can't be written.
    """
    check_output(path, force=force)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; a file is to be written there: give another path")
    with _report_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            part = Path(folder) / path.name
            yield part
            part.replace(path)


@contextmanager
def replace_folder(path: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """A new folder beside `path` to fill; on success it becomes `path`, on failure it is removed.

    With `force`, what stands at `path` is replaced only if it is an empty folder or holds the file
    `marker`, so that a mistyped path never costs a folder that this program didn't make.

    Raises:
        OutputError: `path` exists and `force` is false, holds something else, or can't be written.
    """
    check_output(path, force=force)
    if path.exists() and not (path.is_dir() and ((path / marker).is_file() or not any(path.iterdir()))):
        raise OutputError(f"{path} is not a folder with a {marker}, so it is not replaced; give another path")
    with _report_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
        try:
            new, old = beside / "new", beside / "old"
            new.mkdir()
            yield new
            if path.exists():
                path.replace(old)
            new.replace(path)
        finally:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def _report_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Only failures of the output itself: an OSError about some other file is not ours to explain.
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if not place.absolute().is_relative_to(path.absolute().parent):
            raise
        raise OutputError(f"{path} can't be written: {error.strerror or error}") from error


def write_json(content: object, path: Path, *, force: bool) -> None:
    """Write `content` as JSON, whole or not at all.

    Raises:
        OutputError: `path` exists and `force` is false, or it can't be written.
    """
    with replace_file(path, force=force) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
