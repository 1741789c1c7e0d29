"""Class rules to what decides: trees and lists as numbers in binary, whole weights as counts, the rest as they are."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import Decision, count_ones, count_rules, find_counted
from eric_fast.compile.indexes import (
    MOST_PLANES,
    N_LEVELS,
    copy_row,
    index_list,
    index_trees,
    list_rules,
    start_items,
    start_rows,
)
from eric_fast.compile.nodes import forget_nodes, make_node, reserve_nodes
from eric_fast.errors import EricError

Maker = Any  # see `nodes`
Rows = Any  # see `start_rows`
Items = Any  # see `start_items`
NODES_PER_LEAF = 4  # about; where there are more they are made again, with more room
MOST_ANSWER_WORK = 512  # class rules times digits of a class past two: more is dearer than a look in a table


class Decider(ABC):
    """What the class rules become, group by group, each in a section; a maker of nodes goes from one to the next.

    Attributes:
        indexes, planes, codes, fires, is_counted: as in `Steps`; `fires` is filled by who makes the values.
        counters, units, answers, covered: as in `Steps`, when all is added.
    """

    def __init__(
        self,
        decision: Decision,
        classes: NDArray[np.int64],
        trees: NDArray[np.int64],
        paths: tuple[int, NDArray[np.int64], NDArray[np.int32], NDArray[np.int64]],
        tree: Any,
        false: int,
    ) -> None:
        """classes: of the class rules. trees: see `find_trees`. paths, tree: see `index_trees`. false: the value."""
        self.decision, self.trees, self.paths, self.tree, self.false = decision, trees, paths, tree, false
        self.base = paths[0]
        self.rule_of_leaf = (paths[1][self.base :] - self.base).astype(np.int32)
        self.class_of_leaf = classes[self.rule_of_leaf]
        self.fires = np.full(len(classes), -1, np.int32)
        self.is_counted = np.zeros(len(classes), np.bool_)
        self.rows, self.codes_of_leaves = start_rows(N_LEVELS), np.zeros(len(classes), np.int64)
        self.indexes: list[tuple[int, ...]] = []
        self.planes: list[int] = []
        self.codes: list[NDArray[np.int32]] = []
        self.counters: list[tuple[int, ...]] = []
        self.units: list[float] = []
        self.answers: list[int] = []
        self.covered = false
        self.n_codes = 0

    @abstractmethod
    def add_trees(self, first: int, last: int, values: NDArray[np.int32], maker: Maker) -> Maker:
        """The trees `first:last`, whose nodes belong to the section at hand."""

    @abstractmethod
    def add_rules(self, first: int, last: int, maker: Maker) -> Maker:
        """The class rules `first:last`, of a section that is done: nodes made now belong to the next."""

    @abstractmethod
    def finish(self, maker: Maker) -> Maker:
        """All is added; nodes made now belong to the last section."""

    def _index_trees(
        self, first: int, last: int, values: NDArray[np.int32], maker: Maker, answers: NDArray[np.int64], n_digits: int
    ) -> tuple[Maker, Rows]:
        """The numbers of the leaves that samples are in; or, with digits, the answers of those leaves."""
        trees = self.trees[first:last]
        codes = np.zeros_like(self.codes_of_leaves) if n_digits else self.codes_of_leaves
        room = NODES_PER_LEAF * int((trees[:, 1] - trees[:, 0] + trees[:, 2]).sum())
        return self._make(
            maker,
            room,
            lambda maker: index_trees(trees, self.paths, n_digits, answers, values, self.tree, self.rows, codes, maker),
        )

    def _cover_trees(
        self, first: int, last: int, values: NDArray[np.int32], maker: Maker
    ) -> tuple[Maker, NDArray[np.int64]]:
        """The values that say where some leaf of each tree is reached: true for those that lack none."""
        if not self.trees[first:last, 2].any():
            return maker, np.full(last - first, self.false + 1)
        maker, rows = self._index_trees(first, last, values, maker, np.ones_like(self.class_of_leaf), 1)
        return maker, rows[0][:, 0]

    def _make(self, maker: Maker, room: int, make: Callable[[Maker], Any]) -> tuple[Maker, Any]:
        """What `make` gives, with room for more and more nodes until they are enough."""
        while True:
            maker = reserve_nodes(maker, room)
            n_nodes, state = int(maker[2][0]), maker[2]
            made = make(maker)
            if state[1] == 2:
                raise EricError("the class rules need numbers of more than 31 binary digits")
            if state[1] == 0:
                return maker, made
            forget_nodes(maker, n_nodes)
            state[1], room = 0, 4 * room + 64

    def _add_index(self, rows: Rows, row: int, first: int, last: int) -> None:
        """The number in this row stands for one of the leaves `first:last`, or for none."""
        n_planes = int(rows[1][row])
        table = np.full(1 << n_planes, -1, np.int32)
        table[self.codes_of_leaves[first:last]] = self.rule_of_leaf[first:last]
        self.indexes.append(
            (len(self.planes), len(self.planes) + n_planes, self.n_codes, self.n_codes + len(table), first, last)
        )
        self.planes += rows[0][row, :n_planes].tolist()
        self.codes.append(table)
        self.n_codes += len(table)

    def _add_tree_indexes(self, first: int, last: int, rows: Rows) -> None:
        for row, (begin, end, _) in enumerate((self.trees[first:last] - [self.base, self.base, 0]).tolist()):
            self._add_index(rows, row, begin, end)


class VoteDecider(Decider):
    """Trees add one leaf's weights; what has whole weights is counted; other rules add one by one."""

    def __init__(self, decision: Decision, classes: NDArray[np.int64], trees: NDArray[np.int64], *rest: Any) -> None:
        super().__init__(decision, classes, trees, *rest)
        is_free = np.ones(len(classes), np.bool_)
        for first, last, _ in (trees - self.base).tolist():
            is_free[first:last] = False
        self.counted = find_counted(decision, is_free)
        self.is_counted = self.counted.is_counted
        self.sums = np.full((decision.n_classes, MOST_PLANES + 1), self.false)
        self.offsets = np.zeros(decision.n_classes, np.int64)
        self.is_positive = self.counted.is_positive
        if (trees[:, 2] == 0).any():
            self.covered = self.false + 1

    def add_trees(self, first: int, last: int, values: NDArray[np.int32], maker: Maker) -> Maker:
        maker, rows = self._index_trees(first, last, values, maker, self.class_of_leaf, 0)
        self._add_tree_indexes(first, last, rows)
        if self.covered == self.false + 1:
            return maker
        maker, covers = self._cover_trees(first, last, values, maker)
        return self._cover(maker, covers)

    def add_rules(self, first: int, last: int, maker: Maker) -> Maker:
        counted = self.is_counted[first:last]
        if not counted.any():
            return maker
        votes = slice(*self.decision.vote_offsets[[first, last]].tolist())
        n_bits = int(count_ones(self.counted.weights[votes]).sum())
        maker = reserve_nodes(maker, 6 * n_bits + 5 * MOST_PLANES * min(self.decision.n_classes, n_bits))
        count_rules(first, last, self.fires, self.decision, self.counted, self.sums, self.offsets, maker)
        heads = self.decision.vote_classes[self.decision.vote_offsets[first:last]]
        return self._cover(maker, self.fires[first:last][counted & ~self.is_positive[heads]])

    def finish(self, maker: Maker) -> Maker:
        for output in np.flatnonzero((self.sums != self.false).any(axis=1) | (self.offsets != 0)).tolist():
            planes = self.sums[output]
            n_planes = int(np.flatnonzero(planes != self.false).max(initial=-1)) + 1
            first = len(self.planes)
            self.counters.append((output, first, first + n_planes, int(self.offsets[output])))
            self.units.append(float(self.counted.units[output]))
            self.planes += planes[:n_planes].tolist()
            if self.is_positive[output]:
                maker = self._cover(maker, planes[:n_planes])
        return maker

    def _cover(self, maker: Maker, values: NDArray[Any]) -> Maker:
        """Samples where one of these values is true have had a rule that fires."""
        maker = reserve_nodes(maker, len(values))
        for value in values.tolist():
            self.covered = int(make_node(maker, self.covered, self.false + 1, value))
        return maker


class ListDecider(Decider):
    """All class rules are one list; a tree is an item of it, and so is what a section has."""

    def __init__(self, decision: Decision, *rest: Any) -> None:
        super().__init__(decision, *rest)
        n_digits = max(decision.n_classes - 1, 0).bit_length()
        pays = (n_digits - 2) * len(self.fires) <= MOST_ANSWER_WORK
        self.n_digits = n_digits + 1 if pays else 0  # the last says that there is no answer
        self.sections: list[tuple[int, bool, Rows, Rows, int, int]] = []

    def add_trees(self, first: int, last: int, values: NDArray[np.int32], maker: Maker) -> Maker:
        maker, rows = self._index_trees(first, last, values, maker, self.class_of_leaf, 0)
        self._add_tree_indexes(first, last, rows)
        answers = start_rows(last - first)
        if self.n_digits:
            maker, answers = self._index_trees(first, last, values, maker, self.class_of_leaf, self.n_digits)
        maker, covers = self._cover_trees(first, last, values, maker)
        trees = (self.trees[first:last] - [self.base, self.base, 0]).tolist()
        parts = [
            (int(cover), False, rows, answers, t, begin, end, end - begin + missing)
            for t, (cover, (begin, end, missing)) in enumerate(zip(covers, trees, strict=True))
        ]
        return self._add_section(maker, *self._list_parts(parts), trees[0][0], trees[-1][1])

    def add_rules(self, first: int, last: int, maker: Maker) -> Maker:
        items, answers = list_rules(first, last, self.fires, self.n_digits, self.class_of_leaf, self.false)
        return self._add_section(maker, items, answers, first, last)

    def finish(self, maker: Maker) -> Maker:
        """The sections as a list, and, where none of them answers, nothing."""
        n_rules, n_digits, default = len(self.fires), self.n_digits, self.decision.default
        nothing = start_rows(1)
        nothing[1][0] = n_digits
        for j in range(n_digits):
            is_one = j + 1 == n_digits if default < 0 else default >> j & 1
            nothing[0][0, j] = self.false + is_one
        parts = [(*section[:4], 0, section[4], section[5], section[5] - section[4]) for section in self.sections]
        parts.append((self.false + 1, False, start_rows(1), nothing, 0, n_rules, n_rules, 1))
        items, answers = self._list_parts(parts)
        maker, (_, rows, answer_rows) = self._index(maker, items, answers)
        self._add_index(rows, 0, 0, n_rules)
        self.answers = answer_rows[0][0, :n_digits].tolist()
        return maker

    def _list_parts(self, parts: list[tuple[int, bool, Rows, Rows, int, int, int, int]]) -> tuple[Items, Items]:
        """Parts as items, and as items of answers.

        parts: condition, whether it is negated, numbers and answers, a row of both, first and last leaf, weight.
        """
        items, answers = start_items(len(parts)), start_items(len(parts))
        for i, (condition, negated, rows, answer_rows, row, first, last, weight) in enumerate(parts):
            for into, source in ((items, rows), (answers, answer_rows)):
                into[0][i], into[1][i] = condition, negated
                copy_row(source, row, into[2], i)
                into[3][i + 1] = into[3][i] + weight
            items[4][i : i + 2] = first, last
        items[5][:] = items[4][len(parts)]
        return items, answers

    def _add_section(self, maker: Maker, items: Items, answers: Items, first: int, last: int) -> Maker:
        maker, ((value, negated), rows, answer_rows) = self._index(maker, items, answers)
        self.sections.append((int(value), bool(negated), rows, answer_rows, first, last))
        return maker

    def _index(self, maker: Maker, items: Items, answers: Items) -> tuple[Maker, tuple[tuple[int, bool], Rows, Rows]]:
        """The condition of a list, its number and its answer."""
        n = len(items[0])
        before = self.codes_of_leaves.copy()

        def index(maker: Maker) -> tuple[tuple[int, bool], Rows]:
            self.codes_of_leaves[:] = before
            found = index_list(n, True, 0, items, self.rows, self.codes_of_leaves, maker)
            return found, self._take_row()

        maker, (found, rows) = self._make(maker, NODES_PER_LEAF * n, index)
        answer_rows = start_rows(1)
        if self.n_digits:
            arguments = (self.n_digits, answers, self.rows, self.codes_of_leaves)
            maker, _ = self._make(maker, self.n_digits * n, lambda maker: index_list(n, False, *arguments, maker))
            answer_rows = self._take_row()
        return maker, (found, rows, answer_rows)

    def _take_row(self) -> Rows:
        """A copy of what is found."""
        row = start_rows(1)
        copy_row(self.rows, 0, row, 0)
        return row
