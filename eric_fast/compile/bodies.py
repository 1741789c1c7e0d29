"""Bodies of rules as they are taken apart, in Numba."""

from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from eric_fast.compile.nodes import make_node


def find_twins(literals: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool `[n_rules]`: whether another rule has the same body, up to order; by a hash, so that "yes" is a guess."""
    mixed = literals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(32)))])
    _, body, times = np.unique(sums[offsets[1:]] - sums[offsets[:-1]], return_inverse=True, return_counts=True)
    return times[body] > 1


@njit(nogil=True, cache=True)
def read_body(rule: Any, literals: Any, values: Any, false: Any, bodies: Any) -> None:
    """A rule's literals as sorted `2 * value + negation`, each once; a body that can't be true gets length -1."""
    work, whole, offsets, lengths, first_lengths = bodies[:5]
    start, n = offsets[rule], 0
    for i in range(start, offsets[rule + 1]):
        literal = literals[i]
        value = values[literal if literal >= 0 else ~literal]
        negation = (literal < 0) != (value < 0)
        value = ~value if value < 0 else value
        if value == false or value == false + 1:
            if (value == false) != negation:
                n = -1
                break
            continue
        work[start + n] = 2 * value + negation
        n += 1
    if n > 0:
        _sort(work, start, start + n)
        kept = 1
        for i in range(start + 1, start + n):
            if work[i] == work[start + kept - 1]:
                continue
            if work[i] >> 1 == work[start + kept - 1] >> 1:
                kept = -1
                break
            work[start + kept] = work[i]
            kept += 1
        n = kept
    for i in range(n):
        whole[start + i] = work[start + i]
    lengths[rule] = first_lengths[rule] = n


@njit(nogil=True, cache=True)
def _sort(numbers: Any, first: Any, last: Any) -> None:
    """By insertion: bodies are short, or sorted but for a few. Compiling NumPy's own takes seconds."""
    for i in range(first + 1, last):
        number, place = numbers[i], i
        while place > first and numbers[place - 1] > number:
            numbers[place] = numbers[place - 1]
            place -= 1
        numbers[place] = number


@njit(nogil=True, cache=True)
def pick_value(first: Any, last: Any, bodies: Any) -> Any:
    """What most bodies of `order[first:last]` mention, and how many; of equals one with one sign, then the lowest."""
    work, _, offsets, lengths, _, order, counts, signs, looked_at, _ = bodies
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            counts[work[i] >> 1] += 1
            signs[work[i] >> 1] |= 1 + (work[i] & 1)
        looked_at[0] += lengths[order[k]]
    best, most, best_sign = -1, 0, 0
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            value = work[i] >> 1
            count, mixed = counts[value], signs[value] == 3
            if count > 0 and (
                count > most or (count == most and (mixed < best_sign or (mixed == best_sign and value < best)))
            ):
                best, most, best_sign = value, count, mixed
            counts[value] = 0
            signs[value] = 0
    return best, most


@njit(nogil=True, cache=True)
def split_bodies(first: Any, last: Any, value: Any, bodies: Any) -> Any:
    """Bring bodies with `value` to the front of `order[first:last]`, then those with its negation; take it out of both.

    Gives where each of the two ends.
    """
    work, _, offsets, lengths, _, order = bodies[:6]
    high_end = low_end = first
    for k in range(first, last):
        rule = order[k]
        start, stop = offsets[rule], offsets[rule] + lengths[rule]
        place = start
        while place < stop and work[place] >> 1 != value:
            place += 1
        if place == stop:
            continue
        negated = work[place] & 1
        for i in range(place, stop - 1):
            work[i] = work[i + 1]
        lengths[rule] -= 1
        order[k] = order[low_end]
        order[low_end] = rule
        if not negated:
            order[low_end] = order[high_end]
            order[high_end] = rule
            high_end += 1
        low_end += 1
    return high_end, low_end


@njit(nogil=True, cache=True)
def make_conjunction(rule: Any, prefix: Any, maker: Any, bodies: Any) -> Any:
    """The value of `prefix` and what is left of a rule's body."""
    work, _, offsets, lengths = bodies[:4]
    false = maker[3]
    for i in range(offsets[rule], offsets[rule] + lengths[rule]):
        high, low = (false, prefix) if work[i] & 1 else (prefix, false)
        prefix = make_node(maker, work[i] >> 1, high, low)
    return prefix
