"""Compiled functions on disk, named by what they were made of: `cached_njit` and `cached_cfunc`.

Numba's own cache asks where a function's file lies, and looks at no other. Ours asks what is written in it and in all
that it imports. So checkouts share code, and what was compiled from other sources, by another Numba or for another CPU
isn't found. Code is read first from what the package carries, then from the user's folder. What is in neither is
compiled, and kept in the latter. Numba itself reads and writes the files. They can do whatever the package's sources
can; so a folder or file that somebody else owns, or may write to, is never read.
"""

import hashlib
import os
import stat
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numba
from numba import njit
from numba.core import sigutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile, UserWideCacheLocator
from numba.core.ccallback import CFunc

from eric_fast.jit.levels import find_level
from eric_fast.jit.plain import SwitchedDispatcher
from eric_fast.jit.sources import forget_sources, hash_sources

CARRY_SETTING = "ERIC_FAST_CARRY_TO"  # a folder for code that a wheel will carry; NUMBA_CPU_NAME is its level
CODE_TAG = f"cp{sys.version_info[0]}{sys.version_info[1]}-numba{numba.__version__}"
_CARRIED = Path(__file__).parent / "code"  # `x86-64-v3/cp311-numba0.61.2`
# Settings of Numba's that change code for debugging (NUMBA_BOUNDSCHECK and the like), and their defaults.
_SETTINGS = {
    "BOUNDSCHECK": None,
    "DEBUGINFO_DEFAULT": 0,
    "DEBUG_NRT": 0,
    "LOOP_VECTORIZE": 1,
    "OPT": 3,
    "SLP_VECTORIZE": 0,
}
_MOST_FILES = 3000  # in the user's folder, of all versions; those of one are some 400


def cached_njit(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """`numba.njit(nogil=True)` whose code is kept on disk."""
    if function is None:
        return lambda wrapped: cached_njit(wrapped, **options)
    dispatcher = njit(nogil=True, **options)(function)
    if dispatcher is not function:  # NUMBA_DISABLE_JIT
        dispatcher._cache = _CodeCache(function)
        dispatcher.__class__ = SwitchedDispatcher
    return dispatcher


def cached_cfunc(signature: Any, function: Callable[..., Any]) -> Any:
    """`numba.cfunc(signature)(function)` whose code is kept on disk."""
    callback: Any = CFunc(function, sigutils.normalize_signature(signature), locals={}, options={})
    callback._cache = _CodeCache(function)
    callback.compile()
    return callback


class _CodeFolder(IndexDataCacheFile):
    """A folder with one file for each function and signature."""

    def __init__(self, path: Path, owners: set[int], shared: int) -> None:
        """`shared`: who besides an owner may write there, as bits of a file's mode."""
        super().__init__(str(path), "", None)
        self.path, self._owners, self._refused = path, owners, (stat.S_IWGRP | stat.S_IWOTH) & ~shared

    def is_trusted(self, name: str = "") -> bool:
        """Whether only an owner can have written it; False where it isn't there."""
        try:
            found = (self.path / name).stat()
        except OSError:
            return False
        if found.st_uid in self._owners and not found.st_mode & self._refused:
            return True
        _warn_once(
            f"{self.path} holds compiled code, but others may write to it, so it isn't used; "
            f"remove it, or name a folder of your own as NUMBA_CACHE_DIR"
        )
        return False

    def load_code(self, name: str) -> Any:
        """What `save_code` wrote, or None."""
        if not (self.is_trusted() and self.is_trusted(name)):
            return None
        try:
            return self._load_data(name)
        except (OSError, EOFError, UnpicklingError):  # removed meanwhile, unreadable or cut off: it is compiled again
            return None

    def save_code(self, name: str, data: Any) -> None:
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.is_trusted():
            self._save_data(name, data)

    @contextmanager
    def _open_for_write(self, filepath: str) -> Iterator[Any]:
        """As Numba's, but others may not write to the file, whatever the umask; it wouldn't be trusted."""
        with super()._open_for_write(filepath) as file:
            mode = os.fstat(file.fileno()).st_mode
            os.fchmod(file.fileno(), stat.S_IMODE(mode) & ~(stat.S_IWGRP | stat.S_IWOTH))
            yield file


class _Implementation(CompileResultCacheImpl):
    _locator_classes = (type("_AnyPlace", (UserWideCacheLocator,), {"ensure_cache_path": lambda self: None}),)


class _CodeCache(FunctionCache):
    """What Numba asks for a function's code; the name of a file says all that the code depends on."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._name, self._py_func = repr(function), function
        self._impl = _Implementation(function)
        self._cache_path = str(_CARRIED)
        self._file = function.__code__.co_filename
        self._sources = hash_sources(self._file)  # now: the file may change while this process runs
        self.enable()

    def flush(self) -> None:
        """Nothing: what is out of date isn't found."""

    def _name_file(self, signature: Any, codegen: Any, level: str | None) -> str:
        target = level or codegen.magic_tuple()
        changed = [
            (name, int(value)) for name in _SETTINGS if (value := getattr(numba.config, name)) != _SETTINGS[name]
        ]
        made_of = (str(signature), target, self._sources, *changed)
        digest = hashlib.sha256(repr(made_of).encode()).hexdigest()
        return f"{self._py_func.__module__.removeprefix('eric_fast.')}.{self._py_func.__qualname__}-{digest[:32]}.nbc"

    def is_kept(self, signature: Any, target_context: Any) -> bool:
        """Whether there is code for a signature; it isn't read."""
        codegen = target_context.codegen()
        folders = _list_folders() if self._enabled else ()
        names = ((folder, self._name_file(signature, codegen, level)) for folder, level in folders)
        return any(folder.is_trusted() and folder.is_trusted(name) for folder, name in names)

    def _load_overload(self, signature: Any, target_context: Any) -> Any:
        if not self._enabled:
            return None
        for folder, level in _list_folders():
            data = folder.load_code(self._name_file(signature, target_context.codegen(), level))
            if data is not None:
                return self._impl.rebuild(target_context, data)
        return None

    def _save_overload(self, signature: Any, data: Any) -> None:
        folder, level = next(reversed(list(_list_folders())), (None, None))
        if folder is None or not self._enabled or not self._impl.check_cachable(data):
            return
        if not self._has_same_sources():
            return
        try:
            _drop_oldest(folder)
            folder.save_code(self._name_file(signature, data.codegen, level), self._impl.reduce(data))
        except OSError as error:
            _warn_once(
                f"compiled code can't be kept in {folder.path} ({error.strerror}), so each process compiles again, for "
                "up to a minute; name a folder that can be written to as NUMBA_CACHE_DIR"
            )

    def _has_same_sources(self) -> bool:
        """Whether no source was edited since this process began to import them: then it may run a mixture of both."""
        forget_sources()
        try:
            return hash_sources(self._file) == self._sources
        except FileNotFoundError:
            return False


@cache
def _list_folders() -> tuple[tuple[_CodeFolder, str | None], ...]:
    """Where code is looked for, in order, and the level it was compiled for, or None; the last is where it is kept."""
    carry = os.environ.get(CARRY_SETTING)
    owners = {0, os.geteuid()}
    if carry:
        return ((_CodeFolder(Path(carry), owners, 0), numba.config.CPU_NAME),)
    return tuple(_find_folders(owners))


def _find_folders(owners: set[int]) -> Iterator[tuple[_CodeFolder, str | None]]:
    level = find_level()
    if level is not None:
        package = Path(__file__).parent.stat()
        path = _CARRIED / level / CODE_TAG
        if path.is_dir():
            yield _CodeFolder(path, {*owners, package.st_uid}, package.st_mode), level
    kept = find_kept()
    if kept.is_absolute():
        yield _CodeFolder(kept, owners, 0), None
    else:
        _warn_once("there is no home directory to keep compiled code in; name a folder as NUMBA_CACHE_DIR")


def find_kept() -> Path:
    """Where this user's compiled code is kept; a relative path where nobody knows the user's home directory."""
    base = numba.config.CACHE_DIR or os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return Path(base, "eric_fast", CODE_TAG)


@cache
def _drop_oldest(folder: _CodeFolder) -> None:
    """Remove the older half of what is in a folder that holds too much; once in a process."""
    files = list(folder.path.glob("*.nbc"))
    if len(files) > _MOST_FILES:
        for path in sorted(files, key=lambda path: path.stat().st_mtime)[: len(files) // 2]:
            path.unlink(missing_ok=True)


@cache
def _warn_once(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=2)
