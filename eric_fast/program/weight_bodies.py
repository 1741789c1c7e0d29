"""Weight bodies in a simpler form that is true on the same inputs."""

from math import gcd
from typing import NamedTuple


class WeightBody(NamedTuple):
    """A body of a rule: true where the weights of its true literals sum to `bound` at least; see `Rule`.

    A conjunction has neither weights nor a bound.
    """

    literals: tuple[int, ...]
    weights: tuple[int, ...] = ()
    bound: int = 0


def simplify_weight_body(literals: tuple[int, ...], weights: tuple[int, ...], bound: int) -> list[WeightBody]:
    """Bodies of which one at least is true exactly where the given one is: as a rule one, with smaller numbers.

    No bound that no sum reaches, no weight above the bound, no common divisor. Where every literal is needed it is a
    conjunction, where any literal does there is a body for each, and none if it can't be true.

    Args:
        literals: all of different atoms. weights: from 1. bound: any whole number; from 0 down it is always reached.
    """
    if bound <= 0:
        return [WeightBody(())]
    if bound > sum(weights):
        return []
    before: tuple[tuple[int, ...], int] | None = None
    while before != (weights, bound):
        before = weights, bound
        bound = _find_next_sum(weights, bound)
        weights = tuple(min(weight, bound) for weight in weights)
        divisor = gcd(*weights)
        weights, bound = tuple(weight // divisor for weight in weights), -(-bound // divisor)
    if bound == sum(weights):
        return [WeightBody(literals)]
    if min(weights) >= bound:
        return [WeightBody((literal,)) for literal in literals]
    return [WeightBody(literals, weights, bound)]


def _find_next_sum(weights: tuple[int, ...], least: int) -> int:
    """The lowest sum of some of the weights that is `least` at least."""
    reached = 1  # bit i: some of the weights sum to i
    for weight in weights:
        reached |= reached << weight
    above = reached >> least
    return least + (above & -above).bit_length() - 1
