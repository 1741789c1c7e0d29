"""Trees on the CPU: a target at a time and a thread, depth first, over lists of samples; counts by `cpu_rows`."""

from heapq import heappop, heappush
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from eric_fast.kernels.cpu_order import part_samples
from eric_fast.kernels.cpu_rows import count_rows
from eric_fast.kernels.cpu_split import add_up, find_split
from eric_fast.kernels.fixed_point import SCALE_BITS
from eric_fast.kernels.trees import NO_LIMIT


class Bits(NamedTuple):
    """The atoms of all targets: uint64 columns `[n_atoms, n_words]`, the same as rows `[n_samples + 1, row_words]`."""

    columns: Any
    rows: Any
    n_samples: Any


class Space(NamedTuple):
    """What one thread writes on.

    order: uint32 `[n_samples + SLACK]`, the samples of every open node, side by side, by target value inside each node.
    moved: uint32 `[n_samples // 2 + SLACK]`, one side of a node that is being parted.
    scores: float64 `[3, n_atoms]`.
    counts, weights: int32 `[n_slots, n_values, 64 * row_words]`, of open nodes; one array where weights don't matter.
    """

    order: Any
    moved: Any
    scores: Any
    counts: Any
    weights: Any


class Weighting(NamedTuple):
    """What samples weigh: int32 `of_sample` `[n_samples]` (length 0: all 1) times `of_value` `[n_values]` of theirs.

    matters: whether any weight differs from 1.
    """

    of_sample: Any
    of_value: Any
    matters: Any


# Columns of a tree's nodes while it grows: the atom of the split that was found; the false child (the true one is the
# next) or -1; levels below the root; where its samples start in `order`; where its counts are.
ATOM, LEFT, DEPTH, START, SLOT = range(5)
# Rows of a node's tally by target value: of all its samples, and of those on the true side of the split.
SAMPLES, WEIGHT, TRUE_SAMPLES, TRUE_WEIGHT = range(4)


@njit(nogil=True, cache=True)
def _weigh_rows(rows: Any, order: Any, start: Any, end: Any, weights: Any, out: Any) -> None:
    """As `count_rows`, each sample as often as it weighs: one count for each bit of the weights."""
    for a in range(len(out)):
        out[a] = 0
    heaviest = np.int32(0)
    for i in range(start, end):
        heaviest = max(heaviest, weights[order[i]])
    chosen = np.empty(4096, np.uint32)
    count = np.empty(len(out), np.int32)
    for first in range(start, end, len(chosen)):
        bit = 0
        while heaviest >> bit:
            n = np.int64(0)
            for i in range(first, min(first + len(chosen), end)):
                chosen[n] = order[i]
                n += (weights[order[i]] >> bit) & 1
            count_rows(rows, chosen, np.int64(0), n, count)
            for a in range(len(out)):
                out[a] += count[a] << bit
            bit += 1


@njit(nogil=True, cache=True)
def _count_node(bits: Any, space: Any, start: Any, node_counts: Any, weighting: Any, slot: Any) -> None:
    """For each target value and atom: samples of a node with the atom true, and what they weigh, into a slot."""
    for v in range(len(node_counts)):
        end = start + np.int64(node_counts[v])
        counts, weights = space.counts[slot, v], space.weights[slot, v]
        count_rows(bits.rows, space.order, start, end, counts)
        if len(weighting.of_sample):
            _weigh_rows(bits.rows, space.order, start, end, weighting.of_sample, weights)
        if weighting.matters:
            for a in range(len(weights)):
                unit = weights[a] if len(weighting.of_sample) else counts[a]
                weights[a] = unit * weighting.of_value[v]
        start = end


@njit(nogil=True, cache=True)
def _weigh_node(order: Any, node_counts: Any, weighting: Any, out: Any) -> None:
    """out[v] = what the samples of the root with value v weigh."""
    start = np.int64(0)
    for v in range(len(node_counts)):
        out[v] = node_counts[v]
        if len(weighting.of_sample):
            out[v] = 0
            for i in range(start, start + node_counts[v]):
                out[v] += weighting.of_sample[order[i]]
        out[v] *= weighting.of_value[v]
        start += node_counts[v]


@njit(nogil=True, cache=True)
def _may_split(node_counts: Any, depth: Any, limits: Any) -> Any:
    n, n_seen = 0, 0
    for count in node_counts:
        n += count
        n_seen += count > 0
    return n_seen > 1 and n >= max(limits.min_split, 2 * limits.min_leaf) and depth < limits.max_depth


@njit(nogil=True, cache=True)
def _open_node(
    node: Any,
    slot: Any,
    n_atoms: Any,
    need: Any,
    nodes: Any,
    tallies: Any,
    limits: Any,
    table: Any,
    space: Any,
    opened: Any,
) -> Any:
    """Find the best split from the counts in a slot, and line the node up for it. Whether there is one."""
    counts, weights, tally = space.counts[slot, :, :n_atoms], space.weights[slot, :, :n_atoms], tallies[node]
    atom, gain = find_split(counts, weights, tally[SAMPLES], tally[WEIGHT], limits, table, space.scores)
    if atom < 0 or gain < need:
        return False
    nodes[node, ATOM], nodes[node, SLOT] = atom, slot
    for v in range(len(counts)):
        tally[TRUE_SAMPLES, v], tally[TRUE_WEIGHT, v] = counts[v, atom], weights[v, atom]
    if limits.max_leaves == NO_LIMIT:
        opened.append((np.int64(0), np.int64(node)))
    else:
        heappush(opened, (-gain, np.int64(node)))
    return True


@njit(nogil=True, cache=True)
def grow_tree(bits: Any, node_counts: Any, root: Any, weighting: Any, limits: Any, table: Any, space: Any) -> Any:
    """One tree: feature, left, right, counts, weights as in `Forest`.

    Depth first, each node's counts are kept until it is split: then the smaller side is counted, and the other is the
    difference. Best first there may be any number of nodes open, so both sides are counted and nothing is kept.

    Args:
        node_counts: int32 `[n_values]`, of the whole target, which `space.order` is sorted by.
        root: int32 `[2, n_atoms]`, in how many samples an atom is true, and is together with a target of two values; of
            length 0 where that isn't known, or where weights matter.
        table: `fixed_point.make_entropy_table`, up to what all samples weigh.
    """
    n_values, n_atoms = len(node_counts), len(bits.columns)
    keeps = limits.max_leaves == NO_LIMIT
    nodes = np.empty((64, 5), np.int64)
    tallies = np.empty((64, 4, n_values), np.int32)
    opened = [(np.int64(0), np.int64(0))]
    opened.clear()
    free = np.arange(len(space.counts))
    n_free = len(free)

    nodes[0, LEFT], nodes[0, DEPTH], nodes[0, START] = -1, 0, 0
    for v in range(n_values):
        tallies[0, SAMPLES, v] = node_counts[v]
    _weigh_node(space.order, node_counts, weighting, tallies[0, WEIGHT])
    # What a split must gain, in units of 2**-30; the slack is what the rounding of the table's entries may take away.
    need = np.int64(limits.min_gain * add_up(tallies[0, WEIGHT]) * 2.0**SCALE_BITS) - 3 * (n_values + 1)
    n_nodes, n_leaves = 1, 1
    if n_atoms and limits.max_leaves > 1 and _may_split(node_counts, nodes[0, DEPTH], limits):
        slot = free[n_free - 1]
        if len(root):
            for a in range(n_atoms):
                space.counts[slot, 0, a] = root[0, a] - root[1, a]
                space.counts[slot, 1, a] = root[1, a]
        else:
            _count_node(bits, space, nodes[0, START], node_counts, weighting, slot)
        if _open_node(np.int64(0), slot, n_atoms, need, nodes, tallies, limits, table, space, opened) and keeps:
            n_free -= 1
    while len(opened) and n_leaves < limits.max_leaves:
        node = opened.pop()[1] if keeps else heappop(opened)[1]
        left, right = n_nodes, n_nodes + 1
        n_nodes += 2
        n_leaves += 1
        if n_nodes > len(nodes):
            nodes, tallies = _double(nodes, tallies)
        atom, depth, start, slot = nodes[node, ATOM], nodes[node, DEPTH], nodes[node, START], nodes[node, SLOT]
        for v in range(n_values):
            for what, of_true in ((SAMPLES, TRUE_SAMPLES), (WEIGHT, TRUE_WEIGHT)):
                tallies[right, what, v] = tallies[node, of_true, v]
                tallies[left, what, v] = tallies[node, what, v] - tallies[node, of_true, v]
        n_left, n_right = add_up(tallies[left, SAMPLES]), add_up(tallies[right, SAMPLES])
        nodes[node, LEFT] = left
        small, large = (left, right) if n_left <= n_right else (right, left)
        n_small, end = min(n_left, n_right), start + n_left + n_right
        nodes[large, LEFT], nodes[large, DEPTH], nodes[large, START] = -1, depth + 1, start
        nodes[small, LEFT], nodes[small, DEPTH], nodes[small, START] = -1, depth + 1, end - n_small
        small_may = _may_split(tallies[small, SAMPLES], depth + 1, limits)
        large_may = _may_split(tallies[large, SAMPLES], depth + 1, limits)
        if small_may or large_may:
            part_samples(bits.columns[atom], space.order, start, end, large == right, n_small, space.moved)
        if keeps:
            spare = free[n_free - 1]
            n_free -= 1
            if small_may or large_may:
                _count_node(bits, space, nodes[small, START], tallies[small, SAMPLES], weighting, spare)
            if large_may:
                _subtract(space.counts[slot], space.counts[spare])
                if weighting.matters:
                    _subtract(space.weights[slot], space.weights[spare])
        # The smaller side is opened last and split first, so that few slots are ever taken at once.
        for child, child_may in ((large, large_may), (small, small_may)):
            own = (slot if child == large else spare) if keeps else free[0]
            if child_may and not keeps:
                _count_node(bits, space, nodes[child, START], tallies[child, SAMPLES], weighting, own)
            found = child_may and _open_node(child, own, n_atoms, need, nodes, tallies, limits, table, space, opened)
            if keeps and not found:
                free[n_free] = own
                n_free += 1
    return _number_nodes(nodes, tallies, n_nodes)


# Loops, here and above, where NumPy would do in a line: that takes seconds more to compile.


@njit(nogil=True, cache=True)
def _double(nodes: Any, tallies: Any) -> Any:
    more_nodes = np.empty((2 * len(nodes), nodes.shape[1]), nodes.dtype)
    more_tallies = np.empty((2 * len(nodes), tallies.shape[1], tallies.shape[2]), tallies.dtype)
    for i in range(len(nodes)):
        for k in range(nodes.shape[1]):
            more_nodes[i, k] = nodes[i, k]
        for k in range(tallies.shape[1]):
            for v in range(tallies.shape[2]):
                more_tallies[i, k, v] = tallies[i, k, v]
    return more_nodes, more_tallies


@njit(nogil=True, cache=True)
def _subtract(counts: Any, less: Any) -> None:
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] -= less[v, a]


@njit(nogil=True, cache=True)
def _number_nodes(nodes: Any, tallies: Any, n_nodes: Any) -> Any:
    """The nodes in the order of `Forest`, whatever order they were made in."""
    n_values = tallies.shape[2]
    feature, left, right = np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32)
    counts, weights = np.empty((n_nodes, n_values), np.int32), np.empty((n_nodes, n_values), np.int32)
    depth = np.int64(0)
    for node in range(n_nodes):
        depth = max(depth, nodes[node, DEPTH])
    pending = np.empty((depth + 2, 2), np.int64)  # a node, and whose true branch it is
    pending[0, 0], pending[0, 1] = 0, -1
    n_pending, n = 1, 0
    while n_pending:
        n_pending -= 1
        node, parent = pending[n_pending, 0], pending[n_pending, 1]
        if parent >= 0:
            right[parent] = n
        feature[n] = left[n] = right[n] = -1
        for v in range(n_values):
            counts[n, v], weights[n, v] = tallies[node, SAMPLES, v], tallies[node, WEIGHT, v]
        if nodes[node, LEFT] >= 0:
            feature[n], left[n] = nodes[node, ATOM], n + 1
            pending[n_pending, 0], pending[n_pending, 1] = nodes[node, LEFT] + 1, n
            pending[n_pending + 1, 0], pending[n_pending + 1, 1] = nodes[node, LEFT], -1
            n_pending += 2
        n += 1
    return feature, left, right, counts, weights
