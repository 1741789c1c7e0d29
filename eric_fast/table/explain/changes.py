"""Nearest counterfactuals of a row: the fewest columns to change for each other class, and of those the least change.

All changes of one column, of two and so on are evaluated as long as there are at most `MOST_CHANGED` of them. For a
list of rules and a single tree, the nearest row of each rule is tried beside; of a tree that is the nearest of all. For
other votes, columns are changed one after another, each time so that the class comes nearest. Every answer is the
model's own, on the changed row.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels import expect
from eric_fast.program import atom_of
from eric_fast.table.explain.choices import ColumnChoices
from eric_fast.table.explain.rows import Row
from eric_fast.table.model import RuleModel
from eric_fast.table.table import Table

MOST_CHANGED = 2**17
MOST_NEAREST = 20_000  # whose nearest rows are tried
MOST_CLIMBS = 3  # classes of a vote that are climbed to
MOST_STEPS = 12
_BATCH = 2**14

Combinations = NDArray[np.int32]  # [n, n_choosing_columns]: for each column the index of a choice, 0 for the row's own


class ColumnChange(NamedTuple):
    """A change of one column: its name, the value before and after, and the latter in words."""

    column: str
    before: Any
    after: Any
    words: str


class RowCounterfactual(NamedTuple):
    """What would have to change for one class.

    Attributes:
        target: the class, an index of the program's.
        changes: of columns; None if no row of this class was found.
        is_least: whether no change of fewer columns leads to the class or, without `changes`, none at all.
        n_least: so many columns at least must change.
    """

    target: int
    changes: tuple[ColumnChange, ...] | None
    is_least: bool
    n_least: int


class ColumnReach(NamedTuple):
    """How far one column alone can move a sum: the lowest and the highest answer, and the values that lead to them."""

    column: str
    lowest: float
    highest: float
    lowest_at: str
    highest_at: str


class RowSearch:
    """The changed rows of one row, evaluated by the model."""

    def __init__(self, model: RuleModel, row: Row, choices: Sequence[ColumnChoices]) -> None:
        self._model, self._row, self._choices = model, row, choices
        self._names = [column.name for column in model.program.table_quantiser.columns]

    def find_counterfactuals(self, answer: int) -> tuple[RowCounterfactual, ...]:
        """For each class but the answer, those of the fewest columns first."""
        targets = [c for c in range(len(self._model.program.classes)) if c != answer]
        best: dict[int, Combinations] = {}
        is_tree = self._is_tree()
        n_tried = 0 if is_tree else self._try_sizes(targets, best)
        if is_tree or (self._model.program.decision.takes_first and len(best) < len(targets)):
            rows = self._list_nearest()
            self._keep_best(rows, self._find_classes(rows), [c for c in targets if c not in best], best)
        if self._model.program.decision.adds_weights and not is_tree:
            for target in self._list_near(targets, best):
                climbed = self._climb(target)
                if climbed is not None:
                    best[target] = climbed
        is_all = is_tree or n_tried == len(self._choices)
        found = []
        for target in targets:
            combination = best.get(target)
            changes = None if combination is None else self._describe(combination)
            n = n_tried + 1 if changes is None else len(changes)
            is_least = is_all or (changes is not None and n <= n_tried + 1)
            found.append(RowCounterfactual(target, changes, is_least, n if is_least else n_tried + 1))
        return tuple(sorted(found, key=lambda one: (one.changes is None, len(one.changes or ()), one.target)))

    def find_reaches(self) -> tuple[ColumnReach, ...]:
        """For each column what it alone can make of a sum, the widest ranges first."""
        singles = self._list_singles(np.zeros(len(self._choices), np.int32))
        rows = np.concatenate([np.zeros((1, len(self._choices)), np.int32), singles])
        answers = np.asarray(self._model.predict(self._make_table(rows)), np.float64).reshape(len(rows), -1)[:, 0]
        found = []
        for place, choices in enumerate(self._choices):
            own = np.append(0, np.flatnonzero(rows[:, place]))
            low, high = own[answers[own].argmin()], own[answers[own].argmax()]
            at = [choices.words[rows[i, place]] or "as it is" for i in (low, high)]
            found.append(ColumnReach(self._names[choices.column], float(answers[low]), float(answers[high]), *at))
        return tuple(sorted(found, key=lambda one: one.lowest - one.highest))

    def _try_sizes(self, targets: Sequence[int], best: dict[int, Combinations]) -> int:
        """Evaluate all changes of one column, of two, and so on; gives back of how many."""
        n_rows = n_tried = 0
        while len(best) < len(targets) and n_tried < len(self._choices):
            n_rows += _count_changes([len(choices.values) - 1 for choices in self._choices], n_tried + 1)
            if n_rows > MOST_CHANGED:
                break
            n_tried += 1
            missing = [target for target in targets if target not in best]
            found: dict[int, Combinations] = {}
            for rows in self._iterate_changes(n_tried):
                self._keep_best(rows, self._find_classes(rows), missing, found)
            best |= found
        return n_tried

    def _iterate_changes(self, size: int) -> Iterator[Combinations]:
        """All changes of so many columns, some thousands at a time."""
        waiting: list[Combinations] = []
        n_waiting = 0
        for places in combinations(range(len(self._choices)), size):
            ranges = [np.arange(1, len(self._choices[place].values)) for place in places]
            grid = np.stack(np.meshgrid(*ranges, indexing="ij"), axis=-1).reshape(-1, size)
            rows = np.zeros((len(grid), len(self._choices)), np.int32)
            rows[:, places] = grid
            waiting.append(rows)
            n_waiting += len(rows)
            if n_waiting >= _BATCH:
                yield np.concatenate(waiting)
                waiting, n_waiting = [], 0
        if waiting:
            yield np.concatenate(waiting)

    def _list_singles(self, combination: Combinations) -> Combinations:
        """A row for every choice of every column, besides what is changed already."""
        parts = []
        for place, choices in enumerate(self._choices):
            rows = np.repeat(combination[None], len(choices.values) - 1, axis=0)
            rows[:, place] = np.arange(1, len(choices.values))
            parts.append(rows)
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.int32)

    def _list_nearest(self) -> Combinations:
        """For each class rule the nearest row that its comparisons hold on; none if there is none."""
        place_of: dict[int, tuple[int, int]] = {}
        for place, choices in enumerate(self._choices):
            place_of |= {atom: (place, i) for i, atom in enumerate(choices.atoms.tolist())}
        found = {}
        for rule in list(self._model.program.class_rules)[:MOST_NEAREST]:
            wanted: dict[int, list[tuple[int, bool]]] = {}
            for literal in () if rule.bound else rule.body:
                if atom_of(literal) in place_of:
                    place, i = place_of[atom_of(literal)]
                    wanted.setdefault(place, []).append((i, literal >= 0))
            combination = np.zeros(len(self._choices), np.int32)
            for place, tests in wanted.items():
                bits = self._choices[place].bits
                fits = np.flatnonzero((bits[:, [i for i, _ in tests]] == [is_true for _, is_true in tests]).all(axis=1))
                if not len(fits):
                    break
                combination[place] = fits[self._choices[place].costs[fits].argmin()]
            else:
                found[combination.tobytes()] = combination
        return np.array(list(found.values()), np.int32).reshape(len(found), len(self._choices))

    def _list_near(self, targets: Sequence[int], best: dict[int, Combinations]) -> list[int]:
        """The classes without a row yet that have the most points."""
        missing = [target for target in targets if target not in best]
        if not missing or not self._choices:
            return []
        scores = expect(self._model.evaluate(self._row.table, scores=True).scores).numpy()[0]
        return sorted(missing, key=lambda target: -scores[target])[:MOST_CLIMBS]

    def _climb(self, target: int) -> Combinations | None:
        """Change one column after another, each time so that the class comes nearest, as long as it does."""
        combination = np.zeros(len(self._choices), np.int32)
        nearest = -np.inf
        for _ in range(MOST_STEPS):
            rows = self._list_singles(combination)
            table = self._make_table(rows)
            reached = np.flatnonzero(self._model.predict_indices(table) == target)
            if len(reached):
                return self._shrink(self._pick_nearest(rows[reached]), target)
            scores = expect(self._model.evaluate(table, scores=True).scores).numpy().copy()
            own = scores[:, target].copy()
            scores[:, target] = -np.inf
            leads = own - scores.max(axis=1)
            if leads.max() <= nearest:
                return None
            nearest, combination = leads.max(), rows[leads.argmax()]
        return None

    def _shrink(self, combination: Combinations, target: int) -> Combinations:
        """For each change in turn the least one, none if possible, that still leads to the class."""
        for place in np.flatnonzero(combination).tolist():
            rows = np.repeat(combination[None], len(self._choices[place].values), axis=0)
            rows[:, place] = np.arange(len(rows))
            combination = self._pick_nearest(rows[self._find_classes(rows) == target])
        return combination

    def _keep_best(
        self,
        rows: Combinations,
        classes: NDArray[np.int32],
        targets: Sequence[int],
        best: dict[int, Combinations],
    ) -> None:
        """For each target the row of the fewest changes, and of those the least change."""
        for target in targets:
            fitting = rows[classes == target]
            if target in best:
                fitting = np.concatenate([best[target][None], fitting])
            if len(fitting):
                best[target] = self._pick_nearest(fitting)

    def _pick_nearest(self, rows: Combinations) -> Combinations:
        costs = np.zeros(len(rows))
        for place, choices in enumerate(self._choices):
            costs += choices.costs[rows[:, place]]
        nearest: Combinations = rows[np.lexsort((costs, np.count_nonzero(rows, axis=1)))[0]]
        return nearest

    def _find_classes(self, rows: Combinations) -> NDArray[np.int32]:
        if not len(rows):
            return np.zeros(0, np.int32)
        parts = [rows[first : first + _BATCH] for first in range(0, len(rows), _BATCH)]
        return np.concatenate([self._model.predict_indices(self._make_table(part)) for part in parts])

    def _make_table(self, rows: Combinations) -> Table:
        changed = {c.place: (c.values, rows[:, place].astype(np.int64)) for place, c in enumerate(self._choices)}
        return self._row.vary(changed, len(rows))

    def _describe(self, combination: Combinations) -> tuple[ColumnChange, ...]:
        changes = []
        for place, index in enumerate(combination.tolist()):
            choices = self._choices[place]
            if index:
                name = self._names[choices.column]
                changes.append(ColumnChange(name, choices.values[0], choices.values[index], choices.words[index]))
        return tuple(changes)

    def _is_tree(self) -> bool:
        """Whether the class rules are the leaves of one tree, of which exactly one fires."""
        trees, n_rules = self._model.evaluator.plan.trees.tolist(), len(self._model.program.class_rules)
        is_flat = not self._model.program.kernel_rules and n_rules <= MOST_NEAREST
        return len(trees) == 1 and trees[0][:2] == [0, n_rules] and is_flat


def _count_changes(sizes: Sequence[int], n_columns: int) -> int:
    """In how many ways so many columns can be changed, each to one of its other choices."""
    ways = [1] + [0] * n_columns
    for size in sizes:
        for n in range(n_columns, 0, -1):
            ways[n] += size * ways[n - 1]
    return ways[n_columns]
