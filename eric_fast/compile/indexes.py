"""Which of several values fires first, as a number in binary: a node's work for each digit, not for each sample.

A *list* is items in order, each with a condition; the first whose condition holds answers. Its number is
`any(left half) ? number of the left : number of the right`, halved by weight again and again. A decision tree is a
list, too: the way down from its root to where most leaves are passes smaller trees, and asks the conditions.
Numbers of one item are a block of `2 ** k`; the smaller of two is put in a free block of the larger where one fits, so
that there are few digits. Numbers that stand for nothing are left over; a table from numbers to rules sees to it.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.nodes import FAULT, TOO_WIDE, Diagram, Signed, choose, make_either
from eric_fast.compile.trees import LACKING
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import negate
from eric_fast.plan.steps import MOST_PLANES

N_LEVELS = 256  # of lists in lists: a list of weight w has at most about 2 * log2(w), each of which takes two

# A frame of the stack is a part of a list: its items, the row of its number, whether the value is used that says if an
# item answers, where it is cut, once the left half is begun, and that value of the left half and its sign.
_START, _STOP, _ROW, _WANTS_ANY, _MIDDLE, _LEFT, _LEFT_NEGATED = range(7)


class Numbers(NamedTuple):
    """Numbers of samples in binary.

    Attributes:
        planes: int64 `[n, MOST_PLANES + 1]`: the values that are a number's digits, the lowest first.
        n_planes: int64 `[n]`: how many digits it has.
        free: int64 `[n, MOST_PLANES + 1]`: one free block of each size among its codes, or -1.
    """

    planes: NDArray[np.int64]
    n_planes: NDArray[np.int64]
    free: NDArray[np.int64]


class Items(NamedTuple):
    """A list of items.

    Attributes:
        conditions: int64 `[n]`: values.
        negated: bool `[n]`: whether it is the condition's negation that must hold.
        numbers: the items' own numbers.
        weights: int64 `[n + 1]`: added up.
        leaf_starts, leaf_stops: int64 `[n + 1]`: the range of leaves that the items from `i` on have.
    """

    conditions: NDArray[np.int64]
    negated: NDArray[np.bool_]
    numbers: Numbers
    weights: NDArray[np.int64]
    leaf_starts: NDArray[np.int64]
    leaf_stops: NDArray[np.int64]


class ItemLists(NamedTuple):
    """Items with their numbers, and the same items with the digits of their answers."""

    items: Items
    answers: Items


@cached_njit
def start_numbers(n: int) -> Any:
    """Room for `n` numbers, of no digits."""
    return Numbers(
        np.empty((n, MOST_PLANES + 1), np.int64),
        np.zeros(n, np.int64),
        np.full((n, MOST_PLANES + 1), -1, np.int64),
    )


@cached_njit
def start_items(n: int) -> Any:
    """Room for a list of `n` items."""
    return Items(
        np.empty(n, np.int64),
        np.zeros(n, np.bool_),
        start_numbers(n),
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
        np.zeros(n + 1, np.int64),
    )


@cached_njit
def copy_number(source: Numbers, i: int, target: Numbers, j: int) -> None:
    planes, to_planes = source.planes, target.planes
    for k in range(source.n_planes[i]):
        to_planes[j, k] = planes[i, k]
    target.n_planes[j] = source.n_planes[i]
    target.free[j] = source.free[i]


@cached_njit
def index_list(
    n: int, wants_any: bool, n_digits: int, items: Items, numbers: Numbers, codes: NDArray[np.int64], diagram: Diagram
) -> Any:
    """Write the number of the item, of the first `n`, that answers, to row 0 of `numbers`.

    wants_any: whether the returned value is used. n_digits: not 0 where the planes are digits of an answer that the
    items have, and nothing is numbered. numbers: `N_LEVELS` of them. codes: int64 `[n_leaves]`: to each leaf's code is
    added what its side gets.

    Returns:
        A `Signed`: whether any item answers.
    """
    conditions, signs, item_numbers, weights = items.conditions, items.negated, items.numbers, items.weights
    stack = np.zeros((N_LEVELS, 7), np.int64)
    stack[0, _STOP], stack[0, _WANTS_ANY], stack[0, _LEFT] = n, wants_any, -1
    depth, value, negated = 0, np.int64(0), False
    while depth >= 0:
        frame = stack[depth]
        first, last, row, middle = frame[_START], frame[_STOP], frame[_ROW], frame[_MIDDLE]
        if last - first == 1:
            copy_number(item_numbers, first, numbers, row)
            value, negated = conditions[first], signs[first]
            depth -= 1
        elif middle == 0:  # the left half first
            frame[_MIDDLE] = _find_cut(first, last, weights)
            depth += 1
            stack[depth] = (first, frame[_MIDDLE], row + 1, 1, 0, -1, 0)
        elif frame[_LEFT] < 0:
            frame[_LEFT], frame[_LEFT_NEGATED] = value, negated
            depth += 1
            stack[depth] = (middle, last, row + 2, frame[_WANTS_ANY], 0, -1, 0)
        else:
            left, left_negated = frame[_LEFT], frame[_LEFT_NEGATED] != 0
            _join_halves(first, middle, last, row, left, left_negated, n_digits, items, numbers, codes, diagram)
            if frame[_WANTS_ANY]:
                value, negated = make_either(diagram, left, left_negated, value, negated)
            depth -= 1
    return Signed(value, negated)


@cached_njit
def _find_cut(first: int, last: int, weights: NDArray[np.int64]) -> Any:
    """Where to halve a list: about half of the weight on either side. weights: those of `Items`."""
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


@cached_njit
def _join_halves(
    first: int,
    middle: int,
    last: int,
    row: int,
    left: int,
    negated: bool,
    n_digits: int,
    items: Items,
    numbers: Numbers,
    codes: NDArray[np.int64],
    diagram: Diagram,
) -> None:
    """Write number `row` from the two after it: where `left` holds, number `row + 1`, else number `row + 2`.

    codes: see `index_list`.
    """
    planes, n_planes, false = numbers.planes, numbers.n_planes, diagram.false
    starts, stops = items.leaf_starts, items.leaf_stops
    left_code = right_code = np.int64(0)
    if n_digits:
        n_planes[row] = n_digits
    else:
        left_code, right_code = _place_numbers(row, negated, numbers)
        if left_code:
            codes[starts[first] : starts[middle]] += left_code
            codes[stops[middle] : stops[first]] += left_code
        if right_code:
            codes[starts[middle] : starts[last]] += right_code
            codes[stops[last] : stops[middle]] += right_code
    if n_planes[row] > MOST_PLANES:
        diagram.state[FAULT] = TOO_WIDE
        n_planes[row] = MOST_PLANES
    for j in range(n_planes[row]):
        of_left = planes[row + 1, j] if j < n_planes[row + 1] else false + ((left_code >> j) & 1)
        of_right = planes[row + 2, j] if j < n_planes[row + 2] else false + ((right_code >> j) & 1)
        planes[row, j] = choose(diagram, left, negated, of_left, of_right)


@cached_njit
def _place_numbers(row: int, negated: bool, numbers: Numbers) -> Any:
    """Where the blocks of the numbers `row + 1` and `row + 2` begin in one that holds both; its size and what is free.

    A digit more, where there must be one, is the condition itself, negated or not.
    """
    sizes, free = numbers.n_planes, numbers.free
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


@cached_njit
def write_leaf(leaf: int, n_digits: int, answers: NDArray[np.int64], numbers: Numbers, i: int, false: int) -> None:
    """Write the number of what is one leaf, `~leaf`, or none: no digits, or those of its answer."""
    planes = numbers.planes
    numbers.n_planes[i] = n_digits
    numbers.free[i] = -1
    answer = np.int64(0) if leaf == LACKING or n_digits == 0 else answers[negate(leaf)]
    for k in range(n_digits):
        planes[i, k] = false + ((answer >> k) & 1)


@cached_njit
def list_rules(
    first: int, last: int, fires: NDArray[np.int32], n_digits: int, answers: NDArray[np.int64], false: int
) -> Any:
    """The class rules `first:last` as `ItemLists`.

    fires: int32 `[n_class_rules]`. answers: int64 `[n_class_rules]`.
    """
    items, answer_items = start_items(last - first), start_items(last - first if n_digits else 0)
    conditions, weights, starts, stops = items.conditions, items.weights, items.leaf_starts, items.leaf_stops
    for i in range(last - first):
        conditions[i] = fires[first + i]
        weights[i + 1], starts[i], stops[i] = i + 1, first + i, last
        if n_digits:
            write_leaf(negate(i), n_digits, answers[first:last], answer_items.numbers, i, false)
    if n_digits:
        answer_items.conditions[:], answer_items.weights[:] = conditions, weights
    starts[last - first] = stops[last - first] = last
    return ItemLists(items, answer_items)
