"""Without compiled code: while there is little to do, plain Python answers sooner than a compiler starts."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.core.registry import CPUDispatcher

_here = threading.local()


class SwitchedDispatcher(CPUDispatcher):
    """A function of Numba's that is plain Python, as is all that it calls, inside `run_plain`."""

    def __call__(self, *arguments: Any) -> Any:
        if getattr(_here, "is_plain", False):
            return self.py_func(*arguments)
        return super().__call__(*arguments)


@contextmanager
def run_plain(is_plain: bool = True) -> Iterator[None]:
    """Run functions of `cached_njit` as plain Python in this thread; only those that take arrays and numbers can be."""
    before = getattr(_here, "is_plain", False)
    _here.is_plain = is_plain
    try:
        with np.errstate(over="ignore" if is_plain else None):  # hashes wrap around, as compiled ones do
            yield
    finally:
        _here.is_plain = before


def has_code(function: Any, *arguments: Any) -> bool:
    """Whether a function of `cached_njit` has been compiled for such arguments, in this process or on disk."""
    signature = tuple(function.typeof_pyval(argument) for argument in arguments)
    return signature in function.overloads or function._cache.is_kept(signature, function.targetctx)


class SlowBudget:
    """How much this process may do without compiled code before it compiles after all.

    Attributes:
        is_open: false where all is to be compiled.
    """

    is_open = True

    def __init__(self, most: int) -> None:
        self.left = most

    def take(self, amount: int) -> bool:
        """Whether so much may be done; if so, it counts as done."""
        if not self.is_open or amount > self.left:
            return False
        self.left -= amount
        return True


_STEPS = SlowBudget(1_500_000)  # of loops in Python, which take a second or two


def spare_code(function: Any, n_steps: int, *arguments: Any) -> bool:
    """Whether to run this as plain Python: it hasn't been compiled for such arguments, and there is little to do.

    Args:
        function: of `cached_njit`.
        n_steps: about as many microseconds as it takes in Python.
        arguments: as it will be called.
    """
    if not isinstance(function, SwitchedDispatcher):
        return False  # NUMBA_DISABLE_JIT: it is plain Python
    return not (function.overloads or has_code(function, *arguments)) and _STEPS.take(n_steps)


def call_sparing(function: Any, n_steps: int, *arguments: Any) -> Any:
    """Call a function, as plain Python where `spare_code` says so."""
    if not spare_code(function, n_steps, *arguments):
        return function(*arguments)
    with run_plain():
        return function(*arguments)
