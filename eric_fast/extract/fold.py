"""Learn default rules with exceptions from counts, as FOLD-RM does (Wang, Shakerin, Gupta, TPLP 2022).

A rule takes up literal after literal, the one of the highest information gain first, until few enough negative examples
are left among those that it holds on. Positives and negatives then change places: rules for what is left are the
exceptions, which have exceptions of their own. Every decision is taken on counts of packed bits, so it is the same for
any number of processes that share the samples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.kernels.fixed_point import make_entropy_table
from eric_fast.processes import Combine, keep
from eric_fast.program.confidence import find_interval
from eric_fast.program.data import map_literals

SPARSE = 4  # once there are so many times as many words as examples, words without any are left out


class FoldLimits(NamedTuple):
    """When rules stop, and which are dropped.

    Attributes:
        ratio: a rule takes up literals until it holds on at most `ratio` times as many negative examples as positive
            ones (FOLD-RM's `ratio`).
        min_correct: the fewest examples that a rule, or an exception, must be right on; else it is dropped (FOLD-SE's
            `tail`, which is a share of all examples). At least 1.
        confidence: what the lower bound of a rule's confidence (see `find_interval`) must reach; else the rule is
            dropped. An exception must raise that of its rule, too (CON-FOLD). 0 drops none.
        max_rules: the most rules of a list, exceptions aside; None for no limit.
        criterion: what literals are chosen by: `entropy` (FOLD-RM) or `gini` (FOLD-SE).
    """

    ratio: float = 0.5
    min_correct: int = 1
    confidence: float = 0.0
    max_rules: int | None = None
    criterion: str = "entropy"


@dataclass(frozen=True, slots=True)
class DefaultRule:
    """A rule that fires where its literals hold and none of its exceptions fires.

    Attributes:
        body: literals over columns, in the order in which they were chosen: `a` is column `a`, `~a` its negation.
        exceptions: rules.
        covered: on how many of the examples that it was learned on it fires: those that no earlier rule covers. Those
            of an exception are the examples on which the literals of its rule hold.
        correct: on how many of these it is right: they are positive, or, for an exception, its rule is wrong on them.
    """

    body: tuple[int, ...]
    exceptions: tuple["DefaultRule", ...] = ()
    covered: int = 0
    correct: int = 0

    @property
    def columns(self) -> set[int]:
        """The columns that this rule and its exceptions mention."""
        own = {literal if literal >= 0 else ~literal for literal in self.body}
        return own.union(*(exception.columns for exception in self.exceptions))

    def renumber(self, place_of: Mapping[int, int]) -> "DefaultRule":
        """The same rule over columns of other numbers."""
        return replace(
            self,
            body=map_literals(self.body, place_of),
            exceptions=tuple(rule.renumber(place_of) for rule in self.exceptions),
        )


class DecisionList(NamedTuple):
    """Rules in order, of which the first that fires decides.

    Attributes:
        rules: the rules.
        answers: the value that each gives.
        default: the value where none fires: the most frequent of the examples that no rule covers, or else of all.
    """

    rules: list[DefaultRule]
    answers: list[int]
    default: int


def learn_decision_list(
    inputs: BitMatrix, target: Tensor, n_values: int, limits: FoldLimits, *, combine: Combine = keep
) -> DecisionList:
    """Learn rules, each for the most frequent value of the examples that are left, until one value is left.

    FOLD-RM ends with the first value that no rule is found for; here the next most frequent one is tried. It has rules
    for the last value, too; here that is the default. It learns later rules from the examples that a rule is wrong on,
    too; here these are left out, as no later rule decides them.

    Args:
        inputs: the bits that rules may mention.
        target: int64 `[n_samples]`, values from 0 to `n_values` - 1.
        combine: sums integers over the processes that share the samples.
    """
    of_value = pack_bits(target[:, None] == torch.arange(n_values))
    left = reduce(torch.bitwise_or, of_value)
    totals = sizes = _count_both(left, of_value, combine)
    learner = _Learner(sum(sizes), limits, combine)
    rules: list[DefaultRule] = []
    answers: list[int] = []
    failed: set[int] = set()
    while limits.max_rules is None or len(rules) < limits.max_rules:
        values = [value for value in range(n_values) if sizes[value] and value not in failed]
        if not values or sum(map(bool, sizes)) < 2:
            break
        value = max(values, key=sizes.__getitem__)  # the lowest of equals
        masks = torch.stack([left & of_value[value], left & ~of_value[value]])
        examples = _Examples(inputs.words, masks, sizes[value], sum(sizes) - sizes[value])
        found = learner.learn_rules(examples, most=1)
        if not found:
            failed.add(value)
            continue
        if not found[0].body:  # no literal tells what is left apart
            break
        rules += found
        answers.append(value)
        left = left & ~_fire(found[0], inputs.words, left)
        sizes = _count_both(left, of_value, combine)
        failed.clear()
    counts = sizes if any(sizes) else totals
    return DecisionList(rules, answers, max(range(n_values), key=counts.__getitem__))


def learn_default_rules(
    inputs: BitMatrix, masks: Tensor, limits: FoldLimits, *, combine: Combine = keep
) -> list[DefaultRule]:
    """Learn rules that fire on positive examples, and on negative ones as seldom as `limits` allows.

    Args:
        inputs: the bits that rules may mention.
        masks: int32 words `[2, n_words]`: which samples are positive examples, and which negative.
        combine: sums integers over the processes that share the samples.
    """
    n_positive, n_negative = _count_both(masks[0] | masks[1], masks, combine)
    learner = _Learner(n_positive + n_negative, limits, combine)
    examples = _Examples(inputs.words, masks, n_positive, n_negative)
    return learner.learn_rules(examples, most=limits.max_rules)


class _Examples(NamedTuple):
    """Positive and negative examples.

    Attributes:
        words: int32 `[n_atoms, n_words]`: the bits of this process's samples, examples among them.
        masks: int32 `[2, n_words]`: which of the samples are positive, and which negative.
        n_positive, n_negative: their numbers, over all processes.
    """

    words: Tensor
    masks: Tensor
    n_positive: int
    n_negative: int

    def keep(self, literal: int, n_positive: int, n_negative: int) -> "_Examples":
        """Those on which a literal holds; how many there are is known."""
        masks = self.masks & (self.words[literal] if literal >= 0 else ~self.words[~literal])
        words = self.words
        if SPARSE * (n_positive + n_negative) < words.shape[1] // 2:  # most words of 64 bits are empty
            wide = [rows.numpy().view(np.int64) for rows in (words, masks)]
            places = (wide[1][0] | wide[1][1]).nonzero()[0]
            words, masks = (torch.from_numpy(rows.take(places, 1).view(np.int32)) for rows in wide)
        return _Examples(words, masks, n_positive, n_negative)

    def swap(self) -> "_Examples":
        """Positive examples as negative ones, and the other way round."""
        return _Examples(self.words, self.masks.flip(0), self.n_negative, self.n_positive)


class _Learner:
    """What does not change while rules are learned."""

    def __init__(self, n_samples: int, limits: FoldLimits, combine: Combine) -> None:
        self.limits = limits
        self.combine = combine
        self.table = make_entropy_table(n_samples) if limits.criterion == "entropy" else None

    def learn_rules(self, examples: _Examples, most: int | None = None) -> list[DefaultRule]:
        """At most so many rules for the positive examples, until one is dropped or none is left (`fold`)."""
        rules: list[DefaultRule] = []
        while examples.n_positive and (most is None or len(rules) < most):
            rule = self._learn_rule(examples)
            if rule is None:
                break
            fires = _fire(rule, examples.words, examples.masks[0] | examples.masks[1])
            correct, wrong = _count_both(fires, examples.masks, self.combine)
            if correct < self.limits.min_correct or not self._is_sure(correct, correct + wrong):
                break
            rules.append(replace(rule, covered=correct + wrong, correct=correct))
            masks = torch.stack([examples.masks[0] & ~fires, examples.masks[1]])
            examples = examples._replace(masks=masks, n_positive=examples.n_positive - correct)
        return rules

    def _learn_rule(self, examples: _Examples) -> DefaultRule | None:
        """One rule, or None if it can't be right on enough examples (`learn_rule`).

        If no literal tells the examples apart, the rule ends there, without exceptions, unless most are negative.
        """
        body: list[int] = []
        while True:
            if examples.n_positive < self.limits.min_correct:
                return None
            if not examples.n_negative:
                return DefaultRule(tuple(body))
            counts = self.combine(kernels.count(examples.words, examples.masks).long()).numpy()
            literal = _find_literal(counts, examples.n_positive, examples.n_negative, self.table)
            if literal is None:
                return DefaultRule(tuple(body)) if examples.n_negative <= examples.n_positive else None
            atom = literal if literal >= 0 else ~literal
            body.append(literal)
            sizes = counts[:, atom].tolist()
            if literal < 0:
                sizes = [examples.n_positive - sizes[0], examples.n_negative - sizes[1]]
            examples = examples.keep(literal, *sizes)
            if examples.n_negative <= examples.n_positive * self.limits.ratio:
                break
        exceptions = self.learn_rules(examples.swap())
        return DefaultRule(tuple(body), tuple(self._drop_useless(exceptions, examples)))

    def _is_sure(self, correct: int, covered: int) -> bool:
        return not self.limits.confidence or find_interval(correct, covered).low >= self.limits.confidence

    def _drop_useless(self, exceptions: Sequence[DefaultRule], examples: _Examples) -> Sequence[DefaultRule]:
        """The exceptions that raise the lower bound of their rule's confidence, one after another."""
        if not self.limits.confidence:
            return exceptions
        kept, masks, sizes = [], examples.masks, [examples.n_positive, examples.n_negative]
        for exception in exceptions:
            rest = masks & ~_fire(exception, examples.words, masks[0] | masks[1])
            fewer = _count_both(rest[0] | rest[1], rest, self.combine)
            if find_interval(fewer[0], sum(fewer)).low > find_interval(sizes[0], sum(sizes)).low:
                kept.append(exception)
                masks, sizes = rest, fewer
        return kept


def _find_literal(
    counts: NDArray[np.int64], n_positive: int, n_negative: int, table: NDArray[np.int64] | None
) -> int | None:
    """The literal that lowers entropy or Gini impurity most: of equals, that of the lowest atom, true before false.

    It is a literal that at least half of the examples speak for: positive ones on which it holds, negative ones on
    which it doesn't. None if every atom has one value on all examples, as those have that the rule mentions already.

    Args:
        counts: int64 `[2, n_atoms]`: on how many positive and negative examples each atom is true.
        table: see `make_entropy_table`; None for Gini impurity. An atom's gain is a sum of integers, or of two
            quotients that every machine rounds alike, so its negation has the same.
    """
    true_positive, false_positive = counts
    false_negative, true_negative = n_positive - true_positive, n_negative - false_positive
    holds, fails = true_positive + false_positive, false_negative + true_negative
    possible = np.flatnonzero((holds > 0) & (fails > 0))
    if not len(possible):
        return None
    gains: NDArray[Any]  # the impurity after, times -n: that before is the same for all
    if table is None:
        holds, fails = np.maximum(holds, 1), np.maximum(fails, 1)
        gains = -(true_positive * false_positive / holds + false_negative * true_negative / fails)
    else:
        gains = table[true_positive] + table[false_positive] + table[false_negative] + table[true_negative]
        gains -= table[holds] + table[fails]
    atom = int(possible[gains[possible].argmax()])  # the first of equals
    return atom if true_positive[atom] + true_negative[atom] >= false_positive[atom] + false_negative[atom] else ~atom


def _fire(rule: DefaultRule, words: Tensor, within: Tensor) -> Tensor:
    """int32 `[n_words]`: the samples in `within` on which a rule fires."""
    fires = within
    for literal in rule.body:
        fires = fires & (words[literal] if literal >= 0 else ~words[~literal])
    for exception in rule.exceptions:
        fires = fires & ~_fire(exception, words, fires)
    return fires


def _count_both(mask: Tensor, rows: Tensor, combine: Combine) -> list[int]:
    """How many samples of each row are in a mask, over all processes."""
    counts: list[int] = combine(kernels.count(mask[None], rows).long())[:, 0].tolist()
    return counts
