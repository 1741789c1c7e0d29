"""Logistic fits of class votes: sums, shares and gradients are whole numbers, which add up over images and processes.

A pass goes over all images. Shares of classes come from a table of whole numbers. A step then goes to the lowest point
of a parabola that lies above the loss, the same one in each pass (Böhning, Annals of the Institute of Statistical
Mathematics 44, 1992), with momentum (Nesterov, 1983), in a fixed order of operations.
"""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import unpack_words
from eric_fast.jit import cached_njit
from eric_fast.processes import Combine

N_PASSES = 40
PENALTY = 1e-3  # of half the sum of squared weights, beside the mean cross-entropy of an image
SUM_BITS = 12  # sums are in units of 2**-12
SHARE_BITS = 16
TABLE_BITS = 8  # of a sum, after the point, that the table tells apart
TABLE_END = 16  # exp(-16) is taken for 0
MOST_WHOLE = 32  # of one atom
PASS_WORDS = 64  # of 32 images, which are added up together: below 2**31 for any shares


class LogisticFit(NamedTuple):
    """Sums whose exponentials are as the classes' shares.

    Attributes:
        weights: float64 `[n_atoms, n_classes]`. intercepts: float64 `[n_classes]`.
    """

    weights: NDArray[np.float64]
    intercepts: NDArray[np.float64]


def fit_logistic(
    words: Tensor,
    shares: NDArray[np.int32],
    gram: NDArray[np.float64],
    begin: LogisticFit,
    is_used: NDArray[np.bool_],
    n_images: int,
    combine: Combine,
    n_passes: int = N_PASSES,
) -> LogisticFit:
    """Lower the cross-entropy of the classes' shares, from a first fit on: the same for any number of processes.

    Args:
        words: int32 words `[n_atoms, n_words]`: the atoms, on this process's images.
        shares: int32 `[n_classes, n_images of this process]`, in units of 2**-SHARE_BITS.
        gram: float64 `[n_atoms + 1, n_atoms + 1]`: mean products of atoms, and last of a constant 1; positive definite.
        is_used: bool `[n_atoms, n_classes]`: which weights there are.
        n_images: of all processes.
    """
    used = np.vstack([is_used, np.ones((1, is_used.shape[1]), np.bool_)])
    columns = [np.flatnonzero(own) for own in used.T]
    factors = [factor_gram(gram[np.ix_(own, own)]) for own in columns]
    fitted = np.vstack([np.where(is_used, begin.weights, 0), begin.intercepts])
    before = fitted
    for number in range(n_passes):
        ahead = fitted + (number / (number + 3)) * (fitted - before)
        gradients = combine(torch.from_numpy(add_gradients(words, shares, ahead))).numpy()
        slopes = gradients / float(n_images << SHARE_BITS)
        slopes[:-1] += PENALTY * ahead[:-1]
        step = np.zeros_like(fitted)
        for c, own in enumerate(columns):
            step[own, c] = solve_factored(factors[c], slopes[own, c])
        before, fitted = fitted, ahead - 2 * step  # the parabola's curvature is half that of the products
    return LogisticFit(fitted[:-1], fitted[-1])


def add_gradients(words: Tensor, shares: NDArray[np.int32], weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """The sums over images of each atom, and of 1, times what classes get too much: int64 `[n_atoms + 1, n_classes]`.

    In units of 2**-SHARE_BITS.

    Args:
        words, shares: see `fit_logistic`.
        weights: float64 `[n_atoms + 1, n_classes]`; intercepts are the last.
    """
    n_images = shares.shape[1]
    whole = np.rint(weights.clip(-MOST_WHOLE, MOST_WHOLE) * 2.0**SUM_BITS).astype(np.int32)
    gradients = np.zeros(weights.shape, np.int64)
    for first in range(0, n_images, 32 * PASS_WORDS):
        n = min(32 * PASS_WORDS, n_images - first)
        part = words[:, first // 32 : first // 32 + PASS_WORDS]
        bits = unpack_words(part, n).T.numpy().view(np.uint8)  # [n_atoms, n]
        columns = np.vstack([bits, np.ones((1, n), np.uint8)])
        excess = _share(_add_sums(columns, whole), make_exponentials()) - shares[:, first : first + n]
        _add_products(columns, excess, gradients)
    return gradients


def share_scores(scores: Tensor, unit: float) -> NDArray[np.int32]:
    """The shares of classes whose logits are given: int32 `[n_classes, n_images]`, in units of 2**-SHARE_BITS.

    Args:
        scores: uint8 `[n_images, n_classes]`. unit: of a logit in a score.
    """
    sums = scores.numpy().T.astype(np.int32) * round(min(unit, 1.0) * 2**SUM_BITS)
    return np.asarray(_share(sums, make_exponentials()))


@cache
def make_exponentials() -> NDArray[np.int32]:
    """exp(-k / 2**TABLE_BITS) in units of 2**-20, for sums up to TABLE_END, then 0; without a library's exp."""
    bits = 100
    step, term = 0, 1 << bits  # the series of exp(-2**-TABLE_BITS)
    for number in range(1, 20):
        step += term
        term = -term // (number << TABLE_BITS)
    table, value = [], 1 << bits
    for _ in range(TABLE_END << TABLE_BITS):
        table.append(value >> (bits - 20))
        value = value * step >> bits
    return np.array([*table, 0], np.int32)


@cached_njit
def _add_sums(columns: Any, weights: Any) -> Any:
    """The weighted sum of each class on each image: int32 `[n_classes, n_images]`."""
    n_classes, n = weights.shape[1], columns.shape[1]
    sums = np.zeros((n_classes, n), np.int32)
    for a in range(columns.shape[0]):
        own = columns[a]
        for c in range(n_classes):
            weight = weights[a, c]
            if weight != 0:
                row = sums[c]
                for i in range(n):
                    row[i] = np.int32(row[i] + np.int32(own[i]) * weight)
    return sums


@cached_njit
def _share(sums: Any, table: Any) -> Any:
    """int32 `[n_classes, n_images]`, in units of 2**-SHARE_BITS, from sums in units of 2**-SUM_BITS."""
    n_classes, n = sums.shape
    shares = np.empty((n_classes, n), np.int32)
    for i in range(n):
        highest = sums[0, i]
        for c in range(1, n_classes):
            highest = max(highest, sums[c, i])
        total = np.int64(0)
        for c in range(n_classes):
            shares[c, i] = table[min((highest - sums[c, i]) >> (SUM_BITS - TABLE_BITS), len(table) - 1)]
            total += shares[c, i]
        for c in range(n_classes):
            shares[c, i] = (np.int64(shares[c, i]) << SHARE_BITS) // total
    return shares


@cached_njit
def _add_products(columns: Any, excess: Any, gradients: Any) -> None:
    """Add, for each atom and class, the excess of the images on which the atom is true."""
    n = columns.shape[1]
    for a in range(columns.shape[0]):
        own = columns[a]
        for c in range(excess.shape[0]):
            row = excess[c]
            total = np.int32(0)
            for i in range(n):
                total = np.int32(total + np.int32(own[i]) * row[i])
            gradients[a, c] += total


@cached_njit
def factor_gram(gram: Any) -> Any:
    """Cholesky: float64 `[n, n]`, zero above the diagonal."""
    n = len(gram)
    lower = np.zeros((n, n))
    for i in range(n):
        for j in range(i + 1):
            value = gram[i, j]
            for k in range(j):
                value -= lower[i, k] * lower[j, k]
            lower[i, j] = np.sqrt(max(value, 1e-12)) if i == j else value / lower[j, j]
    return lower


@cached_njit
def solve_factored(lower: Any, right: Any) -> Any:
    """float64 `[n]`: what the factored matrix takes to `right`."""
    n = len(lower)
    found = right.copy()
    for i in range(n):
        for k in range(i):
            found[i] -= lower[i, k] * found[k]
        found[i] /= lower[i, i]
    for i in range(n - 1, -1, -1):
        for k in range(i + 1, n):
            found[i] -= lower[k, i] * found[k]
        found[i] /= lower[i, i]
    return found
