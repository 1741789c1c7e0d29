"""Write files and folders atomically: they are written beside their path, then renamed."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import OutputError

BESIDE = ".eric-"  # how temporary names start; independent of the final name, which may be as long as is legal


def check_file(path: Path, *, force: bool) -> None:
    """Check that a file can be written to `path`: nothing is there, or a file and `force`. Raises OutputError."""
    _check_place(path, force=force)
    if path.is_dir():
        raise OutputError(f"{path} is a folder, not a file; give another path")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file, so it can't be replaced; give another path")


def check_folder(path: Path, *, force: bool, marker: str) -> None:
    """Check that a folder can be written to `path`. Raises OutputError.

    With `force`, an existing folder is replaced only if it is empty or contains the file `marker`, so that a mistyped
    path never costs a folder that this program didn't make.
    """
    _check_place(path, force=force)
    if path.is_symlink():
        raise OutputError(f"{path} is a link; give the path of the folder itself")
    if path.exists() and not (path.is_dir() and ((path / marker).is_file() or _is_empty(path))):
        raise OutputError(f"{path} is not a folder with a {marker}, so it can't be replaced; give another path")
    if Path.cwd().is_relative_to(path.resolve()):
        raise OutputError(f"{path} contains the current folder, so it can't be replaced; give another path")


def _is_empty(folder: Path) -> bool:
    """Whether the folder contains nothing but temporary files that a run left behind when it died."""
    return all(entry.name.startswith(BESIDE) for entry in folder.iterdir())


def _check_place(path: Path, *, force: bool) -> None:
    if not path.name:
        raise OutputError(f"'{path}' has no file name; give the path of the output")
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
    """Give a temporary path beside `path` to write to; on success it is renamed to `path`, on failure removed.

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
    """Give a temporary folder beside `path` to fill; on success it is renamed to `path`, on failure removed.

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
    """Write `content` as JSON, atomically.

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
        # An OSError about a file elsewhere is not about this output.
        place = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if not place.absolute().is_relative_to(path.absolute().parent):
            raise
        raise OutputError(f"{_shorten(path)} can't be written: {error.strerror or error}") from error


def _shorten(path: Path) -> str:
    text = str(path)
    return text if len(text) <= 200 else f"{text[:100]}...{text[-100:]}"
