"""`grow` on the CPU: the targets are shared among threads, one per core."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event, Lock

import numpy as np
import torch
from torch import Tensor

from eric_fast.kernels.cpu.count import count, view_words
from eric_fast.kernels.cpu.count_rows import compile_adder, count_row_words, transpose_words
from eric_fast.kernels.cpu.grow_distributed import grow_distributed
from eric_fast.kernels.cpu.grow_nodes import DONE, grow_trees
from eric_fast.kernels.cpu.grow_state import Job, begin_tree, make_room, make_space, make_trees
from eric_fast.kernels.cpu.sort_samples import sort_by_bit, sort_by_value
from eric_fast.kernels.cpu.threads import count_cores
from eric_fast.kernels.cpu.tree import N_NODES, STEP, Bits, Tree, Weighting, number_nodes
from eric_fast.kernels.fixed_point import make_entropy_table
from eric_fast.kernels.growth import (
    ENTROPY,
    Forest,
    GrowControl,
    Limits,
    Samples,
    Stop,
    join_trees,
)
from eric_fast.processes import keep


def grow(samples: Samples, limits: Limits, control: GrowControl) -> Forest:
    """As `reference.grow`, to the node."""
    stop, progress, n_threads, n_trees, combine = control
    job = _prepare(samples, limits)
    if combine is not keep:
        return join_trees(grow_distributed(job, n_trees, combine, stop, progress, n_threads), samples.n_values)
    trees: dict[int, tuple[Tensor, ...]] = {}
    lock = Lock()
    alone = np.zeros((1, 0, 0, 0, 0), np.int32)

    def grow_some(numbers: Iterator[int]) -> None:
        group, space = make_trees(job, 1, spread=False), make_space(job, spread=False)
        for number in numbers:
            begin_tree(job, number, Tree(*(array[0] for array in group)), alone[0])
            while True:
                grow_trees(job.bits, job.weighting, limits, job.table, space, group, alone, 0, 1)
                if group.numbers[0, STEP] == DONE:
                    break
                group = make_room(group)
            grown = number_nodes(group.nodes[0], group.tallies[0], group.numbers[0, N_NODES])
            with lock:
                trees[number] = tuple(map(torch.from_numpy, grown))
                progress(len(trees))

    _share_numbers(grow_some, len(job.values), stop, min(n_trees, n_threads or count_cores()))
    return join_trees(trees, samples.n_values)


def _prepare(samples: Samples, limits: Limits) -> Job:
    words, n_samples, targets, n_values, weights, value_weights, heaviest = samples
    columns = view_words(words)
    rows = np.zeros((n_samples + 1, count_row_words(len(columns))), np.uint64)
    transpose_words(columns, n_samples, 0, -(-n_samples // 64), rows)
    of_value = value_weights.numpy()
    of_sample = np.zeros(0, np.int32) if weights is None else weights.numpy()
    weighting = Weighting(of_sample, of_value, weights is not None or bool((of_value != 1).any()))
    binary = targets.dtype == torch.int32
    roots = np.zeros((0, 0), np.int32)
    if binary and not weighting.matters:
        roots = count(words, torch.cat([targets, torch.full_like(targets[:1], -1)])).numpy()
    return Job(
        bits=Bits(columns, rows, n_samples, np.uint64(compile_adder().address)),
        values=view_words(targets) if binary else targets.numpy(),
        sort=sort_by_bit if binary else sort_by_value,
        n_values=n_values,
        roots=roots,
        weighting=weighting,
        limits=limits,
        table=make_entropy_table(heaviest if limits.criterion == ENTROPY else 0),
    )


def _share_numbers(work: Callable[[Iterator[int]], None], total: int, stop: Stop, n_threads: int) -> None:
    """Give a thread the next number below `total` whenever it asks, until all are taken or `stop` says so."""
    numbers, halted = iter(range(total)), Event()

    def take_numbers() -> Iterator[int]:
        while not halted.is_set() and not stop():
            number = next(numbers, None)
            if number is None:
                return
            yield number

    with ThreadPoolExecutor(min(n_threads, max(total, 1))) as pool:
        try:
            for done in [pool.submit(work, take_numbers()) for _ in range(min(n_threads, total))]:
                done.result()
        finally:  # an error or Ctrl-C: the other threads end with the tree in hand
            halted.set()
