"""Rules: one at a time as `Rule` and `ClassRule`, or a million class rules as the arrays of `ClassRules`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from numbers import Integral
from typing import NamedTuple, overload

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
        return self.correct / self.covered if self.covered and self.correct is not None else None


@dataclass(frozen=True, slots=True)
class ClassRule(Rule):
    """A rule for a class: `head` is an index into the program's classes.

    Attributes:
        weight: what it adds to its class under `vote`.
        also: what it adds to other classes: pairs (class index, weight), ascending, no zero weight.
        start: the only start that the rule takes part in, an index into `Program.starts`; None for every start.
    """

    weight: float = 1
    also: tuple[tuple[int, float], ...] = ()
    start: int | None = field(default=None, kw_only=True)


_NONE = np.zeros(0, np.int32)
_NONE.flags.writeable = False


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
    weights: NDArray[np.int32] = _NONE
    bounds: NDArray[np.int32] = _NONE

    @classmethod
    def from_rules(cls, rules: Sequence[Rule]) -> "RuleArrays":
        """Raises ProgramError for a number that no int32 holds, or weights that are not one for each literal."""
        offsets = count_offsets([len(rule.body) for rule in rules])
        weights = bounds = _NONE
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
        weights, bounds = (self.weights[places], self.bounds[rules]) if len(self.bounds) else (_NONE, _NONE)
        return RuleArrays(self.literals[places], offsets, self.heads[rules], weights, bounds)

    def append(self, others: "RuleArrays | ClassRules", heads: NDArray[np.int32]) -> "RuleArrays":
        """These rules, then the bodies of others with these heads, `[n_others]`."""
        weights = bounds = _NONE
        if len(self.bounds) or len(others.bounds):
            parts = (self, others)
            weights = np.concatenate([_fill(part.weights, len(part.literals)) for part in parts])
            bounds = np.concatenate([_fill(part.bounds, len(part.offsets) - 1) for part in parts])
        return RuleArrays(
            np.concatenate([self.literals, others.literals]),
            np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]]),
            np.concatenate([self.heads, heads]),
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


@dataclass(frozen=True, eq=False)
class ClassRules(Sequence[ClassRule]):
    """Class rules in order, as arrays, for the leaves of a forest; each is a `ClassRule` when it is asked for.

    Attributes:
        literals: int32 `[n_literals]`: the bodies one after another, an atom or its complement each.
        offsets: int64 `[n_rules + 1]`: the body of rule `i` is `literals[offsets[i]:offsets[i + 1]]`.
        vote_offsets: int64 `[n_rules + 1]`, into the two that follow; every rule has a vote at least.
        vote_classes: int32 `[n_votes]`: the classes that a rule adds to; the first is its head, the others ascend.
        vote_weights: float64 `[n_votes]`: what it adds.
        covered, correct: int32 `[n_rules]`, -1 where not known; see `Rule`.
        weights, bounds: of bodies, int32; see `RuleArrays`.
        starts: int32 `[n_rules]`: `ClassRule.start`, -1 for every start; empty if each rule is for every start.

    Raises:
        ProgramError: arrays that don't belong together.
    """

    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]
    vote_offsets: NDArray[np.int64]
    vote_classes: NDArray[np.int32]
    vote_weights: NDArray[np.float64]
    covered: NDArray[np.int32]
    correct: NDArray[np.int32]
    weights: NDArray[np.int32] = field(default_factory=lambda: _NONE)
    bounds: NDArray[np.int32] = field(default_factory=lambda: _NONE)
    starts: NDArray[np.int32] = field(default_factory=lambda: _NONE)

    @classmethod
    def from_rules(cls, rules: Iterable[ClassRule]) -> "ClassRules":
        """The same rules as arrays."""
        rules = list(rules)
        try:
            return cls._from_list(rules)
        except OverflowError as error:
            raise ProgramError(f"a number in a rule is larger than 2^31 - 1: {error}") from error

    @classmethod
    def _from_list(cls, rules: list[ClassRule]) -> "ClassRules":
        bodies = RuleArrays.from_rules(rules)
        votes = [((rule.head, rule.weight), *rule.also) for rule in rules]
        supports = [(-1 if r.covered is None else r.covered, -1 if r.correct is None else r.correct) for r in rules]
        covered, correct = np.array(supports, np.int32).reshape(-1, 2).T
        starts = [-1 if rule.start is None else rule.start for rule in rules]
        return cls(
            bodies.literals,
            bodies.offsets,
            count_offsets([len(adds) for adds in votes]),
            np.array([output for adds in votes for output, _ in adds], np.int32),
            np.array([weight for adds in votes for _, weight in adds], np.float64),
            covered,
            correct,
            bodies.weights,
            bodies.bounds,
            np.array(starts, np.int32) if any(start >= 0 for start in starts) else _NONE,
        )

    def __post_init__(self) -> None:
        n_rules = len(self.offsets) - 1
        for name, dtype in (
            ("literals", np.int32),
            ("offsets", np.int64),
            ("vote_offsets", np.int64),
            ("vote_classes", np.int32),
            ("vote_weights", np.float64),
            ("covered", np.int32),
            ("correct", np.int32),
            ("weights", np.int32),
            ("bounds", np.int32),
            ("starts", np.int32),
        ):
            array = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                raise ProgramError(f"the {name} of rules must be {np.dtype(dtype)} [n], not {array.dtype}")
            array = array.view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
        for offsets, n_values, least in (
            (self.offsets, len(self.literals), 0),
            (self.vote_offsets, len(self.vote_classes), 1),
        ):
            if len(offsets) != n_rules + 1 or offsets[0] != 0 or offsets[-1] != n_values:
                raise ProgramError(f"the offsets of {n_rules} rules must go from 0 to {n_values}")
            if (np.diff(offsets) < least).any():
                raise ProgramError("the offsets of rules must be ascending, and each rule needs a vote")
        if len(self.vote_weights) != len(self.vote_classes) or not len(self.covered) == len(self.correct) == n_rules:
            raise ProgramError("the arrays of rules have different lengths")
        if len(self.starts) not in (0, n_rules):
            raise ProgramError("the starts of rules must be one for each rule, or none at all")
        if len(self.bounds) not in (0, n_rules) or len(self.weights) != (len(self.literals) if len(self.bounds) else 0):
            raise ProgramError("the weights and bounds of rules must be one for each literal and rule, or none at all")

    @property
    def heads(self) -> NDArray[np.int32]:
        """int32 `[n_rules]`: the class of each rule."""
        return self.vote_classes[self.vote_offsets[:-1]]

    @property
    def atoms(self) -> NDArray[np.int32]:
        """int32 `[n_literals]`: the atom of each literal."""
        return self.literals ^ (self.literals >> 31)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, index: int) -> ClassRule: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ClassRule, ...]: ...
    def __getitem__(self, index: int | slice) -> ClassRule | tuple[ClassRule, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        i = index + len(self) if index < 0 else index
        if not 0 <= i < len(self):
            raise IndexError(f"rule {index} of {len(self)}")
        a, z = self.vote_offsets[i], self.vote_offsets[i + 1]
        votes = zip(self.vote_classes[a:z].tolist(), self.vote_weights[a:z].tolist(), strict=True)
        (head, weight), *also = votes
        known = self.covered[i] >= 0
        body = slice(self.offsets[i], self.offsets[i + 1])
        bound = int(self.bounds[i]) if len(self.bounds) else 0
        return ClassRule(
            head,
            tuple(self.literals[body].tolist()),
            int(self.covered[i]) if known else None,
            int(self.correct[i]) if known else None,
            weight,
            tuple(also),
            weights=tuple(self.weights[body].tolist()) if bound else (),
            bound=bound,
            start=int(self.starts[i]) if len(self.starts) and self.starts[i] >= 0 else None,
        )

    def __iter__(self) -> Iterator[ClassRule]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ClassRules | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))


def count_offsets(lengths: Sequence[int] | NDArray[np.int64]) -> NDArray[np.int64]:
    """Where parts of these lengths start when they lie one after another, and where the last ends."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(np.asarray(lengths, np.int64))])
