"""Trees on the CPU whose samples are spread over processes: many grow side by side, a step at a time.

In a step every tree splits a node and counts what came of it among this process's samples; then the counts of all trees
are added up over the processes at once. All that is decided is decided by sums, so every process grows the same trees.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.cpu_grow import DONE, GROW, OPEN, grow_trees
from eric_fast.kernels.cpu_job import Job, begin_tree, make_room, make_space, make_trees
from eric_fast.kernels.cpu_tree import N_NODES, STEP, Tree, number_nodes
from eric_fast.kernels.threads import count_cores, run_workers
from eric_fast.kernels.trees import NO_LIMIT, Report, Stop
from eric_fast.processes import Combine

TREES = 64  # at once: enough that a step is long beside the time that a message takes


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
    target_at: dict[int, int] = {}
    trees: dict[int, tuple[Tensor, ...]] = {}
    waiting = iter(range(len(job.values)))
    stopped = False

    def begin(begun: list[tuple[int, int]], thread: int) -> None:
        for place, target in begun[thread::n_threads]:
            begin_tree(job, target, Tree(*(array[place] for array in group)), asked[place])

    def grow(thread: int) -> None:
        bits, weighting, limits, table = job.bits, job.weighting, job.limits, job.table
        grow_trees(bits, weighting, limits, table, spaces[thread], group, asked, thread, n_threads)

    while True:
        begun = [] if stopped else _take_targets(waiting, [place for place in places if place not in target_at])
        target_at |= begun
        if not target_at:
            return trees
        run_workers(partial(begin, begun), n_threads)
        stopped = _add_up(asked, np.flatnonzero(group.numbers[:, STEP] == OPEN), combine, stopped or stop())
        run_workers(grow, n_threads)
        for place in [place for place in target_at if group.numbers[place, STEP] == DONE]:
            n_nodes = group.numbers[place, N_NODES]
            tree = number_nodes(group.nodes[place], group.tallies[place], n_nodes)
            trees[target_at.pop(place)] = tuple(map(torch.from_numpy, tree))
            report(len(trees))
        if (group.numbers[:, STEP] == GROW).any():
            group = make_room(group)


def _take_targets(waiting: Iterator[int], places: list[int]) -> list[tuple[int, int]]:
    return [(place, target) for place, target in zip(places, waiting, strict=False)]


def _add_up(asked: NDArray[np.int32], places: NDArray[np.int64], combine: Combine, stop: bool) -> bool:
    """Put the sums over all processes where these places' own counts are. Whether any process wants to stop."""
    message = torch.empty(1 + asked[0].size * len(places), dtype=torch.int32)
    message[0] = stop
    message[1:] = torch.from_numpy(asked[places].reshape(-1))
    message = combine(message)
    asked[places] = message[1:].numpy().reshape(len(places), *asked.shape[1:])
    return bool(message[0])
