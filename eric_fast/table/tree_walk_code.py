"""Walking rows through trees, and making trees of the paths to their leaves, in Numba; see `tree_walk`."""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_words import (
    VECTOR_WORDS,
    add_reached,
    add_words,
    any_differs,
    both,
    fill,
    gather_words,
    load_anywhere,
    store_anywhere,
    take_high,
)
from eric_fast.table.linked_nodes import KEY_BYTES, PLACE_BYTES
from eric_fast.table.sort_keys import MISSING_HIGH, MISSING_LOW, SIGN

NO_LEAF = np.iinfo(np.int32).min  # a child without rules
ROWS_AT_ONCE = 8  # rows that are evaluated side by side
WALKS_AT_ONCE = 4 * VECTOR_WORDS  # ways through trees that are walked side by side, of one row or of several


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
def copy_row(values: Any, settings: Any, row: Any) -> Any:
    """A row's numbers as they are compared.

    Args:
        values: float64 `[n_columns]`.
        settings: int64: whether values are rounded to float32, whether numbers that aren't finite are refused, the
            class of a row on which no rule fires, and the votes of each rule; 0 where these differ.
        row: float64 `[n_columns]`, written.

    Returns:
        False if the row holds a number that is refused.
    """
    is_finite = True
    if settings[0]:
        for c in range(len(row)):
            row[c] = np.float64(np.float32(values[c])) + 0.0  # -0.0 becomes 0.0
            is_finite &= abs(row[c]) < np.inf
    else:
        for c in range(len(row)):
            row[c] = values[c] + 0.0
            is_finite &= abs(row[c]) < np.inf
    return is_finite or not settings[1]


@cached_njit
def find_key(row: Any, bits: Any, column: Any, missing: Any) -> Any:
    """The key of a row's number, `missing` of NaN; see `make_keys`. `bits`: int64, the row's memory."""
    key = bits[column] ^ ((bits[column] >> 63) & SIGN)
    return key if row[column] == row[column] else missing


@cached_njit
def sum_votes(
    found: Any,
    first: Any,
    n: Any,
    settings: Any,
    base: Any,
    offsets: Any,
    outputs: Any,
    weights: Any,
    leaves: Any,
    sums: Any,
    classes: Any,
) -> None:
    """Add up what the rules that fire give to the outputs, and choose classes, of rows `first` to `first + n`.

    Args:
        found: int32 `[ROWS_AT_ONCE, n_trees]`: the rule of each tree that fires, or -1.
        settings: see `copy_row`.
        base, offsets, outputs, weights: the votes of rules; see `Plan`. An output past the last is nobody's.
        leaves: int32 `[n_rows, n_trees]`, written: what is found; no rows where it isn't wanted.
        sums: float64 `[n_rows, n_outputs]`, written.
        classes: int32 `[n_rows]`, written.
    """
    n_trees, n_outputs, width = found.shape[1], len(base), settings[3]
    totals = np.zeros((n, n_outputs + 1))
    for i in range(n):
        for c in range(n_outputs):
            totals[i, c] = base[c]
    for tree in range(n_trees):
        for i in range(n):  # rows side by side: each sum waits for its own row's alone
            rule = found[i, tree]
            if rule < 0:
                continue
            if width == 1:
                totals[i, outputs[rule]] += weights[rule]
                continue
            start, stop = (width * rule, width * (rule + 1)) if width else (offsets[rule], offsets[rule + 1])
            for v in range(start, stop):
                totals[i, outputs[v]] += weights[v]
    for i in range(n):
        for c in range(n_outputs):
            sums[first + i, c] = totals[i, c]
    for i in range(n):
        best, fires = 0, False
        for c in range(1, n_outputs):
            if sums[first + i, c] > sums[first + i, best]:
                best = c
        for tree in range(n_trees):
            fires |= found[i, tree] >= 0
        classes[first + i] = best if fires else settings[2]
        if len(leaves):
            for tree in range(n_trees):
                leaves[first + i, tree] = found[i, tree]


@cached_njit
def advance_walks(places: Any, starts: Any, steps: Any) -> Any:
    """Take steps of walks side by side, a vector of them, until all stand on leaves.

    Args:
        places: int64 `[WALKS_AT_ONCE]`, changed; see `LinkedNodes`.
        starts: int64 `[WALKS_AT_ONCE]`: the addresses of the keys of each walk's row.
        steps: see `LinkedNodes`.
    """
    places_at, starts_at = np.uint64(places.ctypes.data), np.uint64(starts.ctypes.data)
    bounds_at = np.uint64(steps.ctypes.data)
    all_bounds, all_links = fill(bounds_at), fill(bounds_at + np.uint64(8))
    low_half, next_place = fill(np.uint64(0xFFFFFFFF)), fill(np.uint64(PLACE_BYTES))
    moved = True
    while moved:
        moved = False
        for walk in range(0, WALKS_AT_ONCE, VECTOR_WORDS):
            at = np.uint64(8 * walk)
            place = load_anywhere(places_at + at)
            link = gather_words(add_words(all_links, place))
            key = gather_words(add_words(load_anywhere(starts_at + at), both(link, low_half)))
            after = add_reached(take_high(link), next_place, key, gather_words(add_words(all_bounds, place)))
            store_anywhere(places_at + at, after)
            moved |= any_differs(place, after)


@cached_njit
def walk_rows(
    values: Any,
    settings: Any,
    steps: Any,
    rules: Any,
    n_trees: Any,
    base: Any,
    offsets: Any,
    outputs: Any,
    weights: Any,
    leaves: Any,
    sums: Any,
    classes: Any,
) -> Any:
    """Evaluate rows by walking.

    Args:
        values, settings: see `copy_row`.
        steps, rules: see `LinkedNodes`.
        n_trees: how many.
        base, offsets, outputs, weights, leaves, sums, classes: see `sum_votes`.

    Returns:
        Whether all rows were evaluated; False where one holds a number that is refused.
    """
    n_rows, n_columns = values.shape
    row = np.empty(n_columns, np.float64)
    bits = row.view(np.int64)
    keys = np.empty(ROWS_AT_ONCE * 2 * n_columns, np.int64)
    places, starts = np.empty(WALKS_AT_ONCE, np.int64), np.empty(WALKS_AT_ONCE, np.int64)
    keys_at = np.int64(keys.ctypes.data)
    found = np.empty((ROWS_AT_ONCE, n_trees), np.int32)
    for first in range(0, n_rows, ROWS_AT_ONCE):
        n = min(ROWS_AT_ONCE, n_rows - first)
        for i in range(n):
            if not copy_row(values[first + i], settings, row):
                return False
            for c in range(n_columns):
                keys[2 * (i * n_columns + c)] = find_key(row, bits, c, MISSING_LOW)
                keys[2 * (i * n_columns + c) + 1] = find_key(row, bits, c, MISSING_HIGH)
        n_trees_at_once = WALKS_AT_ONCE // n
        for tree in range(0, n_trees, n_trees_at_once):
            n_here = min(n_trees_at_once, n_trees - tree)
            for i in range(n):
                for t in range(n_here):
                    places[i * n_here + t] = PLACE_BYTES * (tree + t)
                    starts[i * n_here + t] = keys_at + 2 * KEY_BYTES * i * n_columns
            for walk in range(n * n_here, WALKS_AT_ONCE):  # what is left over goes the first one's way
                places[walk], starts[walk] = PLACE_BYTES * tree, keys_at
            advance_walks(places, starts, steps)
            for i in range(n):
                for t in range(n_here):
                    found[i, tree + t] = rules[places[i * n_here + t] // PLACE_BYTES]
        sum_votes(found, first, n, settings, base, offsets, outputs, weights, leaves, sums, classes)
    return True
