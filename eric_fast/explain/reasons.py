"""Why a body is true or false: the fewest of its literals that settle it."""

from collections.abc import Collection, Iterable, Mapping

from eric_fast.program import Rule, atom_of
from eric_fast.program.weight_bodies import weigh_body


def holds(literal: int, truth: Mapping[int, bool]) -> bool:
    return truth[atom_of(literal)] == (literal >= 0)


def fires(rule: Rule, truth: Mapping[int, bool]) -> bool:
    weights, bound = weigh_body(rule)
    return sum(weight for literal, weight in weights.items() if holds(literal, truth)) >= bound


def pick_holding(rule: Rule, truth: Mapping[int, bool]) -> tuple[int, ...]:
    """The fewest true literals that make the body true, those of the largest weights; all of a conjunction's."""
    weights, bound = weigh_body(rule)
    return pick_fewest(((literal, weight) for literal, weight in weights.items() if holds(literal, truth)), bound)


def pick_failing(rule: Rule, truth: Mapping[int, bool], known: Collection[int]) -> tuple[int, ...]:
    """The fewest false literals that keep the body from being true, those of the largest weights; of a conjunction one.

    Of equal weights, literals about known atoms come first.
    """
    body = weigh_body(rule)
    failing = [item for item in body.weights.items() if not holds(item[0], truth)]
    failing.sort(key=lambda item: atom_of(item[0]) not in known)
    return pick_fewest(failing, body.most - body.bound + 1)


def pick_fewest(weighed: Iterable[tuple[int, int]], least: int) -> tuple[int, ...]:
    """The fewest of these (literal, weight) pairs whose weights sum to `least` at least; there must be enough."""
    picked: list[int] = []
    for literal, weight in sorted(weighed, key=lambda item: -item[1]):  # stable
        if least <= 0:
            break
        picked.append(literal)
        least -= weight
    return tuple(picked)
