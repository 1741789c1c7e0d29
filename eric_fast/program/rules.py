"""Rules: one at a time as `Rule` and `ClassRule`, or a million class rules as the arrays of `ClassRules`."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError

INT32_MAX = 2**31 - 1  # clingo wraps integers past this silently


@dataclass(frozen=True, slots=True)
class Rule:
    """`head` is true where every literal of `body` is, or false where it is in `Program.negated`: a rule for a kernel.

    Attributes:
        head: index of an atom of the program.
        body: literals, a conjunction: `a` is the atom with index `a`, `~a` its negation. Empty: always true.
        covered: how many training images the body is true on, where known.
        correct: on how many of those the head is what the rule says: true, or false where it is negated.
    """

    head: int
    body: tuple[int, ...]
    covered: int | None = None
    correct: int | None = None

    def __post_init__(self) -> None:
        if type(self.body) is not tuple:  # it nearly always is, in programs of many rules
            object.__setattr__(self, "body", tuple(self.body))

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
    """

    weight: float = 1
    also: tuple[tuple[int, float], ...] = ()


class RuleArrays(NamedTuple):
    """The bodies and heads of rules, in order.

    Attributes:
        literals: int32 `[n_literals]`: the bodies one after another, an atom or its complement each.
        offsets: int64 `[n_rules + 1]`: the body of rule `i` is `literals[offsets[i]:offsets[i + 1]]`.
        heads: int32 `[n_rules]`.
    """

    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]
    heads: NDArray[np.int32]

    @classmethod
    def from_rules(cls, rules: Sequence[Rule]) -> "RuleArrays":
        """Raises ProgramError for a number that no int32 holds."""
        offsets = count_offsets([len(rule.body) for rule in rules])
        try:
            literals = np.fromiter(chain.from_iterable(rule.body for rule in rules), np.int32, int(offsets[-1]))
            heads = np.fromiter((rule.head for rule in rules), np.int32, len(rules))
        except OverflowError as error:
            raise ProgramError(f"a number in a rule is larger than 2^31 - 1: {error}") from error
        for array in (literals, offsets, heads):
            array.flags.writeable = False
        return cls(literals, offsets, heads)

    @property
    def atoms(self) -> NDArray[np.int32]:
        """int32 `[n_literals]`: the atom of each literal."""
        return self.literals ^ (self.literals >> 31)

    def take(self, rules: NDArray[np.int64]) -> "RuleArrays":
        """Some of the rules, in the order of their numbers in `rules`."""
        lengths = np.diff(self.offsets)[rules]
        offsets = count_offsets(lengths)
        places = np.arange(offsets[-1]) + np.repeat(self.offsets[rules] - offsets[:-1], lengths)
        return RuleArrays(self.literals[places], offsets, self.heads[rules])

    def append(self, others: "RuleArrays | ClassRules", heads: NDArray[np.int32]) -> "RuleArrays":
        """These rules, then the bodies of others with these heads, `[n_others]`."""
        return RuleArrays(
            np.concatenate([self.literals, others.literals]),
            np.concatenate([self.offsets, self.offsets[-1] + others.offsets[1:]]),
            np.concatenate([self.heads, heads]),
        )


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
        return cls(
            bodies.literals,
            bodies.offsets,
            count_offsets([len(adds) for adds in votes]),
            np.array([output for adds in votes for output, _ in adds], np.int32),
            np.array([weight for adds in votes for _, weight in adds], np.float64),
            covered,
            correct,
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
        return ClassRule(
            head,
            tuple(self.literals[self.offsets[i] : self.offsets[i + 1]].tolist()),
            int(self.covered[i]) if known else None,
            int(self.correct[i]) if known else None,
            weight,
            tuple(also),
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
