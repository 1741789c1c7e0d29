"""Tables of what the codes of a plan's trees and lists stand for: classes, or weights of votes."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.memory import allocate_aligned
from eric_fast.plan import Plan
from eric_fast.plan.steps import INDEX, Index

SUM_COLUMNS = 8  # a sample's row of weights is padded to a multiple: a vector of the CPU holds so many float64
ADD_OUTPUT, ADD_TABLE_START = range(2)  # columns of `DecisionTables.adds`
FEW_OUTPUTS = 2  # if an average tree adds to more outputs, sums lie sample by sample, else output by output


@dataclass(frozen=True, eq=False)
class DecisionTables:
    """What the codes of indexes stand for.

    Attributes:
        class_of_code: int32: under `first`, the class of each code of the last index, or the default.
        by_sample: under `vote`, whether the sums of a sample lie together, rather than those of an output.
        n_columns: sums of a sample, padded to a multiple of `SUM_COLUMNS`; 1 if not by sample.
        weights: float64: by sample `[n_codes, n_columns]`, a row for each of `Steps.codes`; else `[n_weights, 1]`, one
            table after another, for each tree and each output that it adds to.
        adds: int64 `[n_adds, 2]`: an output and where its table starts; empty by sample.
        add_starts: int64 `[n_trees + 1]`: where the adds of each tree start; they are in the order of outputs.
    """

    class_of_code: NDArray[np.int32]
    by_sample: bool
    n_columns: int
    weights: NDArray[np.float64]
    adds: NDArray[np.int64]
    add_starts: NDArray[np.int64]


_tables: WeakKeyDictionary[Plan, DecisionTables] = WeakKeyDictionary()


def make_decision_tables(plan: Plan) -> DecisionTables:
    """The tables of a plan, made once."""
    if plan not in _tables:
        _tables[plan] = _tabulate_votes(plan) if plan.votes else _tabulate_classes(plan)
    return _tables[plan]


def _tabulate_classes(plan: Plan) -> DecisionTables:
    steps = plan.steps
    last = Index(*steps.indexes[-1].tolist())
    codes = steps.codes.numpy()[last.code_start : last.code_stop]
    classes = np.append(plan.heads[plan.n_kernel_rules :].numpy(), np.int32(plan.default))[codes]  # -1 is the last
    return DecisionTables(classes, False, 1, np.zeros((0, 1)), np.zeros((0, 2), np.int64), np.zeros(1, np.int64))


def _tabulate_votes(plan: Plan) -> DecisionTables:
    steps, n_classes, none = plan.steps, plan.n_classes, np.zeros(0, np.int32)
    indexes, codes = steps.indexes.numpy(), steps.codes.numpy()
    offsets, outputs = plan.vote_offsets.numpy(), plan.vote_classes.numpy()
    places = np.flatnonzero(codes >= 0)
    lengths = np.diff(offsets)[codes[places]]
    place = np.repeat(places, lengths)  # of each vote of each rule of a tree, and which vote it is:
    vote = np.arange(lengths.sum()) + np.repeat(offsets[codes[places]] - np.cumsum(lengths) + lengths, lengths)
    n_codes = indexes[:, INDEX.code_stop] - indexes[:, INDEX.code_start]
    tree = np.repeat(np.arange(len(indexes)), n_codes)[place]
    pairs, of_pair = np.unique(tree * n_classes + outputs[vote], return_inverse=True)
    if len(pairs) > FEW_OUTPUTS * len(indexes):
        weights = allocate_aligned((len(codes), -(-n_classes // SUM_COLUMNS) * SUM_COLUMNS), np.float64)
        weights[:] = 0.0
        weights[place, outputs[vote]] = plan.vote_weights.numpy()[vote]
        return DecisionTables(none, True, weights.shape[1], weights, np.zeros((0, 2), np.int64), np.zeros(1, np.int64))
    trees_of_pairs, outputs_of_pairs = np.divmod(pairs, max(1, n_classes))
    starts = np.concatenate([[0], np.cumsum(n_codes[trees_of_pairs])])
    weights = np.zeros((starts[-1], 1))
    weights[starts[of_pair] + place - indexes[tree, INDEX.code_start], 0] = plan.vote_weights.numpy()[vote]
    adds = np.stack([outputs_of_pairs, starts[:-1]], axis=1).astype(np.int64)
    add_starts = np.searchsorted(trees_of_pairs, np.arange(len(indexes) + 1))
    return DecisionTables(none, False, 1, weights, adds, add_starts.astype(np.int64))
