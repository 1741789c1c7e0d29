"""What a tree on the CPU is while it grows: nodes, tallies and counts of open nodes; a heap; and the finished tree."""

from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit


class Bits(NamedTuple):
    """The bits of all atoms.

    Attributes:
        columns: uint64 `[n_atoms, n_words]`, atom-major.
        rows: uint64 `[n_samples + 1, row_words]`, the same, sample-major; see `count_rows`.
        adder: uint64: the address of `count_rows.compile_adder`'s code.
    """

    columns: Any
    rows: Any
    n_samples: Any
    adder: Any


class Weighting(NamedTuple):
    """What a sample weighs: its own weight, times that of its target value.

    Attributes:
        of_sample: int32 `[n_samples]`, or `[0]` where every sample weighs 1.
        of_value: int32 `[n_values]`.
        matters: whether any weight differs from 1.
    """

    of_sample: Any
    of_value: Any
    matters: Any


class Scratch(NamedTuple):
    """What one thread works in.

    Attributes:
        moved: uint32 `[n + SLACK]`: one side of a node that is being partitioned.
        scores: float64 `[3, n_atoms]`.
    """

    moved: Any
    scores: Any


class GrowingTree(NamedTuple):
    """A tree that grows. Where samples are distributed over processes, counts are of all of them unless `local`.

    Attributes:
        order: uint32 `[n_samples + SLACK]`: the samples of each open node side by side, by target value inside a node.
        nodes: int64 `[n, 5]`, columns `ATOM` to `SLOT`: the atom of the best split; the false child (the true one is
            the next) or -1; levels below the root; where the samples start in `order`; where the counts are.
        tallies: int32 `[n, 6, n_values]`, rows `SAMPLES` to `LOCAL_TRUE`: samples and weight of each node, the same of
            the true side of its split, and the local samples of both.
        opened: int64 `[n, 2]`, columns `OPENED_KEY` and `OPENED_NODE`: nodes with a split, see `push_node`.
        free: int64 `[n_slots]`, of which the first `N_FREE` are free.
        state: int64 `[12]`, places `N_NODES` to `LARGE_SLOT`: how many nodes, leaves, free slots and open nodes there
            are; what a split must gain, in units of 2**-30; the next step; of the smaller and the larger child of the
            node that was split last, the number, whether it may be split, and the slot. The root is the smaller child
            of no node; the larger has number -1.
        counts, weights: int32 `[n_slots, n_values, 64 * row_words]`, of open nodes: samples with each atom true, and
            what they weigh; one array where weights don't matter.
        local: local counts; the same array as `counts` where one process has all samples.
    """

    order: Any
    nodes: Any
    tallies: Any
    opened: Any
    free: Any
    state: Any
    counts: Any
    weights: Any
    local: Any


ATOM, LEFT, DEPTH, START, SLOT = range(5)
SAMPLES, WEIGHT, TRUE_SAMPLES, TRUE_WEIGHT, LOCAL, LOCAL_TRUE = range(6)
N_NODES, N_LEAVES, N_FREE, N_OPENED, MIN_GAIN, STEP = range(6)
SMALL, LARGE, SMALL_SPLITS, LARGE_SPLITS, SMALL_SLOT, LARGE_SLOT = range(6, 12)

OPENED_KEY, OPENED_NODE = range(2)

# There are loops here and in `grow_nodes` where a line of NumPy would do: that takes seconds longer to compile.


@cached_njit
def push_node(opened: Any, n: Any, key: Any, node: Any) -> None:
    """Add a node to a heap of `n`, `GrowingTree.opened`: the least key comes first, the lowest node of equals."""
    place = n
    while place:
        parent = (place - 1) // 2
        if not _comes_first(key, node, opened[parent]):
            break
        _put(opened, place, opened[parent, OPENED_KEY], opened[parent, OPENED_NODE])
        place = parent
    _put(opened, place, key, node)


@cached_njit
def pop_node(opened: Any, n: Any) -> Any:
    """Take the first node from a heap of `n`, `GrowingTree.opened`."""
    first = opened[0, OPENED_NODE]
    key, node = opened[n - 1, OPENED_KEY], opened[n - 1, OPENED_NODE]
    place, child = 0, 1
    while child < n - 1:
        if child + 1 < n - 1 and _comes_first(
            opened[child + 1, OPENED_KEY], opened[child + 1, OPENED_NODE], opened[child]
        ):
            child += 1
        if _comes_first(key, node, opened[child]):
            break
        _put(opened, place, opened[child, OPENED_KEY], opened[child, OPENED_NODE])
        place, child = child, 2 * child + 1
    _put(opened, place, key, node)
    return first


@cached_njit
def _put(opened: Any, place: Any, key: Any, node: Any) -> None:
    opened[place, OPENED_KEY], opened[place, OPENED_NODE] = key, node


@cached_njit
def _comes_first(key: Any, node: Any, other: Any) -> Any:
    return key < other[OPENED_KEY] or (key == other[OPENED_KEY] and node < other[OPENED_NODE])


@cached_njit
def number_nodes(nodes: Any, tallies: Any, n_nodes: Any) -> Any:
    """The fields of a `GrownTree`: nodes in the order of `Forest`, whatever order they were made in.

    Args:
        nodes, tallies: as in `GrowingTree`.
    """
    n_values = tallies.shape[2]
    feature, left, right = np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32)
    counts, weights = np.empty((n_nodes, n_values), np.int32), np.empty((n_nodes, n_values), np.int32)
    depth = np.int64(0)
    for node in range(n_nodes):
        depth = max(depth, nodes[node, DEPTH])
    pending, parents = np.empty(depth + 2, np.int64), np.empty(depth + 2, np.int64)  # a node, and whose true branch
    pending[0], parents[0] = 0, -1
    n_pending, n = 1, 0
    while n_pending:
        n_pending -= 1
        node, parent = pending[n_pending], parents[n_pending]
        if parent >= 0:
            right[parent] = n
        feature[n] = left[n] = right[n] = -1
        for v in range(n_values):
            counts[n, v], weights[n, v] = tallies[node, SAMPLES, v], tallies[node, WEIGHT, v]
        if nodes[node, LEFT] >= 0:
            feature[n], left[n] = nodes[node, ATOM], n + 1
            pending[n_pending], parents[n_pending] = nodes[node, LEFT] + 1, n
            pending[n_pending + 1], parents[n_pending + 1] = nodes[node, LEFT], -1
            n_pending += 2
        n += 1
    return feature, left, right, counts, weights
