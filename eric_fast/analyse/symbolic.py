"""Symbols: kernels that stand for a class or a sub-class, and the images that a kernel reacts to most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import false_discovery_control, hypergeom
from torch import Tensor

from eric_fast.analyse.relations import Coactivation

LEAST_PRECISION = 0.7  # below it, a kernel is true for a set, but doesn't stand for it
_MOST_NAMED = 6  # that are named
_N_TERMS = 8  # of a tail that bound it from below


@dataclass(frozen=True)
class Symbol:
    """An atom, and the set of images that its bit follows best: what it stands for, if it is precise.

    Attributes:
        atom: the atom's name.
        stands_for: the name of the set, such as a class.
        phi: correlation between the bit and being in the set.
        precision: of the images on which the atom is true, the share in the set.
        recall: of the images in the set, the share on which the atom is true.
        lift: precision divided by the set's share of all images.
        p_value: how likely so many common images or more would be if bit and set were independent (hypergeometric),
            adjusted over all atoms and sets (Benjamini and Hochberg).
        true_for: the sets that together hold `LEAST_PRECISION` of the images on which the atom is true, with the share
            of their images on which it is, the largest first.
    """

    atom: str
    stands_for: str
    phi: float
    precision: float
    recall: float
    lift: float
    p_value: float
    true_for: tuple[tuple[str, float], ...] = ()

    @property
    def is_precise(self) -> bool:
        """Whether the atom stands for the set: most images on which it is true are in it, more than by chance."""
        return self.precision >= LEAST_PRECISION and self.lift > 1

    def describe(self) -> str:
        """`stands for 2`, or `true for 2, 5, 4, 6 (100 %, 100 %, 96 %, 91 %)`."""
        if self.is_precise:
            return f"stands for {self.stands_for}"
        names, shares = zip(*self.true_for[:_MOST_NAMED], strict=True)
        more = len(self.true_for) - _MOST_NAMED
        rest = f" and {more:,} more" if more > 0 else ""
        return f"true for {', '.join(names)} ({', '.join(f'{100 * share:.0f} %' for share in shares)}){rest}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return {**vars(self), "true_for": dict(self.true_for), "is_precise": self.is_precise}


def list_symbols(selectivity: Coactivation, alpha: float = 0.05) -> list[Symbol]:
    """List the set that each atom follows best, the highest phi first, without atoms that follow none.

    Only those that are precise stand for it (`Symbol.is_precise`).

    Args:
        selectivity: atoms as rows and sets of images as columns: `measure_coactivation(bits, pack_classes(...))`, or
            with the images that rules cover, `measure_coactivation(bits, subclasses.covered)`.
        alpha: an atom follows its best set if the `p_value` is below.
    """
    phi, lift = np.nan_to_num(selectivity.phi(), nan=-1.0), selectivity.lift()
    p_values = adjust_selectivity(selectivity, alpha)
    symbols = []
    for i, atom in enumerate(selectivity.rows):
        if not len(selectivity.columns):
            break
        j = int(phi[i].argmax())
        if phi[i, j] > 0 and p_values[i, j] < alpha:
            together = int(selectivity.together[i, j])
            precision = together / int(selectivity.n_rows_true[i])
            recall = together / int(selectivity.n_columns_true[j])
            figures = (float(phi[i, j]), precision, recall, float(lift[i, j]), float(p_values[i, j]))
            symbols.append(Symbol(atom, selectivity.columns[j], *figures, _list_true_for(selectivity, i)))
    return sorted(symbols, key=lambda symbol: -symbol.phi)  # stable: on a tie the lower atom first


def _list_true_for(selectivity: Coactivation, i: int) -> tuple[tuple[str, float], ...]:
    together, sizes = selectivity.together[i], selectivity.n_columns_true
    shares = np.divide(together, sizes, out=np.zeros(len(sizes)), where=sizes > 0)
    order = np.lexsort((np.arange(len(shares)), -shares))
    needed = LEAST_PRECISION * int(selectivity.n_rows_true[i])
    n_sets = 1 + int((np.cumsum(together[order]) < needed).sum())
    return tuple((selectivity.columns[j], float(shares[j])) for j in order[:n_sets].tolist() if shares[j])


def adjust_selectivity(selectivity: Coactivation, alpha: float) -> NDArray[np.float64]:
    """Compute the adjusted p-values of `Symbol`, where they are below `alpha`: float64 `[n_rows, n_columns]`.

    Elsewhere they are some number from `alpha` on. No p-value from `alpha` on makes an adjusted one lower than `alpha`,
    so what is certain to be one isn't computed; of the others each distinct one is computed once.
    """
    n_images, shape = selectivity.n_images, selectivity.together.shape
    counts = (selectivity.together, selectivity.n_rows_true[:, None], selectivity.n_columns_true[None])
    n_common, n_row, n_column = (array.astype(np.int64).ravel() for array in np.broadcast_arrays(*counts))
    p_values = np.ones(len(n_common))
    if not len(p_values):
        return p_values.reshape(shape)
    wanted = np.flatnonzero(_bound_tails(n_common, n_images, n_row, n_column) < alpha * (1 + 1e-6))
    columns = np.stack([n_common[wanted] - 1, n_row[wanted], n_column[wanted]])
    (last, row, column), places = np.unique(columns, axis=1, return_inverse=True)
    p_values[wanted] = hypergeom.sf(last, n_images, row, column)[places.ravel()]
    return np.asarray(false_discovery_control(p_values)).reshape(shape)


def _bound_tails(
    n_common: NDArray[np.int64], n_images: int, n_row: NDArray[np.int64], n_column: NDArray[np.int64]
) -> NDArray[np.float64]:
    """A lower bound of each hypergeometric P(X >= n_common): some of its terms, from the mean on or above."""
    k = np.maximum(n_common, n_row * n_column // max(n_images, 1))
    term = np.exp(_log_choose(n_row, k) + _log_choose(n_images - n_row, n_column - k) - _log_choose(n_images, n_column))
    total = term
    for _ in range(1, _N_TERMS):
        term = term * ((n_row - k) * (n_column - k)) / ((k + 1) * (n_images - n_row - n_column + k + 1))
        total, k = total + term, k + 1
    return np.asarray(total)


def _log_choose(n: NDArray[np.int64] | int, k: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(gammaln(np.asarray(n) + 1) - gammaln(k + 1) - gammaln(n - k + 1))


def find_strongest(norms: Tensor, n_strongest: int = 9) -> Tensor:
    """Find the images on which each kernel's norm is highest: int64 `[n_kernels, min(n_strongest, n_images)]`.

    The highest norm comes first; on a tie the earlier image.

    Args:
        norms: float32 `[n_images, n_kernels]`.
        n_strongest: images for each kernel.
    """
    n = min(n_strongest, len(norms))
    strongest = torch.zeros(norms.shape[1], n, dtype=torch.int64)
    if not n:
        return strongest
    for kernel, values in enumerate(norms.cpu().T.contiguous()):
        least = values.topk(n).values[-1]
        images = (values >= least).nonzero().flatten()  # with all ties of the last one
        strongest[kernel] = images[values[images].sort(descending=True, stable=True).indices[:n]]
    return strongest
