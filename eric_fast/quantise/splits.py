"""Find the thresholds that split a target best."""

from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels


def find_best_splits(norms: Tensor, target: Tensor, criterion: str = "entropy") -> Tensor:
    """Find for each kernel the threshold with the highest information gain, in one pass over its sorted norms.

    Gains are compared as integers (entropy: fixed-point n * log2 n) or exact fractions (gini), so the order of images
    doesn't matter. Of equal gains the lowest cut wins. As in CART, the threshold is half-way between two norms.

    Args:
        norms: float32 `[n_images, n_kernels]`. target: int64 `[n_images]`, class indices.

    Returns:
        float64 `[n_kernels]`; the norm itself for a kernel that never changes.
    """
    n = len(norms)
    class_of_image = target.numpy()
    if int(class_of_image.max(initial=0)) < 2**16:
        class_of_image = class_of_image.astype(np.uint16)  # which NumPy sorts by radix, in a fraction of the time
    totals = np.bincount(class_of_image)
    first_of_class = np.concatenate([[0], np.cumsum(totals)[:-1]])
    table = kernels.make_entropy_table(n) if criterion == "entropy" else np.arange(n + 1, dtype=np.int64) ** 2
    thresholds = np.empty(norms.shape[1])
    for k in range(norms.shape[1]):
        values = norms[:, k].numpy()
        order = np.argsort(values)  # cuts lie between values that differ, so the order of equal ones doesn't matter
        ordered, classes = values[order], class_of_image[order]
        # How many of its own class come before each image, in sorted order
        by_class = np.argsort(classes, kind="stable")
        before = np.empty(n, np.int64)
        before[by_class] = np.arange(n) - first_of_class[classes[by_class]]
        after = totals[classes] - before  # this one included
        left = np.cumsum(table[before + 1] - table[before])  # sum of table[count] over classes, after each image
        right = table[totals].sum() + np.cumsum(table[after - 1] - table[after])
        cuts = np.flatnonzero(ordered[1:] > ordered[:-1])  # a cut lies after each of these
        if len(cuts) == 0:
            thresholds[k] = ordered[0]
            continue
        n_left = cuts + 1
        if criterion == "entropy":
            best = int((table[n_left] - left[cuts] + table[n - n_left] - right[cuts]).argmin())
        else:
            best = _find_least_gini(left[cuts], right[cuts], n_left, n - n_left)
        cut = cuts[best]
        below, above = ordered[cut], ordered[cut + 1]
        middle = np.float32((float(below) + float(above)) / 2)
        thresholds[k] = middle if middle < above else below
    return torch.from_numpy(thresholds)


def _find_least_gini(
    left: NDArray[np.int64], right: NDArray[np.int64], n_left: NDArray[np.int64], n_right: NDArray[np.int64]
) -> int:
    """Find the first cut with the least gini impurity, from the sums of squared counts on both sides."""
    purity = left / n_left + right / n_right  # to be maximised; float64 leaves a few cuts to be compared exactly
    near = np.flatnonzero(purity >= purity.max() * (1 - 1e-12))
    exact = [Fraction(int(left[i]), int(n_left[i])) + Fraction(int(right[i]), int(n_right[i])) for i in near]
    return int(near[exact.index(max(exact))])
