"""Trees on the CPU: what they are grown on, and how one begins; `cpu_grow` does the rest."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.cpu.grow_nodes import COUNT, DONE, OPEN
from eric_fast.kernels.cpu.sort_samples import SLACK
from eric_fast.kernels.cpu.tree import (
    DEPTH,
    LARGE,
    LARGE_SLOT,
    LEFT,
    N_FREE,
    N_LEAVES,
    N_NODES,
    OWN,
    SAMPLES,
    SMALL_MAY,
    SMALL_SLOT,
    START,
    STEP,
    WEIGHT,
    Bits,
    Space,
    Tree,
    Weighting,
)
from eric_fast.kernels.fixed_point import MAX_WEIGHT
from eric_fast.kernels.growth import NO_LIMIT, Limits


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
    """The arrays of so many trees, one above the other. Each is begun by `begin_tree`."""
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
        numbers=np.full((n_trees, 12), DONE),
        counts=counts,
        weights=np.empty_like(counts) if job.weighting.matters else counts,
        own=np.empty_like(counts) if spread else counts,
    )


def make_space(job: Job, *, spread: bool) -> Space:
    """What one thread writes on. Of all samples the smaller side is half at most; of a process's own it may be all."""
    n_moved = job.bits.n_samples if spread else job.bits.n_samples // 2
    return Space(np.empty(n_moved + SLACK, np.uint32), np.empty((3, len(job.bits.columns))))


def begin_tree(job: Job, target: int, tree: Tree, asked: NDArray[np.int32]) -> None:
    """List the samples, and line the root up to be counted, or to be opened where its counts are known.

    Args:
        tree, asked: one of `cpu_grow.grow_trees`' trees, and its part of `asked`.
    """
    own_counts = np.empty(job.n_values, np.int32)
    job.sort(job.values[target], job.bits.n_samples, job.weighting, tree.order, own_counts)
    numbers, tally = tree.numbers, tree.tallies[0]
    numbers[:] = 0
    numbers[[N_NODES, N_LEAVES, SMALL_MAY]] = 1
    numbers[LARGE], numbers[LARGE_SLOT] = -1, 1
    tree.free[:] = np.arange(len(tree.free))
    if job.limits.max_leaves == NO_LIMIT:
        numbers[N_FREE] = numbers[SMALL_SLOT] = len(tree.free) - 1
    tree.nodes[0, [LEFT, DEPTH, START]] = -1, 0, 0
    tally[OWN] = tally[SAMPLES] = own_counts
    tally[WEIGHT] = own_counts * job.weighting.of_value
    if len(job.weighting.of_sample):
        weights = job.weighting.of_sample[tree.order[: own_counts.sum()]]
        starts = np.cumsum(own_counts) - own_counts
        tally[WEIGHT] = [part.sum() for part in np.split(weights, starts[1:])] * job.weighting.of_value
    numbers[STEP] = COUNT
    root = job.find_root(target)
    if len(root):
        own = tree.own[numbers[SMALL_SLOT], :, : root.shape[1]]
        own[0], own[1] = root[0] - root[1], root[1]
        if len(asked):
            asked[0, 0, :, : root.shape[1]], asked[0, 0, :, -1] = own, own_counts
        numbers[STEP] = OPEN


def make_room(trees: Tree) -> Tree:
    """The same trees with room for twice as many nodes."""

    def double(array: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([array, np.empty_like(array)], axis=1)

    return trees._replace(nodes=double(trees.nodes), tallies=double(trees.tallies), opened=double(trees.opened))
