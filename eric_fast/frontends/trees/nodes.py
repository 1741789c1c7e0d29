"""Trees as other tools store them, node by node, checked and joined to a `FlatForest`."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.trees.forest import FlatForest, merge_comparisons
from eric_fast.program import Rule
from eric_fast.program.rules import count_offsets
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.leaf_numbers import LeafNumbers

Cases = tuple[tuple[tuple[str, float, bool], ...], ...]  # lists of comparisons: operator, constant, where missing
MOST_NAME = 200  # characters of a derived atom's name
MOST_DEPTH = 1024  # mean depth of leaves: bodies are paths, so a chain of n nodes would take n squared literals
_Node = TypeVar("_Node")


@dataclass(frozen=True, eq=False)
class StoredTree:
    """One tree. Node 0 is its root; nodes that no path leads to are ignored.

    Attributes:
        column: integers `[n_nodes]`: the column that a node compares; -1 at a leaf.
        constant: float `[n_nodes]`: what it is compared with; the column's kind must hold it exactly.
        yes, no: integers `[n_nodes]`: the children, by whether the comparison holds.
        missing: bool `[n_nodes]`: whether a missing value goes to `yes`.
        values: float `[n_nodes]`, what a leaf adds to `output`; or `[n_nodes, n_outputs]`, to each output.
        operator: of every comparison; or strings `[n_nodes]`.
        output: see `values`.
        sets: node -> the values that go to `yes`, instead of a comparison.
        excludes: nodes of `sets` whose values go to `no` instead.
        cases: node -> lists of comparisons (operator, constant, missing); `yes` if all of one list hold.
        numbers: integers `[n_nodes]`: the source's own numbers of leaves; None if it numbers nodes in this order.
    """

    column: NDArray[Any]
    constant: NDArray[Any]
    yes: NDArray[Any]
    no: NDArray[Any]
    missing: NDArray[Any]
    values: NDArray[Any]
    operator: str | NDArray[Any] = "<="
    output: int = 0
    sets: dict[int, tuple[float | str, ...]] = field(default_factory=dict)
    excludes: Collection[int] = ()
    cases: dict[int, Cases] = field(default_factory=dict)
    numbers: NDArray[Any] | None = None

    def shift_output(self, by: int) -> "StoredTree":
        """The same tree for a later output; its leaves must hold one value each."""
        return replace(self, output=self.output + by)


def list_nested(
    root: _Node, get_children: Callable[[_Node], tuple[_Node, _Node] | None]
) -> tuple[list[_Node], NDArray[np.int64], NDArray[np.int64]]:
    """The nodes of a tree of nested objects, level by level, and the places of their children; -1 at a leaf."""
    nodes, children = [root], []
    for node in nodes:  # it grows meanwhile
        found = get_children(node)
        children.append((-1, -1) if found is None else (len(nodes), len(nodes) + 1))
        nodes += found or ()
    first, second = np.array(children, np.int64).T
    return nodes, first, second


def list_runs(codes: Sequence[int], *, missing: bool = False, to_zero: bool = False) -> Cases:
    """Comparisons that hold of numbers whose integer part is one of these codes, for sources that truncate numbers.

    Args:
        codes: integers from 0, ascending, each once.
        missing: whether they hold of a missing value.
        to_zero: whether numbers between -1 and 0 are truncated to 0, too.
    """
    cases: list[tuple[tuple[str, float, bool], ...]] = []
    whole = np.array(codes, np.int64)
    for run in np.split(whole, np.flatnonzero(np.diff(whole) != 1) + 1) if codes else ():
        least = (">", -1.0) if run[0] == 0 and to_zero else (">=", float(run[0]))
        cases.append(((*least, missing), ("<", float(run[-1] + 1), missing)))
    return tuple(cases) or ((("<", -np.inf, missing),),)


def join_trees(
    columns: Sequence[Column], trees: Sequence[StoredTree], place: str, *, most_depth: float = MOST_DEPTH
) -> FlatForest:
    """One forest of all trees. Nodes that no path leads to make no atoms.

    Args:
        place: what errors call the model.
        most_depth: largest mean depth of leaves.

    Raises:
        ProgramError: a child or a column out of range, nodes that don't make a tree, a constant that is NaN.
    """
    sizes = [len(tree.column) for tree in trees]
    starts = count_offsets(np.array(sizes, np.int64))
    nodes = _concatenate(trees, starts, place)
    inner = _find_inner(nodes, starts, len(columns), place, most_depth)
    plain = inner.copy()  # compares with a number
    for start, tree in zip(starts.tolist(), trees, strict=False):
        plain[[start + node for node in (*tree.sets, *tree.cases)]] = False
    _refuse(plain & np.isnan(nodes.constant), "its threshold is NaN", starts, place)
    operators = nodes.operator if isinstance(nodes.operator, str) else nodes.operator[plain]
    tests = np.zeros(len(plain), np.int32)
    atoms, tests[plain] = merge_comparisons(
        columns, nodes.column[plain], operators, nodes.constant[plain], nodes.missing[plain]
    )
    others = None
    if (inner & ~plain).any():
        others = _OtherTests(columns, atoms)
        for start, tree in zip(starts.tolist(), trees, strict=False):
            others.add_tree(tree, inner[start:], tests[start:])
        tests = others.finish(tests)
    has_one_output = nodes.values.ndim == 1
    return FlatForest(
        tuple(columns),
        tuple(others.atoms) if others else atoms,
        starts[:-1],
        tests,
        nodes.yes,
        nodes.no,
        nodes.values[:, None] if has_one_output else nodes.values,
        outputs=np.array([tree.output for tree in trees], np.int32) if has_one_output else None,
        derived=tuple(others.bodies) if others else (),
        rules=tuple(others.list_rules()) if others else (),
    )


def number_leaves(
    forest: FlatForest, trees: Sequence[StoredTree], dtype: str, shape: tuple[int, ...] | None = None
) -> LeafNumbers:
    """What `RuleModel.apply` answers, of this dtype: `[n_rows, n_trees]`, or `[n_rows, *shape]`."""
    leaves, _ = forest.leaves
    numbers = _join([np.arange(len(tree.column)) if tree.numbers is None else tree.numbers for tree in trees], np.int64)
    return LeafNumbers(numbers[leaves], forest.find_trees(leaves), (len(trees),) if shape is None else shape, dtype)


def _concatenate(trees: Sequence[StoredTree], starts: NDArray[np.int64], place: str) -> StoredTree:
    """The nodes of all trees one after another, without sets and cases; children of leaves are -1.

    Args:
        starts: int64 `[n_trees + 1]`: where the nodes of each tree are.

    Raises:
        ProgramError: the leaves of some trees hold one value, those of others several.
    """
    if len({tree.values.ndim for tree in trees}) > 1:
        raise ProgramError(f"{place}: the leaves of some trees hold one value, those of others several")
    column, yes, no = (_join([getattr(tree, name) for tree in trees], np.int64) for name in ("column", "yes", "no"))
    shift = np.repeat(starts[:-1], np.diff(starts))
    leaf = column < 0
    for child in (yes, no):
        child += shift
        child[leaf] = -1
    operator: Any = [tree.operator for tree in trees]
    if all(isinstance(each, str) for each in operator) and len(set(operator)) <= 1:
        operator = operator[0] if operator else "<="
    else:
        operator = np.concatenate([np.broadcast_to(np.asarray(tree.operator), len(tree.column)) for tree in trees])
    return StoredTree(
        column,
        _join([tree.constant for tree in trees], np.float64),
        yes,
        no,
        _join([tree.missing for tree in trees], np.bool_),
        _join([tree.values for tree in trees], np.float64),
        operator,
    )


def _find_inner(
    nodes: StoredTree, starts: NDArray[np.int64], n_columns: int, place: str, most_depth: float
) -> NDArray[np.bool_]:
    """bool `[n_nodes]`: the nodes with children that a path leads to. Raises ProgramError: see `join_trees`."""
    leaf = nodes.column < 0
    firsts, lasts = (np.repeat(ends, np.diff(starts)) for ends in (starts[:-1], starts[1:]))
    for child in (nodes.yes, nodes.no):
        outside = (child < firsts) | (child >= lasts)
        _refuse(~leaf & outside, "its child is not a node of this tree", starts, place)
    reached = _find_nodes(starts[:-1], nodes.yes, nodes.no, place, most_depth)
    _refuse(reached & (nodes.column >= n_columns), f"it compares a feature past the last of {n_columns}", starts, place)
    finite = np.isfinite(nodes.values)
    if not finite.all():
        finite = finite.reshape(len(leaf), -1).all(axis=1)
        _refuse(leaf & reached & ~finite, "its value is not a finite number", starts, place)
    return reached & ~leaf


def _refuse(bad: NDArray[np.bool_], what: str, starts: NDArray[np.int64], place: str) -> None:
    """Raises ProgramError for the first bad node, if there is one."""
    if bad.any():
        node = int(bad.argmax())
        tree = int(np.searchsorted(starts, node, "right")) - 1
        raise ProgramError(f"{place}: tree {tree}, node {node - starts[tree]}: {what}")


def _join(arrays: Sequence[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays, dtype=dtype, casting="unsafe") if arrays else np.zeros(0, dtype)


def _find_nodes(roots: Any, yes: Any, no: Any, place: str, most_depth: float) -> NDArray[np.bool_]:
    """bool `[n_nodes]`: which nodes a path leads to. Raises ProgramError if two paths do, or paths are too long."""
    reached = np.zeros(len(yes), np.bool_)
    level, depth, n_visits, n_leaves, length_of_paths = roots, 0, 0, 0, 0
    not_trees = ProgramError(f"{place}: the nodes don't make trees: one is its own ancestor, or has two parents")
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
    if length_of_paths > most_depth * n_leaves:
        raise ProgramError(f"{place}: the mean depth of the leaves is more than {most_depth}")
    return reached


class _OtherTests:
    """Atoms for `sets` and `cases`, each once; derived atoms get their indices at the end."""

    def __init__(self, columns: Sequence[Column], atoms: Sequence[TableAtom]) -> None:
        self.columns, self.atoms = columns, list(atoms)
        self.place = {atom: i for i, atom in enumerate(atoms)}
        self.bodies: dict[str, list[tuple[int, ...]]] = {}  # by the name of the derived atom
        self.numbers: dict[str, int] = {}

    def add_tree(self, tree: StoredTree, inner: NDArray[np.bool_], tests: NDArray[np.int32]) -> None:
        """Write the tests of a tree's nodes; derived atoms are numbered from `_DERIVED` until `finish`."""
        for node, values in tree.sets.items():
            if inner[node]:
                column = int(tree.column[node])
                atom = TableAtom(column, self.columns[column].name, "in", values, bool(tree.missing[node]))
                index = self._add(atom)
                tests[node] = ~index if node in tree.excludes else index
        for node, cases in tree.cases.items():
            if inner[node]:
                tests[node] = self._add_cases(int(tree.column[node]), cases)

    def finish(self, tests: NDArray[np.int32]) -> NDArray[np.int32]:
        """The tests, with derived atoms numbered after all others."""
        return np.where(tests >= _DERIVED, tests - np.int32(_DERIVED) + np.int32(len(self.atoms)), tests)

    def list_rules(self) -> list[Rule]:
        """The rules for the derived atoms, which follow all others."""
        heads = range(len(self.atoms), len(self.atoms) + len(self.bodies))
        return [Rule(head, body) for head, bodies in zip(heads, self.bodies.values(), strict=True) for body in bodies]

    def _add(self, atom: TableAtom) -> int:
        index = self.place.setdefault(atom, len(self.atoms))
        if index == len(self.atoms):
            self.atoms.append(atom)
        return index

    def _add_cases(self, column: int, cases: Cases) -> int:
        name = self.columns[column].name
        bodies = [tuple(self._add(TableAtom(column, name, *test)) for test in case) for case in cases]
        if len(bodies) == 1 and len(bodies[0]) == 1:
            return bodies[0][0]
        said = " or ".join(" and ".join(self.atoms[atom].name for atom in body) for body in bodies)
        if said not in self.numbers:
            self.numbers[said] = len(self.numbers)
            short = said if len(said) <= MOST_NAME else f"{said[:MOST_NAME]}... ({self.numbers[said]})"
            self.bodies[short] = bodies
        return _DERIVED + self.numbers[said]


_DERIVED = 2**30
