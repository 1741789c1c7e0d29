"""Trees as other tools store them, node by node, checked and joined to a `Forest`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.trees.forest import Forest, list_comparisons
from eric_fast.program import Rule
from eric_fast.program.rules import count_offsets
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.leaves import Leaves

Cases = tuple[tuple[tuple[str, float, bool], ...], ...]  # lists of comparisons: operator, constant, where missing
MOST_NAME = 200  # characters of a derived atom's name
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
    cases: Mapping[int, Cases] = field(default_factory=dict)
    numbers: NDArray[Any] | None = None

    def shift_output(self, by: int) -> "Tree":
        """The same tree for the output that comes so many later; of a tree with one value a leaf."""
        return replace(self, output=self.output + by)


def list_runs(codes: Sequence[int], *, missing: bool = False, to_zero: bool = False) -> Cases:
    """What holds of the numbers whose whole part is one of these codes, for sources that cut off the rest.

    Args:
        codes: whole numbers from 0, ascending, each once.
        missing: the truth where the value is missing.
        to_zero: whether numbers between -1 and 0 are cut off to 0, too.
    """
    cases: list[tuple[tuple[str, float, bool], ...]] = []
    whole = np.array(codes, np.int64)
    for run in np.split(whole, np.flatnonzero(np.diff(whole) != 1) + 1) if codes else ():
        least = (">", -1.0) if run[0] == 0 and to_zero else (">=", float(run[0]))
        cases.append(((*least, missing), ("<", float(run[-1] + 1), missing)))
    return tuple(cases) or ((("<", -np.inf, missing),),)


def join_trees(columns: Sequence[Column], trees: Sequence[Tree], place: str) -> Forest:
    """One forest of all trees; only comparisons of nodes that a path leads to become atoms.

    Args:
        place: what errors call the model.

    Raises:
        ProgramError: a child or a column that there isn't, nodes that don't make a tree, a constant that is NaN.
    """
    flat = _flatten(trees, len(columns), place)
    plain = flat.inner.copy()  # compares with a number
    starts = flat.starts[:-1].tolist()
    for start, tree in zip(starts, trees, strict=True):
        for node in (*tree.sets, *tree.cases):
            plain[start + node] = False
    flat.refuse(plain & np.isnan(flat.constant), "it compares with NaN")
    tests = np.zeros(len(plain), np.int32)
    atoms, tests[plain] = list_comparisons(
        columns, flat.column[plain], _list_operators(trees, plain), flat.constant[plain], flat.missing[plain]
    )
    others = None
    if (flat.inner & ~plain).any():
        others = _OtherTests(columns, atoms)
        for start, tree in zip(starts, trees, strict=True):
            others.add_tree(tree, flat.inner[start : start + len(tree.column)], tests[start:])
        tests = others.finish(tests)
    return Forest(
        tuple(columns),
        tuple(others.atoms) if others else atoms,
        flat.starts[:-1],
        tests,
        flat.yes,
        flat.no,
        flat.values,
        outputs=np.array([tree.output for tree in trees], np.int32) if flat.one_each else None,
        derived=tuple(others.bodies) if others else (),
        rules=tuple(others.list_rules()) if others else (),
    )


def number_leaves(forest: Forest, trees: Sequence[Tree], dtype: str) -> Leaves:
    """What `RuleModel.apply` answers, `[n_rows, n_trees]` of this dtype."""
    leaves, _ = forest.leaves
    numbers = _join([np.arange(len(tree.column)) if tree.numbers is None else tree.numbers for tree in trees], np.int64)
    return Leaves(numbers[leaves], forest.find_trees(leaves), (len(trees),), dtype)


@dataclass(frozen=True, eq=False)
class _Flat:
    """All trees' nodes one after another, `[n_nodes]` each, children counted so, too.

    Attributes:
        starts: int64 `[n_trees + 1]`: where each tree's nodes are.
        inner: the nodes that a path leads to and that are no leaves.
        values: `[n_nodes, n_outputs]`; `[n_nodes, 1]` where `one_each`: each tree has one output.
    """

    place: str
    starts: NDArray[np.int64]
    column: NDArray[np.int64]
    constant: NDArray[np.float64]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    missing: NDArray[np.bool_]
    inner: NDArray[np.bool_]
    values: NDArray[np.float64]
    one_each: bool

    def refuse(self, bad: NDArray[np.bool_], what: str) -> None:
        """Raises ProgramError for the first of the bad nodes, if there is one."""
        if bad.any():
            node = int(bad.argmax())
            tree = int(np.searchsorted(self.starts, node, "right")) - 1
            raise ProgramError(f"{self.place}: tree {tree}, node {node - self.starts[tree]}: {what}")


def _flatten(trees: Sequence[Tree], n_columns: int, place: str) -> _Flat:
    """Raises ProgramError: a child or a column that there isn't, nodes that don't make a tree, mixed leaves."""
    sizes = np.array([len(tree.column) for tree in trees], np.int64)
    starts = count_offsets(sizes)
    one_each = all(tree.values.ndim == 1 for tree in trees)
    if not one_each and any(tree.values.ndim == 1 for tree in trees):
        raise ProgramError(f"{place}: some trees' leaves hold a number, and others' several")
    column, yes, no = (_join([getattr(tree, name) for tree in trees], np.int64) for name in ("column", "yes", "no"))
    leaf = column < 0
    shift = np.repeat(starts[:-1], sizes)
    values = _join([tree.values for tree in trees], np.float64)
    flat = _Flat(
        place,
        starts,
        column,
        _join([tree.constant for tree in trees], np.float64),
        np.where(leaf, -1, yes + shift),
        np.where(leaf, -1, no + shift),
        _join([tree.missing for tree in trees], np.bool_),
        ~leaf,
        values[:, None] if one_each else values,
        one_each,
    )
    for child in (yes, no):
        flat.refuse(~leaf & ((child < 0) | (child >= np.repeat(sizes, sizes))), "its child is not a node of this tree")
    reached = _find_nodes(starts[:-1], flat.yes, flat.no, place)
    flat.refuse(reached & (column >= n_columns), f"it compares a feature past the {n_columns} that there are")
    flat.refuse(leaf & reached & ~np.isfinite(flat.values).all(axis=1), "its value is not a finite number")
    return replace(flat, inner=reached & ~leaf)


def _list_operators(trees: Sequence[Tree], nodes: NDArray[np.bool_]) -> Any:
    """The operators of these nodes, bool `[n_nodes]` of all trees: one text where all have one."""
    found = [tree.operator for tree in trees]
    if all(isinstance(operator, str) for operator in found) and len(set(map(str, found))) <= 1:
        return found[0] if found else "<="
    return np.concatenate([np.broadcast_to(np.asarray(tree.operator), len(tree.column)) for tree in trees])[nodes]


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

    def __init__(self, columns: Sequence[Column], atoms: Sequence[TableAtom]) -> None:
        self.columns, self.atoms = columns, list(atoms)
        self.place = {atom: i for i, atom in enumerate(atoms)}
        self.bodies: dict[str, list[tuple[int, ...]]] = {}  # by the name of the derived atom
        self.numbers: dict[str, int] = {}

    def add_tree(self, tree: Tree, inner: NDArray[np.bool_], tests: NDArray[np.int32]) -> None:
        """Write the tests of a tree's nodes, those of derived atoms as numbers past any atom's until `finish`."""
        for node, values in tree.sets.items():
            if inner[node]:
                column = int(tree.column[node])
                atom = TableAtom(column, self.columns[column].name, "in", values, bool(tree.missing[node]))
                tests[node] = self._add(atom)
        for node, cases in tree.cases.items():
            if inner[node]:
                tests[node] = self._add_cases(int(tree.column[node]), cases)

    def finish(self, tests: NDArray[np.int32]) -> NDArray[np.int32]:
        """The tests, with the indices that derived atoms have now that all others are known."""
        return np.where(tests >= _DERIVED, tests - np.int32(_DERIVED) + np.int32(len(self.atoms)), tests)

    def list_rules(self) -> list[Rule]:
        """Where the derived atoms, which follow all others, are true."""
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
