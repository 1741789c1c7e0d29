"""Files that are read, changed and written again: one process at a time."""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from eric_fast.errors import OutputError

_SECONDS = 20.0  # that a process waits for another


@contextmanager
def lock_file(path: Path) -> Iterator[bytes]:
    """Give what a file holds, and keep other callers of this function out until the end of the block.

    Give these bytes to `replace_file` as `expected`: an editor, or another program, knows nothing of the lock.

    Raises:
        OutputError: the file can't be read, or another process keeps it locked.
    """
    deadline = time.monotonic() + _SECONDS
    while True:
        try:
            handle = os.open(path, os.O_RDONLY)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the path
            reason = error.strerror if isinstance(error, OSError) else error
            raise OutputError(f"{path} can't be read: {reason}; give the path of a file") from error
        try:
            if _try_lock_file(handle):
                with os.fdopen(os.dup(handle), "rb") as file:
                    content = file.read()
                if path.exists() and os.path.samestat(os.fstat(handle), path.stat()):
                    yield content
                    return
        finally:
            os.close(handle)
        if time.monotonic() > deadline:
            raise OutputError(f"{path} is being changed by another process; run the command again when that is done")
        time.sleep(0.01)


def _try_lock_file(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP):  # a file system without locks: `expected` is left
            raise
    return True
