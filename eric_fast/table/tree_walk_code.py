"""Walking rows through trees, and making trees of the paths to their leaves, in Numba; see `tree_walk`."""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.packing import EQUAL, GREATER, LESS, MISSING

NO_LEAF = np.iinfo(np.int32).min  # a child without rules
ROWS_AT_ONCE = 8  # rows that go through a tree side by side


@cached_njit
def build_nodes(literals: Any, offsets: Any, firsts: Any, lasts: Any, tests: Any, children: Any, roots: Any) -> Any:
    """Write the nodes of trees whose rules stand from `yes` to `no`; see `_NODE`.

    Args:
        literals: int32 `[n_literals]`, of the rules' bodies.
        offsets: int64 `[n_rules + 1]`: where each body starts.
        firsts, lasts: int64 `[n_trees]`: the first rule of each tree and past its last.
        tests: int32 `[n_most]`, written: the literal that leads to `yes`.
        children: int32 `[n_most, 2]`, written: `yes` and `no`.
        roots: int32 `[n_trees]`, written.

    Returns:
        The number of nodes; -1 if the rules don't make trees, or more than `n_most` nodes.
    """
    n_nodes = 0
    stack = np.empty((4 * len(tests) + 8, 4), np.int64)
    for tree in range(len(firsts)):
        stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 3] = firsts[tree], lasts[tree], 0, -1
        n_stack = 1
        while n_stack:
            n_stack -= 1
            first, last, depth, place = stack[n_stack]
            start = offsets[first]
            if offsets[first + 1] - start == depth:
                if last != first + 1:
                    return -1
                target = ~first
            else:
                literal, middle = literals[start + depth], first
                while middle < last and depth < offsets[middle + 1] - offsets[middle]:
                    if literals[offsets[middle] + depth] != literal:
                        break
                    middle += 1
                for rule in range(middle, last):
                    if depth >= offsets[rule + 1] - offsets[rule] or literals[offsets[rule] + depth] != ~literal:
                        return -1
                if n_nodes == len(tests):
                    return -1
                target = n_nodes
                n_nodes += 1
                tests[target] = literal
                children[target, 0] = children[target, 1] = NO_LEAF
                for side in range(2):
                    a, z = (first, middle) if side == 0 else (middle, last)
                    if a < z:
                        stack[n_stack, 0], stack[n_stack, 1] = a, z
                        stack[n_stack, 2], stack[n_stack, 3] = depth + 1, 2 * target + side
                        n_stack += 1
            if place < 0:
                roots[tree] = target
            else:
                children[place >> 1, place & 1] = target
    return n_nodes


@cached_njit
def walk_rows(values: Any, nodes: Any, roots: Any, votes: Any, leaves: Any, sums: Any, classes: Any) -> None:
    """Evaluate rows.

    Args:
        values: `[n_rows, n_columns]`, float32 or float64.
        nodes, roots, votes: see `Walker`.
        leaves: int32 `[n_rows, n_trees]`, written: the rule of each tree that fires.
        sums: float64 `[n_rows, n_outputs]`, written.
        classes: int32 `[n_rows]`, written.
    """
    base, vote_offsets, vote_classes, vote_weights, default = votes
    n_rows, n_trees = len(values), len(roots)
    places = np.empty(ROWS_AT_ONCE, np.int32)
    for row in range(n_rows):
        for c in range(len(base)):
            sums[row, c] = base[c]
        classes[row] = default[0]
    for first in range(0, n_rows, ROWS_AT_ONCE):
        n = min(ROWS_AT_ONCE, n_rows - first)
        for tree in range(n_trees):
            for i in range(n):
                places[i] = roots[tree]
            n_walking = 1 if roots[tree] >= 0 else 0
            while n_walking:
                n_walking = 0
                for i in range(n):  # rows side by side: each waits for its own loads alone
                    place = places[i]
                    if place >= 0:
                        node = nodes[place]
                        value, constant = np.float64(values[first + i, node.column]), node.constant
                        outcome = (
                            LESS * (value < constant)
                            + GREATER * (value > constant)
                            + EQUAL * (value == constant)
                            + MISSING * ((value != value) | (constant != constant))
                        )
                        place = node.yes if node.holds & outcome else node.no
                        places[i] = place
                        n_walking += place >= 0
            for i in range(n):
                row, place = first + i, places[i]
                leaves[row, tree] = -1
                if place != NO_LEAF:
                    rule = ~place
                    leaves[row, tree] = rule
                    for v in range(vote_offsets[rule], vote_offsets[rule + 1]):
                        sums[row, vote_classes[v]] += vote_weights[v]
    for row in range(n_rows):
        best = 0
        for c in range(1, len(base)):
            if sums[row, c] > sums[row, best]:
                best = c
        for tree in range(n_trees):
            if leaves[row, tree] >= 0:
                classes[row] = best
                break
