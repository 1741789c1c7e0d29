"""Class rules to what decides: trees and lists as numbers in binary, whole weights as counts, the rest as they are."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import DecisionArrays, count_rules, count_set_bits, find_counted
from eric_fast.compile.highest import align_counts, choose_highest
from eric_fast.compile.indexes import (
    N_LEVELS,
    Items,
    Numbers,
    copy_number,
    index_list,
    list_rules,
    start_items,
    start_numbers,
)
from eric_fast.compile.nodes import (
    FAULT,
    FULL,
    N_NODES,
    TOO_WIDE,
    Diagram,
    forget_nodes,
    make_node,
    make_union,
    reserve_nodes,
)
from eric_fast.compile.tree_indexes import index_trees
from eric_fast.compile.trees import TREE_MISSING, TREE_START, TREE_STOP, Paths, Tree
from eric_fast.errors import EricError
from eric_fast.plan.steps import MOST_PLANES, Counter, Index

NODES_PER_LEAF = 4  # about; where there are more they are made again, with more room
MOST_ANSWER_WORK = 512  # class rules times digits of a class past two: more is dearer than a look in a table


class Decider(ABC):
    """What the class rules become, group by group, each in a section.

    Attributes:
        diagram: all nodes so far, those of rows too.
        indexes, planes, codes, fires, is_counted: as in `Steps`; `fires` is filled by the caller, who makes the values.
        counters, units, answers, covered: as in `Steps`, when all is added.
    """

    def __init__(
        self,
        decision: DecisionArrays,
        classes: NDArray[np.int64],
        trees: NDArray[np.int64],
        paths: Paths,
        tree: Tree,
        diagram: Diagram,
    ) -> None:
        """classes: int64 `[n_class_rules]`. trees: see `find_trees`. tree: room for the largest of them."""
        self.decision, self.trees, self.paths, self.tree, self.diagram = decision, trees, paths, tree, diagram
        self.false = diagram.false
        self.rule_of_leaf = (paths.order[paths.first :] - paths.first).astype(np.int32)
        self.class_of_leaf = classes[self.rule_of_leaf]
        self.fires = np.full(len(classes), -1, np.int32)
        self.is_counted = np.zeros(len(classes), np.bool_)
        self.numbers, self.codes_of_leaves = start_numbers(N_LEVELS), np.zeros(len(classes), np.int64)
        self.indexes: list[Index] = []
        self.planes: list[int] = []
        self.codes: list[NDArray[np.int32]] = []
        self.counters: list[Counter] = []
        self.units: list[float] = []
        self.answers: list[int] = []
        self.covered = self.false
        self.n_codes = 0

    @abstractmethod
    def add_trees(self, first: int, last: int, values: NDArray[np.int32]) -> None:
        """Add the trees `first:last`, whose nodes belong to the section at hand; values: int32 `[n_rows]`."""

    @abstractmethod
    def add_rules(self, first: int, last: int) -> None:
        """Add the class rules `first:last`, of a section that is done: nodes made now belong to the next."""

    @abstractmethod
    def finish(self) -> None:
        """All is added; nodes made now belong to the last section."""

    def reserve(self, n_nodes: int) -> None:
        """Make room for so many more nodes."""
        self.diagram = reserve_nodes(self.diagram, n_nodes)

    def place_trees(self, first: int, last: int) -> list[list[int]]:
        """The trees `first:last`, each the range of its class rules and how many leaves it lacks."""
        places: list[list[int]] = (self.trees[first:last] - [self.paths.first, self.paths.first, 0]).tolist()
        return places

    def _index_trees(
        self, first: int, last: int, values: NDArray[np.int32], answers: NDArray[np.int64], n_digits: int
    ) -> Numbers:
        """The numbers of the leaves that samples are in; or, with digits, the answers of those leaves."""
        trees = self.trees[first:last]
        codes = np.zeros_like(self.codes_of_leaves) if n_digits else self.codes_of_leaves
        room = NODES_PER_LEAF * int((trees[:, TREE_STOP] - trees[:, TREE_START] + trees[:, TREE_MISSING]).sum())
        arguments = (trees, self.paths, n_digits, answers, values, self.tree, self.numbers, codes)
        numbers: Numbers = self._make(room, lambda diagram: index_trees(*arguments, diagram))
        return numbers

    def _cover_trees(self, first: int, last: int, values: NDArray[np.int32]) -> NDArray[np.int64]:
        """The values that say where some leaf of each tree is reached: true for those that lack none."""
        if not self.trees[first:last, TREE_MISSING].any():
            return np.full(last - first, self.false + 1)
        return self._index_trees(first, last, values, np.ones_like(self.class_of_leaf), 1).planes[:, 0]

    def _make(self, room: int, make: Callable[[Diagram], Any]) -> Any:
        """What `make` gives, with room for more and more nodes until they are enough."""
        n_nodes = int(self.diagram.state[N_NODES])
        while True:
            self.reserve(room)
            made, state = make(self.diagram), self.diagram.state
            if state[FAULT] == TOO_WIDE:
                raise EricError(
                    f"the class rules are too many: numbering them takes more than {MOST_PLANES} binary digits"
                )
            if state[FAULT] != FULL:
                return made
            forget_nodes(self.diagram, n_nodes)
            state[FAULT], room = 0, 4 * room + 64

    def _add_index(self, numbers: Numbers, i: int, first: int, last: int) -> None:
        """Number `i` of these stands for one of the leaves `first:last`, or for none."""
        n_planes = int(numbers.n_planes[i])
        table = np.full(1 << n_planes, -1, np.int32)
        table[self.codes_of_leaves[first:last]] = self.rule_of_leaf[first:last]
        n = len(self.planes)
        self.indexes.append(Index(n, n + n_planes, self.n_codes, self.n_codes + len(table), first, last))
        self.planes += numbers.planes[i, :n_planes].tolist()
        self.codes.append(table)
        self.n_codes += len(table)

    def _add_tree_indexes(self, first: int, last: int, values: NDArray[np.int32]) -> Numbers:
        numbers = self._index_trees(first, last, values, self.class_of_leaf, 0)
        for i, (begin, end, _) in enumerate(self.place_trees(first, last)):
            self._add_index(numbers, i, begin, end)
        return numbers


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


class _Part(NamedTuple):
    """A part of the list of all class rules: a tree, a section, or nothing.

    Attributes:
        condition, negated: the value that says whether the part answers, and whether it is to be negated.
        numbers, answers: the part's number, and its answer, both in row `row`.
        first, last: its leaves.
        weight: how many leaves it counts for where the list is halved.
    """

    condition: int
    negated: bool
    numbers: Numbers
    answers: Numbers
    row: int
    first: int
    last: int
    weight: int


class ListDecider(Decider):
    """All class rules are one list; a tree is an item of it, and so is what a section has."""

    def __init__(self, decision: DecisionArrays, *rest: Any) -> None:
        super().__init__(decision, *rest)
        n_digits = max(decision.n_classes - 1, 0).bit_length()
        pays = (n_digits - 2) * len(self.fires) <= MOST_ANSWER_WORK
        self.n_digits = n_digits + 1 if pays else 0  # the last says that there is no answer
        self.sections: list[_Part] = []

    def add_trees(self, first: int, last: int, values: NDArray[np.int32]) -> None:
        numbers = self._add_tree_indexes(first, last, values)
        answers = start_numbers(last - first)
        if self.n_digits:
            answers = self._index_trees(first, last, values, self.class_of_leaf, self.n_digits)
        covers = self._cover_trees(first, last, values)
        trees = self.place_trees(first, last)
        parts = [
            _Part(int(cover), False, numbers, answers, t, begin, end, end - begin + missing)
            for t, (cover, (begin, end, missing)) in enumerate(zip(covers, trees, strict=True))
        ]
        self._add_section(*self._list_parts(parts), trees[0][TREE_START], trees[-1][TREE_STOP])

    def add_rules(self, first: int, last: int) -> None:
        items, answers = list_rules(first, last, self.fires, self.n_digits, self.class_of_leaf, self.false)
        self._add_section(items, answers, first, last)

    def finish(self) -> None:
        """The sections as a list, and, where none of them answers, nothing."""
        n_rules, n_digits, default = len(self.fires), self.n_digits, self.decision.default
        nothing = start_numbers(1)
        nothing.n_planes[0] = n_digits
        for j in range(n_digits):
            is_one = j + 1 == n_digits if default < 0 else default >> j & 1
            nothing.planes[0, j] = self.false + is_one
        last = _Part(self.false + 1, False, start_numbers(1), nothing, 0, n_rules, n_rules, 1)
        _, numbers, answers = self._index(*self._list_parts([*self.sections, last]))
        self._add_index(numbers, 0, 0, n_rules)
        self.answers = answers.planes[0, :n_digits].tolist()

    def _list_parts(self, parts: list[_Part]) -> tuple[Items, Items]:
        """Parts as items, and as items of answers."""
        items, answers = start_items(len(parts)), start_items(len(parts))
        for i, part in enumerate(parts):
            for into, source in ((items, part.numbers), (answers, part.answers)):
                into.conditions[i], into.negated[i] = part.condition, part.negated
                copy_number(source, part.row, into.numbers, i)
                into.weights[i + 1] = into.weights[i] + part.weight
            items.leaf_starts[i], items.leaf_starts[i + 1] = part.first, part.last
        items.leaf_stops[:] = items.leaf_starts[len(parts)]
        return items, answers

    def _add_section(self, items: Items, answers: Items, first: int, last: int) -> None:
        (value, negated), numbers, of_answers = self._index(items, answers)
        self.sections.append(_Part(int(value), bool(negated), numbers, of_answers, 0, first, last, last - first))

    def _index(self, items: Items, answers: Items) -> tuple[tuple[int, bool], Numbers, Numbers]:
        """The condition of a list, its number and its answer."""
        n = len(items.conditions)
        before = self.codes_of_leaves.copy()

        def index(diagram: Diagram) -> tuple[tuple[int, bool], Numbers]:
            self.codes_of_leaves[:] = before
            found = index_list(n, True, 0, items, self.numbers, self.codes_of_leaves, diagram)
            return found, self._take_number()

        condition, numbers = self._make(NODES_PER_LEAF * n, index)
        of_answers = start_numbers(1)
        if self.n_digits:
            arguments = (n, False, self.n_digits, answers, self.numbers, self.codes_of_leaves)
            self._make(self.n_digits * n, lambda diagram: index_list(*arguments, diagram))
            of_answers = self._take_number()
        return condition, numbers, of_answers

    def _take_number(self) -> Numbers:
        """A copy of the number that was found."""
        number: Numbers = start_numbers(1)
        copy_number(self.numbers, 0, number, 0)
        return number
