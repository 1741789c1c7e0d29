"""Bins of a column that is compared with many constants: a value's bin says which constants it exceeds.

The distinct constants of a column, sorted, are its *keys*; a *segment* is at most `MOST_KEYS` of them, in groups of
`GROUP`. A value's *bin*, the number of keys below it, is found by two searches: among the last keys of the groups, and
inside one group. The bin is then `GROUP * high + low`, and the value exceeds key `GROUP * h + l` where `high > h`, or
`high >= h` and `low > l`: one instruction on three bits of 512 samples, where comparing takes one for every sixteen.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels.cpu.simd_words import ONES
from eric_fast.kernels.packing import GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, MISSING

LOG_GROUP = 5
GROUP = 2**LOG_GROUP
MOST_KEYS = GROUP * GROUP - 1  # so that a bin is two numbers below GROUP
FEWEST_KEYS = 24  # of a column that is worth binning


class BinTables(NamedTuple):
    """The comparisons that bins answer, column by column and by key.

    Attributes:
        used: int64 `[n_used]`: the columns, ascending.
        starts: int64 `[n_used + 1]`: where the segments of each start.
        segments: int64 `[n_segments, 3]`: first place in `keys`, first and last comparison.
        keys: integers as wide as the column's floats, of each segment: the last key of each group, `GROUP` places,
            then the groups, and one that no value exceeds.
        rows: int64 `[n]`: the atom that a comparison is.
        places: uint32 `[n]`: its key in the segment.
        flips: uint64 `[n]`: all ones where the atom is true of values that don't exceed the key.
        missing: uint64 `[n]`: all ones where it must be flipped once more on NaN, which exceeds nothing.
    """

    used: NDArray[np.int64]
    starts: NDArray[np.int64]
    segments: NDArray[np.int64]
    keys: NDArray[Any]
    rows: NDArray[np.int64]
    places: NDArray[np.uint32]
    flips: NDArray[np.uint64]
    missing: NDArray[np.uint64]


def order_floats(values: NDArray[Any]) -> NDArray[Any]:
    """Map floats, none of them NaN, to integers of the same order; both zeros to one."""
    kind = np.int32 if values.dtype == np.float32 else np.int64
    bits = (values + values.dtype.type(0)).view(kind)
    ordered: NDArray[Any] = bits ^ ((bits >> kind(values.itemsize * 8 - 1)) & np.iinfo(kind).max)
    return ordered


def find_binned(columns: NDArray[np.int64], constants: NDArray[Any], operators: NDArray[np.int8]) -> NDArray[np.bool_]:
    """bool `[n_atoms]`: comparisons by order with a number, in columns that have many of them."""
    ordered = np.isin(operators & ~MISSING, (GREATER, GREATER_EQUAL, LESS, LESS_EQUAL)) & ~np.isnan(constants)
    counts = np.bincount(columns[ordered], minlength=1)
    many = np.flatnonzero(counts >= FEWEST_KEYS)
    ranked: NDArray[np.bool_] = ordered & np.isin(columns, many)
    return ranked


def make_bins(
    rows: NDArray[np.int64], columns: NDArray[np.int64], constants: NDArray[Any], operators: NDArray[np.int8]
) -> BinTables:
    """The tables for these comparisons, `[n]` each, all of which `find_binned` found."""
    order = np.lexsort((_find_keys(constants, operators), columns))
    rows, columns, constants, operators = rows[order], columns[order], constants[order], operators[order]
    keys = _find_keys(constants, operators)

    new_column = np.diff(columns, prepend=-1) != 0
    new_key = new_column | (np.diff(keys, prepend=keys[:1]) != 0)
    number = np.cumsum(new_key) - 1  # of a comparison's key, over all columns
    first_of_column = np.maximum.accumulate(np.where(new_column, number, 0))
    place, new_segment = (number - first_of_column) % MOST_KEYS, np.zeros(len(rows), np.bool_)
    new_segment[new_key] = place[new_key] == 0

    first = np.flatnonzero(new_segment)
    last = np.append(first[1:], len(rows))
    n_groups = place[last - 1] // GROUP + 1
    sizes = GROUP * (n_groups + 2)
    starts = np.cumsum(sizes) - sizes
    segment = np.cumsum(new_segment) - 1
    laid = np.full(sizes.sum(), np.iinfo(keys.dtype).max, keys.dtype)
    laid[starts[segment] + GROUP + place] = keys
    for start, n in zip(starts.tolist(), n_groups.tolist(), strict=True):
        laid[start : start + n] = laid[start + 2 * GROUP - 1 :: GROUP][:n]

    is_flipped = np.isin(operators & ~MISSING, (LESS, LESS_EQUAL))
    used, segments_of = np.unique(columns[first], return_counts=True)
    return BinTables(
        used=used,
        starts=np.append(0, np.cumsum(segments_of)),
        segments=np.stack([starts, first, last], axis=1),
        keys=laid,
        rows=rows,
        places=place.astype(np.uint32),
        flips=np.where(is_flipped, ONES, np.uint64(0)),
        missing=np.where(is_flipped != (operators & MISSING != 0), ONES, np.uint64(0)),
    )


def _find_keys(constants: NDArray[Any], operators: NDArray[np.int8]) -> NDArray[Any]:
    """What a value must exceed, or not: `x >= c` is `x > the float before c`, which need not be a number."""
    keys: NDArray[Any] = order_floats(constants) - np.isin(operators & ~MISSING, (GREATER_EQUAL, LESS))
    return keys
