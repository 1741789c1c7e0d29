"""What class rules decide on one block, in Numba: numbers from their binary digits, looked up in tables and added."""

from typing import Any

import numpy as np
from numba import njit

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
from eric_fast.kernels.cpu.simd_words import VECTOR_WORDS, find_lowest
from eric_fast.kernels.decision_tables import SUM_COLUMNS

BLOCK_SAMPLES = 64 * VECTOR_WORDS
PART_DIGITS = 16  # what is made at a time
CODE_BYTES, SUM_BYTES = 4, 8
VECTOR_SUMS_BYTES = SUM_BYTES * SUM_COLUMNS
GROUP_TREES = 8  # trees whose rows of weights are added to a sample's sums while these are in a register


@njit(nogil=True, cache=True)
def decode(bits: Any, places: Any, codes: Any, part: Any) -> None:
    """Numbers from their digits.

    bits: uint32, the scratch memory. places: int64 `[n_digits]`: where the words of each digit start, the lowest first.
    codes: uint32 `[BLOCK_SAMPLES]`, written. part: the same, to work in.
    """
    _decode_part(bits, places[:PART_DIGITS], codes)
    if len(places) > PART_DIGITS:
        _decode_part(bits, places[PART_DIGITS:], part)
        for s in range(BLOCK_SAMPLES):
            codes[s] |= part[s] << np.uint32(PART_DIGITS)


@njit(nogil=True, cache=True)
def _decode_part(bits: Any, places: Any, codes: Any) -> None:
    address = np.uint64(codes.ctypes.data)
    for w in range(BLOCK_SAMPLES // CODE_SAMPLES):
        found = no_codes()
        for k in range(len(places) - 1, -1, -1):
            found = push_digit(found, bits[places[k] + w])
        store_numbers(address + np.uint64(CODE_BYTES * CODE_SAMPLES * w), found)


@njit(nogil=True, cache=True)
def decode_answers(bits: Any, places: Any, classes: Any) -> None:
    """Classes from their digits, -1 where the last of the planes is set; classes: int32 `[BLOCK_SAMPLES]`, written."""
    address = np.uint64(classes.ctypes.data)
    for w in range(BLOCK_SAMPLES // CODE_SAMPLES):
        found = no_codes()
        for k in range(len(places) - 2, -1, -1):
            found = push_digit(found, bits[places[k] + w])
        found = set_none(found, bits[places[len(places) - 1] + w])
        store_answers(address + np.uint64(CODE_BYTES * CODE_SAMPLES * w), found)


@njit(nogil=True, cache=True)
def look_up(codes: Any, table: Any, found: Any) -> None:
    for s in range(BLOCK_SAMPLES):
        found[s] = table[codes[s]]


@njit(nogil=True, cache=True)
def add_table(codes: Any, table: Any, sums: Any) -> None:
    """Each sample's weight to its sum of one output."""
    for s in range(BLOCK_SAMPLES):
        sums[s] += table[codes[s]]


@njit(nogil=True, cache=True)
def add_rows(codes: Any, tables: Any, firsts: Any, sums: Any) -> None:
    """Each sample's row of weights of each tree to its row of sums, tree after tree.

    codes: uint32 `[GROUP_TREES, BLOCK_SAMPLES]`. tables: float64 `[n_codes, n_columns]`, of which a tree's start at
    `firsts[tree]`. sums: float64 `[BLOCK_SAMPLES, n_columns]`.
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


@njit(nogil=True, cache=True)
def add_fired(fired: Any, weight: Any, sums: Any) -> None:
    """A rule's weight to the sums of one output, float64 `[BLOCK_SAMPLES]`, where it fired: uint64 `[VECTOR_WORDS]`."""
    address = np.uint64(sums.ctypes.data)
    for w in range(VECTOR_WORDS):
        word = fired[w]
        if word == 0:
            continue
        for k in range(0, 64, SUM_COLUMNS):
            place = address + np.uint64(SUM_BYTES * (64 * w + k))
            bits = np.uint8((word >> np.uint64(k)) & np.uint64(255))
            store_sums(place, add_where(load_sums(place), bits, weight))


@njit(nogil=True, cache=True)
def add_row_fired(fired: Any, n: Any, row: Any, sums: Any) -> None:
    """A rule's row of weights, float64 `[n_columns]`, to the rows of sums of the first n samples, where it fired."""
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


@njit(nogil=True, cache=True)
def remember_rule(fired: Any, n: Any, rule: Any, adds: Any, most: Any, most_rules: Any) -> None:
    """Of each output the rule that adds most, of those that fired, the first of equals.

    adds: float64 `[n_columns]`: what this one adds. most, most_rules: `[BLOCK_SAMPLES, n_classes]`.
    """
    for w in range((n + 63) >> 6):
        bits = fired[w]
        while bits:
            s = 64 * w + find_lowest(bits)
            bits &= bits - np.uint64(1)
            if s < n:
                for c in range(most.shape[1]):
                    if adds[c] > most[s, c]:
                        most[s, c] = adds[c]
                        most_rules[s, c] = rule


@njit(nogil=True, cache=True)
def find_highest(sums: Any, by_sample: Any, n_classes: Any, best: Any, classes: Any) -> None:
    """The class with the highest sum, the first of equals; best: float64 `[BLOCK_SAMPLES]`, to work in.

    sums: float64 `[BLOCK_SAMPLES, n_columns]`, or `[n_classes, BLOCK_SAMPLES]`.
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
