"""Making masks of rules, and answering rows by them, in Numba; see `tree_masks`."""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_words import (
    VECTOR_BYTES,
    VECTOR_WORDS,
    both,
    count_reached,
    find_lowest,
    load,
    load_anywhere,
    store_anywhere,
)
from eric_fast.kernels.packing import EQUAL, GREATER, LESS, MISSING
from eric_fast.table.sort_keys import MISSING_HIGH
from eric_fast.table.tree_walk_code import ROWS_AT_ONCE, copy_row, find_key, sum_votes


@cached_njit
def clear_rules(
    literals: Any,
    offsets: Any,
    firsts: Any,
    lasts: Any,
    place: Any,
    keys: Any,
    operators: Any,
    cuts: Any,
    rows: Any,
    sizes: Any,
    words: Any,
    n_parts: Any,
) -> None:
    """Clear the bit of each rule where a literal of it doesn't hold.

    Args:
        literals, offsets: of the rules' bodies.
        firsts, lasts: int64 `[n_trees]`: the first rule of each tree and past its last.
        place: int64 `[n_atoms]`: the index of each atom's column in `rows`.
        keys: int64 `[n_atoms]`, of the constants.
        operators: int8 `[n_atoms]`.
        cuts: int64: of each column in turn, `sizes - 1` of them; values that reach the last are missing.
        rows: int64 `[n_used]`: the first row of each column's masks; `sizes`: how many it has.
        words: uint32 `[n_rows, n_trees * n_parts]`, changed.
        n_parts: words of each tree.
    """
    for tree in range(len(firsts)):
        for rule in range(firsts[tree], lasts[tree]):
            bit = rule - firsts[tree]
            word = n_parts * tree + (bit >> 5)
            keep = np.uint32(0xFFFFFFFF - (1 << (bit & 31)))
            for i in range(offsets[rule], offsets[rule + 1]):
                literal = literals[i]
                atom = literal if literal >= 0 else ~literal
                column = place[atom]
                first, n_cuts, key = rows[column], sizes[column] - 1, keys[atom]
                for row in range(n_cuts + 1):  # values from cut `row - 1` on and below cut `row`
                    cut = first - column + row
                    outcome = EQUAL
                    if row == n_cuts:
                        outcome = MISSING
                    elif row > 0 and cuts[cut - 1] > key:
                        outcome = GREATER
                    elif cuts[cut] <= key:
                        outcome = LESS
                    holds = (operators[atom] & outcome) != 0
                    if holds != (literal >= 0):
                        words[first + row, word] &= keep


@cached_njit
def keep_rules(places: Any, width: Any, kept: Any) -> None:
    """The rules that all of these rows of masks keep.

    Args:
        places: int64 `[n]`: addresses of the rows; `width`: their bytes.
        kept: an address, written.
    """
    for at in range(0, width, VECTOR_BYTES):
        words = load(np.uint64(places[0] + at))
        for i in range(1, len(places)):
            words = both(words, load(np.uint64(places[i] + at)))
        store_anywhere(np.uint64(kept + at), words)


@cached_njit
def mask_rows(
    values: Any,
    settings: Any,
    columns: Any,
    pivots: Any,
    cuts: Any,
    words: Any,
    n_parts: Any,
    firsts: Any,
    base: Any,
    offsets: Any,
    outputs: Any,
    weights: Any,
    leaves: Any,
    sums: Any,
    classes: Any,
) -> Any:
    """Evaluate rows by masks.

    Args:
        values, settings: see `copy_row`.
        columns, pivots, cuts, words, n_parts, firsts: see `Masks`.
        base, offsets, outputs, weights, leaves, sums, classes: see `sum_votes`.

    Returns:
        Whether all rows were evaluated; False where one holds a number that is refused.
    """
    n_rows, n_trees, n_used = len(values), len(firsts), len(columns)
    row = np.empty(values.shape[1], np.float64)
    bits = row.view(np.int64)
    places = np.empty(n_used, np.int64)
    kept = np.empty(words.shape[1], words.dtype)
    width = words.shape[1] * words.itemsize
    pivots_at, cuts_at = np.int64(pivots.ctypes.data), np.int64(cuts.ctypes.data)
    words_at = np.int64(words.ctypes.data)
    found = np.empty((ROWS_AT_ONCE, n_trees), np.int32)
    for first in range(0, n_rows, ROWS_AT_ONCE):
        n = min(ROWS_AT_ONCE, n_rows - first)
        for i in range(n):
            if not copy_row(values[first + i], settings, row):
                return False
            for c in range(n_used):
                key = find_key(row, bits, columns[c, 0], MISSING_HIGH)
                group = 0
                for place in range(columns[c, 1], columns[c, 2], VECTOR_WORDS):
                    group += count_reached(load_anywhere(np.uint64(pivots_at + 8 * place)), key)
                place = VECTOR_WORDS * group
                last = load_anywhere(np.uint64(cuts_at + 8 * (columns[c, 3] + place)))
                places[c] = words_at + width * (columns[c, 4] + place + count_reached(last, key))
            keep_rules(places, width, np.int64(kept.ctypes.data))
            for tree in range(n_trees):
                word = np.uint64(kept[n_parts * tree])
                if n_parts == 2:
                    word |= np.uint64(kept[2 * tree + 1]) << np.uint64(32)
                found[i, tree] = firsts[tree] + find_lowest(word) if word else -1
        sum_votes(found, first, n, settings, base, offsets, outputs, weights, leaves, sums, classes)
    return True
