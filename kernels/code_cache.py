"""Compiled code on disk, kept only while the sources are those that it was made of.

Numba compares the file of a function alone: what the function took from another file stays as it was when that file
changes, and an index that names a class which has moved since can't be read at all.
"""

import hashlib
import os
from pathlib import Path

_PACKAGE = Path(__file__).parent.parent
_FOLDERS = ("kernels", "plan", "compile", "frontends", "table")  # whose functions and constants Numba compiles
_STAMP = "sources.sha256"


def drop_stale_code(package: Path = _PACKAGE) -> bool:
    """Forget what Numba kept of other sources than these, by their sizes and times; whether anything was forgotten.

    A folder that can't be written to keeps what it was installed with.
    """
    folders = [package / name for name in _FOLDERS]
    paths = [path for folder in folders for path in sorted(folder.rglob("*.py"))]
    files = [(str(path.relative_to(package)), path.stat()) for path in paths]  # a copied folder keeps its code
    facts = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in files]
    digest = hashlib.sha256(repr(facts).encode()).hexdigest()
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
