"""Decision trees as flat arrays, and as the class rules of a program: one rule for each leaf."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.program import ClassRules, Decision, Program, Rule
from eric_fast.program.rules import count_offsets
from eric_fast.program.table_atoms import TABLE_OPERATORS, Column, TableAtom, TableAtoms, TableQuantiser


@dataclass(frozen=True, eq=False)
class FlatForest:
    """Trees whose leaves add numbers to outputs; nodes of one tree lie together, each before its children.

    Attributes:
        columns: of the table.
        atoms: the comparisons, each once.
        roots: int64 `[n_trees]`: the root of each tree, ascending.
        tests: int32 `[n_nodes]`: the literal, `atom` or `~atom`, that leads to `yes`; 0 at a leaf.
        yes, no: int64 `[n_nodes]`: the children; -1 at a leaf.
        values: float64 `[n_nodes, n_outputs]`: what a leaf adds; `[n_nodes, 1]` if each tree has one output.
        outputs: int32 `[n_trees]`: the one output of each tree; None if leaves add to all outputs.
        derived: names of derived atoms, which `tests` may hold, too.
        rules: their rules; see `Program.kernel_rules`.
    """

    columns: tuple[Column, ...]
    atoms: tuple[TableAtom, ...] | TableAtoms
    roots: NDArray[np.int64]
    tests: NDArray[np.int32]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    values: NDArray[np.float64]
    outputs: NDArray[np.int32] | None = None
    derived: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()

    @cached_property
    def leaves(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Leaves as nodes, int64 `[n_leaves]`, in the order of their rules; and the length of the path to each.

        Raises:
            ProgramError: nodes that don't make trees.
        """
        from eric_fast.frontends.trees.leaf_paths import count_leaves  # Numba loads when it is needed
        from eric_fast.jit import call_sparing

        leaves, lengths = call_sparing(count_leaves, len(self.yes), self.roots, self.yes, self.no)
        if len(leaves) == 0 and len(self.roots):
            raise ProgramError("the nodes don't make trees: one is its own ancestor, or has two parents")
        return leaves, lengths

    def find_trees(self, nodes: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tree of each node."""
        return np.searchsorted(self.roots, nodes, side="right") - 1


def merge_comparisons(
    columns: Sequence[Column],
    column_of_test: NDArray[Any],
    operators: Sequence[str] | NDArray[Any] | str,
    constants: NDArray[Any],
    missing: NDArray[np.bool_] | bool = False,
) -> tuple[TableAtoms, NDArray[np.int32]]:
    """The different comparisons of many tests with numbers, sorted by column and constant; and the one of each test.

    Args:
        column_of_test: integers `[n_tests]`.
        operators: of `TABLE_OPERATORS` but `in`; one for all, or one for each.
        constants: float `[n_tests]`, which the column's kind must hold exactly.
        missing: whether it holds of a missing value.
    """
    n_tests = len(column_of_test)
    names, codes = np.unique(np.atleast_1d(np.asarray(operators, str)), return_inverse=True)
    places = np.array([TABLE_OPERATORS.index(name) for name in names.tolist()], np.int8)
    test_constants = np.asarray(constants, np.float64) + 0.0  # -0.0 compares as 0.0 does
    test_columns = np.asarray(column_of_test, np.int32)
    test_operators = np.broadcast_to(places[codes], n_tests)
    test_missing = np.broadcast_to(np.asarray(missing, np.bool_), n_tests)
    keys = [test_missing, test_operators, test_constants, test_columns]
    keys = [key for key in keys if (key != key[:1]).any()] or [test_columns]  # sorting by each takes long
    order = np.lexsort(keys)
    is_new = np.ones(n_tests, np.bool_)
    is_new[1:] = False
    for key in keys:
        in_order = key[order]
        is_new[1:] |= in_order[1:] != in_order[:-1]
    atom_of_test = np.empty(n_tests, np.int32)
    atom_of_test[order] = np.cumsum(is_new, dtype=np.int32) - 1
    first = order[is_new]
    features = tuple(column.name for column in columns)
    atoms = TableAtoms(features, test_columns[first], test_operators[first], test_constants[first], test_missing[first])
    return atoms, atom_of_test


def make_program(
    forest: FlatForest,
    classes: Sequence[str],
    *,
    decision: Decision = Decision.VOTE,
    default: int | None = None,
    base: Sequence[float] = (),
) -> Program:
    """The program that adds up the leaves' values: trees in turn, the leaves of each from `yes` to `no`.

    Raises:
        ProgramError: nodes that don't make trees.
    """
    return Program(
        quantiser=TableQuantiser(forest.atoms, forest.columns),
        classes=tuple(classes),
        class_rules=make_leaf_rules(forest),
        kernel_rules=forest.rules,
        derived=forest.derived,
        decision=decision,
        default=default,
        base=tuple(base),
    )


def make_leaf_rules(forest: FlatForest) -> ClassRules:
    """A rule for each leaf: its body is the path from the root, its weights are the leaf's values other than 0.

    Raises:
        ProgramError: nodes that don't make trees.
    """
    from eric_fast.frontends.trees.leaf_paths import write_paths  # Numba loads when it is needed
    from eric_fast.jit import call_sparing

    leaves, lengths = forest.leaves
    offsets = count_offsets(lengths)
    arguments = (forest.roots, forest.tests, forest.yes, forest.no, offsets)
    literals = call_sparing(write_paths, int(offsets[-1]), *arguments)
    values = forest.values[leaves]
    votes = _spread_values(values) if forest.outputs is None else _assign_values(values, forest, leaves)
    unknown = np.full(len(leaves), -1, np.int32)
    return ClassRules(literals, offsets, *votes, unknown, unknown)


_Votes = tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]  # offsets, classes, weights of `ClassRules`


def _assign_values(values: NDArray[np.float64], forest: FlatForest, leaves: NDArray[np.int64]) -> _Votes:
    assert forest.outputs is not None
    outputs = forest.outputs[forest.find_trees(leaves)]
    return np.arange(len(leaves) + 1), outputs, np.ascontiguousarray(values[:, 0])


def _spread_values(values: NDArray[np.float64]) -> _Votes:
    """Votes of float64 `[n_leaves, n_outputs]`, without zeros: the largest first, the others by output."""
    n_leaves, n_outputs = values.shape
    heads = values.argmax(axis=1)
    holds = values != 0
    holds[np.arange(n_leaves), heads] = False  # these come first, even if they are 0
    others = np.flatnonzero(holds)
    offsets = count_offsets(1 + holds.sum(axis=1))
    rule_of_other, class_of_other = np.divmod(others, n_outputs)
    place = 1 + np.arange(len(others)) + rule_of_other
    classes, weights = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.float64)
    classes[offsets[:-1]] = heads
    weights[offsets[:-1]] = values[np.arange(n_leaves), heads]
    classes[place] = class_of_other
    weights[place] = values.reshape(-1)[others]
    return offsets, classes, weights
