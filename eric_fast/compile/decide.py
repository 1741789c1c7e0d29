"""What class rules become, group by group: nodes and numbers of leaves, and what each way to decide does with them."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import DecisionArrays
from eric_fast.compile.indexes import N_LEVELS, Numbers, start_numbers
from eric_fast.compile.nodes import FAULT, FULL, N_NODES, TOO_WIDE, Diagram, forget_nodes, reserve_nodes
from eric_fast.compile.tree_indexes import index_trees
from eric_fast.compile.trees import TREE_MISSING, TREE_START, TREE_STOP, Paths, Tree
from eric_fast.errors import EricError
from eric_fast.plan.steps import MOST_PLANES, Counter, Index

NODES_PER_LEAF = 4  # about; where there are more they are made again, with more room


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
