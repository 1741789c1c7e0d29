"""What a tree on the CPU is while it grows: nodes, tallies and counts of open nodes; a heap; and the finished tree."""

from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.growth import GrownTree


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
        nodes: int64 `[n, 5]`, columns `FIELD`: the atom of the best split; the false child (the true one is
            the next) or -1; levels below the root; where the samples start in `order`; where the counts are.
        tallies: int32 `[n, 6, n_values]`, rows `TALLY`: samples and weight of each node, the same of
            the true side of its split, and the local samples of both.
        opened: int64 `[n, 2]`, columns `OPENED`: nodes with a split, see `push_node`.
        free: int64 `[n_slots]`, of which the first `STATE.n_free` are free.
        state: int64 `[12]`, places `STATE`: how many nodes, leaves, free slots and open nodes there
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


_Fields = namedtuple("_Fields", "atom left depth start slot")
_Tallies = namedtuple("_Tallies", "samples weight true_samples true_weight local local_true")
_State = namedtuple(
    "_State",
    "n_nodes n_leaves n_free n_opened min_gain step small large small_splits large_splits small_slot large_slot",
)
_Opened = namedtuple("_Opened", "key node")
FIELD, TALLY = _Fields(*range(5)), _Tallies(*range(6))
STATE, OPENED = _State(*range(12)), _Opened(*range(2))

# There are loops here and in `grow_nodes` where a line of NumPy would do: that takes seconds longer to compile.


@cached_njit
def push_node(opened: Any, n: int, key: int, node: int) -> None:
    """Add a node to a heap of `n`, `GrowingTree.opened`: the least key comes first, the lowest node of equals."""
    place = n
    while place:
        parent = (place - 1) // 2
        if not _comes_first(key, node, opened[parent]):
            break
        _put(opened, place, opened[parent, OPENED.key], opened[parent, OPENED.node])
        place = parent
    _put(opened, place, key, node)


@cached_njit
def pop_node(opened: Any, n: int) -> Any:
    """Take the first node from a heap of `n`, `GrowingTree.opened`."""
    first = opened[0, OPENED.node]
    key, node = opened[n - 1, OPENED.key], opened[n - 1, OPENED.node]
    place, child = 0, 1
    while child < n - 1:
        if child + 1 < n - 1 and _comes_first(
            opened[child + 1, OPENED.key], opened[child + 1, OPENED.node], opened[child]
        ):
            child += 1
        if _comes_first(key, node, opened[child]):
            break
        _put(opened, place, opened[child, OPENED.key], opened[child, OPENED.node])
        place, child = child, 2 * child + 1
    _put(opened, place, key, node)
    return first


@cached_njit
def _put(opened: Any, place: int, key: int, node: int) -> None:
    """Write a row of a heap, `opened`; see `push_node`."""
    opened[place, OPENED.key], opened[place, OPENED.node] = key, node


@cached_njit
def _comes_first(key: int, node: int, other: Any) -> Any:
    """Whether a node comes before `other`, a row of a heap."""
    return key < other[OPENED.key] or (key == other[OPENED.key] and node < other[OPENED.node])


@cached_njit
def number_nodes(nodes: Any, tallies: Any, n_nodes: int) -> Any:
    """A `GrownTree` of arrays: nodes in the order of `Forest`, whatever order they were made in.

    Args:
        nodes, tallies: as in `GrowingTree`.
    """
    n_values = tallies.shape[2]
    feature, left, right = np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32), np.empty(n_nodes, np.int32)
    counts, weights = np.empty((n_nodes, n_values), np.int32), np.empty((n_nodes, n_values), np.int32)
    depth = np.int64(0)
    for node in range(n_nodes):
        depth = max(depth, nodes[node, FIELD.depth])
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
            counts[n, v], weights[n, v] = tallies[node, TALLY.samples, v], tallies[node, TALLY.weight, v]
        if nodes[node, FIELD.left] >= 0:
            feature[n], left[n] = nodes[node, FIELD.atom], n + 1
            pending[n_pending], parents[n_pending] = nodes[node, FIELD.left] + 1, n
            pending[n_pending + 1], parents[n_pending + 1] = nodes[node, FIELD.left], -1
            n_pending += 2
        n += 1
    return GrownTree(feature, left, right, counts, weights)
