"""Functions that Numba compiles, and where their machine code is kept."""

from eric_fast.jit.cache import cached_cfunc, cached_njit

__all__ = ["cached_cfunc", "cached_njit"]
