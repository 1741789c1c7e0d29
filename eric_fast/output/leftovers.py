"""Temporary folders beside what is written, and what a process that was killed left in them.

A folder `.eric-new-*` holds `lock`, which its process keeps locked; `name`, the name of what is written; and
`new`, which becomes it. `old` is there for a moment where names can't be exchanged in one step, and
`in-place` while a file is written over. Whoever finds such a folder unlocked finishes or undoes that, and removes it.
"""

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BESIDE = ".eric-"  # how temporary names start; independent of the final name, which may be as long as is legal
_FOLDER = f"{BESIDE}new-"
_CONTENT = {"lock", "name", "new", "old", "in-place"}


@contextmanager
def open_beside(path: Path) -> Iterator[Path]:
    """Give a temporary folder beside `path`, removed at the end. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    folder, lock = _make_locked(path.parent)
    try:
        (folder / "name").write_bytes(os.fsencode(path.name))
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # what stays is removed by the next run
        os.close(lock)


def clean_leftovers(parent: Path) -> None:
    """Recover or remove what killed processes of this user left in a folder. Raises OSError."""
    for folder in parent.glob(f"{_FOLDER}*"):
        with suppress(FileNotFoundError):  # another run cleans as well
            found = folder.lstat()
            ours = folder.is_dir() and not folder.is_symlink() and found.st_uid == os.geteuid()
            if not ours or not {entry.name for entry in folder.iterdir()} <= _CONTENT:
                continue
            lock = _try_lock(folder)
            if lock is None:
                continue
            try:
                _recover(folder)
                shutil.rmtree(folder)
            finally:
                os.close(lock)


def _make_locked(parent: Path) -> tuple[Path, int]:
    """A new folder and its lock, unless a cleaning run took it in between: then another."""
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_FOLDER, dir=parent))
        lock = None
        with suppress(FileNotFoundError):
            lock = _try_lock(folder)
        if lock is not None:
            return folder, lock


def _try_lock(folder: Path) -> int | None:
    """Lock a temporary folder; None if a process holds it."""
    place = folder / "lock"
    lock = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.path.samestat(os.fstat(lock), place.stat()):
            return lock
    except (BlockingIOError, FileNotFoundError):
        pass
    os.close(lock)
    return None


def _recover(folder: Path) -> None:
    name = (folder / "name").read_bytes() if (folder / "name").exists() else b""
    if not name or b"/" in name or name in (b".", b".."):
        return
    target = folder.parent / os.fsdecode(name)
    if (folder / "old").exists() and not os.path.lexists(target):
        (folder / "old").rename(target)
    if (folder / "in-place").exists() and target.is_file() and not target.is_symlink():
        new, there = (folder / "new").read_bytes(), target.read_bytes()
        if len(there) < len(new) and new.startswith(there):
            write_over(target, new)


def write_over(path: Path, content: bytes) -> None:
    """Write into a file that keeps its place, its owner and its other names. On OSError it is as it was."""
    with path.open("r+b", buffering=0) as file:
        before = file.read()
        try:
            _write_all(file.fileno(), content)
        except OSError:
            _write_all(file.fileno(), before)
            raise


def _write_all(handle: int, content: bytes) -> None:
    os.ftruncate(handle, 0)
    os.lseek(handle, 0, os.SEEK_SET)
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(handle, rest) :]
    os.fsync(handle)
