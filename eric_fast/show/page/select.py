"""Which images a report embeds: it has room for some thousands."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]


def choose_images(disagrees: NDArray[np.bool_], preferred: Iterable[int], most: int) -> Indices:
    """At most `most` image indices, ascending: disagreements first, then the preferred ones, then others.

    Where a group doesn't fit, images are taken evenly over it, so that every part of the data is seen.

    Args:
        disagrees: bool `[n_images]`, where model and program differ.
        preferred: images that are wanted next, in order of preference.
        most: how many there is room for.
    """
    chosen = spread_evenly(np.flatnonzero(disagrees), most)
    is_taken = np.zeros(len(disagrees), np.bool_)
    is_taken[chosen] = True
    if disagrees.sum() <= most:
        for image in preferred:
            if len(chosen) >= most:
                break
            if not is_taken[image]:
                is_taken[image] = True
                chosen = np.append(chosen, image)
        is_taken[spread_evenly(np.flatnonzero(~is_taken), most - int(is_taken.sum()))] = True
    return np.flatnonzero(is_taken)


def spread_evenly(indices: Indices, most: int) -> Indices:
    """`most` of them at equal distances; all where there are no more."""
    if len(indices) <= most:
        return indices
    return indices[np.arange(most) * len(indices) // max(most, 1)]
