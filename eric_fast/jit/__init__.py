"""Functions that Numba compiles, and where their machine code is kept."""

from eric_fast.jit.cache import cached_cfunc, cached_njit
from eric_fast.jit.plain import SlowBudget, call_sparing, has_code, run_plain, spare_code

__all__ = ["SlowBudget", "cached_cfunc", "cached_njit", "call_sparing", "has_code", "run_plain", "spare_code"]
