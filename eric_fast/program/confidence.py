"""How sure a rule is: its confidence, and Wilson's interval where that was counted on few images."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program.data import ProgramData
from eric_fast.program.decision import Decision
from eric_fast.program.rules import ClassRule, Rule

Z = 1.959963984540054  # standard errors on either side of 95 % of a normal distribution


class Interval(NamedTuple):
    """The values that a share may well have, from `low` to `high`, both in [0, 1]."""

    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.low:.3f} to {self.high:.3f}"


class Confidences(NamedTuple):
    """How sure the rules are that decide some samples.

    Attributes:
        values: float64 `[n_samples]`: the confidence of the rule; NaN where no rule fires.
        low, high: float64 `[n_samples]`: its interval at 95 % (Wilson); 0 and 1 where no rule fires. One that another
            tool states stands alone: both are the confidence itself.
    """

    values: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]

    def take(self, rules: NDArray[np.integer]) -> "Confidences":
        """Those of the rules that decide samples, `[n_samples]`; of -1 the last."""
        return Confidences(*(figures[rules] for figures in self))


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


def bound_confidence(rule: Rule) -> Interval | None:
    """What a rule's confidence is at least and at most, by its support; None where nothing is known.

    A confidence that another tool states is taken as it is.
    """
    if isinstance(rule, ClassRule) and rule.given_confidence is not None:
        return Interval(rule.given_confidence, rule.given_confidence)
    if not rule.covered or rule.correct is None:
        return None
    return find_interval(rule.correct, rule.covered)


def find_least_confidence(rule: Rule) -> float | None:
    """What a rule's confidence is at least: the lower bound of its interval; see `bound_confidence`."""
    bounds = bound_confidence(rule)
    return None if bounds is None else bounds.low


def list_confidences(program: ProgramData) -> Confidences:
    """How sure each class rule is, and, as the last entry, an answer without a rule: `[n_rules + 1]`.

    Raises:
        ProgramError: votes decide, or a class rule's confidence is not known.
    """
    _expect_confidences(program)
    known = [(rule.confidence, *(bound_confidence(rule) or (0.0, 1.0))) for rule in program.class_rules]
    values, low, high = np.array([*known, (np.nan, 0.0, 1.0)], np.float64).T
    return Confidences(values, low, high)


def list_probabilities(program: ProgramData) -> NDArray[np.float64]:
    """The probabilities of classes that each class rule stands for, float64 `[n_rules + 1, n_classes]`.

    A rule's class has its confidence; the other classes share the rest alike. Without a rule, in the last row, all
    classes are alike, whatever the default class.

    Raises:
        ProgramError: votes decide, or a class rule's confidence is not known.
    """
    values = list_confidences(program).values[:-1]
    n_rules, n_classes = len(values), len(program.classes)
    shares = np.full((n_rules + 1, n_classes), 1 / max(1, n_classes))
    if n_classes > 1:
        shares[:-1] = ((1 - values) / (n_classes - 1))[:, None]
    shares[np.arange(n_rules), program.class_arrays.heads] = values
    return shares


def list_doubtful_rules(program: ProgramData) -> list[int]:
    """The numbers, from 1, of class rules that are less sure of their class than of any other.

    Where such a rule decides, `predict` gives its class, and the highest of `predict_proba` is another's.
    """
    if not has_confidences(program) or len(program.classes) < 2:
        return []
    values = list_confidences(program).values[:-1]
    return [int(place) + 1 for place in np.flatnonzero(values < 1 / len(program.classes))]


def has_confidences(program: ProgramData) -> bool:
    """Whether the first rule that fires decides, and each class rule's confidence is known."""
    if program.decision is not Decision.FIRST or not program.classes or not len(program.class_rules):
        return False
    rules = program.class_arrays
    given = ~np.isnan(rules.confidences) if len(rules.confidences) else np.zeros(len(rules), np.bool_)
    return bool((given | ((rules.covered > 0) & (rules.correct >= 0))).all())


def _expect_confidences(program: ProgramData) -> None:
    if not has_confidences(program):
        raise ProgramError(
            "this program has no confidence for each class rule: its decision must be 'first', and each class rule "
            "needs a confidence or its support, as in extracted programs"
        )
