"""Symbolic kernels: which class or sub-class a kernel stands for, and the images that it reacts to most."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, hypergeom
from torch import Tensor

from eric_fast.analyse.relations import Coactivation


@dataclass(frozen=True)
class Symbol:
    """What an atom stands for: the set of images whose truth its own bit follows best.

    Attributes:
        atom: its name.
        stands_for: the name of the set, such as a class.
        phi: the correlation of the bit with being in the set.
        precision: of the images on which the atom is true, the share that is in the set.
        recall: of the images in the set, the share on which the atom is true.
        lift: precision over the set's share of all images.
        p_value: of that many together or more, were the two independent (hypergeometric), adjusted over all atoms and
            sets (Benjamini and Hochberg).
    """

    atom: str
    stands_for: str
    phi: float
    precision: float
    recall: float
    lift: float
    p_value: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dict(vars(self))


def list_symbols(selectivity: Coactivation, alpha: float = 0.05) -> list[Symbol]:
    """What each atom stands for, those first that do best; atoms without a set at `p_value` below `alpha` aren't there.

    Args:
        selectivity: atoms as rows, sets as columns: `measure_coactivation(bits, pack_classes(...))`, or the images that
            rules cover, `Subclasses.covered`.
    """
    phi, lift = np.nan_to_num(selectivity.phi(), nan=-1.0), selectivity.lift()
    p_values = adjust_selectivity(selectivity)
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
            symbols.append(Symbol(atom, selectivity.columns[j], *figures))
    return sorted(symbols, key=lambda symbol: -symbol.phi)  # stable: of equals the lower atom first


def adjust_selectivity(selectivity: Coactivation) -> NDArray[np.float64]:
    """float64 `[n_rows, n_columns]`: the adjusted p-values of `Symbol`."""
    p_values = hypergeom.sf(
        selectivity.together - 1,
        selectivity.n_images,
        selectivity.n_rows_true[:, None],
        selectivity.n_columns_true[None],
    )
    adjusted: NDArray[np.float64] = (
        np.asarray(false_discovery_control(p_values, axis=None)) if p_values.size else p_values
    )
    return adjusted.reshape(p_values.shape)


def find_strongest(norms: Tensor, n_strongest: int = 9) -> Tensor:
    """The images on which each kernel's norm is highest, int64 `[n_kernels, min(n_strongest, n_images)]`.

    The strongest first, of equals the one that comes first.

    Args:
        norms: float32 `[n_images, n_kernels]`.
    """
    n = min(n_strongest, len(norms))
    strongest = torch.zeros(norms.shape[1], n, dtype=torch.int64)
    if not n:
        return strongest
    for kernel, values in enumerate(norms.cpu().T.contiguous()):
        least = values.topk(n).values[-1]
        images = (values >= least).nonzero().flatten()  # all that tie with the last one too
        strongest[kernel] = images[values[images].sort(descending=True, stable=True).indices[:n]]
    return strongest
