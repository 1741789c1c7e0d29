"""How sure a rule is: its confidence, and Wilson's interval where that was counted on few images."""

from math import sqrt
from typing import NamedTuple

from eric_fast.program.rules import ClassRule, Rule

Z = 1.959963984540054  # standard errors on either side of 95 % of a normal distribution


class Interval(NamedTuple):
    """The values that a share may well have, from `low` to `high`, both in [0, 1]."""

    low: float
    high: float


def find_interval(correct: int, covered: int, z: float = Z) -> Interval:
    """The interval for a rule's confidence, if `correct` of the `covered` images are right (Wilson, 1927).

    Nothing is known of a rule that covers no image: its interval is from 0 to 1. Only additions, multiplications,
    divisions and roots are used, which every machine rounds alike.

    Args:
        z: standard errors on either side; those of a 95 % interval by default.
    """
    if not covered:
        return Interval(0.0, 1.0)
    share, width = correct / covered, z * z / covered
    middle, half = share + width / 2, z * sqrt((share * (1 - share) + width / 4) / covered)
    return Interval(max(0.0, (middle - half) / (1 + width)), min(1.0, (middle + half) / (1 + width)))


def find_least_confidence(rule: Rule) -> float | None:
    """What a rule's confidence is at least: the lower bound of its interval, by its support.

    A confidence that another tool states is taken as it is. None where nothing is known.
    """
    if isinstance(rule, ClassRule) and rule.given_confidence is not None:
        return rule.given_confidence
    if not rule.covered or rule.correct is None:
        return None
    return find_interval(rule.correct, rule.covered).low
