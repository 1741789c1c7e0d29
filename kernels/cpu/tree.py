"""What a tree on the CPU is while it grows: nodes, tallies, counts of open nodes; and what comes of it."""

from typing import Any, NamedTuple

import numpy as np
from numba import njit


class Bits(NamedTuple):
    """The atoms of all targets: uint64 columns `[n_atoms, n_words]`, the same as rows `[n_samples + 1, row_words]`.

    adder: the address of `cpu_rows.compile_adder`'s code, uint64.
    """

    columns: Any
    rows: Any
    n_samples: Any
    adder: Any


class Weighting(NamedTuple):
    """What samples weigh: int32 `of_sample` `[n_samples]` (length 0: all 1) times `of_value` `[n_values]` of theirs.

    matters: whether any weight differs from 1.
    """

    of_sample: Any
    of_value: Any
    matters: Any


class Space(NamedTuple):
    """What one thread writes on.

    moved: uint32, one side of a node that is being parted, and `SLACK`. scores: float64 `[3, n_atoms]`.
    """

    moved: Any
    scores: Any


class Tree(NamedTuple):
    """A tree that grows. Where its samples are spread over processes, this one's are `own`, all else is of all of them.

    order: uint32 `[n_samples + SLACK]`, the samples of every open node, side by side, by target value inside each node.
    nodes: int64 `[n, 5]`: the atom of the split that was found; the false child (the true one is the next) or -1;
        levels below the root; where its samples start in `order`; where its counts are.
    tallies: int32 `[n, 6, n_values]`: samples and weight of each node, the same of the true side of its split, and
        this process's own samples of both.
    opened: int64 `[n, 2]`, nodes with a split that was found, after what they are ordered by: see `push_node`.
    free: int64 `[n_slots]`, of which the first hold nothing.
    numbers: int64 `[12]`: nodes, leaves, free slots, open nodes; what a split must gain, in units of 2**-30; what is to
        be done next; of the smaller and the larger child of the node that was split last their numbers, whether they
        may be split, and their slots. The root is the smaller child of nothing, beside a larger one of number -1.
    counts, weights: int32 `[n_slots, n_values, 64 * row_words]`, of open nodes; one array where weights don't matter.
    own: as counts; the same array where one process has all samples.
    """

    order: Any
    nodes: Any
    tallies: Any
    opened: Any
    free: Any
    numbers: Any
    counts: Any
    weights: Any
    own: Any


ATOM, LEFT, DEPTH, START, SLOT = range(5)
SAMPLES, WEIGHT, TRUE_SAMPLES, TRUE_WEIGHT, OWN, OWN_TRUE = range(6)
N_NODES, N_LEAVES, N_FREE, N_OPENED, NEED, STEP = range(6)
SMALL, LARGE, SMALL_MAY, LARGE_MAY, SMALL_SLOT, LARGE_SLOT = range(6, 12)

# Loops, here and in `cpu_grow`, where NumPy would do in a line: that takes seconds more to compile.


@njit(nogil=True, cache=True)
def push_node(opened: Any, n: Any, key: Any, node: Any) -> None:
    """Add a node to a heap of `n`: the least key comes first, the lowest node of equals."""
    place = n
    while place and _comes_first(key, node, opened[(place - 1) // 2]):
        opened[place, 0], opened[place, 1] = opened[(place - 1) // 2, 0], opened[(place - 1) // 2, 1]
        place = (place - 1) // 2
    opened[place, 0], opened[place, 1] = key, node


@njit(nogil=True, cache=True)
def pop_node(opened: Any, n: Any) -> Any:
    """Take the first node from a heap of `n`."""
    first = opened[0, 1]
    key, node = opened[n - 1, 0], opened[n - 1, 1]
    place, child = 0, 1
    while child < n - 1:
        if child + 1 < n - 1 and _comes_first(opened[child + 1, 0], opened[child + 1, 1], opened[child]):
            child += 1
        if _comes_first(key, node, opened[child]):
            break
        opened[place, 0], opened[place, 1] = opened[child, 0], opened[child, 1]
        place, child = child, 2 * child + 1
    opened[place, 0], opened[place, 1] = key, node
    return first


@njit(nogil=True, cache=True)
def _comes_first(key: Any, node: Any, other: Any) -> Any:
    return key < other[0] or (key == other[0] and node < other[1])


@njit(nogil=True, cache=True)
def number_nodes(nodes: Any, tallies: Any, n_nodes: Any) -> Any:
    """Feature, left, right, counts, weights of the nodes in the order of `Forest`, whatever order they were made in."""
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
