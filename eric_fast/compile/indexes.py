"""Which of several values fires first, as a number in binary: a node's work for each digit, not for each sample.

A *list* is items in order, each with a condition; the first whose condition holds answers. Its number is
`any(left half) ? number of the left : number of the right`, halved by weight again and again. A decision tree is a
list, too: the way down from its root to where most leaves are passes smaller trees, and asks the conditions.
Numbers of one item are a block of `2 ** k`; the smaller of two is put in a free block of the larger where one fits, so
that there are few digits. Numbers that stand for nothing are left over; a table from numbers to rules sees to it.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.compile.nodes import choose, make_either
from eric_fast.compile.trees import MISSING, follow_paths

MOST_PLANES = 31
N_LEVELS = 256  # of lists in lists: a list of weight w has at most about 2 * log2(w), each of which takes two


@njit(nogil=True, cache=True)
def start_rows(n: Any) -> Any:
    """Room for `n` numbers: planes, values from the lowest digit up; how many; of each size one free block, or -1."""
    return (
        np.empty((n, MOST_PLANES + 1), np.int64),
        np.zeros(n, np.int64),
        np.full((n, MOST_PLANES + 1), -1, np.int64),
    )


@njit(nogil=True, cache=True)
def start_items(n: Any) -> Any:
    """Room for a list of `n` items.

    Conditions and whether they are negated; their numbers, as `start_rows`; weights, added up; and what leaves the
    items from `i` on have: `low[i]:high[i]`.
    """
    return (
        np.empty(n, np.int64),
        np.zeros(n, np.bool_),
        start_rows(n),
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
    )


@njit(nogil=True, cache=True)
def copy_row(source: Any, i: Any, target: Any, j: Any) -> None:
    for k in range(source[1][i]):
        target[0][j, k] = source[0][i, k]
    target[1][j] = source[1][i]
    target[2][j] = source[2][i]


@njit(nogil=True, cache=True)
def index_list(n: Any, wants_any: Any, n_digits: Any, items: Any, rows: Any, codes: Any, maker: Any) -> Any:
    """The number of the item, of the first `n`, that answers, in row 0; the value, and whether it is negated, that says
    if any does.

    rows: of `N_LEVELS`. codes: of each leaf, to which is added what its side gets. n_digits: not 0 where the planes are
    digits of an answer that the items have, and nothing is numbered. wants_any: whether the value is used.

    A frame of the stack is a part of the list: first and last item; row; whether the value is used; the cut, once the
    left half is begun; then the value of the left half and whether it is negated.
    """
    conditions, negated, numbers, weights = items[:4]
    stack = np.zeros((N_LEVELS, 7), np.int64)
    stack[0, 1], stack[0, 3], stack[0, 5] = n, wants_any, -1
    depth, value, is_negated = 0, np.int64(0), False
    while depth >= 0:
        frame = stack[depth]
        first, last, row, middle = frame[0], frame[1], frame[2], frame[4]
        if last - first == 1:
            copy_row(numbers, first, rows, row)
            value, is_negated = conditions[first], negated[first]
            depth -= 1
        elif middle == 0:  # the left half first
            frame[4] = _find_cut(first, last, weights)
            depth += 1
            stack[depth] = (first, frame[4], row + 1, 1, 0, -1, 0)
        elif frame[5] < 0:
            frame[5], frame[6] = value, is_negated
            depth += 1
            stack[depth] = (middle, last, row + 2, frame[3], 0, -1, 0)
        else:
            left, left_negated = frame[5], frame[6] != 0
            _join_halves(first, middle, last, row, left, left_negated, n_digits, items, rows, codes, maker)
            if frame[3]:
                value, is_negated = make_either(maker, left, left_negated, value, is_negated)
            depth -= 1
    return value, is_negated


@njit(nogil=True, cache=True)
def _find_cut(first: Any, last: Any, weights: Any) -> Any:
    """Where to halve a list: about half of the weight on either side."""
    whole = weights[first] + weights[last]  # twice where half of it is reached
    middle, end = first + 1, last - 1
    while middle < end:
        k = (middle + end) // 2
        if 2 * weights[k] >= whole:
            end = k
        else:
            middle = k + 1
    if middle - 1 > first and whole - 2 * weights[middle - 1] < 2 * weights[middle] - whole:
        middle -= 1
    return middle


@njit(nogil=True, cache=True)
def _join_halves(
    first: Any,
    middle: Any,
    last: Any,
    row: Any,
    left: Any,
    negated: Any,
    n_digits: Any,
    items: Any,
    rows: Any,
    codes: Any,
    maker: Any,
) -> None:
    """Row `row` from the two after it: where `left` holds, the number in `row + 1`, else that in `row + 2`."""
    planes, sizes, _ = rows
    low, high = items[4], items[5]
    left_code = right_code = np.int64(0)
    if n_digits:
        sizes[row] = n_digits
    else:
        left_code, right_code = _place_numbers(row, negated, rows)
        if left_code:
            codes[low[first] : low[middle]] += left_code
            codes[high[middle] : high[first]] += left_code
        if right_code:
            codes[low[middle] : low[last]] += right_code
            codes[high[last] : high[middle]] += right_code
    if sizes[row] > MOST_PLANES:
        maker[2][1] = 2
        sizes[row] = MOST_PLANES
    for j in range(sizes[row]):
        of_left = planes[row + 1, j] if j < sizes[row + 1] else maker[3] + ((left_code >> j) & 1)
        of_right = planes[row + 2, j] if j < sizes[row + 2] else maker[3] + ((right_code >> j) & 1)
        planes[row, j] = choose(maker, left, negated, of_left, of_right)


@njit(nogil=True, cache=True)
def _place_numbers(row: Any, negated: Any, rows: Any) -> Any:
    """Where the blocks of the rows `row + 1` and `row + 2` begin in one that holds both; its size and what is free.

    A digit more, where there must be one, is the condition itself, negated or not.
    """
    _, sizes, free = rows
    large, small = (row + 1, row + 2) if sizes[row + 1] >= sizes[row + 2] else (row + 2, row + 1)
    n_large, n_small = sizes[large], sizes[small]
    large_code = small_code = np.int64(0)
    size = n_small
    while size < n_large and free[large, size] < 0:
        size += 1
    if size < n_large:
        sizes[row] = n_large
        small_code = free[large, size]
        free[large, size] = -1
        rest = small_code
    else:
        sizes[row] = n_large + 1
        above = row + 2 if negated else row + 1
        if above == large:
            large_code, rest = np.int64(1) << n_large, np.int64(0)
        else:
            small_code = rest = np.int64(1) << n_large
    for k in range(MOST_PLANES + 1):
        free[row, k] = -1
        if k < n_large and free[large, k] >= 0:
            free[row, k] = large_code + free[large, k]
        elif n_small <= k < size:
            free[row, k] = rest + (np.int64(1) << k)
        elif k < n_small and free[small, k] >= 0:
            free[row, k] = small_code + free[small, k]
    return (large_code, small_code) if large == row + 1 else (small_code, large_code)


@njit(nogil=True, cache=True)
def index_tree(
    n_nodes: Any, n_digits: Any, answers: Any, values: Any, tree: Any, rows: Any, codes: Any, maker: Any
) -> None:
    """The number of the leaf that each sample is in, in row 0.

    codes: int64 `[n_leaves]`, zeros that become the leaves' numbers. answers: int64 `[n_leaves]`: where `n_digits`
    isn't 0 the planes are the digits of the leaf's answer; those of no leaf are 0.
    """
    select, child = tree[:2]
    false = maker[3]
    if n_nodes == 0:
        _write_leaf(-1, n_digits, answers, rows, 0, false)
        return
    weight, n_below = np.ones(n_nodes, np.int64), np.zeros(n_nodes, np.int64)  # leaves, with those missing, and without
    first_leaf = np.empty(n_nodes, np.int64)
    is_head = np.zeros(n_nodes, np.bool_)  # of a way down
    is_head[0] = True
    for node in range(n_nodes - 1, -1, -1):
        weight[node] = 0
        for side in range(2):
            below = child[node, side]
            weight[node] += weight[below] if below >= 0 else 1
            n_below[node] += n_below[below] if below >= 0 else below != MISSING
        heavy = _find_heavy(node, child, weight)
        if child[node, 1 - heavy] >= 0:
            is_head[child[node, 1 - heavy]] = True
    first_leaf[0] = 0
    for node in range(n_nodes):
        leaf = first_leaf[node]
        for side in range(2):
            below = child[node, side]
            if below >= 0:
                first_leaf[below] = leaf
            leaf += n_below[below] if below >= 0 else below != MISSING
    found = start_rows(n_nodes)
    items = start_items(n_nodes + 1)
    conditions, negated, numbers, weights, low, high = items
    for head in np.arange(n_nodes - 1, -1, -1):
        if not is_head[head]:
            continue
        n, node, heavy, light = 0, head, head, head
        while node >= 0:
            heavy = _find_heavy(node, child, weight)
            light = np.int64(child[node, 1 - heavy])
            literal = select[node]
            value = values[literal if literal >= 0 else ~literal]
            conditions[n] = value if value >= 0 else ~value
            negated[n] = ((literal < 0) != (value < 0)) != (heavy == 0)
            low[n], high[n] = first_leaf[node], first_leaf[node] + n_below[node]
            weights[n + 1] = weights[n] + (weight[light] if light >= 0 else 1)
            if light >= 0:
                copy_row(found, light, numbers, n)
            else:
                _write_leaf(light, n_digits, answers, numbers, n, false)
            n += 1
            node = child[node, heavy]
        # The leaf where the way ends; after it nothing is left.
        conditions[n], negated[n] = false + 1, False
        weights[n + 1] = weights[n] + 1
        low[n] = low[n - 1] + (0 if heavy == 0 or light == MISSING else n_below[light] if light >= 0 else 1)
        high[n] = low[n] + (node != MISSING)
        low[n + 1] = high[n + 1] = low[n]
        _write_leaf(node, n_digits, answers, numbers, n, false)
        index_list(n + 1, False, n_digits, items, rows, codes, maker)
        copy_row(rows, 0, found, head)


@njit(nogil=True, cache=True)
def _find_heavy(node: Any, child: Any, weight: Any) -> Any:
    """The side with more leaves."""
    high, low = child[node]
    return np.int64((weight[low] if low >= 0 else 1) > (weight[high] if high >= 0 else 1))


@njit(nogil=True, cache=True)
def _write_leaf(leaf: Any, n_digits: Any, answers: Any, rows: Any, i: Any, false: Any) -> None:
    """The number of what is one leaf, `~leaf`, or none: no digits, or those of its answer."""
    rows[1][i] = n_digits
    rows[2][i] = -1
    answer = np.int64(0) if leaf == MISSING or n_digits == 0 else answers[~leaf]
    for k in range(n_digits):
        rows[0][i, k] = false + ((answer >> k) & 1)


@njit(nogil=True, cache=True)
def index_trees(
    trees: Any, paths: Any, n_digits: Any, answers: Any, values: Any, tree: Any, rows: Any, codes: Any, maker: Any
) -> Any:
    """The leaf, or the answer, of each of `trees`, rows of `find_trees`: its planes, as `start_rows`.

    paths: first class rule; order, literals and offsets as `follow_paths` takes them. codes, answers: int64
    `[n_class_rules]`, in path order.
    """
    base, order, literals, offsets = paths
    found = start_rows(len(trees))
    for t in range(len(trees)):
        first, last = trees[t, 0], trees[t, 1]
        n_nodes = follow_paths(first, last, order, literals, offsets, tree)[1]
        leaves = codes[first - base : last - base]
        leaves[:] = 0
        index_tree(n_nodes, n_digits, answers[first - base : last - base], values, tree, rows, leaves, maker)
        copy_row(rows, 0, found, t)
    return found


@njit(nogil=True, cache=True)
def list_rules(first: Any, last: Any, fires: Any, n_digits: Any, answers: Any, false: Any) -> Any:
    """The class rules `first:last` as items of a list, and of a list of their answers."""
    items, answer_items = start_items(last - first), start_items(last - first if n_digits else 0)
    for i in range(last - first):
        items[0][i] = fires[first + i]
        items[3][i + 1], items[4][i], items[5][i] = i + 1, first + i, last
        if n_digits:
            answer_items[0][i], answer_items[3][i + 1] = fires[first + i], i + 1
            _write_leaf(~i, n_digits, answers[first:last], answer_items[2], i, false)
    items[4][last - first] = items[5][last - first] = last
    return items, answer_items
