"""Evaluation of a few rows by masks of rules or by walking the trees, which is faster than packing bits for so few.

Leaves are added in the order in which the packed evaluator adds them, so sums are the same to the bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.jit import call_sparing, spare_code
from eric_fast.plan import Plan
from eric_fast.program import Program
from eric_fast.program.table_atoms import Column
from eric_fast.table.linked_nodes import link_nodes
from eric_fast.table.number_tests import list_number_tests
from eric_fast.table.row_answers import RowAnswers
from eric_fast.table.tree_masks import Masks, make_masks
from eric_fast.table.tree_masks_code import mask_rows
from eric_fast.table.tree_walk_code import NO_LEAF, build_nodes, walk_rows

# Microseconds: of a node on a row's way; of a column's place among its constants, of a byte of its masks, of a
# vote; of packing some hundred rows, and of evaluating a node on them
_WALK_STEP = 0.0018
_RANK, _KEEP, _VOTE = 0.006, 6e-6, 0.0013
_PACK_START, _PACK_NODE = 300.0, 0.04
_MOST_ROWS = 1024
_MOST_PADDED = 3  # times as many votes as there are
_SPARED_STEPS = 50  # microseconds a node: what the reference takes for a row where nothing is compiled
_SPARE_NODES = 4  # most nodes per rule: programs of long bodies that share nothing are not walked
_NODE = np.dtype([("constant", "f8"), ("column", "i4"), ("holds", "i4"), ("yes", "i4"), ("no", "i4")])
_ALL = kernels.LESS + kernels.EQUAL + kernels.GREATER + kernels.MISSING


@dataclass(frozen=True, eq=False)
class Walker:
    """A program whose class rules are the leaves of trees over numbers.

    Attributes:
        nodes: `[n_nodes]` of `_NODE`: a comparison, the outcomes that lead to `yes`, and children: nodes, or `~rule`.
        roots: int32 `[n_trees]`.
        votes: base, offsets, classes, weights; see `Plan`.
        settings: int64, the first three of `copy_row`.
        tree_of_leaves: int64: the trees of `Outcome.leaves`.
        dtype: in which values are compared.
        n_columns: of a table.
        masks: the rules of trees of few leaves; None where they take too much. Then trees are walked.
        most_rows: above this, packed bits are faster.
    """

    nodes: NDArray[Any]
    roots: NDArray[np.int32]
    votes: tuple[NDArray[Any], ...]
    settings: NDArray[np.int64]
    tree_of_leaves: NDArray[np.int64]
    dtype: np.dtype[Any]
    n_columns: int
    masks: Masks | None
    most_rows: int

    def walk(self, data: Any, *, leaves: bool = False) -> RowAnswers | None:
        """The answers for a few rows; None for data that are not supported, or hold numbers that are refused."""
        if type(data) is not np.ndarray or data.ndim != 2 or not 0 < len(data) <= self.most_rows:
            return None
        if data.dtype.char not in "fd" or data.shape[1] != self.n_columns or not data.dtype.isnative:
            return None
        data = np.ascontiguousarray(data, np.float64)
        if not (data.flags.aligned and data.flags.writeable):  # for which nothing is compiled
            data = data.copy()
        n_rows = len(data)
        found = np.empty((n_rows if leaves else 0, len(self.roots)), np.int32)
        sums, classes = np.empty((n_rows, len(self.votes[0]))), np.empty(n_rows, np.int32)
        run, arguments = self._way
        if run is None:
            return None
        arguments = (data, *arguments, found, sums, classes)
        # Walking is never plain Python: packed rows have a reference
        if spare_code(run, _SPARED_STEPS * len(self.nodes), *arguments) or not run(*arguments):
            return None
        return RowAnswers(classes, sums, found[:, self.tree_of_leaves] if leaves else None)

    def evaluate(self, data: Any, wanted: Mapping[str, Any]) -> kernels.Outcome | None:
        """The answer of `kernels.evaluate`; None for data or requests that are not supported."""
        asked = {name for name, wish in wanted.items() if wish is not False and wish is not None}
        walked = self.walk(data, leaves="leaves" in asked) if asked <= set(RowAnswers._fields) else None
        if walked is None:
            return None
        found = {name: torch.from_numpy(getattr(walked, name)) for name in asked}
        return kernels.Outcome(**{**dict.fromkeys(kernels.Outcome._fields), **found})

    @cached_property
    def _way(self) -> tuple[Any, tuple[Any, ...]]:
        """What answers rows, and what it takes beside them and the results; None if nothing can."""
        width, outputs, weights = _pad_votes(*self.votes)
        settings, votes = np.append(self.settings, width), (*self.votes[:2], outputs, weights)
        if self.masks is not None:
            return mask_rows, (settings, *self.masks, *votes)
        links = link_nodes(self.nodes, self.roots, NO_LEAF)
        return (None, ()) if links is None else (walk_rows, (settings, *links, len(self.roots), *votes))


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
    masks = make_masks(comparisons, rules, firsts, lasts)
    votes = (plan.base, plan.vote_offsets, plan.vote_classes, plan.vote_weights)
    depth, n_votes = len(rules.literals) / plan.n_class_rules, len(plan.vote_weights) / plan.n_class_rules
    row_cost = _estimate_row(len(roots), depth, masks, n_votes)
    return Walker(
        nodes,
        roots,
        tuple(array.numpy() for array in votes),
        np.array([kind == "float32", values != "any", plan.default], np.int64),
        tree_of_leaves,
        np.dtype(kind),
        len(columns),
        masks,
        int(min((_PACK_START + _PACK_NODE * n_nodes) / row_cost, _MOST_ROWS)),
    )


def _estimate_row(n_trees: int, depth: float, masks: Masks | None, n_votes: float) -> float:
    """Microseconds of a row: 0.7 by masks of 100 trees of 31 leaves, 1.4 by walking through 100 of depth 8."""
    if masks is None:
        return _WALK_STEP * n_trees * max(1.0, depth)
    return len(masks.columns) * (_RANK + _KEEP * masks.words.nbytes / len(masks.words)) + _VOTE * n_votes * n_trees


def _pad_votes(
    base: NDArray[np.float64], offsets: NDArray[np.int64], outputs: NDArray[np.int32], weights: NDArray[np.float64]
) -> tuple[int, NDArray[np.int32], NDArray[np.float64]]:
    """As many votes for each rule, outputs and weights; 0 where rules have too different numbers of them.

    The votes that are added go to an output past the last. Loops of one length are faster than those of one or two.
    """
    lengths = np.diff(offsets)
    width = int(lengths.max())
    if width * len(lengths) > _MOST_PADDED * len(weights):
        return 0, outputs, weights
    places = np.repeat(width * np.arange(len(lengths)) - offsets[:-1], lengths) + np.arange(len(weights))
    some_outputs = np.full(width * len(lengths), len(base), outputs.dtype)
    some_weights = np.zeros(len(some_outputs), weights.dtype)
    some_outputs[places], some_weights[places] = outputs, weights
    return width, some_outputs, some_weights


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
