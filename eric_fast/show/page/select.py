"""Which images a report embeds: it has room for some thousands."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
_NO_IMAGES: Indices = np.zeros(0, np.int64)


def choose_images(
    disagrees: NDArray[np.bool_], preferred: Iterable[int], most: int, always: Indices = _NO_IMAGES
) -> Indices:
    """At most `most` image indices, ascending: those of `always`, disagreements, the preferred ones, then others.

    Where a group doesn't fit, images are taken evenly over it, so that every part of the data is seen.

    Args:
        disagrees: bool `[n_images]`, where model and program differ.
        preferred: images that are wanted next, in order of preference.
        most: how many there is room for.
        always: images that are taken whatever else is; `most` of them at most.
    """
    is_taken = np.zeros(len(disagrees), np.bool_)
    is_taken[always] = True
    is_taken[spread_evenly(np.flatnonzero(disagrees & ~is_taken), most - int(is_taken.sum()))] = True
    if not (disagrees & ~is_taken).any():
        room = most - int(is_taken.sum())
        for image in preferred:
            if not room:
                break
            if not is_taken[image]:
                is_taken[image] = True
                room -= 1
        is_taken[spread_evenly(np.flatnonzero(~is_taken), most - int(is_taken.sum()))] = True
    return np.flatnonzero(is_taken)


def count_ranks(strongest: Indices, most: int, n_images: int) -> int:
    """How many of the strongest images of every kernel there is room for, in half of the room if not all images fit.

    Args:
        strongest: int64 `[n_kernels, n]`, the strongest first.
        most: how many images there is room for.
        n_images: how many there are.
    """
    room = most if n_images <= most else most // 2
    return next((n for n in range(strongest.shape[1], 0, -1) if len(np.unique(strongest[:, :n])) <= room), 0)


def spread_evenly(indices: Indices, most: int) -> Indices:
    """`most` of them at equal distances; all where there are no more."""
    if len(indices) <= most:
        return indices
    return indices[np.arange(most) * len(indices) // max(most, 1)]
