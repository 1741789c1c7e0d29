"""Write files and folders whole or not at all: they are written beside their path, then take its place in one step."""

import errno
import json
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from eric_fast.errors import OutputError
from eric_fast.output.disk import flush_to_disk, report_unwritten
from eric_fast.output.leftovers import open_beside, write_over
from eric_fast.output.ownership import FILES, MADE_BY, FolderKind, check_file, check_folder, check_owned
from eric_fast.output.rename import exchange_paths, rename_to_new
from eric_fast.visible import escape_json_text

logger = logging.getLogger(__name__)


@contextmanager
def replace_file(path: Path, *, force: bool, expected: bytes | None = None) -> Iterator[Path]:
    """Give a temporary path to write to; on success it becomes `path`, on failure it is removed.

    A file that is replaced keeps its mode, owner and attributes; of a link, the file that it points to is replaced. A
    file with several names (hard links), or whose owner can't be kept, is written over in its place, which is logged:
    a process that is killed meanwhile leaves a part of it, which the next run in this folder completes.

    Args:
        path: the file.
        force: replace a file that is there.
        expected: what the file must still hold.

    Raises:
        OutputError: `path` exists and `force` is false, it can't be written, or it doesn't hold what is expected.
    """
    check_file(path, force=force)
    with report_unwritten(path):
        target = Path(os.path.realpath(path)) if path.is_symlink() else path
        if target != path:
            check_file(target, force=True)
        with open_beside(target) as beside:
            part = beside / "new"
            yield part
            flush_to_disk(part)
            _put_file(part, target, path, force=force, expected=expected)
            flush_to_disk(target.parent)


@contextmanager
def replace_folder(path: Path, *, force: bool, kind: FolderKind) -> Iterator[Path]:
    """Give a temporary folder to fill; on success it becomes `path`, on failure it is removed.

    The old folder and the new one are exchanged in one step. Where the system can't do that, the old one is renamed
    first: if the process is killed right then, `path` is missing until the next run beside it brings it back.

    Raises:
        OutputError: see `check_folder`.
    """
    check_folder(path, force=force, kind=kind)
    with report_unwritten(path), open_beside(path) as beside:
        new = beside / "new"
        new.mkdir()
        yield new
        _flush_folder(new)
        _put_folder(new, path, force=force, kind=kind)
        flush_to_disk(path.parent)


def write_json(content: object, path: Path | None, *, force: bool) -> None:
    """Write `content` as JSON, whole or not at all; nothing where there is no path.

    Raises:
        OutputError: `path` exists and `force` is false, or it can't be written.
    """
    if path is None:
        return
    with replace_file(path, force=force) as part:
        part.write_text(escape_json_text(json.dumps(content, indent=2, ensure_ascii=False)) + "\n", encoding="utf-8")


def write_marker(content: dict[str, Any], folder: Path, kind: FolderKind) -> None:
    """Write the marker of a folder that is otherwise complete: `content`, who made it, and all files in it.

    Raises:
        OutputError: it can't be written.
    """
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if not file.is_dir())
    marked = {MADE_BY: f"eric_fast {kind.name}", **content, FILES: [*files, kind.marker]}
    write_json(marked, folder / kind.marker, force=False)


def _put_file(part: Path, target: Path, path: Path, *, force: bool, expected: bytes | None) -> None:
    if not target.exists():
        try:
            rename_to_new(part, target)
        except FileExistsError:
            if not force:
                raise _written_meanwhile(path) from None
            part.replace(target)
        return
    if not force:
        raise _written_meanwhile(path)
    reason = _keep_identity(target, part)
    if reason is None:
        try:
            _exchange_file(part, target, path, expected)
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            reason = "it is a mount"
    if reason is not None:
        _check_expected(target, path, expected)
        logger.warning("%s is written over in its place, as %s; that takes more than one step", path, reason)
        (part.parent / "in-place").touch()
        write_over(target, part.read_bytes())


def _written_meanwhile(path: Path) -> OutputError:
    return OutputError(f"{path} was written by another process meanwhile; give --force to replace it, or another path")


def _exchange_file(part: Path, target: Path, path: Path, expected: bytes | None) -> None:
    _check_expected(target, path, expected)
    if expected is None or not exchange_paths(part, target):
        part.replace(target)
    elif part.read_bytes() != expected:  # written between the check and the exchange
        exchange_paths(part, target)
        _check_expected(target, path, expected)


def _check_expected(target: Path, path: Path, expected: bytes | None) -> None:
    if expected is not None and target.read_bytes() != expected:
        raise OutputError(f"{path} was changed meanwhile, and is left as it is; run the command again")


def _keep_identity(path: Path, part: Path) -> str | None:
    """Give `part` the owner, mode and attributes of `path`; returns why that, or a second name, can't be kept."""
    found, made = path.stat(), part.stat()
    if found.st_nlink > 1:
        return "it has more than one name (hard links)"
    try:
        if (found.st_uid, found.st_gid) != (made.st_uid, made.st_gid):
            os.chown(part, found.st_uid, found.st_gid)
        part.chmod(stat.S_IMODE(found.st_mode))
        there = set(os.listxattr(part))
        for name in os.listxattr(path):
            value = os.getxattr(path, name)
            if name not in there or os.getxattr(part, name) != value:
                os.setxattr(part, name, value)
    except OSError as error:
        if error.errno == errno.ENOTSUP:  # a file system without attributes
            return None
        return f"its owner or attributes can't be kept ({error.strerror})"
    return None


def _put_folder(new: Path, path: Path, *, force: bool, kind: FolderKind) -> None:
    if not path.exists():
        try:
            rename_to_new(new, path)
        except FileExistsError:
            raise _written_meanwhile(path) from None
        return
    if not force:
        raise _written_meanwhile(path)
    new.chmod(stat.S_IMODE(path.stat().st_mode))
    check_owned(path, kind)
    if exchange_paths(new, path):
        try:
            check_owned(new, kind, path)  # what came between the check and the exchange must not be removed
        except OutputError:
            exchange_paths(new, path)
            raise
        return
    old = new.parent / "old"
    path.rename(old)
    try:
        rename_to_new(new, path)
    except BaseException:
        old.rename(path)
        raise


def _flush_folder(folder: Path) -> None:
    for place, _, files in os.walk(folder):
        for name in files:
            flush_to_disk(Path(place, name))
        flush_to_disk(Path(place))
