"""`plan.negation` for functions that Numba compiles; importing this loads Numba."""

from numba.extending import register_jitable

from eric_fast.plan import negation

negate = register_jitable(negation.negate)
is_negated = register_jitable(negation.is_negated)
negate_like = register_jitable(negation.negate_like)
strip_negation = register_jitable(negation.strip_negation)
