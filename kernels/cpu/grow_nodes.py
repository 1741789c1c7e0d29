"""Grow a tree on the CPU node by node, over lists of samples; `count_rows` counts.

A tree grows in steps, so that its samples may be distributed over processes: nodes are counted; those that have a split
are opened; the next open node is split. Counts lie in `GrowingTree.local`. Several processes also put them into
`exchanged`, which is added up over the processes before the next step, so that all of them decide alike.

Numba compiles a function again for each function that calls it, and again for each that calls that one. So most
functions here have one caller, and the larger ones are inlined into it (`inline="always"`). They take what `grow_all`
takes, under the same names; `exchanged` is that of one tree, or of a child.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.borrow import borrow
from eric_fast.kernels.cpu.count_rows import count_rows
from eric_fast.kernels.cpu.find_split import find_split, sum_counts
from eric_fast.kernels.cpu.sort_samples import partition_samples
from eric_fast.kernels.cpu.tree import (
    FIELD,
    OPENED,
    STATE,
    TALLY,
    Bits,
    GrowingTree,
    Scratch,
    Weighting,
    pop_node,
    push_node,
)
from eric_fast.kernels.fixed_point import SCALE_BITS
from eric_fast.kernels.growth import NO_LIMIT, Limits

# A tree's next step: count nodes; open them, after processes have added up their counts; split a node; move to larger
# arrays; or none, as no node is left to split.
COUNT, OPEN, SPLIT, GROW, DONE = range(5)


@cached_njit
def grow_all(
    bits: Bits,
    weighting: Weighting,
    limits: Limits,
    table: Any,
    scratch: Scratch,
    trees: GrowingTree,
    exchanged: Any,
    first: int,
    stride: int,
) -> None:
    """Grow every `stride`-th tree from `first` on, until it must wait: its next step is then `state[STATE.step]`.

    Args:
        bits, weighting, limits, scratch: `Bits`, `Weighting`, `Limits` and `Scratch`.
        table: int64: `fixed_point.make_entropy_table`, up to what all samples weigh.
        trees: `GrowingTree`, its arrays one above the other, as `begin_tree` or this function left them.
        exchanged: int32 `[n_trees, n_children, n_kinds, n_values, 64 * row_words + 1]`: what processes add up. For each
            child that is counted (one depth first, two best first): samples and, where weights matter, weights, by
            value and atom; the last column is for all samples. `n_children` is 0 in a single process.
    """
    bits, weighting, table, scratch = borrow(bits), borrow(weighting), borrow(table), borrow(scratch)
    trees, exchanged = borrow(trees), borrow(exchanged)
    for i in range(first, len(trees.state), stride):
        tree = GrowingTree(
            trees.order[i],
            trees.nodes[i],
            trees.tallies[i],
            trees.opened[i],
            trees.free[i],
            trees.state[i],
            trees.counts[i],
            trees.weights[i],
            trees.local[i],
        )
        step = tree.state[STATE.step]
        while step != DONE:
            if step == COUNT:
                counted = _count_children(bits, weighting, limits, tree, exchanged[i])
                step = OPEN
                if counted and exchanged.shape[1]:
                    break
            elif step == OPEN:
                _open_children(bits, weighting, limits, table, scratch, tree, exchanged[i])
                step = SPLIT
            elif not tree.state[STATE.n_opened] or tree.state[STATE.n_leaves] >= limits.max_leaves:
                step = DONE
            elif tree.state[STATE.n_nodes] + 2 > len(tree.nodes):
                step = GROW
                break
            else:
                _split_node(bits, limits, scratch, tree)
                step = COUNT
        tree.state[STATE.step] = step


@njit(inline="always")
def _count_children(bits: Bits, weighting: Weighting, limits: Limits, tree: GrowingTree, exchanged: Any) -> Any:
    """Count the root, or the children of the node that was split last, if they may be split. Whether any was counted.

    Depth first, a node's counts are kept until it is split: then the smaller side is counted, and the larger is the
    difference. Best first, any number of nodes may be open, so both sides are counted and nothing is kept.
    """
    state, keeps_counts, counted = tree.state, limits.max_leaves == NO_LIMIT, False
    for k in range(1 if keeps_counts else 2):
        node, slot = state[STATE.small + k], state[STATE.small_slot + k]
        if state[STATE.small_splits + k] or (keeps_counts and state[STATE.large_splits]):
            _count_node(bits, tree, node, weighting, slot)
            if exchanged.shape[0]:
                _offer_counts(tree, node, slot, exchanged[k], weighting)
            counted = True
    return counted


@njit(inline="always")
def _open_children(
    bits: Bits, weighting: Weighting, limits: Limits, table: Any, scratch: Scratch, tree: GrowingTree, exchanged: Any
) -> None:
    """Open the root, or the children of the node that was split last: those that have a split."""
    state, tallies, keeps_counts = tree.state, tree.tallies, limits.max_leaves == NO_LIMIT
    for k in range(exchanged.shape[0]):
        if state[STATE.small_splits + k] or (keeps_counts and state[STATE.large_splits]):
            _take_totals(tree, state[STATE.small_slot + k], exchanged[k], weighting)
    if state[STATE.large] < 0:  # the root
        if exchanged.shape[0]:
            for v in range(tallies.shape[2]):
                tallies[0, TALLY.samples, v] = exchanged[0, 0, v, -1]
                tallies[0, TALLY.weight, v] = exchanged[0, -1, v, -1]
        # What a split must gain, less what the rounding of the table's entries may take away.
        gain = limits.min_gain * sum_counts(tallies[0, TALLY.weight]) * 2.0**SCALE_BITS
        state[STATE.min_gain] = np.int64(gain) - 3 * (tallies.shape[2] + 1)
    elif keeps_counts and state[STATE.large_splits]:  # the larger side is the difference
        small_slot, large_slot = state[STATE.small_slot], state[STATE.large_slot]
        _subtract(tree.counts[large_slot], tree.counts[small_slot])
        if weighting.matters:
            _subtract(tree.weights[large_slot], tree.weights[small_slot])
        if exchanged.shape[0]:
            _subtract(tree.local[large_slot], tree.local[small_slot])
    # The smaller side is opened last and split first, so that few slots are in use at once.
    for k in range(1, -1, -1):
        node, slot = state[STATE.small + k], state[STATE.small_slot + k]
        found = False
        if node >= 0 and _may_split(tallies[node, TALLY.samples], tree.nodes[node, FIELD.depth], limits):
            found = _open_node(node, slot, len(bits.columns), limits, table, scratch, tree)
        if keeps_counts and not found and node >= 0:
            tree.free[state[STATE.n_free]] = slot
            state[STATE.n_free] += 1


@njit(inline="always")
def _split_node(bits: Bits, limits: Limits, scratch: Scratch, tree: GrowingTree) -> None:
    """Split the next open node; its children are counted next. There must be room for them."""
    state, nodes, tallies, keeps_counts = tree.state, tree.nodes, tree.tallies, limits.max_leaves == NO_LIMIT
    node = (
        tree.opened[state[STATE.n_opened] - 1, OPENED.node]
        if keeps_counts
        else pop_node(tree.opened, state[STATE.n_opened])
    )
    left = nodes[node, FIELD.left] = state[STATE.n_nodes]
    right = left + 1
    state[STATE.n_opened] -= 1
    state[STATE.n_nodes] += 2
    state[STATE.n_leaves] += 1
    for v in range(tallies.shape[2]):
        for what, of_true in (
            (TALLY.samples, TALLY.true_samples),
            (TALLY.weight, TALLY.true_weight),
            (TALLY.local, TALLY.local_true),
        ):
            tallies[right, what, v] = tallies[node, of_true, v]
            tallies[left, what, v] = tallies[node, what, v] - tallies[node, of_true, v]
    nodes[left, FIELD.depth] = nodes[right, FIELD.depth] = nodes[node, FIELD.depth] + 1
    nodes[left, FIELD.left] = nodes[right, FIELD.left] = -1
    right_is_large = sum_counts(tallies[left, TALLY.samples]) <= sum_counts(tallies[right, TALLY.samples])
    small, large = (left, right) if right_is_large else (right, left)
    state[STATE.small], state[STATE.large] = small, large
    start, n_small = nodes[node, FIELD.start], sum_counts(tallies[small, TALLY.local])
    end = start + n_small + sum_counts(tallies[large, TALLY.local])
    nodes[large, FIELD.start], nodes[small, FIELD.start] = start, end - n_small
    for k in range(2):
        child = state[STATE.small + k]
        state[STATE.small_splits + k] = _may_split(tallies[child, TALLY.samples], nodes[child, FIELD.depth], limits)
    if keeps_counts:
        state[STATE.n_free] -= 1
        state[STATE.small_slot], state[STATE.large_slot] = tree.free[state[STATE.n_free]], nodes[node, FIELD.slot]
    if state[STATE.small_splits] or state[STATE.large_splits]:
        partition_samples(
            bits.columns[nodes[node, FIELD.atom]], tree.order, start, end, right_is_large, n_small, scratch.moved
        )


@cached_njit
def _may_split(node_counts: Any, depth: int, limits: Limits) -> Any:
    """Whether the limits let a node be split; node_counts: int32 `[n_values]`."""
    n, n_seen = 0, 0
    for count in node_counts:
        n += count
        n_seen += count > 0
    return n_seen > 1 and n >= max(limits.min_split, 2 * limits.min_leaf) and depth < limits.max_depth


@njit(inline="always")
def _open_node(
    node: int, slot: int, n_atoms: int, limits: Limits, table: Any, scratch: Scratch, tree: GrowingTree
) -> Any:
    """Find a node's best split from the counts in a slot, and open the node if there is one. Return whether."""
    counts, weights, tally = tree.counts[slot, :, :n_atoms], tree.weights[slot, :, :n_atoms], tree.tallies[node]
    atom, gain = find_split(counts, weights, tally[TALLY.samples], tally[TALLY.weight], limits, table, scratch.scores)
    if atom < 0 or gain < tree.state[STATE.min_gain]:
        return False
    tree.nodes[node, FIELD.atom], tree.nodes[node, FIELD.slot] = atom, slot
    for v in range(len(counts)):
        tally[TALLY.true_samples, v], tally[TALLY.true_weight, v] = counts[v, atom], weights[v, atom]
        tally[TALLY.local_true, v] = tree.local[slot, v, atom]
    if limits.max_leaves == NO_LIMIT:
        tree.opened[tree.state[STATE.n_opened], OPENED.node] = node
    else:
        push_node(tree.opened, tree.state[STATE.n_opened], -gain, node)
    tree.state[STATE.n_opened] += 1
    return True


@njit(inline="always")
def _offer_counts(tree: GrowingTree, node: int, slot: int, exchanged: Any, weighting: Weighting) -> None:
    """Put the local counts of a node, in a slot, into a child's part of `exchanged`."""
    local, weights, tally = tree.local[slot], tree.weights[slot], tree.tallies[node]
    last = local.shape[1]
    for v in range(len(local)):
        for a in range(last):
            exchanged[0, v, a] = local[v, a]
        exchanged[0, v, last] = tally[TALLY.local, v]
        if weighting.matters:
            for a in range(last):
                exchanged[1, v, a] = weights[v, a]
            exchanged[1, v, last] = tally[TALLY.weight, v]


@njit(inline="always")
def _take_totals(tree: GrowingTree, slot: int, exchanged: Any, weighting: Weighting) -> None:
    """Take a node's counts over all processes from a child's part of `exchanged` into a slot."""
    counts, weights = tree.counts[slot], tree.weights[slot]
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] = exchanged[0, v, a]
        if weighting.matters:
            for a in range(counts.shape[1]):
                weights[v, a] = exchanged[1, v, a]


@njit(inline="always")
def _count_node(bits: Bits, tree: GrowingTree, node: int, weighting: Weighting, slot: int) -> None:
    """Count for each target value and atom a node's local samples with the atom true, and their weight, into a slot."""
    start, node_counts = tree.nodes[node, FIELD.start], tree.tallies[node, TALLY.local]
    for v in range(len(node_counts)):
        end = start + np.int64(node_counts[v])
        counts, weights = tree.local[slot, v], tree.weights[slot, v]
        count_rows(bits.adder, bits.rows, tree.order, start, end, counts)
        if len(weighting.of_sample):
            _weigh_rows(bits, tree.order, start, end, weighting.of_sample, weights)
        if weighting.matters:
            for a in range(len(weights)):
                unit = weights[a] if len(weighting.of_sample) else counts[a]
                weights[a] = unit * weighting.of_value[v]
        start = end


@cached_njit
def _weigh_rows(bits: Bits, order: Any, start: int, end: int, weights: Any, out: Any) -> None:
    """As `count_rows`, but count each sample as often as it weighs: one count for each bit of the weights.

    weights: int32 `[n_samples]`.
    """
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
            count_rows(bits.adder, bits.rows, chosen, np.int64(0), n, count)
            for a in range(len(out)):
                out[a] += count[a] << bit
            bit += 1


@cached_njit
def _subtract(counts: Any, less: Any) -> None:
    """counts -= less, int32 `[n_values, n_counters]`: a loop, as NumPy's takes longer to compile."""
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] -= less[v, a]
