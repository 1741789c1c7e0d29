"""`grow` on the CPU: the targets are shared among threads, one per core."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import numpy as np
import torch

from eric_fast.kernels.cpu.count import count, view_words
from eric_fast.kernels.cpu.count_rows import compile_adder, count_row_words, transpose_words
from eric_fast.kernels.cpu.grow_distributed import grow_distributed
from eric_fast.kernels.cpu.grow_nodes import DONE, grow_all
from eric_fast.kernels.cpu.grow_task import GrowTask, allocate_scratch, allocate_trees, begin_tree, double_nodes
from eric_fast.kernels.cpu.sort_samples import sort_by_bit, sort_by_value
from eric_fast.kernels.cpu.threads import count_cores
from eric_fast.kernels.cpu.tree import STATE, Bits, GrowingTree, Weighting, number_nodes
from eric_fast.kernels.fixed_point import make_entropy_table
from eric_fast.kernels.growth import (
    ENTROPY,
    Forest,
    GrowControl,
    GrownSamples,
    GrownTree,
    Limits,
    Stop,
    join_grown_trees,
)
from eric_fast.processes import keep


def grow(samples: GrownSamples, limits: Limits, control: GrowControl) -> Forest:
    """As `reference.grow`, to the node; processes that share the samples grow many trees side by side."""
    task = _prepare(samples, limits)
    if control.combine is not keep:
        return join_grown_trees(grow_distributed(task, control), samples.n_values)
    trees: dict[int, GrownTree] = {}
    lock = Lock()
    alone = np.zeros((1, 0, 0, 0, 0), np.int32)

    def grow_some(targets: Iterator[int]) -> None:
        group, scratch = allocate_trees(task, 1, distributed=False), allocate_scratch(task, distributed=False)
        for target in targets:
            begin_tree(task, target, GrowingTree(*(array[0] for array in group)), alone[0])
            while True:
                grow_all(task.bits, task.weighting, limits, task.table, scratch, group, alone, 0, 1)
                if group.state[0, STATE.step] == DONE:
                    break
                group = double_nodes(group)
            grown = number_nodes(group.nodes[0], group.tallies[0], group.state[0, STATE.n_nodes])
            with lock:
                trees[target] = GrownTree(*map(torch.from_numpy, grown))
                control.progress(len(trees))

    n_threads = min(control.n_trees, control.n_threads or count_cores())
    _share_targets(grow_some, len(task.values), control.stop, n_threads)
    return join_grown_trees(trees, samples.n_values)


def _prepare(samples: GrownSamples, limits: Limits) -> GrowTask:
    n_samples, targets, weights = samples.n_samples, samples.targets, samples.weights
    columns = view_words(samples.words)
    rows = np.zeros((n_samples + 1, count_row_words(len(columns))), np.uint64)
    transpose_words(columns, n_samples, 0, -(-n_samples // 64), rows)
    of_value = samples.value_weights.numpy()
    of_sample = np.zeros(0, np.int32) if weights is None else weights.numpy()
    weighting = Weighting(of_sample, of_value, weights is not None or bool((of_value != 1).any()))
    binary = targets.dtype == torch.int32
    roots = np.zeros((0, 0), np.int32)
    if binary and not weighting.matters:
        roots = count(samples.words, torch.cat([targets, torch.full_like(targets[:1], -1)])).numpy()
    return GrowTask(
        bits=Bits(columns, rows, n_samples, np.uint64(compile_adder().address)),
        values=view_words(targets) if binary else targets.numpy(),
        sort=sort_by_bit if binary else sort_by_value,
        n_values=samples.n_values,
        roots=roots,
        weighting=weighting,
        limits=limits,
        table=make_entropy_table(samples.heaviest if limits.criterion == ENTROPY else 0),
    )


def _share_targets(work: Callable[[Iterator[int]], None], total: int, stop: Stop, n_threads: int) -> None:
    """Give a thread the next target below `total` whenever it asks, until all are taken or `stop` says so."""
    waiting, halted = iter(range(total)), Event()

    def take_targets() -> Iterator[int]:
        while not halted.is_set() and not stop():
            target = next(waiting, None)
            if target is None:
                return
            yield target

    with ThreadPoolExecutor(min(n_threads, max(total, 1))) as pool:
        try:
            for done in [pool.submit(work, take_targets()) for _ in range(min(n_threads, total))]:
                done.result()
        finally:  # an error or Ctrl-C: the other threads end with the tree in hand
            halted.set()
