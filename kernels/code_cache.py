"""Numba's compiled code on disk, kept only while the sources that it was made from stay the same.

Numba only checks the file of a function itself. Code that came from another file would stay as it was when that file
changes, and an index that names a class which has moved since can't be read at all.
"""

import hashlib
import os
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = (
    "kernels",
    "plan",
    "compile",
    "extract",
    "frontends",
    "table",
)  # what Numba compiles is there
_STAMP = "sources.sha256"


def drop_stale_code(package: Path = _PACKAGE) -> bool:
    """Remove what Numba compiled from other sources than these, by content. Return whether anything was removed.

    A package that can't be written to keeps its compiled code. Reading the sources takes 1 ms.
    """
    folders = [package / name for name in _FOLDERS]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    hashed = hashlib.sha256()
    for path in paths:
        content = path.read_bytes()
        hashed.update(f"{path.relative_to(package)} {len(content)}\n".encode() + content)
    digest = hashed.hexdigest()
    stamp = folders[0] / "__pycache__" / _STAMP
    if stamp.is_file() and stamp.read_text(encoding="ascii", errors="replace") == digest:
        return False
    if not os.access(folders[0], os.W_OK):
        return False
    stale = [path for folder in folders for path in folder.rglob("__pycache__/*.nbi")]
    for path in stale:
        path.unlink(missing_ok=True)  # another process may do the same
    stamp.parent.mkdir(exist_ok=True)
    part = stamp.with_name(f"{_STAMP}.{os.getpid()}")
    part.write_text(digest, encoding="ascii")
    part.replace(stamp)
    return bool(stale)
