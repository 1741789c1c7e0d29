"""Files and folders that appear whole or not at all: written beside, then renamed."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import OutputError

BESIDE = ".eric-"  # the start of temporary names, short so that any legal name can be written


def check_file(path: Path, *, force: bool) -> None:
    """Refuse a path that no file can be written to, or that holds something and `force` isn't given."""
    _check_place(path, force=force)
    if path.is_dir():
        raise OutputError(f"{path} is a folder; a file is to be written there: give another path")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file, so it is not replaced; give another path")


def check_folder(path: Path, *, force: bool, marker: str) -> None:
    """Refuse a path that no folder can be written to, or that holds something and `force` isn't given.

    With `force`, what stands there is replaced only if it is an empty folder or holds the file `marker`, so that
    a mistyped path never costs a folder that this program didn't make.
    """
    _check_place(path, force=force)
    if path.is_symlink():
        raise OutputError(f"{path} is a link; give the path of the folder itself")
    if path.exists() and not (path.is_dir() and ((path / marker).is_file() or _is_empty(path))):
        raise OutputError(f"{path} is not a folder with a {marker}, so it is not replaced; give another path")
    if Path.cwd().is_relative_to(path.resolve()):
        raise OutputError(f"{path} holds the current folder, so it can't be replaced; give another path")


def _is_empty(folder: Path) -> bool:
    """Whether nothing is there but what a run that died left of its own."""
    return all(entry.name.startswith(BESIDE) for entry in folder.iterdir())


def _check_place(path: Path, *, force: bool) -> None:
    if not path.name:
        raise OutputError(f"'{path}' is not the path of an output; give one with a name")
    with _report_failure(path):
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
    check_file(path, force=force)
    with _report_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=BESIDE, dir=path.parent) as folder:
            part = Path(folder) / "new"
            yield part
            part.replace(path)


@contextmanager
def replace_folder(path: Path, *, force: bool, marker: str) -> Iterator[Path]:
    """A new folder beside `path` to fill; on success it becomes `path`, on failure it is removed.

    Raises:
        OutputError: see `check_folder`.
    """
    check_folder(path, force=force, marker=marker)
    with _report_failure(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=BESIDE, dir=path.parent) as beside:
            new, old = Path(beside) / "new", Path(beside) / "old"
            new.mkdir()
            yield new
            if path.exists():
                path.replace(old)
            try:
                new.replace(path)
            except BaseException:
                if old.exists():
                    old.replace(path)
                raise


def write_json(content: object, path: Path, *, force: bool) -> None:
    """Write `content` as JSON, whole or not at all.

    Raises:
        OutputError: `path` exists and `force` is false, or it can't be written.
    """
    with replace_file(path, force=force) as part:
        part.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextmanager
def _report_failure(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Only failures of the output itself: an OSError about some other file is not ours to explain.
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if not place.absolute().is_relative_to(path.absolute().parent):
            raise
        raise OutputError(f"{_shorten(path)} can't be written: {error.strerror or error}") from error


def _shorten(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"
