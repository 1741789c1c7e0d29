"""Thresholds, fitted on training images: in memory, or on disk and read shard by shard."""

import logging
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from eric_fast.errors import CaptureError, SettingError, say_count
from eric_fast.processes import Processes
from eric_fast.program.atoms import CRITERIA, InputAtom, Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise.spec import Threshold, parse_threshold
from eric_fast.quantise.splits import find_best_splits
from eric_fast.quantise.sums import ColumnSums
from eric_fast.store import Capture, Selection
from eric_fast.store.activations import Activations

_VALUES_AT_ONCE = 2**26  # norms gathered by kernel, where all of a kernel's are needed: 256 MB

logger = logging.getLogger(__name__)


def fit_quantiser(
    source: Activations | Capture | Selection,
    target: Tensor | None = None,
    *,
    threshold: str = "mean",
    criterion: str = "entropy",
    progress: Progress = ignore_progress,
) -> Quantiser:
    """One atom per kernel of every layer: norm > threshold, the threshold fitted on these images alone.

    Means and standard deviations are rounded once from exact sums, so neither the order of images matters nor how they
    are cut into shards (ERIC, arXiv 2010.09452; 0.6 * mean + 0.7 * std is NeSyFOLD's).

    Args:
        source: the training images: activations, or a capture with norms, of which memory holds a shard at a time (for
            quantiles and splits: all norms of a few kernels), or this process's selection of a capture that several
            share: all get the same thresholds. Kernels whose norm never changes are kept, and logged.
        target: int64 `[n_images]`, what `split` splits; needed for it alone.
        threshold: see `parse_threshold`.
        criterion: `entropy` or `gini`: what `split` maximises the gain of.

    Raises:
        SettingError: an unknown threshold or criterion. CaptureError: no images; a capture that is damaged, or of bits.
    """
    how = parse_threshold(threshold)
    if criterion not in CRITERIA:
        raise SettingError(f"criterion '{criterion}' is not one of {', '.join(CRITERIA)}")
    if source.n_images == 0:
        raise CaptureError("thresholds need at least one training image, the capture has none")
    if how.kind == "split" and target is None:
        raise SettingError("threshold 'split' needs a target to split")
    atoms = []
    for i, layer in enumerate(source.layers):
        progress("thresholds", i, len(source.layers))
        values = _fit_layer(source, layer, how, target, criterion)
        atoms += [InputAtom(layer, k, ">", value) for k, value in enumerate(values.tolist())]
    progress("thresholds", len(source.layers), len(source.layers))
    return Quantiser(tuple(atoms), source.settings.norm)


def _fit_layer(
    source: Activations | Capture | Selection, layer: str, how: Threshold, target: Tensor | None, criterion: str
) -> Tensor:
    """Thresholds of a layer's kernels, float64 `[n_kernels]`."""
    sums: ColumnSums | None = None
    for norms in _iterate_norms(source, layer):
        sums = sums or ColumnSums(norms.shape[1])
        if len(norms):
            sums.add(norms)
    if isinstance(source, Selection):
        sums = _merge_sums(sums or ColumnSums(source.capture.n_kernels[layer]), source.processes)
    assert sums is not None
    constant = sums.find_constant()
    if constant:
        shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
        logger.warning(
            "layer '%s': %s constant (%s): kept, but of no use", layer, say_count(len(constant), "kernel"), shown
        )
    if how.kind == "linear":
        mean, std = sums.list_moments()
        return how.mean_factor * mean + how.std_factor * std + how.constant
    thresholds = []
    for columns in _iterate_columns(source, layer):
        if how.kind == "quantile":
            thresholds.append(torch.from_numpy(np.quantile(columns.double().numpy(), how.quantile, axis=0)))
        elif target is not None:
            thresholds.append(find_best_splits(columns, target, criterion))
    return torch.cat(thresholds)


def _merge_sums(own: ColumnSums, processes: Processes) -> ColumnSums:
    """Of all processes, always added up in their order."""
    if processes.count == 1:
        return own
    state = own.to_integers()
    states = torch.zeros(processes.count, *state.shape, dtype=torch.int64)
    states[processes.rank] = state
    whole = ColumnSums(state.shape[1])
    for part in processes.combine(states):
        whole.merge(ColumnSums.from_integers(part))
    return whole


def _iterate_norms(source: Activations | Capture | Selection, layer: str) -> Iterator[Tensor]:
    """Norms of all images in turn, `[n, n_kernels]` each."""
    if isinstance(source, Activations):
        yield source.norms[layer]
    elif isinstance(source, Selection):
        yield from source.iterate_norms(layer)
    else:
        for shard in source.shards:
            yield shard.read_norms(layer)


def _iterate_columns(source: Activations | Capture | Selection, layer: str) -> Iterator[Tensor]:
    """Norms of all kernels in turn, float32 `[n_images, n]` each."""
    if isinstance(source, Selection):
        yield from source.iterate_columns(layer, _VALUES_AT_ONCE)
        return
    width = max(1, _VALUES_AT_ONCE // source.n_images)
    n_kernels = next(_iterate_norms(source, layer)).shape[1]
    for first in range(0, n_kernels, width):
        yield torch.cat([norms[:, first : first + width].float() for norms in _iterate_norms(source, layer)])
