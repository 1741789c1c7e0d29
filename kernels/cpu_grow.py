"""Trees on the CPU: a target at a time and a thread, depth first, over lists of samples; counts by `cpu_rows`.

A tree grows in steps, so that its samples may lie in several processes: `begin_tree` counts the root, `settle_tree`
finds splits from counts, `advance_tree` splits one node and counts its children. What is counted lies in `own`; with
several processes it is also put into `asked`, which they add up before the next step, and all of them decide alike.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.cpu_order import part_samples
from eric_fast.kernels.cpu_rows import count_rows
from eric_fast.kernels.cpu_split import add_up, find_split
from eric_fast.kernels.cpu_tree import (
    ATOM,
    DEPTH,
    LEFT,
    N_FREE,
    N_LEAVES,
    N_NODES,
    N_OPENED,
    NEED,
    OWN,
    OWN_TRUE,
    SAMPLES,
    SLOT,
    SPARE,
    SPLIT,
    START,
    TRUE_SAMPLES,
    TRUE_WEIGHT,
    WEIGHT,
    make_room,
    number_nodes,
    pop_node,
    push_node,
)
from eric_fast.kernels.fixed_point import SCALE_BITS
from eric_fast.kernels.trees import NO_LIMIT

# What `advance_tree` says: no node is left to split; one was, and its children stay leaves; or they were counted.
DONE, SPLIT_ALONE, COUNTED = range(3)


@njit(nogil=True, cache=True)
def grow_tree(
    bits: Any, own_counts: Any, root: Any, weighting: Any, limits: Any, table: Any, space: Any, tree: Any, asked: Any
) -> Any:
    """A whole tree in one process: feature, left, right, counts, weights as in `Forest`.

    Args:
        own_counts, root, asked: see `begin_tree`.
        table: `fixed_point.make_entropy_table`, up to what all samples weigh.
    """
    begin_tree(bits, own_counts, root, weighting, limits, tree, asked)
    settle_tree(bits, weighting, limits, table, space, tree, asked)
    while True:
        tree = make_room(tree)
        if advance_tree(bits, weighting, limits, space, tree, asked) == DONE:
            return number_nodes(tree.nodes, tree.tallies, tree.numbers[N_NODES])
        settle_tree(bits, weighting, limits, table, space, tree, asked)


@njit(nogil=True, cache=True)
def begin_tree(bits: Any, own_counts: Any, root: Any, weighting: Any, limits: Any, tree: Any, asked: Any) -> None:
    """Count the root.

    Args:
        own_counts: int32 `[n_values]`, this process's samples of each target value, which `tree.order` is sorted by.
        root: int32 `[2, n_atoms]`, in how many of its samples an atom is true, and is together with a target of two
            values; of length 0 where that isn't known, or where weights matter.
        asked: int32 `[n_children, n_kinds, n_values, 64 * row_words + 1]`, what processes add up: for each child that
            is counted (one depth first, two best first) samples and, where weights matter, weights, by value and
            atom, and in the last column in all. Of length 0 in a single process.
    """
    tree.numbers[N_NODES] = tree.numbers[N_LEAVES] = 1
    tree.numbers[N_OPENED], tree.numbers[SPLIT] = 0, -1
    for slot in range(len(tree.free)):
        tree.free[slot] = slot
    tree.numbers[N_FREE] = len(tree.free) - 1
    slot = tree.numbers[SPARE] = tree.numbers[N_FREE]
    tree.nodes[0, LEFT], tree.nodes[0, DEPTH], tree.nodes[0, START] = -1, 0, 0
    tally = tree.tallies[0]
    for v in range(len(own_counts)):
        tally[OWN, v] = tally[SAMPLES, v] = own_counts[v]
    _weigh_node(tree.order, own_counts, weighting, tally[WEIGHT])
    if len(root):
        for a in range(root.shape[1]):
            tree.own[slot, 0, a] = root[0, a] - root[1, a]
            tree.own[slot, 1, a] = root[1, a]
    elif len(asked) or _may_split(own_counts, 0, limits):
        _count_node(bits, tree, np.int64(0), weighting, slot)
    if len(asked):
        _ask(tree, np.int64(0), slot, asked[0], weighting)


@njit(nogil=True, cache=True)
def settle_tree(bits: Any, weighting: Any, limits: Any, table: Any, space: Any, tree: Any, asked: Any) -> None:
    """Open what was counted last, where it has a split: the root, or the children of the node that was split."""
    numbers, keeps = tree.numbers, limits.max_leaves == NO_LIMIT
    node, spare = numbers[SPLIT], numbers[SPARE]
    if node < 0:
        if len(asked):
            _take_answer(tree, spare, asked[0], weighting)
            for v in range(tree.tallies.shape[2]):
                tree.tallies[0, SAMPLES, v] = asked[0, 0, v, -1]
                tree.tallies[0, WEIGHT, v] = asked[0, -1, v, -1]
        # What a split must gain; the slack is what the rounding of the table's entries may take away.
        gain = limits.min_gain * add_up(tree.tallies[0, WEIGHT]) * 2.0**SCALE_BITS
        numbers[NEED] = np.int64(gain) - 3 * (tree.tallies.shape[2] + 1)
        may = len(bits.columns) > 0 and limits.max_leaves > 1 and _may_split(tree.tallies[0, SAMPLES], 0, limits)
        if not (may and _open_node(np.int64(0), spare, len(bits.columns), limits, table, space, tree)):
            return
        if keeps:
            numbers[N_FREE] -= 1
        return
    small, large, small_may, large_may = _rank_children(tree, node, limits)
    slot = tree.nodes[node, SLOT] if keeps else np.int64(1)
    if len(asked) and (small_may or (keeps and large_may)):
        _take_answer(tree, spare, asked[0], weighting)
    if keeps and large_may:  # the larger side is the difference
        _subtract(tree.counts[slot], tree.counts[spare])
        if weighting.matters:
            _subtract(tree.weights[slot], tree.weights[spare])
        if len(asked):
            _subtract(tree.own[slot], tree.own[spare])
    elif large_may and len(asked):
        _take_answer(tree, slot, asked[1], weighting)
    # The smaller side is opened last and split first, so that few slots are ever taken at once.
    for child, child_may, place in ((large, large_may, slot), (small, small_may, spare)):
        found = child_may and _open_node(child, place, len(bits.columns), limits, table, space, tree)
        if keeps and not found:
            tree.free[numbers[N_FREE]] = place
            numbers[N_FREE] += 1


@njit(nogil=True, cache=True)
def advance_tree(bits: Any, weighting: Any, limits: Any, space: Any, tree: Any, asked: Any) -> Any:
    """Split the next open node, and count its children where these may be split; there must be room for them.

    Depth first, each node's counts are kept until it is split: then the smaller side is counted, and the other is the
    difference. Best first there may be any number of nodes open, so both sides are counted and nothing is kept.
    """
    numbers, nodes, tallies, keeps = tree.numbers, tree.nodes, tree.tallies, limits.max_leaves == NO_LIMIT
    if not numbers[N_OPENED] or numbers[N_LEAVES] >= limits.max_leaves:
        return DONE
    node = tree.opened[numbers[N_OPENED] - 1, 1] if keeps else pop_node(tree.opened, numbers[N_OPENED])
    left = nodes[node, LEFT] = numbers[N_NODES]
    right = left + 1
    numbers[N_OPENED] -= 1
    numbers[N_NODES] += 2
    numbers[N_LEAVES] += 1
    for v in range(tallies.shape[2]):
        for what, of_true in ((SAMPLES, TRUE_SAMPLES), (WEIGHT, TRUE_WEIGHT), (OWN, OWN_TRUE)):
            tallies[right, what, v] = tallies[node, of_true, v]
            tallies[left, what, v] = tallies[node, what, v] - tallies[node, of_true, v]
    nodes[left, DEPTH] = nodes[right, DEPTH] = nodes[node, DEPTH] + 1
    nodes[left, LEFT] = nodes[right, LEFT] = -1
    small, large, small_may, large_may = _rank_children(tree, node, limits)
    start, n_small = nodes[node, START], add_up(tallies[small, OWN])
    end = start + n_small + add_up(tallies[large, OWN])
    nodes[large, START], nodes[small, START] = start, end - n_small
    numbers[SPLIT] = node
    if keeps:
        numbers[N_FREE] -= 1
        numbers[SPARE] = tree.free[numbers[N_FREE]]
    else:
        numbers[SPARE] = 0
    if not (small_may or large_may):
        return SPLIT_ALONE
    part_samples(bits.columns[nodes[node, ATOM]], tree.order, start, end, large == right, n_small, space.moved)
    if small_may or keeps:
        _count_node(bits, tree, small, weighting, numbers[SPARE])
        if len(asked):
            _ask(tree, small, numbers[SPARE], asked[0], weighting)
    if large_may and not keeps:
        _count_node(bits, tree, large, weighting, np.int64(1))
        if len(asked):
            _ask(tree, large, np.int64(1), asked[1], weighting)
    return COUNTED


@njit(nogil=True, cache=True)
def _rank_children(tree: Any, node: Any, limits: Any) -> Any:
    """The smaller child and the larger, and whether each may be split."""
    left = tree.nodes[node, LEFT]
    n_left, n_right = add_up(tree.tallies[left, SAMPLES]), add_up(tree.tallies[left + 1, SAMPLES])
    small, large = (left, left + 1) if n_left <= n_right else (left + 1, left)
    small_may = _may_split(tree.tallies[small, SAMPLES], tree.nodes[small, DEPTH], limits)
    return small, large, small_may, _may_split(tree.tallies[large, SAMPLES], tree.nodes[large, DEPTH], limits)


@njit(nogil=True, cache=True)
def _may_split(node_counts: Any, depth: Any, limits: Any) -> Any:
    n, n_seen = 0, 0
    for count in node_counts:
        n += count
        n_seen += count > 0
    return n_seen > 1 and n >= max(limits.min_split, 2 * limits.min_leaf) and depth < limits.max_depth


@njit(nogil=True, cache=True)
def _open_node(node: Any, slot: Any, n_atoms: Any, limits: Any, table: Any, space: Any, tree: Any) -> Any:
    """Find the best split from the counts in a slot, and line the node up for it. Whether there is one."""
    counts, weights, tally = tree.counts[slot, :, :n_atoms], tree.weights[slot, :, :n_atoms], tree.tallies[node]
    atom, gain = find_split(counts, weights, tally[SAMPLES], tally[WEIGHT], limits, table, space.scores)
    if atom < 0 or gain < tree.numbers[NEED]:
        return False
    tree.nodes[node, ATOM], tree.nodes[node, SLOT] = atom, slot
    for v in range(len(counts)):
        tally[TRUE_SAMPLES, v], tally[TRUE_WEIGHT, v] = counts[v, atom], weights[v, atom]
        tally[OWN_TRUE, v] = tree.own[slot, v, atom]
    if limits.max_leaves == NO_LIMIT:
        tree.opened[tree.numbers[N_OPENED], 1] = node
    else:
        push_node(tree.opened, tree.numbers[N_OPENED], -gain, node)
    tree.numbers[N_OPENED] += 1
    return True


@njit(nogil=True, cache=True)
def _ask(tree: Any, node: Any, slot: Any, asked: Any, weighting: Any) -> None:
    own, weights, tally = tree.own[slot], tree.weights[slot], tree.tallies[node]
    last = own.shape[1]
    for v in range(len(own)):
        for a in range(last):
            asked[0, v, a] = own[v, a]
        asked[0, v, last] = tally[OWN, v]
        if weighting.matters:
            for a in range(last):
                asked[1, v, a] = weights[v, a]
            asked[1, v, last] = tally[WEIGHT, v]


@njit(nogil=True, cache=True)
def _take_answer(tree: Any, slot: Any, asked: Any, weighting: Any) -> None:
    counts, weights = tree.counts[slot], tree.weights[slot]
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] = asked[0, v, a]
        if weighting.matters:
            for a in range(counts.shape[1]):
                weights[v, a] = asked[1, v, a]


@njit(nogil=True, cache=True)
def _count_node(bits: Any, tree: Any, node: Any, weighting: Any, slot: Any) -> None:
    """For each target value and atom: own samples of a node with the atom true, and what they weigh, into a slot."""
    start, node_counts = tree.nodes[node, START], tree.tallies[node, OWN]
    for v in range(len(node_counts)):
        end = start + np.int64(node_counts[v])
        counts, weights = tree.own[slot, v], tree.weights[slot, v]
        count_rows(bits.rows, tree.order, start, end, counts)
        if len(weighting.of_sample):
            _weigh_rows(bits.rows, tree.order, start, end, weighting.of_sample, weights)
        if weighting.matters:
            for a in range(len(weights)):
                unit = weights[a] if len(weighting.of_sample) else counts[a]
                weights[a] = unit * weighting.of_value[v]
        start = end


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
def _subtract(counts: Any, less: Any) -> None:
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] -= less[v, a]
