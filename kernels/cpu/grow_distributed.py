"""Trees on the CPU whose samples are spread over processes: many grow side by side, a step at a time.

In a step every tree splits a node and counts what came of it among this process's samples; then the counts of all trees
are added up over the processes at once. All that is decided is decided by sums, so every process grows the same trees.
The trees are two halves that take turns: while the counts of one are on their way, the other's are made.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod

import numpy as np
import torch
from torch import Tensor

from eric_fast.kernels.cpu.grow_nodes import DONE, GROW, OPEN, grow_trees
from eric_fast.kernels.cpu.grow_state import Job, begin_tree, make_room, make_space, make_trees
from eric_fast.kernels.cpu.threads import count_cores, run_workers
from eric_fast.kernels.cpu.tree import N_NODES, STEP, Tree, number_nodes
from eric_fast.kernels.growth import NO_LIMIT, Stop, TreeProgress
from eric_fast.processes import Combine


def grow_distributed(
    job: Job, n_trees: int, combine: Combine, stop: Stop, progress: TreeProgress, n_threads: int | None
) -> dict[int, tuple[Tensor, ...]]:
    """The trees of all targets by number, each (feature, left, right, counts, weights)."""
    n_places = min(n_trees, len(job.values))
    n_threads = max(1, min(n_threads or count_cores(), n_places - n_places // 2))
    waiting = iter(range(len(job.values)))
    trees: dict[int, tuple[Tensor, ...]] = {}
    here, away = (_Half(job, n, n_threads) for n in (n_places // 2, n_places - n_places // 2))
    stopped = False
    with ThreadPoolExecutor(1) as messenger:

        def send(half: _Half) -> Future[bool]:
            return messenger.submit(half.add_up, combine, stopped or stop())

        for half in (away, here):
            half.begin(waiting)
        message = send(away)
        while here.target_at or away.target_at:
            stopped = message.result() or stopped
            message = send(here)
            away.grow()
            for target, tree in away.take_grown():
                trees[target] = tree
                progress(len(trees))
            if not stopped:
                away.begin(waiting)
            here, away = away, here
        message.result()
    return trees


class _Half:
    """Trees that grow at the same time, each in its place.

    target_at: the target of each place that has a tree.
    """

    def __init__(self, job: Job, n_places: int, n_threads: int) -> None:
        n_children = 1 if job.limits.max_leaves == NO_LIMIT else 2
        n_kinds, n_counters = 2 if job.weighting.matters else 1, 64 * job.bits.rows.shape[1]
        self.job, self.n_threads = job, n_threads
        self.trees = make_trees(job, n_places, spread=True)
        self.spaces = [make_space(job, spread=True) for _ in range(n_threads)]
        self.asked = np.zeros((n_places, n_children, n_kinds, job.n_values, n_counters + 1), np.int32)
        self.target_at: dict[int, int] = {}

    def begin(self, waiting: Iterator[int]) -> None:
        """Take a target that waits to each free place."""
        free = [place for place in range(len(self.asked)) if place not in self.target_at]
        begun = list(zip(free, waiting, strict=False))
        self.target_at |= begun

        def work(thread: int) -> None:
            for place, target in begun[thread :: self.n_threads]:
                begin_tree(self.job, target, Tree(*(array[place] for array in self.trees)), self.asked[place])

        run_workers(work, self.n_threads)

    def add_up(self, combine: Combine, stop: bool) -> bool:
        """Put the sums over all processes where own counts are. Whether any process wants to stop."""
        places = np.flatnonzero(self.trees.numbers[:, STEP] == OPEN)
        asked = self.asked.reshape(len(self.asked), prod(self.asked.shape[1:]))
        message = torch.empty(1 + len(places) * asked.shape[1], dtype=torch.int32)
        message[0] = stop
        np.take(asked, places, axis=0, out=message[1:].numpy().reshape(len(places), asked.shape[1]), mode="clip")
        message = combine(message)
        asked[places] = message[1:].numpy().reshape(len(places), asked.shape[1])
        return bool(message[0])

    def grow(self) -> None:
        """Every tree a step on."""
        job = self.job

        def work(thread: int) -> None:
            space, stride = self.spaces[thread], self.n_threads
            grow_trees(job.bits, job.weighting, job.limits, job.table, space, self.trees, self.asked, thread, stride)

        run_workers(work, self.n_threads)
        if (self.trees.numbers[:, STEP] == GROW).any():
            self.trees = make_room(self.trees)

    def take_grown(self) -> Iterator[tuple[int, tuple[Tensor, ...]]]:
        """Targets and trees that are done; their places are free again."""
        for place in [place for place in self.target_at if self.trees.numbers[place, STEP] == DONE]:
            n_nodes = self.trees.numbers[place, N_NODES]
            tree = number_nodes(self.trees.nodes[place], self.trees.tallies[place], n_nodes)
            yield self.target_at.pop(place), tuple(map(torch.from_numpy, tree))
