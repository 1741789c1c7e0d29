"""Class rules of which the first that fires decides: a list, numbered in binary."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import DecisionArrays
from eric_fast.compile.decide import NODES_PER_LEAF, Decider
from eric_fast.compile.indexes import (
    ItemLists,
    Numbers,
    copy_number,
    index_list,
    list_rules,
    start_items,
    start_numbers,
)
from eric_fast.compile.nodes import Diagram, Signed
from eric_fast.compile.trees import TREE_START, TREE_STOP

MOST_ANSWER_WORK = 512  # class rules times digits of a class past two: more is dearer than a look in a table


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


class _Indexed(NamedTuple):
    """The condition of a list, its number and its answer."""

    condition: Signed
    numbers: Numbers
    answers: Numbers


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
        self._add_section(self._list_parts(parts), trees[0][TREE_START], trees[-1][TREE_STOP])

    def add_rules(self, first: int, last: int) -> None:
        lists = list_rules(first, last, self.fires, self.n_digits, self.class_of_leaf, self.false)
        self._add_section(lists, first, last)

    def finish(self) -> None:
        """The sections as a list, and, where none of them answers, nothing."""
        n_rules, n_digits, default = len(self.fires), self.n_digits, self.decision.default
        nothing = start_numbers(1)
        nothing.n_planes[0] = n_digits
        for j in range(n_digits):
            is_one = j + 1 == n_digits if default < 0 else default >> j & 1
            nothing.planes[0, j] = self.false + is_one
        last = _Part(self.false + 1, False, start_numbers(1), nothing, 0, n_rules, n_rules, 1)
        indexed = self._index(self._list_parts([*self.sections, last]))
        self._add_index(indexed.numbers, 0, 0, n_rules)
        self.answers = indexed.answers.planes[0, :n_digits].tolist()

    def _list_parts(self, parts: list[_Part]) -> ItemLists:
        items, answers = start_items(len(parts)), start_items(len(parts))
        for i, part in enumerate(parts):
            for into, source in ((items, part.numbers), (answers, part.answers)):
                into.conditions[i], into.negated[i] = part.condition, part.negated
                copy_number(source, part.row, into.numbers, i)
                into.weights[i + 1] = into.weights[i] + part.weight
            items.leaf_starts[i], items.leaf_starts[i + 1] = part.first, part.last
        items.leaf_stops[:] = items.leaf_starts[len(parts)]
        return ItemLists(items, answers)

    def _add_section(self, lists: ItemLists, first: int, last: int) -> None:
        (value, negated), numbers, answers = self._index(lists)
        self.sections.append(_Part(int(value), bool(negated), numbers, answers, 0, first, last, last - first))

    def _index(self, lists: ItemLists) -> _Indexed:
        n = len(lists.items.conditions)
        before = self.codes_of_leaves.copy()

        def index(diagram: Diagram) -> Signed:
            self.codes_of_leaves[:] = before
            condition: Signed = index_list(n, True, 0, lists.items, self.numbers, self.codes_of_leaves, diagram)
            return condition

        condition, numbers = self._make(NODES_PER_LEAF * n, index), self._take_number()
        answers = start_numbers(1)
        if self.n_digits:
            arguments = (n, False, self.n_digits, lists.answers, self.numbers, self.codes_of_leaves)
            self._make(self.n_digits * n, lambda diagram: index_list(*arguments, diagram))
            answers = self._take_number()
        return _Indexed(condition, numbers, answers)

    def _take_number(self) -> Numbers:
        """A copy of the number that was found."""
        number: Numbers = start_numbers(1)
        copy_number(self.numbers, 0, number, 0)
        return number
