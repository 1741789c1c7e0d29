"""Renaming in one step what plain `rename` can't: two names exchanged, or a name that must be new.

Linux does both by `renameat2`. Where the C library or the file system lacks it, callers take their second best.
"""

import ctypes
import errno
import os
from functools import cache
from pathlib import Path
from typing import Any

_HERE = -100  # AT_FDCWD
_NO_REPLACE, _EXCHANGE = 1, 2
_UNSUPPORTED = (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP)


def exchange_paths(first: Path, second: Path) -> bool:
    """Exchange two names in one step; false, and nothing done, where the system can't. Raises OSError."""
    return _rename(first, second, _EXCHANGE)


def rename_to_new(path: Path, new: Path) -> None:
    """Rename to a name that isn't taken. Raises FileExistsError if it is, OSError."""
    if _rename(path, new, _NO_REPLACE):
        return
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(new))
    path.rename(new)


def _rename(old: Path, new: Path, flags: int) -> bool:
    function = _find_renameat2()
    if function is None:
        return False
    if function(_HERE, os.fsencode(old), _HERE, os.fsencode(new), flags) == 0:
        return True
    number = ctypes.get_errno()
    if number in _UNSUPPORTED:
        return False
    raise OSError(number, os.strerror(number), str(new))


@cache
def _find_renameat2() -> Any:
    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint]
    return function
