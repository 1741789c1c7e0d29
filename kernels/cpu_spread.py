"""Trees on the CPU whose samples are spread over processes: many grow side by side, a step at a time.

In a step every tree splits a node and counts what came of it among this process's samples; then the counts of all trees
are added up over the processes at once. All that is decided is decided by sums, so every process grows the same trees.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.cpu_grow import COUNTED, DONE, SPLIT_ALONE, advance_tree, begin_tree, settle_tree
from eric_fast.kernels.cpu_order import SLACK
from eric_fast.kernels.cpu_tree import N_NODES, Bits, Space, Tree, Weighting, number_nodes
from eric_fast.kernels.fixed_point import MAX_WEIGHT
from eric_fast.kernels.threads import count_cores, run_workers
from eric_fast.kernels.trees import NO_LIMIT, Limits, Report, Stop
from eric_fast.processes import Combine

TREES = 64  # at once: enough that a step is long beside the time that a message takes


class Job(NamedTuple):
    """What is grown, and on what.

    values: of each target, as `sort(values, n_samples, weighting, order, counts)` takes them.
    roots: int32 `[n_targets + 1, n_atoms]`: own samples with an atom true, and with a target true as well; the last
        row of all samples. Of length 0 where that isn't known.
    """

    bits: Bits
    values: NDArray[Any]
    sort: Callable[..., None]
    n_values: int
    roots: NDArray[np.int32]
    weighting: Weighting
    limits: Limits
    table: NDArray[np.int64]

    def find_root(self, target: int) -> NDArray[np.int32]:
        """The two rows of `roots` that a tree needs."""
        return self.roots[[-1, target]] if len(self.roots) else self.roots


def make_trees(job: Job, n_trees: int, *, spread: bool) -> Tree:
    """The arrays of so many trees, one above the other. What they begin with is left to `begin_tree`."""
    n_samples, n_values, n_counters = job.bits.n_samples, job.n_values, 64 * job.bits.rows.shape[1]
    # Depth first, a node's counts wait while its smaller side grows, which is half of it at most.
    most = MAX_WEIGHT if spread else n_samples
    n_slots = most.bit_length() + 2 if job.limits.max_leaves == NO_LIMIT else 2
    counts = np.empty((n_trees, n_slots, n_values, n_counters), np.int32)
    return Tree(
        order=np.empty((n_trees, n_samples + SLACK), np.uint32),
        nodes=np.empty((n_trees, 64, 5), np.int64),
        tallies=np.empty((n_trees, 64, 6, n_values), np.int32),
        opened=np.empty((n_trees, 64, 2), np.int64),
        free=np.empty((n_trees, n_slots), np.int64),
        numbers=np.empty((n_trees, 7), np.int64),
        counts=counts,
        weights=np.empty_like(counts) if job.weighting.matters else counts,
        own=np.empty_like(counts) if spread else counts,
    )


def make_space(job: Job, *, spread: bool) -> Space:
    """What one thread writes on. Of all samples the smaller side is half at most; of a process's own it may be all."""
    n_moved = job.bits.n_samples if spread else job.bits.n_samples // 2
    return Space(np.empty(n_moved + SLACK, np.uint32), np.empty((3, len(job.bits.columns))))


def grow_spread(
    job: Job, combine: Combine, stop: Stop, report: Report, n_threads: int | None
) -> dict[int, tuple[Tensor, ...]]:
    """The trees of all targets by number, each (feature, left, right, counts, weights)."""
    places = range(min(TREES, len(job.values)))
    n_threads = max(1, min(n_threads or count_cores(), len(places)))
    group = make_trees(job, len(places), spread=True)
    spaces = [make_space(job, spread=True) for _ in range(n_threads)]
    n_kinds = 2 if job.weighting.matters else 1
    n_children = 1 if job.limits.max_leaves == NO_LIMIT else 2
    n_counters = 64 * job.bits.rows.shape[1]
    asked = np.zeros((len(places), n_children, n_kinds, job.n_values, n_counters + 1), np.int32)
    said = np.full(len(places), DONE)
    target_at: dict[int, int] = {}
    trees: dict[int, tuple[Tensor, ...]] = {}
    waiting = iter(range(len(job.values)))
    stopped = False
    while True:
        begun = [] if stopped else _take_targets(waiting, [place for place in places if place not in target_at])
        target_at |= begun
        if not target_at:
            return trees
        run_workers(partial(_begin, job, group, asked, begun, n_threads), n_threads)
        said[[place for place, _ in begun]] = COUNTED
        stopped = _add_up(asked, np.flatnonzero(said == COUNTED), combine, stopped or stop())
        run_workers(partial(_step, job, group, asked, said, spaces), n_threads)
        for place in [place for place in target_at if said[place] == DONE]:
            n_nodes = group.numbers[place, N_NODES]
            tree = number_nodes(group.nodes[place], group.tallies[place], n_nodes)
            trees[target_at.pop(place)] = tuple(map(torch.from_numpy, tree))
            report(len(trees))
        if (group.numbers[list(target_at), N_NODES] + 2 > group.nodes.shape[1]).any():
            group = _make_room(group)


def _take_targets(waiting: Iterator[int], places: list[int]) -> list[tuple[int, int]]:
    return [(place, target) for place, target in zip(places, waiting, strict=False)]


def _begin(
    job: Job, group: Tree, asked: NDArray[np.int32], begun: list[tuple[int, int]], stride: int, thread: int
) -> None:
    own_counts = np.empty(job.n_values, np.int32)
    for place, target in begun[thread::stride]:
        tree = Tree(*(array[place] for array in group))
        job.sort(job.values[target], job.bits.n_samples, job.weighting, tree.order, own_counts)
        begin_tree(job.bits, own_counts, job.find_root(target), job.weighting, job.limits, tree, asked[place])


def _step(
    job: Job, group: Tree, asked: NDArray[np.int32], said: NDArray[np.int64], spaces: list[Space], thread: int
) -> None:
    space, stride = spaces[thread], len(spaces)
    _step_trees(job.bits, job.weighting, job.limits, job.table, space, group, asked, said, thread, stride)


def _add_up(asked: NDArray[np.int32], places: NDArray[np.int64], combine: Combine, stop: bool) -> bool:
    """Put the sums over all processes where these places' own counts are. Whether any process wants to stop."""
    message = torch.empty(1 + asked[0].size * len(places), dtype=torch.int32)
    message[0] = stop
    message[1:] = torch.from_numpy(asked[places].reshape(-1))
    message = combine(message)
    asked[places] = message[1:].numpy().reshape(len(places), *asked.shape[1:])
    return bool(message[0])


def _make_room(group: Tree) -> Tree:
    """The same trees with room for twice as many nodes."""

    def double(array: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([array, np.empty_like(array)], axis=1)

    return group._replace(nodes=double(group.nodes), tallies=double(group.tallies), opened=double(group.opened))


@njit(nogil=True, cache=True)
def _step_trees(
    bits: Any,
    weighting: Any,
    limits: Any,
    table: Any,
    space: Any,
    group: Any,
    asked: Any,
    said: Any,
    first: Any,
    stride: Any,
) -> None:
    """A step of every `stride`-th tree; `said[tree]` is what `advance_tree` said last, `DONE` where there is none."""
    for i in range(first, len(said), stride):
        if said[i] != DONE:
            tree = Tree(
                group.order[i],
                group.nodes[i],
                group.tallies[i],
                group.opened[i],
                group.free[i],
                group.numbers[i],
                group.counts[i],
                group.weights[i],
                group.own[i],
            )
            if said[i] == COUNTED:
                settle_tree(bits, weighting, limits, table, space, tree, asked[i])
            said[i] = SPLIT_ALONE
            while said[i] == SPLIT_ALONE and tree.numbers[N_NODES] + 2 <= len(tree.nodes):
                said[i] = advance_tree(bits, weighting, limits, space, tree, asked[i])
                if said[i] == SPLIT_ALONE:
                    settle_tree(bits, weighting, limits, table, space, tree, asked[i])
