"""Trees on the CPU: a target at a time and a thread, depth first, over lists of samples; counts by `cpu_rows`.

A tree grows in steps, so that its samples may lie in several processes: nodes are counted, what was counted is opened
where it has a split, and the next open node is split. What is counted lies in `own`; with several processes it is also
put into `asked`, which they add up before the next step, and all of them decide alike.

Numba compiles a function again in each place that calls it, and in each that calls this one; so the functions here
have one caller each where they can, and the larger ones are no more than parts of it (`inline="always"`).
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.cpu.count_rows import count_rows
from eric_fast.kernels.cpu.find_split import add_up, find_split
from eric_fast.kernels.cpu.sort_samples import part_samples
from eric_fast.kernels.cpu.tree import (
    ATOM,
    DEPTH,
    LARGE,
    LARGE_MAY,
    LARGE_SLOT,
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
    SMALL,
    SMALL_MAY,
    SMALL_SLOT,
    START,
    STEP,
    TRUE_SAMPLES,
    TRUE_WEIGHT,
    WEIGHT,
    Tree,
    pop_node,
    push_node,
)
from eric_fast.kernels.fixed_point import SCALE_BITS
from eric_fast.kernels.growth import NO_LIMIT

# What a tree waits for: that its nodes are counted; that counts are added up, or opened; that a node is split; that
# there is room for two more nodes; or nothing, since none is left to split.
COUNT, OPEN, SPLIT, GROW, DONE = range(5)


@njit(nogil=True, cache=True)
def grow_trees(
    bits: Any, weighting: Any, limits: Any, table: Any, space: Any, trees: Any, asked: Any, first: Any, stride: Any
) -> None:
    """Take every `stride`-th tree as far as it goes: see `Tree.numbers[STEP]`.

    Args:
        table: `fixed_point.make_entropy_table`, up to what all samples weigh.
        trees: `Tree`, its arrays one above the other, as `begin_tree` leaves them or this function did.
        asked: int32 `[n_trees, n_children, n_kinds, n_values, 64 * row_words + 1]`, what processes add up: for each
            child that is counted (one depth first, two best first) samples and, where weights matter, weights, by value
            and atom, and in the last column in all. `n_children` is 0 in a single process.
    """
    for i in range(first, len(trees.numbers), stride):
        tree = Tree(
            trees.order[i],
            trees.nodes[i],
            trees.tallies[i],
            trees.opened[i],
            trees.free[i],
            trees.numbers[i],
            trees.counts[i],
            trees.weights[i],
            trees.own[i],
        )
        step = tree.numbers[STEP]
        while step != DONE:
            if step == COUNT:
                counted = _count_children(bits, weighting, limits, tree, asked[i])
                step = OPEN
                if counted and asked.shape[1]:
                    break
            elif step == OPEN:
                _open_children(bits, weighting, limits, table, space, tree, asked[i])
                step = SPLIT
            elif not tree.numbers[N_OPENED] or tree.numbers[N_LEAVES] >= limits.max_leaves:
                step = DONE
            elif tree.numbers[N_NODES] + 2 > len(tree.nodes):
                step = GROW
                break
            else:
                _split_node(bits, limits, space, tree)
                step = COUNT
        tree.numbers[STEP] = step


@njit(inline="always")
def _count_children(bits: Any, weighting: Any, limits: Any, tree: Any, asked: Any) -> Any:
    """Count what lines up, where it may be split. Whether anything was counted.

    Depth first, each node's counts are kept until it is split: then the smaller side is counted, and the other is the
    difference. Best first there may be any number of nodes open, so both sides are counted and nothing is kept.
    """
    numbers, keeps, counted = tree.numbers, limits.max_leaves == NO_LIMIT, False
    for k in range(1 if keeps else 2):
        node, slot = numbers[SMALL + k], numbers[SMALL_SLOT + k]
        if numbers[SMALL_MAY + k] or (keeps and numbers[LARGE_MAY]):
            _count_node(bits, tree, node, weighting, slot)
            if asked.shape[0]:
                _ask(tree, node, slot, asked[k], weighting)
            counted = True
    return counted


@njit(inline="always")
def _open_children(bits: Any, weighting: Any, limits: Any, table: Any, space: Any, tree: Any, asked: Any) -> None:
    """Open what was counted, where it has a split: the root, or the children of the node that was split."""
    numbers, tallies, keeps = tree.numbers, tree.tallies, limits.max_leaves == NO_LIMIT
    for k in range(asked.shape[0]):
        if numbers[SMALL_MAY + k] or (keeps and numbers[LARGE_MAY]):
            _take_answer(tree, numbers[SMALL_SLOT + k], asked[k], weighting)
    if numbers[LARGE] < 0:  # the root
        if asked.shape[0]:
            for v in range(tallies.shape[2]):
                tallies[0, SAMPLES, v], tallies[0, WEIGHT, v] = asked[0, 0, v, -1], asked[0, -1, v, -1]
        # What a split must gain; the slack is what the rounding of the table's entries may take away.
        gain = limits.min_gain * add_up(tallies[0, WEIGHT]) * 2.0**SCALE_BITS
        numbers[NEED] = np.int64(gain) - 3 * (tallies.shape[2] + 1)
    elif keeps and numbers[LARGE_MAY]:  # the larger side is the difference
        small_slot, large_slot = numbers[SMALL_SLOT], numbers[LARGE_SLOT]
        _subtract(tree.counts[large_slot], tree.counts[small_slot])
        if weighting.matters:
            _subtract(tree.weights[large_slot], tree.weights[small_slot])
        if asked.shape[0]:
            _subtract(tree.own[large_slot], tree.own[small_slot])
    # The smaller side is opened last and split first, so that few slots are ever taken at once.
    for k in range(1, -1, -1):
        node, slot = numbers[SMALL + k], numbers[SMALL_SLOT + k]
        found = False
        if node >= 0 and _may_split(tallies[node, SAMPLES], tree.nodes[node, DEPTH], limits):
            found = _open_node(node, slot, len(bits.columns), limits, table, space, tree)
        if keeps and not found and node >= 0:
            tree.free[numbers[N_FREE]] = slot
            numbers[N_FREE] += 1


@njit(inline="always")
def _split_node(bits: Any, limits: Any, space: Any, tree: Any) -> None:
    """Split the next open node, and line its children up; there must be room for them."""
    numbers, nodes, tallies, keeps = tree.numbers, tree.nodes, tree.tallies, limits.max_leaves == NO_LIMIT
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
    right_is_large = add_up(tallies[left, SAMPLES]) <= add_up(tallies[right, SAMPLES])
    small, large = (left, right) if right_is_large else (right, left)
    numbers[SMALL], numbers[LARGE] = small, large
    start, n_small = nodes[node, START], add_up(tallies[small, OWN])
    end = start + n_small + add_up(tallies[large, OWN])
    nodes[large, START], nodes[small, START] = start, end - n_small
    for k in range(2):
        child = numbers[SMALL + k]
        numbers[SMALL_MAY + k] = _may_split(tallies[child, SAMPLES], nodes[child, DEPTH], limits)
    if keeps:
        numbers[N_FREE] -= 1
        numbers[SMALL_SLOT], numbers[LARGE_SLOT] = tree.free[numbers[N_FREE]], nodes[node, SLOT]
    if numbers[SMALL_MAY] or numbers[LARGE_MAY]:
        part_samples(bits.columns[nodes[node, ATOM]], tree.order, start, end, right_is_large, n_small, space.moved)


@njit(nogil=True, cache=True)
def _may_split(node_counts: Any, depth: Any, limits: Any) -> Any:
    n, n_seen = 0, 0
    for count in node_counts:
        n += count
        n_seen += count > 0
    return n_seen > 1 and n >= max(limits.min_split, 2 * limits.min_leaf) and depth < limits.max_depth


@njit(inline="always")
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


@njit(inline="always")
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


@njit(inline="always")
def _take_answer(tree: Any, slot: Any, asked: Any, weighting: Any) -> None:
    counts, weights = tree.counts[slot], tree.weights[slot]
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] = asked[0, v, a]
        if weighting.matters:
            for a in range(counts.shape[1]):
                weights[v, a] = asked[1, v, a]


@njit(inline="always")
def _count_node(bits: Any, tree: Any, node: Any, weighting: Any, slot: Any) -> None:
    """For each target value and atom: own samples of a node with the atom true, and what they weigh, into a slot."""
    start, node_counts = tree.nodes[node, START], tree.tallies[node, OWN]
    for v in range(len(node_counts)):
        end = start + np.int64(node_counts[v])
        counts, weights = tree.own[slot, v], tree.weights[slot, v]
        count_rows(bits.adder, bits.rows, tree.order, start, end, counts)
        if len(weighting.of_sample):
            _weigh_rows(bits, tree.order, start, end, weighting.of_sample, weights)
        if weighting.matters:
            for a in range(len(weights)):
                unit = weights[a] if len(weighting.of_sample) else counts[a]
                weights[a] = unit * weighting.of_value[v]
        start = end


@njit(nogil=True, cache=True)
def _weigh_rows(bits: Any, order: Any, start: Any, end: Any, weights: Any, out: Any) -> None:
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
            count_rows(bits.adder, bits.rows, chosen, np.int64(0), n, count)
            for a in range(len(out)):
                out[a] += count[a] << bit
            bit += 1


@njit(nogil=True, cache=True)
def _subtract(counts: Any, less: Any) -> None:
    for v in range(len(counts)):
        for a in range(counts.shape[1]):
            counts[v, a] -= less[v, a]
