"""The loops of a decision over one block, in Numba: read codes from their digits, look them up, add weights up."""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.block_state import GROUP_TREES, Codes
from eric_fast.kernels.cpu.simd_codes import (
    CODE_SAMPLES,
    add_sums,
    add_where,
    load_sums,
    no_codes,
    push_digit,
    set_none,
    store_answers,
    store_numbers,
    store_sums,
)
from eric_fast.kernels.cpu.simd_words import BLOCK_SAMPLES, VECTOR_WORDS, find_lowest
from eric_fast.kernels.decision_tables import SUM_COLUMNS
from eric_fast.plan.steps import INDEX

DIGITS_AT_A_TIME = 16  # that a vector of codes holds
CODE_BYTES, SUM_BYTES = 4, 8
VECTOR_SUMS_BYTES = SUM_BYTES * SUM_COLUMNS


@cached_njit
def decode(bits: Any, planes: Any, numbers: Any, high: Any) -> None:
    """Read a number for each sample of the block from its binary digits.

    Args:
        bits: uint32, the scratch memory.
        planes: int64 `[n_digits]`: the place in `bits` where the words of each digit start, the lowest digit first.
        numbers: uint32 `[BLOCK_SAMPLES]`, written.
        high: uint32 `[BLOCK_SAMPLES]`, to work in.
    """
    _decode_digits(bits, planes[:DIGITS_AT_A_TIME], numbers)
    if len(planes) > DIGITS_AT_A_TIME:
        _decode_digits(bits, planes[DIGITS_AT_A_TIME:], high)
        for s in range(BLOCK_SAMPLES):
            numbers[s] |= high[s] << np.uint32(DIGITS_AT_A_TIME)


@njit(inline="always")
def decode_index(bits: Any, codes: Codes, index: int, numbers: Any, high: Any) -> None:
    """Read each sample's code of one index. Arguments as of `decode`; codes: `block_state.Codes`."""
    first, last = codes.indexes[index, INDEX.plane_start], codes.indexes[index, INDEX.plane_stop]
    decode(bits, codes.planes[first:last], numbers, high)


@cached_njit
def _decode_digits(bits: Any, planes: Any, numbers: Any) -> None:
    """As `decode`, of at most `DIGITS_AT_A_TIME` digits."""
    address = np.uint64(numbers.ctypes.data)
    for w in range(BLOCK_SAMPLES // CODE_SAMPLES):
        found = no_codes()
        for k in range(len(planes) - 1, -1, -1):
            found = push_digit(found, bits[planes[k] + w])
        store_numbers(address + np.uint64(CODE_BYTES * CODE_SAMPLES * w), found)


@cached_njit
def decode_answers(bits: Any, answers: Any, classes: Any) -> None:
    """Read each sample's class from its digits, -1 where the last plane is set.

    Args:
        bits: uint32, the scratch memory.
        answers: int64 `[n_answers]`: `block_state.Codes.answers`.
        classes: int32 `[BLOCK_SAMPLES]`, written.
    """
    address = np.uint64(classes.ctypes.data)
    for w in range(BLOCK_SAMPLES // CODE_SAMPLES):
        found = no_codes()
        for k in range(len(answers) - 2, -1, -1):
            found = push_digit(found, bits[answers[k] + w])
        found = set_none(found, bits[answers[len(answers) - 1] + w])
        store_answers(address + np.uint64(CODE_BYTES * CODE_SAMPLES * w), found)


@cached_njit
def look_up(codes: Any, table: Any, found: Any) -> None:
    """found[s] = table[codes[s]]; uint32, int32 `[n_codes]` and int32 `[BLOCK_SAMPLES]`."""
    for s in range(BLOCK_SAMPLES):
        found[s] = table[codes[s]]


@cached_njit
def add_table(codes: Any, table: Any, sums: Any) -> None:
    """sums[s] += table[codes[s]]: what a tree adds to one output; uint32, float64 `[n_codes]`, float64."""
    for s in range(BLOCK_SAMPLES):
        sums[s] += table[codes[s]]


@cached_njit
def add_rows(codes: Any, tables: Any, firsts: Any, sums: Any) -> None:
    """Add each sample's row of weights, of one tree after another, to its row of sums.

    Args:
        codes: uint32 `[GROUP_TREES, BLOCK_SAMPLES or more]`.
        tables: float64 `[n_codes, n_columns]`: the rows of weights of all trees.
        firsts: int64 `[n_trees]`, at most `GROUP_TREES`: the first row of each tree.
        sums: float64 `[BLOCK_SAMPLES, n_columns]`.
    """
    n_bytes = np.uint64(SUM_BYTES * sums.shape[1])
    address = np.uint64(sums.ctypes.data)
    starts = np.empty(GROUP_TREES, np.uint64)
    for t in range(len(firsts)):
        starts[t] = np.uint64(tables.ctypes.data) + np.uint64(firsts[t]) * n_bytes
    column, last = np.uint64(0), n_bytes
    while column + np.uint64(2 * VECTOR_SUMS_BYTES) <= last:  # by two vectors, then by one
        for s in range(BLOCK_SAMPLES):
            place = address + np.uint64(s) * n_bytes + column
            left, right = load_sums(place), load_sums(place + np.uint64(VECTOR_SUMS_BYTES))
            for t in range(len(firsts)):
                row = starts[t] + np.uint64(codes[t, s]) * n_bytes + column
                left = add_sums(left, load_sums(row))
                right = add_sums(right, load_sums(row + np.uint64(VECTOR_SUMS_BYTES)))
            store_sums(place, left)
            store_sums(place + np.uint64(VECTOR_SUMS_BYTES), right)
        column += np.uint64(2 * VECTOR_SUMS_BYTES)
    if column < last:
        for s in range(BLOCK_SAMPLES):
            place = address + np.uint64(s) * n_bytes + column
            total = load_sums(place)
            for t in range(len(firsts)):
                total = add_sums(total, load_sums(starts[t] + np.uint64(codes[t, s]) * n_bytes + column))
            store_sums(place, total)


@cached_njit
def add_fired(fired: Any, weight: float, sums: Any) -> None:
    """Add a rule's weight to the sums of one output, float64 `[BLOCK_SAMPLES]`, where it fired: uint64 words."""
    address = np.uint64(sums.ctypes.data)
    for w in range(VECTOR_WORDS):
        word = fired[w]
        if word == 0:
            continue
        for k in range(0, 64, SUM_COLUMNS):
            place = address + np.uint64(SUM_BYTES * (64 * w + k))
            bits = np.uint8((word >> np.uint64(k)) & np.uint64(255))
            store_sums(place, add_where(load_sums(place), bits, weight))


@cached_njit
def add_row_fired(fired: Any, n: int, row: Any, sums: Any) -> None:
    """Add a rule's row of weights, float64 `[n_columns]`, to the sums of the first `n` samples where it fired.

    fired: uint64 `[VECTOR_WORDS]`. sums: float64 `[BLOCK_SAMPLES, n_columns]`.
    """
    n_bytes = SUM_BYTES * len(row)
    row_address, address = np.uint64(row.ctypes.data), np.uint64(sums.ctypes.data)
    for w in range((n + 63) >> 6):
        bits = fired[w]
        while bits:
            s = 64 * w + find_lowest(bits)
            bits &= bits - np.uint64(1)
            for column in range(0, n_bytes, SUM_BYTES * SUM_COLUMNS):
                place = address + np.uint64(s * n_bytes + column)
                store_sums(place, add_sums(load_sums(place), load_sums(row_address + np.uint64(column))))


@cached_njit
def remember_rule(
    fired: Any, n: int, rule: int, adds: Any, offsets: Any, classes: Any, firsts: Any, most: Any, most_rules: Any
) -> None:
    """Note a rule for the outputs to which it adds more than the rules before it that fired on the same sample.

    A rule adds 0 to outputs that it doesn't vote for: the first that fires is noted there, and a later one only where
    all before it took something away, the first too. So few outputs are looked at.

    Args:
        fired: uint64 `[VECTOR_WORDS]`: where the rule fired, of the first `n` samples.
        adds: float64 `[n_columns]`: what it adds to each output.
        offsets, classes: the outputs that each rule votes for: `Votes.offsets`, `Votes.classes`.
        firsts: int32 `[BLOCK_SAMPLES]`: the first rule that fired, or -1.
        most, most_rules: float64 and int32 `[BLOCK_SAMPLES, n_classes]`.
    """
    for w in range((n + 63) >> 6):
        bits = fired[w]
        while bits:
            s = 64 * w + find_lowest(bits)
            bits &= bits - np.uint64(1)
            if s >= n:
                continue
            first = np.int64(firsts[s])
            if first < 0:
                firsts[s] = rule
                for c in range(most.shape[1]):
                    most[s, c] = adds[c]
                    most_rules[s, c] = rule
                continue
            for voter in (rule, first):
                for v in range(offsets[voter], offsets[voter + 1]):
                    c = classes[v]
                    if adds[c] > most[s, c]:
                        most[s, c] = adds[c]
                        most_rules[s, c] = rule


@cached_njit
def find_highest(sums: Any, by_sample: bool, n_classes: int, best: Any, classes: Any) -> None:
    """Find the class with the highest sum, the first of equals.

    Args:
        sums: float64 `[BLOCK_SAMPLES, n_columns]` where `by_sample`, else `[n_classes, BLOCK_SAMPLES]`.
        best: float64 `[BLOCK_SAMPLES]`, to work in.
        classes: int32 `[BLOCK_SAMPLES]`, written.
    """
    if by_sample:
        for s in range(BLOCK_SAMPLES):
            highest, found = sums[s, 0], 0
            for c in range(1, n_classes):
                more = not (sums[s, c] <= highest) and highest == highest
                highest = sums[s, c] if more else highest
                found = c if more else found
            classes[s] = found
        return
    best[:] = sums[0]
    classes[:] = 0
    for c in range(1, n_classes):
        for s in range(BLOCK_SAMPLES):
            more = not (sums[c, s] <= best[s]) and best[s] == best[s]
            best[s] = sums[c, s] if more else best[s]
            classes[s] = c if more else classes[s]
