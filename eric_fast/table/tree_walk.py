"""Evaluation of a few rows by walking the trees, which is faster than packing bits for so few.

Leaves are added in the order in which the packed evaluator adds them, so sums are the same to the bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.jit import call_sparing, spare_code
from eric_fast.plan import Plan
from eric_fast.program import Program
from eric_fast.program.table_atoms import Column
from eric_fast.table.number_tests import list_number_tests
from eric_fast.table.tree_walk_code import build_nodes, walk_rows

_WALK_STEP = 0.0049  # microseconds of a node on a row's way
_PACK_START, _PACK_NODE = 200.0, 0.017  # microseconds of packing some hundred rows, and of evaluating a node on them
_MOST_ROWS = 512
_SPARED_STEPS = 50  # microseconds a node: what the reference takes for a row where nothing is compiled
_SPARE_NODES = 4  # most nodes per rule: programs of long bodies that share nothing are not walked
_NODE = np.dtype([("constant", "f8"), ("column", "i4"), ("holds", "i4"), ("yes", "i4"), ("no", "i4")])
_ALL = kernels.LESS + kernels.EQUAL + kernels.GREATER + kernels.MISSING
_WANTED = {"classes", "scores", "leaves"}


@dataclass(frozen=True, eq=False)
class Walker:
    """A program whose class rules are the leaves of trees over numbers.

    Attributes:
        nodes: `[n_nodes]` of `_NODE`: a comparison, the outcomes that lead to `yes`, and children: nodes, or `~rule`.
        roots: int32 `[n_trees]`.
        votes: base, offsets, classes, weights, default; see `Plan`.
        tree_of_leaves: int64: the trees of `Outcome.leaves`.
        dtype: in which values are compared.
        n_columns: of a table.
        refuses: whether some non-finite numbers are refused; such rows are left to the packed evaluator.
        most_rows: above this, packed bits are faster.
    """

    nodes: NDArray[Any]
    roots: NDArray[np.int32]
    votes: tuple[NDArray[Any], ...]
    tree_of_leaves: NDArray[np.int64]
    dtype: np.dtype[Any]
    n_columns: int
    refuses: bool
    most_rows: int

    def evaluate(self, data: Any, wanted: Mapping[str, Any]) -> kernels.Outcome | None:
        """The answer of `kernels.evaluate`; None for data or requests that are not supported."""
        if type(data) is not np.ndarray or data.ndim != 2 or not 0 < len(data) <= self.most_rows:
            return None
        if data.dtype.char not in "fd" or data.shape[1] != self.n_columns or not data.dtype.isnative:
            return None
        asked = {name for name, wish in wanted.items() if wish is not False and wish is not None}
        if not asked <= _WANTED:
            return None
        if data.dtype == self.dtype and not self.refuses:
            values = np.ascontiguousarray(data)
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                values = np.ascontiguousarray(data, self.dtype)
                if self.refuses and not np.isfinite(values.sum()):
                    return None
        n_rows = len(values)
        leaves = np.empty((n_rows, len(self.roots)), np.int32)
        sums = np.empty((n_rows, len(self.votes[0])))
        classes = np.empty(n_rows, np.int32)
        arguments = (values, self.nodes, self.roots, self.votes, leaves, sums, classes)
        # Walking is never plain Python: packed rows have a reference
        if spare_code(walk_rows, _SPARED_STEPS * len(self.nodes), *arguments):
            return None
        walk_rows(*arguments)
        return kernels.Outcome(
            classes=torch.from_numpy(classes) if "classes" in asked else None,
            rules=None,
            scores=torch.from_numpy(sums) if "scores" in asked else None,
            counts=None,
            rows=None,
            confusion=None,
            leaves=torch.from_numpy(leaves[:, self.tree_of_leaves]) if "leaves" in asked else None,
        )


def make_walker(program: Program, plan: Plan, values: str) -> Walker | None:
    """The walker; None if the program isn't a sum of trees over numbers of one kind.

    Args:
        values: see `RuleModel.values`.
    """
    columns, rules = program.table_quantiser.columns, program.class_arrays
    kind = _find_kind(columns)
    if not plan.votes or not plan.n_class_rules or plan.n_rows > plan.n_inputs or values == "binary":
        return None
    if kind is None or program.has_weight_bodies:  # a sum is no path of a tree
        return None
    comparisons = list_number_tests(program.table_quantiser.atoms)
    if len(comparisons.rows) < len(program.quantiser.atoms):  # some are sets
        return None
    firsts, lasts, tree_of_leaves = _list_trees(plan)
    n_most = _SPARE_NODES * plan.n_class_rules + 1
    tests, children = np.empty(n_most, np.int32), np.empty((n_most, 2), np.int32)
    roots = np.empty(len(firsts), np.int32)
    paths = (rules.literals, rules.offsets, firsts, lasts)
    n_nodes = call_sparing(build_nodes, 2 * len(rules.literals), *paths, tests, children, roots)
    if n_nodes < 0:
        return None
    tests = tests[:n_nodes]
    atom = np.where(tests >= 0, tests, ~tests)
    holds = comparisons.operators[atom].astype(np.int32)
    nodes = np.zeros(n_nodes, _NODE)
    nodes["constant"], nodes["column"] = comparisons.constants[atom], comparisons.columns[atom]
    nodes["holds"] = np.where(tests >= 0, holds, _ALL - holds)
    nodes["yes"], nodes["no"] = children[:n_nodes].T
    votes = (plan.base, plan.vote_offsets, plan.vote_classes, plan.vote_weights)
    return Walker(
        nodes,
        roots,
        (*(array.numpy() for array in votes), np.array([plan.default], np.int32)),
        tree_of_leaves,
        np.dtype(kind),
        len(columns),
        values != "any",
        _find_most_rows(n_nodes, len(roots), len(rules.literals) / plan.n_class_rules),
    )


def _find_most_rows(n_nodes: int, n_trees: int, depth: float) -> int:
    """Where packing is as fast as walking, by the mean length of paths: 75 to 170 rows for 100 trees of 31 to 256."""
    return int(min((_PACK_START + _PACK_NODE * n_nodes) / (_WALK_STEP * n_trees * max(1.0, depth)), _MOST_ROWS))


def _find_kind(columns: tuple[Column, ...]) -> str | None:
    """The one kind of number that all columns hold."""
    kinds = {column.kind for column in columns}
    return kinds.pop() if len(kinds) == 1 and kinds <= {"float32", "float64"} else None


def _list_trees(plan: Plan) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The first rule of each tree and past its last, rules without a tree included; and the trees of `plan.trees`."""
    trees = plan.trees.numpy()
    in_tree = np.zeros(plan.n_class_rules + 1, np.int64)
    np.add.at(in_tree, trees[:, 0], 1)
    np.add.at(in_tree, trees[:, 1], -1)
    alone = np.flatnonzero(np.cumsum(in_tree)[:-1] == 0)
    firsts, lasts = np.append(trees[:, 0], alone), np.append(trees[:, 1], alone + 1)
    order = firsts.argsort(kind="stable")
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return firsts[order], lasts[order], place[: len(trees)]
