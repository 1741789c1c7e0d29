"""Trees of few leaves as masks: a word for each tree with a bit for each of its rules.

For each column and each place that its values may have among the constants they are compared with, a word for each tree
keeps the rules that may still fire (QuickScorer: Lucchese and others, SIGIR 2015). A row's rules are the bits that are
left after one `and` for each column, whatever the trees' depth.
"""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.jit import call_sparing
from eric_fast.kernels import EQUAL, GREATER, LESS
from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES, VECTOR_WORDS
from eric_fast.kernels.memory import allocate_aligned
from eric_fast.table.number_tests import NumberTests
from eric_fast.table.sort_keys import MISSING_HIGH, NEVER, make_keys
from eric_fast.table.tree_masks_code import clear_rules

_MOST_LEAVES = 64  # of a tree: bits of a word
_MOST_BYTES = 2**22  # of all masks: they stay in a core's own cache
_LANES = VECTOR_BYTES // 4
_MOST_ATOMS = 4 * _MOST_BYTES // VECTOR_BYTES  # some share a constant; more aren't even sorted
_MOST_CLEARED = 2**25  # words read and written to make them


class Masks(NamedTuple):
    """The masks, and how a value finds its row of them.

    A column's values are told apart by the keys of constants ("cuts") that they reach. Cuts stand in groups of
    `VECTOR_WORDS`, padded by `NEVER`; a group is passed if the last of its cuts, its pivot, is reached.

    Attributes:
        columns: int64 `[n_used, 5]`: of each column that is compared its index, the first of its pivots and past the
            last, the first of its cuts, and the first row of its masks.
        pivots, cuts: int64 `[n]`, groups of `VECTOR_WORDS`.
        words: uint32 `[n_rows, n_trees * n_parts]`, padded: the rules that a row of masks keeps.
        n_parts: words of each tree, 1 or 2.
        firsts: int64 `[n_trees]`: the rule of each word's lowest bit.
    """

    columns: NDArray[np.int64]
    pivots: NDArray[np.int64]
    cuts: NDArray[np.int64]
    words: NDArray[np.uint32]
    n_parts: int
    firsts: NDArray[np.int64]


def make_masks(tests: NumberTests, rules: Any, firsts: NDArray[np.int64], lasts: NDArray[np.int64]) -> Masks | None:
    """The masks of trees; None where leaves, constants or trees are too many for them.

    Args:
        tests: the comparisons of all atoms.
        rules: `Program.class_arrays`.
        firsts, lasts: int64 `[n_trees]`: the first rule of each tree and past its last.
    """
    n_leaves = int((lasts - firsts).max())
    if n_leaves > _MOST_LEAVES or not 0 < len(tests.columns) <= _MOST_ATOMS:
        return None
    n_parts = 1 if n_leaves <= 32 else 2
    columns, place = np.unique(tests.columns, return_inverse=True)
    keys = make_keys(tests.constants)
    cuts = _list_cuts(tests, keys, place, len(columns))
    sizes = np.array([len(each) + 1 for each in cuts])  # places among them
    rows = np.cumsum(sizes) - sizes
    n_words = -(-len(firsts) * n_parts // _LANES) * _LANES
    atoms = np.where(rules.literals >= 0, rules.literals, ~rules.literals)
    if 4 * sizes.sum() * n_words > _MOST_BYTES or sizes[place][atoms].sum() > _MOST_CLEARED:
        return None
    words = allocate_aligned((int(sizes.sum()), n_words), np.uint32)
    words[:] = 0
    for part in range(n_parts):
        n_bits = np.clip(lasts - firsts - 32 * part, 0, 32)
        words[:, part : len(firsts) * n_parts : n_parts] = (np.int64(1) << n_bits) - 1
    paths = rules.literals, rules.offsets, firsts, lasts
    numbers = place.astype(np.int64), keys, tests.operators
    flat = np.concatenate(cuts)
    call_sparing(clear_rules, int(sizes[place][atoms].sum()), *paths, *numbers, flat, rows, sizes, words, n_parts)
    padded = [_pad(each, len(each) + 1) for each in cuts]
    pivots = [_pad(each[VECTOR_WORDS - 1 :: VECTOR_WORDS], len(each) // VECTOR_WORDS) for each in cuts]
    ends = np.cumsum([len(each) for each in pivots])
    starts = np.cumsum([0, *(len(each) for each in padded[:-1])])
    table = np.stack([columns, np.append(0, ends[:-1]), ends, starts, rows], axis=1)
    return Masks(np.ascontiguousarray(table), np.concatenate(pivots), np.concatenate(padded), words, n_parts, firsts)


def _list_cuts(
    tests: NumberTests, keys: NDArray[np.int64], place: NDArray[np.int64], n_columns: int
) -> list[NDArray[np.int64]]:
    """Of each column the keys at which the outcome of some comparison changes, ascending; missing values reach all."""
    less, equal, greater = ((tests.operators & outcome) != 0 for outcome in (LESS, EQUAL, GREATER))
    at, after = less != equal, equal != greater
    all_keys = np.concatenate([keys[at], keys[after] + 1, np.full(n_columns, MISSING_HIGH)])
    column_of = np.concatenate([place[at], place[after], np.arange(n_columns)])
    order = np.lexsort((all_keys, column_of))
    all_keys, column_of = all_keys[order], column_of[order]
    bounds = np.searchsorted(column_of, np.arange(n_columns + 1))
    return [np.unique(all_keys[a:z]) for a, z in pairwise(bounds)]


def _pad(keys: NDArray[np.int64], n_least: int) -> NDArray[np.int64]:
    """The keys and as many `NEVER` as fill groups of so many."""
    return np.append(keys, np.full(-(-n_least // VECTOR_WORDS) * VECTOR_WORDS - len(keys), NEVER))
