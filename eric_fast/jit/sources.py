"""What a module's machine code is made of: its source and the sources of all that it imports from this package."""

import hashlib
import re
from functools import cache
from pathlib import Path
from typing import NamedTuple

_PACKAGE = Path(__file__).parents[1]
# Rooms that hold nothing which compiled code contains, neither functions nor numbers: an edit there compiles nothing.
UNCOMPILED = ("errors", "jit", "processes", "progress", "results", "tensors", "visible")
_IMPORT = re.compile(
    r"^[ \t]*(?:from (eric_fast[\w.]*) import (\([^)]*\)|[^\n]*)|import (eric_fast[\w.]*))", re.MULTILINE
)


class _Source(NamedTuple):
    digest: str
    imports: tuple[str, ...]


def hash_sources(path: str, package: Path = _PACKAGE) -> str:
    """The SHA-256 of a module's source and of those that it imports, directly or not; times and places don't count.

    Numba puts the code of a function, and the values of global names, into whatever calls it, from any module.

    Args:
        path: the module's file, in `package`.
        package: the folder `eric_fast`, whose `kernels` may be a link.
    """
    sources = list_sources(path, package)
    lines = (f"{name} {_read_source(package, name).digest}\n" for name in sources)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def list_sources(path: str, package: Path = _PACKAGE) -> list[str]:
    """The files that `hash_sources` reads, as paths in the package, sorted."""
    seen: set[str] = set()
    waiting = [_name_file(Path(path), package)]
    while waiting:
        name = waiting.pop()
        if name not in seen:
            seen.add(name)
            waiting.extend(_read_source(package, name).imports)
    return sorted(seen)


def forget_sources() -> None:
    """Read sources again; otherwise each is read once in a process."""
    _read_source.cache_clear()


@cache
def _read_source(package: Path, name: str) -> _Source:
    content = (package / name).read_bytes()
    imports = (match.groups(default="") for match in _IMPORT.finditer(content.decode()))
    files = (file for origin, names, module in imports for file in _find_imported(package, origin or module, names))
    return _Source(hashlib.sha256(content).hexdigest(), tuple(files))


def _find_imported(package: Path, module: str, names: str) -> list[str]:
    """The files of a module and of those among the names imported from it that are modules themselves."""
    rooms = module.split(".")[1:]
    if rooms and rooms[0] in UNCOMPILED:
        return []
    places = ["/".join(rooms), *("/".join([*rooms, name]) for name in re.findall(r"\w+", names))]
    files = [f"{place}{end}" for place in places if place for end in (".py", "/__init__.py")]
    return [file for file in files if (package / file).is_file()]


def _name_file(path: Path, package: Path) -> str:
    """A module's file as it is named from the package, whether or not by the link `kernels`."""
    for folder, prefix in ((package, ""), ((package / "kernels").resolve(), "kernels/"), (package.resolve(), "")):
        if path.is_relative_to(folder):
            return prefix + path.relative_to(folder).as_posix()
    raise ValueError(f"{path} is not in {package}")
