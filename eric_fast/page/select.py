"""Which images a report embeds: it has room for some thousands."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
N_STRONGEST = 12  # images that a kernel's page shows


def select_images(disagrees: NDArray[np.bool_], preferred: Iterable[int], most: int) -> Indices:
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


def find_strongest(norms: NDArray[np.float32], n_strongest: int = N_STRONGEST) -> Indices:
    """For each column of `norms` `[n_images, n_columns]` the images with the highest norm.

    Returns:
        int64 `[n_columns, n_strongest]`, the highest first, the earlier of equals first; fewer where there are no more.
    """
    n_strongest = min(n_strongest, len(norms))
    if not n_strongest:
        return np.empty((norms.shape[1], 0), np.int64)
    bound = np.partition(norms, len(norms) - n_strongest, axis=0)[-n_strongest]  # the last norm that counts
    rows = []
    for column, least in zip(norms.T, bound, strict=True):
        images = np.flatnonzero(column >= least)
        rows.append(images[np.argsort(-column[images], kind="stable")[:n_strongest]])
    return np.stack(rows).astype(np.int64)
