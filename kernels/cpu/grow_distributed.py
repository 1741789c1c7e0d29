"""Grow trees on the CPU whose samples are distributed over processes: many side by side, a step at a time.

In a step every tree splits a node and counts its children among the local samples; then one message adds up the counts
of all trees over the processes. Only sums decide, so every process grows the same trees. The trees are in two halves
that take turns: while the counts of one half are on their way, those of the other are made.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import prod

import numpy as np
import torch

from eric_fast.kernels.cpu.grow_nodes import DONE, GROW, OPEN, grow_all
from eric_fast.kernels.cpu.grow_task import GrowTask, allocate_scratch, allocate_trees, begin_tree, double_nodes
from eric_fast.kernels.cpu.threads import count_cores, run_workers
from eric_fast.kernels.cpu.tree import STATE, GrowingTree, number_nodes
from eric_fast.kernels.growth import NO_LIMIT, GrowControl, GrownTree
from eric_fast.processes import Combine


def grow_distributed(task: GrowTask, control: GrowControl) -> dict[int, GrownTree]:
    """Grow the trees of all targets; keys are the targets' numbers."""
    stop, combine = control.stop, control.combine
    n_places = min(control.n_trees, len(task.values))
    n_threads = max(1, min(control.n_threads or count_cores(), n_places - n_places // 2))
    waiting = iter(range(len(task.values)))
    trees: dict[int, GrownTree] = {}
    here, away = (_Half(task, n, n_threads) for n in (n_places // 2, n_places - n_places // 2))
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
                control.progress(len(trees))
            if not stopped:
                away.begin(waiting)
            here, away = away, here
        message.result()
    return trees


class _Half:
    """Trees that grow at the same time, each in its place.

    Attributes:
        trees: `GrowingTree`, its arrays one above the other.
        exchanged: see `grow_all`.
        target_at: the target of each place that has a tree.
    """

    def __init__(self, task: GrowTask, n_places: int, n_threads: int) -> None:
        n_children = 1 if task.limits.max_leaves == NO_LIMIT else 2
        n_kinds, n_counters = 2 if task.weighting.matters else 1, 64 * task.bits.rows.shape[1]
        self.task, self.n_threads = task, n_threads
        self.trees = allocate_trees(task, n_places, distributed=True)
        self.scratches = [allocate_scratch(task, distributed=True) for _ in range(n_threads)]
        self.exchanged = np.zeros((n_places, n_children, n_kinds, task.n_values, n_counters + 1), np.int32)
        self.target_at: dict[int, int] = {}

    def begin(self, waiting: Iterator[int]) -> None:
        """Begin the tree of a waiting target in each free place."""
        free = [place for place in range(len(self.exchanged)) if place not in self.target_at]
        begun = list(zip(free, waiting, strict=False))
        self.target_at |= begun

        def work(thread: int) -> None:
            for place, target in begun[thread :: self.n_threads]:
                tree = GrowingTree(*(array[place] for array in self.trees))
                begin_tree(self.task, target, tree, self.exchanged[place])

        run_workers(work, self.n_threads)

    def add_up(self, combine: Combine, stop: bool) -> bool:
        """Replace local counts by their sums over all processes. Return whether any process wants to stop."""
        places = np.flatnonzero(self.trees.state[:, STATE.step] == OPEN)
        exchanged = self.exchanged.reshape(len(self.exchanged), prod(self.exchanged.shape[1:]))
        message = torch.empty(1 + len(places) * exchanged.shape[1], dtype=torch.int32)
        message[0] = stop
        np.take(
            exchanged, places, axis=0, out=message[1:].numpy().reshape(len(places), exchanged.shape[1]), mode="clip"
        )
        message = combine(message)
        exchanged[places] = message[1:].numpy().reshape(len(places), exchanged.shape[1])
        return bool(message[0])

    def grow(self) -> None:
        """Take every tree a step further."""
        task = self.task

        def work(thread: int) -> None:
            scratch, stride = self.scratches[thread], self.n_threads
            grow_all(
                task.bits, task.weighting, task.limits, task.table, scratch, self.trees, self.exchanged, thread, stride
            )

        run_workers(work, self.n_threads)
        if (self.trees.state[:, STATE.step] == GROW).any():
            self.trees = double_nodes(self.trees)

    def take_grown(self) -> Iterator[tuple[int, GrownTree]]:
        """Yield targets and trees that are done, and free their places."""
        for place in [place for place in self.target_at if self.trees.state[place, STATE.step] == DONE]:
            n_nodes = self.trees.state[place, STATE.n_nodes]
            tree = number_nodes(self.trees.nodes[place], self.trees.tallies[place], n_nodes)
            yield self.target_at.pop(place), GrownTree(*map(torch.from_numpy, tree))
