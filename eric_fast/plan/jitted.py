"""`plan.negation` for functions that Numba compiles, which import it from here; that loads Numba."""

from numba.extending import register_jitable

from eric_fast.plan.negation import is_negated, negate, negate_like, strip_negation

__all__ = ["is_negated", "negate", "negate_like", "strip_negation"]

for _function in (is_negated, negate, negate_like, strip_negation):
    register_jitable(_function)
