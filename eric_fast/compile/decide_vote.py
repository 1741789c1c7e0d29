"""Class rules that vote: trees as numbers in binary, whole weights as counts, the rest as they are."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import (
    DecisionArrays,
    align_counts,
    choose_highest,
    count_rules,
    count_set_bits,
    find_counted,
)
from eric_fast.compile.decide import Decider
from eric_fast.compile.nodes import make_node, make_union
from eric_fast.compile.trees import TREE_MISSING
from eric_fast.plan.steps import MOST_PLANES, Counter


class VoteDecider(Decider):
    """Trees add one leaf's weights; what has whole weights is counted; other rules add one by one.

    Where all are counted, the counters also give the class.
    """

    def __init__(
        self, decision: DecisionArrays, classes: NDArray[np.int64], trees: NDArray[np.int64], *rest: Any
    ) -> None:
        super().__init__(decision, classes, trees, *rest)
        is_free = np.ones(len(classes), np.bool_)
        for first, last, _ in self.place_trees(0, len(trees)):
            is_free[first:last] = False
        self.counted = find_counted(decision, is_free)
        aligned = align_counts(decision, self.counted)
        self.is_aligned = aligned is not None
        self.is_counted = self.counted.is_counted
        self.sums = np.full((decision.n_classes, MOST_PLANES + 1), self.false)
        self.offsets = np.zeros(decision.n_classes, np.int64)
        if aligned is not None:
            self.counted, self.offsets = aligned.counted, -aligned.starts
            self.sums += (aligned.starts[:, None] >> np.arange(MOST_PLANES + 1)) & 1
        if (trees[:, TREE_MISSING] == 0).any():
            self.covered = self.false + 1

    def add_trees(self, first: int, last: int, values: NDArray[np.int32]) -> None:
        self._add_tree_indexes(first, last, values)
        if self.covered != self.false + 1:
            self._cover(self._cover_trees(first, last, values))

    def add_rules(self, first: int, last: int) -> None:
        counted = self.is_counted[first:last]
        if not counted.any():
            return
        votes = slice(*self.decision.vote_offsets[[first, last]].tolist())
        n_bits = int(count_set_bits(self.counted.weights[votes]).sum())
        self.reserve(6 * n_bits + 5 * MOST_PLANES * min(self.decision.n_classes, n_bits))
        count_rules(first, last, self.fires, self.decision, self.counted, self.sums, self.offsets, self.diagram)
        heads = self.decision.vote_classes[self.decision.vote_offsets[first:last]]
        self._cover(self.fires[first:last][counted & ~self.counted.is_positive[heads]])

    def finish(self) -> None:
        for output in np.flatnonzero((self.sums != self.false).any(axis=1) | (self.offsets != 0)).tolist():
            n_planes = int(np.flatnonzero(self.sums[output] != self.false).max(initial=-1)) + 1
            planes, n = self.sums[output, :n_planes], len(self.planes)
            self.counters.append(Counter(output, n, n + n_planes, int(self.offsets[output])))
            self.units.append(float(self.counted.units[output]))
            self.planes += planes.tolist()
            if self.counted.is_positive[output]:
                self._cover(planes)
        if self.is_aligned:
            self._answer()

    def _answer(self) -> None:
        """Write the class with the highest counter, or the default where no rule fires."""
        n_planes = int(np.flatnonzero((self.sums != self.false).any(axis=0)).max(initial=-1)) + 1
        n_classes, default, false = self.decision.n_classes, self.decision.default, self.false
        n_digits = (n_classes - 1).bit_length()
        self.reserve(n_classes * (4 * n_planes + n_digits) + n_digits + 1)
        digits = choose_highest(np.ascontiguousarray(self.sums[:, :n_planes]), n_digits, self.diagram).tolist()
        none = false
        if default < 0:
            none = int(make_node(self.diagram, self.covered, false, false + 1))
        else:
            is_one = [default >> j & 1 for j in range(n_digits)]
            digits = [
                int(make_node(self.diagram, self.covered, digit, false + one))
                for digit, one in zip(digits, is_one, strict=True)
            ]
        self.answers = [*digits, none]

    def _cover(self, values: NDArray[Any]) -> None:
        """Samples where one of these values is true have had a rule that fires."""
        self.reserve(len(values))
        self.covered = int(make_union(self.diagram, self.covered, values.astype(np.int64)))
