"""Quantise: norms to bits, with one threshold per kernel fitted on training images."""

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.activations import Activations
from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, SettingError, say_count, suggest_nearest
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantiser import CRITERIA, InputAtom, Quantiser

_OPERATORS = {">": kernels.GREATER, "<=": kernels.LESS_EQUAL, "==": kernels.EQUAL}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Threshold:
    """How a kernel's threshold follows from its norms on the training images.

    Attributes:
        kind: `linear` (constant + mean_factor * mean + std_factor * std, population std), `quantile`, or `split`
            (the value that splits the target best).
    """

    kind: str
    mean_factor: float = 0.0
    std_factor: float = 0.0
    constant: float = 0.0
    quantile: float = 0.0


def parse_threshold(spec: str) -> Threshold:
    """`mean`, `0.6*mean+0.7*std`, `1.5`, `quantile:0.75` or `split` as a `Threshold`.

    Raises:
        SettingError: anything else.
    """
    text = "".join(spec.split())
    if text == "split":
        return Threshold("split")
    if text.startswith("quantile:"):
        share = _number(text.removeprefix("quantile:"))
        if share is None or not 0 <= share <= 1:
            raise SettingError(f"threshold '{spec}': a quantile lies between 0 and 1, as in 'quantile:0.75'")
        return Threshold("quantile", quantile=share)
    factors = {"mean": 0.0, "std": 0.0, "": 0.0}
    # A sign splits terms unless it belongs to an exponent: 1e-3*std
    terms = re.findall(r"[+-]?(?:[eE][+-]?|[^+-])+", text)
    for term in terms if terms and "".join(terms) == text else [""]:
        match = re.fullmatch(r"([+-]?)(?:([0-9.][^*]*)\*?)?(mean|std)?", term)
        factor = _number(match[2]) if match and match[2] else 1.0 if match and match[3] else None
        if match is None or factor is None or (match[2] and match[3] and "*" not in term):
            raise SettingError(
                f"threshold '{spec}' is not mean, split, quantile:0.75, a number, or a sum such as 0.6*mean+0.7*std"
            )
        factors[match[3] or ""] += -factor if match[1] == "-" else factor
    return Threshold("linear", factors["mean"], factors["std"], factors[""])


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None


def fit_quantiser(
    activations: Activations,
    target: Tensor | None = None,
    *,
    threshold: str = "mean",
    criterion: str = "entropy",
    progress: Progress = ignore_progress,
) -> Quantiser:
    """One atom per kernel of every layer: norm > threshold, the threshold fitted on these images alone.

    Sums are in float64 and rounded to float32 once, so the order of images doesn't matter (ERIC, arXiv 2010.09452;
    0.6 * mean + 0.7 * std is NeSyFOLD's).

    Args:
        activations: of the training images; kernels whose norm never changes are kept, and logged.
        target: int64 `[n_images]`, what `split` splits; needed for it alone.
        threshold: see `parse_threshold`.
        criterion: `entropy` or `gini`: what `split` maximises the gain of.

    Raises:
        SettingError: an unknown threshold or criterion. CaptureError: no images.
    """
    how = parse_threshold(threshold)
    if criterion not in CRITERIA:
        raise SettingError(f"criterion '{criterion}' is not one of {', '.join(CRITERIA)}")
    if activations.n_images == 0:
        raise CaptureError("thresholds need at least one training image, the capture has none")
    atoms = []
    for i, (layer, norms) in enumerate(activations.norms.items()):
        progress("thresholds", i, len(activations.norms))
        if how.kind == "split":
            if target is None:
                raise SettingError("threshold 'split' needs a target to split")
            values = find_best_splits(norms, target, criterion)
        else:
            values = _fit_simple(norms, how)
        atoms += [InputAtom(layer, k, ">", value) for k, value in enumerate(values.tolist())]
        constant = (norms == norms[0]).all(dim=0).nonzero().flatten().tolist()
        if constant:
            shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
            logger.warning(
                "layer '%s': %s constant (%s): kept, but of no use", layer, say_count(len(constant), "kernel"), shown
            )
    progress("thresholds", len(activations.norms), len(activations.norms))
    return Quantiser(tuple(atoms), activations.settings.norm)


def _fit_simple(norms: Tensor, how: Threshold) -> Tensor:
    """float32 `[n_images, n_kernels]` -> float64 `[n_kernels]`."""
    thresholds = []
    for block in norms.split(64, dim=1):  # a copy in float64 of few kernels at a time
        exact = block.double()
        if how.kind == "quantile":
            thresholds.append(torch.from_numpy(np.quantile(exact.numpy(), how.quantile, axis=0)))
        else:
            mean = exact.mean(dim=0)
            std = (exact - mean).square().mean(dim=0).sqrt()
            thresholds.append(how.mean_factor * mean + how.std_factor * std + how.constant)
    return torch.cat(thresholds)


def find_best_splits(norms: Tensor, target: Tensor, criterion: str = "entropy") -> Tensor:
    """For each kernel the threshold whose two sides tell most about the target, in one pass over its sorted norms.

    Gains are compared in integers (entropy: fixed-point n * log2 n) or as exact fractions (gini), so the order of
    images doesn't matter; of equals the lowest cut wins. The threshold lies half-way between two neighbouring norms,
    as in CART.

    Args:
        norms: float32 `[n_images, n_kernels]`. target: int64 `[n_images]`, class indices.

    Returns:
        float64 `[n_kernels]`; the norm itself for a kernel that never changes.
    """
    n = len(norms)
    class_of_image = target.numpy()
    totals = np.bincount(class_of_image)
    first_of_class = np.concatenate([[0], np.cumsum(totals)[:-1]])
    table = kernels.make_entropy_table(n) if criterion == "entropy" else np.arange(n + 1, dtype=np.int64) ** 2
    thresholds = np.empty(norms.shape[1])
    for k in range(norms.shape[1]):
        values = norms[:, k].numpy()
        order = np.argsort(values, kind="stable")
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
    """The first cut with the least gini impurity after it, from the sums of squared counts on both sides."""
    purity = left / n_left + right / n_right  # to be most; float64 leaves a few to be compared exactly
    near = np.flatnonzero(purity >= purity.max() * (1 - 1e-12))
    exact = [Fraction(int(left[i]), int(n_left[i])) + Fraction(int(right[i]), int(n_right[i])) for i in near]
    return int(near[exact.index(max(exact))])


def quantise_activations(
    activations: Activations, quantiser: Quantiser, layers: Sequence[str] | None = None
) -> BitMatrix:
    """The truth of the quantiser's atoms of these layers (all by default) on every image.

    Raises:
        CaptureError: a layer or kernel that the capture lacks, or norms of another kind.
    """
    check_fits(activations, quantiser, layers)
    wanted = quantiser.layers if layers is None else layers
    atoms = [atom for layer in wanted for atom in quantiser.atoms_of_layer(layer)]
    parts = [pack_layer(activations.norms[layer], quantiser.atoms_of_layer(layer)) for layer in wanted]
    words = torch.cat(parts) if parts else torch.zeros(0, count_words(activations.n_images), dtype=torch.int32)
    return BitMatrix(words, activations.n_images, tuple(atom.name for atom in atoms))


def pack_layer(norms: Tensor, atoms: Sequence[InputAtom], engine: str = "auto") -> Tensor:
    """Norms of one layer, float32 `[n, n_kernels]` on any device -> int32 words `[n_atoms, n_words]` there."""
    columns = torch.tensor([atom.column for atom in atoms], dtype=torch.int64, device=norms.device)
    return kernels.pack_columns(norms, columns, *list_comparisons(atoms, norms.device), engine=engine)


def list_comparisons(atoms: Sequence[InputAtom], device: torch.device) -> tuple[Tensor, Tensor]:
    """What kernels take of atoms: constants, float32 `[n_atoms]`, and operators, int8 `[n_atoms]`."""
    constants = torch.tensor([atom.constant for atom in atoms], dtype=torch.float32, device=device)
    operators = torch.tensor([_OPERATORS[atom.operator] for atom in atoms], dtype=torch.int8, device=device)
    return constants, operators


def check_fits(activations: Activations, quantiser: Quantiser, layers: Sequence[str] | None = None) -> None:
    """Refuse a capture that lacks kernels of the quantiser's `layers` (all by default), or has another norm."""
    if activations.settings.norm != quantiser.norm:
        raise CaptureError(
            f"the program needs norm '{quantiser.norm}', the capture holds '{activations.settings.norm}'; "
            f"capture again with --norm {quantiser.norm}"
        )
    for layer in quantiser.layers if layers is None else layers:
        if layer not in activations.norms:
            raise CaptureError(
                f"the capture lacks layer '{layer}' of the program{suggest_nearest(layer, activations.layers)}"
            )
        n_kernels = activations.norms[layer].shape[1]
        highest = max(atom.column for atom in quantiser.atoms_of_layer(layer))
        if highest >= n_kernels:
            raise CaptureError(
                f"the program needs kernel {highest} of layer '{layer}', which has {n_kernels} kernels in the capture; "
                "is it a capture of another model?"
            )
