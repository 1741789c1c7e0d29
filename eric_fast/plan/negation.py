"""How a negation is written, from a rule's body to a kernel: the negation of atom, row, value or slot `x` is `~x`.

These take Python integers, NumPy arrays, tensors and, once `numba.extending.register_jitable` has seen them, values of
code that Numba compiles (`plan.jitted` has them so). Numbers must fit int32.
"""

from typing import Any


def negate(number: Any) -> Any:
    """The negation; of a negation, the number itself."""
    return ~number


def is_negated(number: Any) -> Any:
    return number < 0


def negate_like(number: Any, other: Any) -> Any:
    """`number`, negated where `other` is a negation."""
    return number ^ (other >> 31)


def strip_negation(number: Any) -> Any:
    """What is negated or not: `x` for both `x` and `~x`."""
    return number ^ (number >> 31)
