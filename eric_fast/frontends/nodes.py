"""Trees as other tools store them, node by node, checked and joined to a `Forest`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.forest import Forest, list_comparisons
from eric_fast.frontends.leaves import Leaves
from eric_fast.program import Rule
from eric_fast.quantiser import Column, TableAtom
from eric_fast.rules import count_offsets

MOST_DEPTH = 1024  # of leaves on average: a program's bodies are the paths, so a chain of n nodes costs n squared


@dataclass(frozen=True, eq=False)
class Tree:
    """One tree; node 0 is its root, and nodes that no path leads to don't matter.

    Attributes:
        column: integers `[n_nodes]`: what a node compares; -1 at a leaf.
        constant: float `[n_nodes]`: with what; the column's kind must hold it exactly.
        yes, no: integers `[n_nodes]`: where a sample goes on.
        missing: bool `[n_nodes]`: whether a missing value goes to `yes`.
        values: float `[n_nodes]`, what a leaf adds to `output`; or `[n_nodes, n_outputs]`, to each output.
        operator: of every comparison; or texts `[n_nodes]`.
        output: see `values`.
        sets: nodes that ask whether the value is one of these, and don't compare.
        cases: nodes that ask whether all comparisons of one of several lists hold; each (operator, constant, missing).
        numbers: integers `[n_nodes]`: the source's own numbers of leaves; None where they are those of the nodes.
    """

    column: NDArray[Any]
    constant: NDArray[Any]
    yes: NDArray[Any]
    no: NDArray[Any]
    missing: NDArray[Any]
    values: NDArray[Any]
    operator: str | NDArray[Any] = "<="
    output: int = 0
    sets: Mapping[int, tuple[float | str, ...]] = field(default_factory=dict)
    cases: Mapping[int, tuple[tuple[tuple[str, float, bool], ...], ...]] = field(default_factory=dict)
    numbers: NDArray[Any] | None = None

    def shift_output(self, by: int) -> "Tree":
        """The same tree for the output that comes so many later; of a tree with one value a leaf."""
        return replace(self, output=self.output + by)


def join_trees(columns: Sequence[Column], trees: Sequence[Tree], place: str) -> Forest:
    """One forest of all trees; only comparisons of nodes that a path leads to become atoms.

    Args:
        place: what errors call the model.

    Raises:
        ProgramError: a child or a column that there isn't, nodes that don't make a tree, a constant that is NaN.
    """
    sizes = [len(tree.column) for tree in trees]
    starts = count_offsets(sizes)
    shift = np.repeat(starts[:-1], sizes)
    column, yes, no = (_join([getattr(tree, name) for tree in trees], np.int64) for name in ("column", "yes", "no"))
    constant = _join([tree.constant for tree in trees], np.float64)
    missing = _join([tree.missing for tree in trees], np.bool_)
    leaf = column < 0

    def fail(bad: NDArray[np.bool_], what: str) -> ProgramError:
        node = int(bad.argmax())
        tree = int(np.searchsorted(starts, node, "right")) - 1
        return ProgramError(f"{place}: tree {tree}, node {node - starts[tree]}: {what}")

    n_nodes_of = np.repeat(np.array(sizes, np.int64), sizes)
    for child in (yes, no):
        bad = ~leaf & ((child < 0) | (child >= n_nodes_of))
        if bad.any():
            raise fail(bad, "its child is not a node of this tree")
    yes, no = np.where(leaf, -1, yes + shift), np.where(leaf, -1, no + shift)
    reached = _find_nodes(starts[:-1], yes, no, place)
    inner = reached & ~leaf
    bad = inner & (column >= len(columns))
    if bad.any():
        raise fail(bad, f"it compares a feature past the {len(columns)} that there are")

    special = np.zeros(len(column), np.bool_)  # compares in another way
    for start, tree in zip(starts[:-1].tolist(), trees, strict=True):
        for node in (*tree.sets, *tree.cases):
            special[start + node] = True
    plain = inner & ~special
    bad = plain & np.isnan(constant)
    if bad.any():
        raise fail(bad, "it compares with NaN")

    by_node = [tree.operator for tree in trees]
    if all(isinstance(operator, str) and operator == by_node[0] for operator in by_node):
        operators: Any = by_node[0] if by_node else "<="
    else:
        operators = np.concatenate(
            [np.broadcast_to(np.asarray(operator), size) for operator, size in zip(by_node, sizes, strict=True)]
        )[plain]
    tests = np.zeros(len(column), np.int32)
    atoms, tests[plain] = list_comparisons(columns, column[plain], operators, constant[plain], missing[plain])
    others = _OtherTests(columns, list(atoms))
    for start, tree in zip(starts[:-1].tolist(), trees, strict=True):
        for node, values in tree.sets.items():
            if inner[start + node]:
                tests[start + node] = others.add_set(int(column[start + node]), values, bool(missing[start + node]))
        for node, bodies in tree.cases.items():
            if inner[start + node]:
                tests[start + node] = others.add_cases(int(column[start + node]), bodies)
    tests = others.finish(tests)
    one_each = all(tree.values.ndim == 1 for tree in trees)
    values = _join([tree.values for tree in trees], np.float64) if trees else np.zeros(0)
    bad = leaf & reached & ~np.isfinite(values if one_each else values.sum(axis=1))
    if bad.any():
        raise fail(bad, "its value is not a finite number")
    return Forest(
        tuple(columns),
        tuple(others.atoms),
        starts[:-1],
        tests,
        yes,
        no,
        values[:, None] if one_each else values,
        outputs=np.array([tree.output for tree in trees], np.int32) if one_each else None,
        derived=tuple(others.derived),
        rules=tuple(others.rules),
    )


def number_leaves(forest: Forest, trees: Sequence[Tree], dtype: str) -> Leaves:
    """What `RuleModel.apply` answers, `[n_rows, n_trees]` of this dtype."""
    leaves, _ = forest.leaves
    numbers = _join([np.arange(len(tree.column)) if tree.numbers is None else tree.numbers for tree in trees], np.int64)
    return Leaves(numbers[leaves], forest.find_trees(leaves), (len(trees),), dtype)


def _join(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays).astype(dtype) if arrays else np.zeros(0, dtype)


def _find_nodes(roots: Any, yes: Any, no: Any, place: str) -> NDArray[np.bool_]:
    """bool `[n_nodes]`: which a path leads to. Raises ProgramError where two paths do, and where paths are too long."""
    reached = np.zeros(len(yes), np.bool_)
    level, depth, n_visits, n_leaves, length_of_paths = roots, 0, 0, 0, 0
    not_trees = ProgramError(f"{place}: the nodes are not trees: one is its own ancestor, or the child of two")
    while len(level):
        n_visits += len(level)
        if n_visits > len(yes) or reached[level].any():
            raise not_trees
        reached[level] = True
        inner = level[yes[level] >= 0]
        n_leaves += len(level) - len(inner)
        length_of_paths += depth * (len(level) - len(inner))
        level = np.concatenate([yes[inner], no[inner]])
        depth += 1
    if n_visits > reached.sum():
        raise not_trees
    if length_of_paths > MOST_DEPTH * n_leaves:
        raise ProgramError(f"{place}: leaves lie deeper than {MOST_DEPTH} nodes on average")
    return reached


class _OtherTests:
    """Atoms that are no comparison with one number, each once; those that are derived get their indices at the end."""

    def __init__(self, columns: Sequence[Column], atoms: list[TableAtom]) -> None:
        self.columns, self.atoms = columns, atoms
        self.place = {atom: i for i, atom in enumerate(atoms)}
        self.derived: list[str] = []
        self.bodies: dict[str, tuple[int, tuple[tuple[int, ...], ...]]] = {}
        self.rules: list[Rule] = []

    def _add(self, atom: TableAtom) -> int:
        index = self.place.setdefault(atom, len(self.atoms))
        if index == len(self.atoms):
            self.atoms.append(atom)
        return index

    def add_set(self, column: int, values: tuple[float | str, ...], missing: bool) -> int:
        return self._add(TableAtom(column, self.columns[column].name, "in", values, missing))

    def add_cases(self, column: int, cases: tuple[tuple[tuple[str, float, bool], ...], ...]) -> int:
        """What stands for the derived atom until `finish`: a number past those of any atom."""
        name = self.columns[column].name
        bodies = tuple(tuple(self._add(TableAtom(column, name, *test)) for test in case) for case in cases)
        said = " or ".join(" and ".join(self.atoms[atom].name for atom in body) for body in bodies)
        number, _ = self.bodies.setdefault(said, (len(self.bodies), bodies))
        return _DERIVED + number

    def finish(self, tests: NDArray[np.int32]) -> NDArray[np.int32]:
        """The tests, with the indices that derived atoms have now that all others are known."""
        for name, (number, bodies) in self.bodies.items():
            self.derived.append(name)
            self.rules += [Rule(len(self.atoms) + number, body) for body in bodies]
        return np.where(tests >= _DERIVED, tests - _DERIVED + len(self.atoms), tests).astype(np.int32)


_DERIVED = 2**30
