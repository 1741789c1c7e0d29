"""What trees on the CPU are grown on, the memory they grow in, and how one begins; `grow_nodes` does the rest."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.cpu.grow_nodes import COUNT, DONE, OPEN
from eric_fast.kernels.cpu.sort_samples import SLACK
from eric_fast.kernels.cpu.tree import FIELD, STATE, TALLY, Bits, GrowingTree, Scratch, Weighting
from eric_fast.kernels.fixed_point import MAX_WEIGHT
from eric_fast.kernels.growth import NO_LIMIT, Limits


class GrowTask(NamedTuple):
    """What is grown, and on what.

    Attributes:
        values: a row for each target: what `sort` takes.
        sort: `sort_by_bit` or `sort_by_value`.
        roots: int32 `[n_targets + 1, n_atoms]`: local samples with an atom true and a target true as well; in the last
            row all local samples with the atom true. `[0, 0]` where that isn't known.
        table: `fixed_point.make_entropy_table`, up to what all samples weigh.
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
        """int32 `[2, n_atoms]`: local samples with an atom true, and with the target true as well; or `[0, 0]`."""
        return self.roots[[-1, target]] if len(self.roots) else self.roots


def allocate_trees(task: GrowTask, n_trees: int, *, distributed: bool) -> GrowingTree:
    """A `GrowingTree` whose arrays hold `n_trees` trees, one above the other; `begin_tree` begins each."""
    n_samples, n_values, n_counters = task.bits.n_samples, task.n_values, 64 * task.bits.rows.shape[1]
    # Depth first, a node's counts are kept while its smaller side grows, which is at most half of it.
    most = MAX_WEIGHT if distributed else n_samples
    n_slots = most.bit_length() + 2 if task.limits.max_leaves == NO_LIMIT else 2
    counts = np.empty((n_trees, n_slots, n_values, n_counters), np.int32)
    return GrowingTree(
        order=np.empty((n_trees, n_samples + SLACK), np.uint32),
        nodes=np.empty((n_trees, 64, 5), np.int64),
        tallies=np.empty((n_trees, 64, 6, n_values), np.int32),
        opened=np.empty((n_trees, 64, 2), np.int64),
        free=np.empty((n_trees, n_slots), np.int64),
        state=np.full((n_trees, 12), DONE),
        counts=counts,
        weights=np.empty_like(counts) if task.weighting.matters else counts,
        local=np.empty_like(counts) if distributed else counts,
    )


def allocate_scratch(task: GrowTask, *, distributed: bool) -> Scratch:
    """A thread's scratch memory. The smaller side is at most half of all samples; of local samples it may be all."""
    n_moved = task.bits.n_samples if distributed else task.bits.n_samples // 2
    return Scratch(np.empty(n_moved + SLACK, np.uint32), np.empty((3, len(task.bits.columns))))


def begin_tree(task: GrowTask, target: int, tree: GrowingTree, exchanged: NDArray[np.int32]) -> None:
    """List a tree's samples; next its root is counted, or opened where its counts are known.

    Args:
        target: the number of its target.
        tree, exchanged: one of the trees of `grow_all`, and its part of `exchanged`.
    """
    local_counts = np.empty(task.n_values, np.int32)
    task.sort(task.values[target], task.bits.n_samples, task.weighting, tree.order, local_counts)
    state, tally = tree.state, tree.tallies[0]
    state[:] = 0
    state[[STATE.n_nodes, STATE.n_leaves, STATE.small_splits]] = 1
    state[STATE.large], state[STATE.large_slot] = -1, 1
    tree.free[:] = np.arange(len(tree.free))
    if task.limits.max_leaves == NO_LIMIT:
        state[STATE.n_free] = state[STATE.small_slot] = len(tree.free) - 1
    tree.nodes[0, [FIELD.left, FIELD.depth, FIELD.start]] = -1, 0, 0
    tally[TALLY.local] = tally[TALLY.samples] = local_counts
    tally[TALLY.weight] = local_counts * task.weighting.of_value
    if len(task.weighting.of_sample):
        weights = task.weighting.of_sample[tree.order[: local_counts.sum()]]
        starts = np.cumsum(local_counts) - local_counts
        tally[TALLY.weight] = [part.sum() for part in np.split(weights, starts[1:])] * task.weighting.of_value
    state[STATE.step] = COUNT
    root = task.find_root(target)
    if len(root):
        local = tree.local[state[STATE.small_slot], :, : root.shape[1]]
        local[0], local[1] = root[0] - root[1], root[1]
        if len(exchanged):
            exchanged[0, 0, :, : root.shape[1]], exchanged[0, 0, :, -1] = local, local_counts
        state[STATE.step] = OPEN


def double_nodes(trees: GrowingTree) -> GrowingTree:
    """Move trees to arrays for twice as many nodes."""

    def double(array: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([array, np.empty_like(array)], axis=1)

    return trees._replace(nodes=double(trees.nodes), tallies=double(trees.tallies), opened=double(trees.opened))
