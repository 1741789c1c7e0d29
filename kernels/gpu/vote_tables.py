"""What the GPU adds to sums under `vote`, and in which order: the same tables as the CPU's, and lists by output."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.decision_tables import DecisionTables, make_decision_tables
from eric_fast.kernels.gpu.lines import INDEXES, RULES, SUM_TILE
from eric_fast.plan import Plan

GROUP_TREES = 8  # trees whose numbers are made before any is added


class VoteTables(NamedTuple):
    """Votes of single rules and of trees, on a device: arguments of the kernel.

    tree_weights: float64: `DecisionTables.weights`; by sample, rows of `count_columns`.
    vote_starts: int64 `[n_phases * n_classes + 1]`: where votes for a class, of the rules of a phase, start.
    vote_rules, vote_weights: int32 and float64 `[n_votes + 1]`; the last is no vote.
    add_starts: int64 `[n_groups * n_classes + 1]`: where what a group of trees adds to a class starts; a phase's trees
        are cut into groups of `GROUP_TREES`.
    adds: int64 `[n_adds, 2]`: number of a tree in its group, where its table starts.
    tree_starts: int64 `[n_trees, n_classes]`: where the table of a tree for a class starts, or -1; by sample empty.
    first_groups: int32 `[n_phases]`: the first group of trees of each phase.
    """

    tree_weights: Tensor
    vote_starts: Tensor
    vote_rules: Tensor
    vote_weights: Tensor
    add_starts: Tensor
    adds: Tensor
    tree_starts: Tensor
    first_groups: Tensor


def tabulate_votes(plan: Plan, alone: NDArray[np.bool_], phases: NDArray[np.int32], device: torch.device) -> VoteTables:
    """alone: bool `[n_class_rules]`: which rules add by themselves. phases: see `lower.RuleTables`."""
    tables = make_decision_tables(plan)
    n_groups = -(-(phases[:, INDEXES, 1] - phases[:, INDEXES, 0]) // GROUP_TREES)
    first_groups = np.cumsum(n_groups) - n_groups
    votes = _sort_votes(plan, alone, phases)
    adds = _sort_adds(plan, tables, phases, first_groups, int(n_groups.sum()))
    weights = np.pad(tables.weights, ((0, 0), (0, count_columns(tables) - tables.weights.shape[1])))
    arrays = (weights.reshape(-1), *votes, *adds, first_groups.astype(np.int32))
    return VoteTables(*(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in arrays))


def count_columns(tables: DecisionTables) -> int:
    """Sums of a sample, padded to a multiple of `SUM_TILE`; 1 if not by sample."""
    return -(-tables.n_columns // SUM_TILE) * SUM_TILE if tables.by_sample else 1


class _Votes(NamedTuple):
    """See `VoteTables`."""

    vote_starts: NDArray[np.int64]
    vote_rules: NDArray[np.int32]
    vote_weights: NDArray[np.float64]


def _sort_votes(plan: Plan, alone: NDArray[np.bool_], phases: NDArray[np.int32]) -> _Votes:
    """By phase, class and rule."""
    rules = np.repeat(np.arange(plan.n_class_rules), plan.vote_offsets.diff().numpy())
    votes = np.flatnonzero(alone[rules])
    rules, n_classes = rules[votes], plan.n_classes
    phase_of_rule = np.zeros(plan.n_class_rules, np.int64)
    for phase, (first, last) in enumerate(phases[:, RULES]):
        phase_of_rule[first:last] = phase
    keys = phase_of_rule[rules] * n_classes + plan.vote_classes.numpy()[votes]
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange(len(phases) * n_classes + 1))
    weights = np.append(plan.vote_weights.numpy()[votes][order], 0.0)
    return _Votes(starts.astype(np.int64), np.append(rules[order], -1).astype(np.int32), weights)


class _Adds(NamedTuple):
    """See `VoteTables`."""

    add_starts: NDArray[np.int64]
    adds: NDArray[np.int64]
    tree_starts: NDArray[np.int64]


def _sort_adds(
    plan: Plan, tables: DecisionTables, phases: NDArray[np.int32], first_groups: NDArray[np.int64], n_groups: int
) -> _Adds:
    """By group, class and tree."""
    n_classes, adds = plan.n_classes, tables.adds
    if not len(adds):
        none = np.zeros(0, np.int64)
        return _Adds(np.zeros(n_groups * n_classes + 1, np.int64), none.reshape(0, 2), none)
    n_trees = len(tables.add_starts) - 1
    trees = np.repeat(np.arange(n_trees), np.diff(tables.add_starts))
    group, number = np.zeros(n_trees, np.int64), np.zeros(n_trees, np.int64)
    for (first, last), first_group in zip(phases[:, INDEXES], first_groups, strict=True):
        group[first:last] = first_group + np.arange(last - first) // GROUP_TREES
        number[first:last] = np.arange(last - first) % GROUP_TREES
    keys = group[trees] * n_classes + adds[:, 0]
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange(n_groups * n_classes + 1))
    tree_starts = np.full((n_trees, n_classes), -1, np.int64)
    tree_starts[trees, adds[:, 0]] = adds[:, 1]
    return _Adds(starts.astype(np.int64), np.stack([number[trees], adds[:, 1]], axis=1)[order], tree_starts)
