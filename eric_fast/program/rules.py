"""Rules: one at a time as `Rule` and `ClassRule`; the bodies and heads of many as the arrays of `RuleArrays`."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from numbers import Integral
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError

INT32_MAX = 2**31 - 1  # clingo wraps integers past this silently


@dataclass(frozen=True, slots=True)
class Rule:
    """`head` is true where `body` is, or false where it is in `Program.negated`: a rule for a kernel.

    Attributes:
        head: index of an atom of the program.
        body: literals: `a` is the atom with index `a`, `~a` its negation. Without `weights` they are a conjunction:
            true where every literal is. Empty: always true.
        covered: how many training images the body is true on, where known. Of rules that were learned one after
            another, a rule counts the images that those before it leave; an exception, those of the rules that it is
            an exception to.
        correct: on how many of those the head is what the rule says: true, or false where it is negated.
        weights: of the literals, whole numbers from 1: with them the body is a weight body, true where the weights of
            its true literals sum to `bound` at least. Empty for a conjunction.
        bound: from 1 to the sum of all weights; 0 for a conjunction.

    Examples:
        >>> ef.Rule(2, (0, ~1), covered=40, correct=30).confidence
        0.75
    """

    head: int
    body: tuple[int, ...]
    covered: int | None = None
    correct: int | None = None
    weights: tuple[int, ...] = field(default=(), kw_only=True)
    bound: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        if type(self.body) is not tuple:  # it nearly always is, in programs of many rules
            object.__setattr__(self, "body", tuple(self.body))
        if type(self.weights) is not tuple:
            object.__setattr__(self, "weights", tuple(self.weights))

    @property
    def confidence(self) -> float | None:
        """Share of the covered training images that are correct, where known."""
        return _find_share(self)

    def forget_support(self) -> Self:
        """The rule without what training said of it: it has become another."""
        return replace(self, covered=None, correct=None)


@dataclass(frozen=True, slots=True)
class ClassRule(Rule):
    """A rule for a class: `head` is an index into the program's classes.

    Attributes:
        weight: what it adds to its class under `vote`.
        also: what it adds to other classes: pairs (class index, weight), ascending, no zero weight.
        start: the only start that the rule takes part in, an index into `Program.starts`; None for every start.
        given_confidence: its confidence as another tool states it, from 0 to 1, which then stands in the program's
            text; None where it follows from `covered` and `correct`.

    Examples:
        >>> ef.ClassRule(0, (0, ~1), covered=10, correct=9).confidence
        0.9
    """

    weight: float = 1
    also: tuple[tuple[int, float], ...] = ()
    start: int | None = field(default=None, kw_only=True)
    given_confidence: float | None = field(default=None, kw_only=True)

    @property
    def confidence(self) -> float | None:
        """As another tool states it, or else the share of the covered training images that are correct, where known."""
        return _find_share(self) if self.given_confidence is None else self.given_confidence

    @property
    def votes(self) -> tuple[tuple[int, float], ...]:
        """What it adds under `vote`: pairs (class index, weight), that of its own class first."""
        return ((self.head, self.weight), *self.also)

    def forget_support(self) -> Self:
        """The rule without what is known of how often it is right: it has become another."""
        return replace(self, covered=None, correct=None, given_confidence=None)


def _find_share(rule: Rule) -> float | None:
    return rule.correct / rule.covered if rule.covered and rule.correct is not None else None


NO_INTEGERS = np.zeros(0, np.int32)
NO_INTEGERS.flags.writeable = False


class RuleArrays(NamedTuple):
    """The bodies and heads of rules, in order.

    Attributes:
        literals: int32 `[n_literals]`: the bodies one after another, an atom or its complement each.
        offsets: int64 `[n_rules + 1]`: the body of rule `i` is `literals[offsets[i]:offsets[i + 1]]`.
        heads: int32 `[n_rules]`.
        weights: int32 `[n_literals]`, 0 in conjunctions; empty if every body is a conjunction.
        bounds: int32 `[n_rules]`, 0 for conjunctions; empty if every body is a conjunction.
    """

    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]
    heads: NDArray[np.int32]
    weights: NDArray[np.int32] = NO_INTEGERS
    bounds: NDArray[np.int32] = NO_INTEGERS

    @classmethod
    def from_rules(cls, rules: Sequence[Rule]) -> "RuleArrays":
        """Raises ProgramError for a number that no int32 holds, or weights that are not one for each literal."""
        offsets = count_offsets([len(rule.body) for rule in rules])
        weights = bounds = NO_INTEGERS
        try:
            literals = np.fromiter(chain.from_iterable(rule.body for rule in rules), np.int32, int(offsets[-1]))
            heads = np.fromiter((rule.head for rule in rules), np.int32, len(rules))
            if any(rule.weights or rule.bound for rule in rules):
                bounds = np.fromiter((rule.bound for rule in rules), np.int32, len(rules))
                weights = np.array([weight for rule in rules for weight in _list_weights(rule)], np.int32)
        except OverflowError as error:
            raise ProgramError(f"a number in a rule is larger than 2^31 - 1: {error}") from error
        for array in (literals, offsets, heads, weights, bounds):
            array.flags.writeable = False
        return cls(literals, offsets, heads, weights, bounds)

    @property
    def atoms(self) -> NDArray[np.int32]:
        """int32 `[n_literals]`: the atom of each literal."""
        return self.literals ^ (self.literals >> 31)

    def take(self, rules: NDArray[np.int64]) -> "RuleArrays":
        """Some of the rules, in the order of their numbers in `rules`."""
        lengths = np.diff(self.offsets)[rules]
        offsets = count_offsets(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rules] - offsets[:-1], lengths)
        weights, bounds = (self.weights[places], self.bounds[rules]) if len(self.bounds) else (NO_INTEGERS, NO_INTEGERS)
        return RuleArrays(self.literals[places], offsets, self.heads[rules], weights, bounds)

    def append(self, others: "RuleArrays") -> "RuleArrays":
        """These rules, then others."""
        weights = bounds = NO_INTEGERS
        if len(self.bounds) or len(others.bounds):
            parts = (self, others)
            weights = np.concatenate([_fill(part.weights, len(part.literals)) for part in parts])
            bounds = np.concatenate([_fill(part.bounds, len(part.offsets) - 1) for part in parts])
        return RuleArrays(
            np.concatenate([self.literals, others.literals]),
            np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]]),
            np.concatenate([self.heads, others.heads]),
            weights,
            bounds,
        )


def _list_weights(rule: Rule) -> Sequence[int]:
    """The weight of each literal, 0 in a conjunction."""
    if not rule.weights and not rule.bound:
        return [0] * len(rule.body)
    if len(rule.weights) != len(rule.body):
        raise ProgramError(
            f"a weight body needs a weight for each literal, but one has {len(rule.weights)} for {len(rule.body)}"
        )
    if not all(isinstance(number, Integral) for number in (*rule.weights, rule.bound)):
        raise ProgramError(f"weights and bounds of bodies must be whole numbers, not {rule.weights} and {rule.bound}")
    return rule.weights


def _fill(values: NDArray[np.int32], n: int) -> NDArray[np.int32]:
    """The weights or bounds of `n` literals or rules, zeros where there are none."""
    return values if len(values) else np.zeros(n, np.int32)


def count_offsets(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where parts of these lengths start when they lie one after another, and where the last ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])
