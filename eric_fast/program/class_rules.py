"""`ClassRules`: a million class rules as arrays."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import nan

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program.array_sequence import ArraySequence
from eric_fast.program.rules import NO_INTEGERS, ClassRule, RuleArrays, count_offsets

_NO_FLOATS = np.zeros(0)
_NO_FLOATS.flags.writeable = False


@dataclass(frozen=True, eq=False)
class ClassRules(ArraySequence[ClassRule]):
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
        confidences: float64 `[n_rules]`: `ClassRule.given_confidence`, NaN for None; empty if no rule has one.

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
    weights: NDArray[np.int32] = field(default_factory=lambda: NO_INTEGERS)
    bounds: NDArray[np.int32] = field(default_factory=lambda: NO_INTEGERS)
    starts: NDArray[np.int32] = field(default_factory=lambda: NO_INTEGERS)
    confidences: NDArray[np.float64] = field(default_factory=lambda: _NO_FLOATS)

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
        votes = [rule.votes for rule in rules]
        supports = [(-1 if r.covered is None else r.covered, -1 if r.correct is None else r.correct) for r in rules]
        covered, correct = np.array(supports, np.int32).reshape(-1, 2).T
        starts = [-1 if rule.start is None else rule.start for rule in rules]
        given = [rule.given_confidence for rule in rules]
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
            np.array(starts, np.int32) if any(start >= 0 for start in starts) else NO_INTEGERS,
            np.array(given, np.float64) if any(each is not None for each in given) else _NO_FLOATS,
        )

    def __post_init__(self) -> None:
        n_rules = len(self.offsets) - 1
        integers = ("literals", "vote_classes", "covered", "correct", "weights", "bounds", "starts")
        floats = dict.fromkeys(("vote_weights", "confidences"), np.float64)
        offsets = dict.fromkeys(("offsets", "vote_offsets"), np.int64)
        self._freeze({**dict.fromkeys(integers, np.int32), **offsets, **floats}, "rules")
        for ends, n_values, least in (
            (self.offsets, len(self.literals), 0),
            (self.vote_offsets, len(self.vote_classes), 1),
        ):
            if len(ends) != n_rules + 1 or ends[0] != 0 or ends[-1] != n_values:
                raise ProgramError(f"the offsets of {n_rules} rules must go from 0 to {n_values}")
            if (np.diff(ends) < least).any():
                raise ProgramError("the offsets of rules must be ascending, and each rule needs a vote")
        if len(self.vote_weights) != len(self.vote_classes) or not len(self.covered) == len(self.correct) == n_rules:
            raise ProgramError("the arrays of rules have different lengths")
        for name in ("starts", "confidences"):
            if len(getattr(self, name)) not in (0, n_rules):
                raise ProgramError(f"the {name} of rules must be one for each rule, or none at all")
        if len(self.bounds) not in (0, n_rules) or len(self.weights) != (len(self.literals) if len(self.bounds) else 0):
            raise ProgramError("the weights and bounds of rules must be one for each literal and rule, or none at all")

    @property
    def heads(self) -> NDArray[np.int32]:
        """int32 `[n_rules]`: the class of each rule."""
        return self.vote_classes[self.vote_offsets[:-1]]

    @property
    def bodies(self) -> RuleArrays:
        """Their bodies and heads alone."""
        return RuleArrays(self.literals, self.offsets, self.heads, self.weights, self.bounds)

    @property
    def atoms(self) -> NDArray[np.int32]:
        """int32 `[n_literals]`: the atom of each literal."""
        return self.literals ^ (self.literals >> 31)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def _make(self, index: int) -> ClassRule:
        a, z = self.vote_offsets[index], self.vote_offsets[index + 1]
        votes = zip(self.vote_classes[a:z].tolist(), self.vote_weights[a:z].tolist(), strict=True)
        (head, weight), *also = votes
        known = self.covered[index] >= 0
        body = slice(self.offsets[index], self.offsets[index + 1])
        bound = int(self.bounds[index]) if len(self.bounds) else 0
        given = float(self.confidences[index]) if len(self.confidences) else nan
        return ClassRule(
            head,
            tuple(self.literals[body].tolist()),
            int(self.covered[index]) if known else None,
            int(self.correct[index]) if known else None,
            weight,
            tuple(also),
            weights=tuple(self.weights[body].tolist()) if bound else (),
            bound=bound,
            start=int(self.starts[index]) if len(self.starts) and self.starts[index] >= 0 else None,
            given_confidence=given if given == given else None,  # NaN differs from itself
        )
