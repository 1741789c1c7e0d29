"""Weight bodies in a simpler form that is true on the same inputs."""

from collections.abc import Iterable
from math import gcd
from typing import NamedTuple

from eric_fast.program.rules import INT32_MAX, Rule

_MOST_SUM = 2**14  # bits of the set of sums that subsets reach; larger sums are not looked into


class WeightBody(NamedTuple):
    """A body of a rule: true where the weights of its true literals sum to `bound` at least; see `Rule`.

    A conjunction has neither weights nor a bound.
    """

    literals: tuple[int, ...]
    weights: tuple[int, ...] = ()
    bound: int = 0


def find_sum_fault(weights: Iterable[int], bound: int) -> str | None:
    """What is wrong with a sum that must reach a bound, and what to do; None if nothing is."""
    most = sum(weights)
    if most > INT32_MAX:
        return f"the weights of this sum add up to {most}; clingo wraps past 2^31 - 1"
    if not 1 <= bound <= most:
        what = "always true: remove it" if bound < 1 else "never true: remove the rule"
        return f"this sum, whose weights add up to {most}, must reach {bound}, so it is {what}"
    return None


class LiteralSum(NamedTuple):
    """True where the weights of its true literals sum to `bound` at least; of any sign, so `bound <= 0` is always true.

    Attributes:
        weights: literal -> its weight, from 1.
        bound: a whole number.
    """

    weights: dict[int, int]
    bound: int

    @property
    def most(self) -> int:
        return sum(self.weights.values())

    def merge_negations(self) -> "LiteralSum":
        """The same without a literal beside its negation: one of the two is true, so the smaller weight is certain."""
        weights, bound = {}, self.bound
        for literal, weight in self.weights.items():
            other = self.weights.get(~literal, 0)
            bound -= min(weight, other) if literal >= 0 else 0
            if weight > other:
                weights[literal] = weight - other
        return LiteralSum(weights, bound)

    def reduce(self) -> "LiteralSum":
        """The same function with smaller numbers, and without literals that never matter.

        In turn, until nothing changes: the numbers are divided by what all weights share, literals that never matter
        go, and each weight is lowered as far as the sums of the others leave room. The bound is then one that some
        literals sum to exactly.
        """
        weights, bound = self.weights, self.bound
        while weights and 0 < bound <= sum(weights.values()):
            before = (weights, bound)
            divisor = gcd(*weights.values())
            bound = -(-bound // divisor)
            weights = {literal: min(weight // divisor, bound) for literal, weight in weights.items()}
            if sum(weights.values()) > _MOST_SUM:
                return LiteralSum(weights, bound)
            bound = _find_last_sum(weights.values(), bound) + 1  # as low as it can be, for the weights to be low, too
            weights = _lower_weights(weights, bound, only_idle=True)
            if (weights, bound) != before:
                continue
            weights = _lower_weights(weights, bound)
            if (weights, bound) == before:
                return LiteralSum(weights, _find_next_sum(weights.values(), bound))
        return LiteralSum(weights, bound)

    def list_bodies(self) -> list[WeightBody]:
        """The body of a rule, a conjunction where it needs every literal; none if it can't be true."""
        if self.bound <= 0:
            return [WeightBody(())]
        if self.most < self.bound:
            return []
        literals, weights = tuple(self.weights), tuple(self.weights.values())
        needs_all = self.most - min(weights) < self.bound
        return [WeightBody(literals) if needs_all else WeightBody(literals, weights, self.bound)]


def simplify_weight_body(literals: tuple[int, ...], weights: tuple[int, ...], bound: int) -> list[WeightBody]:
    """Bodies of which one at least is true exactly where the given one is: as a rule one, with smaller numbers.

    See `LiteralSum.reduce`. Where every literal is needed it is a conjunction, where any literal does there is a body
    for each, and none if it can't be true.

    Args:
        literals: all of different atoms. weights: from 1. bound: any whole number; from 0 down it is always reached.
    """
    reduced = LiteralSum(dict(zip(literals, weights, strict=True)), bound).reduce()
    if 0 < reduced.bound <= min(reduced.weights.values(), default=0):
        return [WeightBody((literal,)) for literal in reduced.weights]
    return reduced.list_bodies()


def weigh_body(rule: Rule) -> LiteralSum:
    """The body of any rule as a sum: in a conjunction every literal weighs 1 and all are needed."""
    if rule.bound:
        return LiteralSum(dict(zip(rule.body, rule.weights, strict=True)), rule.bound)
    weights = dict.fromkeys(rule.body, 1)
    return LiteralSum(weights, len(weights))


def _reach(weights: Iterable[int]) -> int:
    """The sums of subsets, as the bits of an integer."""
    reached = 1
    for weight in weights:
        reached |= reached << weight
    return reached


def _find_next_sum(weights: Iterable[int], least: int) -> int:
    """The lowest sum of a subset that is `least` at least; `least` if there is none."""
    above = _reach(weights) >> least
    return least + max(0, (above & -above).bit_length() - 1)


def _find_last_sum(weights: Iterable[int], bound: int) -> int:
    """The highest sum of a subset below `bound`, which is above 0."""
    return (_reach(weights) & ((1 << bound) - 1)).bit_length() - 1


def _lower_weights(weights: dict[int, int], bound: int, *, only_idle: bool = False) -> dict[int, int]:
    """Each weight as low as it can be while the others stay, the largest first; literals that need none go.

    only_idle: leave all others as they are.

    Others that sum to `bound - weight` or more reach the bound with it: to what they sum at least, it can be lowered.
    """
    lowered = dict(weights)
    for literal, weight in sorted(weights.items(), key=lambda item: -item[1]):
        others, least = [other for same, other in lowered.items() if same != literal], max(0, bound - weight)
        needed = bound - _find_next_sum(others, least) if least <= sum(others) else 0
        if needed <= 0:
            del lowered[literal]
        elif not only_idle:
            lowered[literal] = needed
    return lowered
