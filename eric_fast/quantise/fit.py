"""Fit thresholds on training images."""

import logging
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from eric_fast.errors import CaptureError, SettingError, say_count
from eric_fast.processes import Processes
from eric_fast.program.atoms import CRITERIA, NEGATIVE, REGIONS, THRESHOLD_LEVELS, InputAtom, Quantiser, count_regions
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise.spec import Threshold, parse_threshold
from eric_fast.quantise.splits import find_best_splits
from eric_fast.quantise.sums import ColumnSums
from eric_fast.store import Selection, Source, select_images

SIGNED_NORMS = ("mean", "max")
MOST_VALUES = 2**26  # norms gathered by kernel, if all norms of a kernel are needed at a time: 256 MB

logger = logging.getLogger(__name__)


def fit_quantiser(
    source: Source,
    target: Tensor | None = None,
    *,
    threshold: str | Mapping[str, str] = "mean",
    criterion: str = "entropy",
    n_values: int = MOST_VALUES,
    grid: int | None = None,
    per_kernel: int = 1,
    progress: Progress = ignore_progress,
    warn: bool = True,
) -> Quantiser:
    """Fit one atom per kernel of every layer, `norm > threshold`, on these images alone.

    With a two-sided threshold t, which is fitted to the sizes of norms, a kernel with negative norms has a second atom,
    `norm <= -t`: a large negative value of a GELU, a layer norm or a residual stream means something of its own.

    Means and standard deviations are rounded once from exact sums, so neither the order of images nor their
    distribution over parts and processes matters (ERIC, arXiv 2010.09452; 0.6 * mean + 0.7 * std is NeSyFOLD's).
    Kernels whose norm never changes are kept, and logged.

    Args:
        source: the training images. One part is in memory at a time; for quantiles and splits, all norms of some
            kernels. Processes that share a selection get the same thresholds.
        target: int64 `[n_images]`, what `split` splits; needed for it alone.
        threshold: see `parse_threshold`; of all layers, or for each layer its own. By default `mean`, which needs no
            target.
        criterion: `entropy` or `gini`: `split` maximises the gain by it.
        grid: 1 for whole maps alone, 2 for their quarters too; by default what was captured.
        per_kernel: thresholds of a kernel's whole map. The second is fitted as the first is, but to the images above
            it, the third to those below it, the fourth and fifth to those above and below the second, and so on. Those
            that tell no images apart are left out.
        n_values: norms that quantiles and splits gather at a time, at most.
        warn: whether to log kernels whose norm never changes.

    Raises:
        SettingError: an unknown threshold or criterion; a two-sided threshold for norms without a sign.
        CaptureError: no images; a capture that is damaged or has no norms, or has none of quarters and they are wanted.

    Examples:
        >>> train = ef.load_activations("eric-demo/train")
        >>> quantiser = ef.fit_quantiser(train)
        >>> quantiser.atoms[0].name, quantiser.atoms[0].operator
        ('conv1.2:0', '>')
    """
    specs = {layer: threshold if isinstance(threshold, str) else threshold[layer] for layer in source.layers}
    hows = {layer: parse_threshold(spec) for layer, spec in specs.items()}
    if criterion not in CRITERIA:
        raise SettingError(f"criterion '{criterion}' is not one of {', '.join(CRITERIA)}")
    if source.n_images == 0:
        raise CaptureError(f"{source.name} has no images; thresholds need at least one training image")
    for layer, how in hows.items():
        _check_threshold(specs[layer], how, target, source.settings.norm, per_kernel)
    selection = source if isinstance(source, Selection) else select_images(source, source.layers, "model")
    n_regions = count_regions(source.settings.grid)
    if grid == 2 and n_regions == 1:
        raise CaptureError(f"{source.name} has the norms of whole maps alone; capture again with --grid 2")
    atoms = []
    for i, layer in enumerate(source.layers):
        progress("thresholds", i, len(source.layers))
        how = hows[layer]
        fit = _Fit(how, target, criterion)
        values, is_signed = _fit_layer(selection, layer, fit, n_values, warn)
        values = _step_down(values) if how.or_equal else values
        levels = _fit_levels(selection, layer, values, fit, n_values, per_kernel)
        for place, value in enumerate(values.tolist()):
            kernel, region = divmod(place, n_regions)
            if region == 0 or grid != 1:
                atoms.append(InputAtom(layer, kernel, ">", value, REGIONS[region]))
            if region == 0:
                atoms += (InputAtom(layer, kernel, ">", other, level) for level, other in levels.get(place, {}).items())
            if how.two_sided and region == 0 and is_signed[place]:
                atoms.append(InputAtom(layer, kernel, "<=", -value, NEGATIVE))
    progress("thresholds", len(source.layers), len(source.layers))
    return Quantiser(tuple(atoms), source.settings.norm)


def _check_threshold(spec: str, how: Threshold, target: Tensor | None, norm: str, per_kernel: int) -> None:
    if how.kind == "split" and target is None:
        raise SettingError("threshold 'split' needs a target to split")
    if how.two_sided and norm not in SIGNED_NORMS:
        raise SettingError(
            f"threshold '{spec}' has two sides, but norm '{norm}' is never negative; capture with --norm mean"
        )
    if per_kernel not in range(1, len(THRESHOLD_LEVELS) + 2) or (per_kernel > 1 and how.two_sided):
        what = (
            "has two thresholds already" if how.two_sided else f"needs a number from 1 to {len(THRESHOLD_LEVELS) + 1}"
        )
        raise SettingError(f"--thresholds-per-kernel {per_kernel}: threshold '{spec}' {what}")


def _step_down(values: Tensor) -> Tensor:
    """float32 `[n_kernels]`: the numbers below these: what is above them is one of these, or more.

    Below 0 the next number is too small for some hardware, which takes it for 0; the first that none does is taken.
    """
    lower = torch.nextafter(values.float(), torch.tensor(-torch.inf))
    smallest = torch.finfo(torch.float32).tiny
    return torch.where((lower < 0) & (lower > -smallest), -smallest, lower)


class _Fit(NamedTuple):
    """How the thresholds of a layer are fitted; for `target` and `criterion` see `fit_quantiser`."""

    how: Threshold
    target: Tensor | None
    criterion: str

    def of_sums(self, sums: ColumnSums) -> Tensor:
        """Thresholds of kernels from the mean and standard deviation of their norms: float64 `[n_kernels]`."""
        mean, std = sums.list_moments()
        return self.how.mean_factor * mean + self.how.std_factor * std + self.how.constant

    def of_norms(self, norms: Tensor) -> Tensor:
        """Quantiles or splits of norms `[n_images, n_kernels]`: float64 `[n_kernels]`."""
        if self.how.kind == "quantile":
            return torch.from_numpy(np.quantile(norms.double().numpy(), self.how.quantile, axis=0))
        assert self.target is not None
        return find_best_splits(norms, self.target, self.criterion)


class _Fitted(NamedTuple):
    """Thresholds of a layer's kernels, float64 `[n_kernels]`, and whether each has negative norms."""

    thresholds: Tensor
    is_signed: list[bool]


def _fit_layer(selection: Selection, layer: str, fit: _Fit, n_values: int, warn: bool) -> _Fitted:
    own, own_sizes = ColumnSums(selection.n_kernels[layer]), ColumnSums(selection.n_kernels[layer])
    two_sided = fit.how.two_sided
    for part in selection.parts:
        if part.n_images:
            own.add(part.read_norms(layer))
            if two_sided:
                own_sizes.add(part.read_norms(layer).abs())
    sums = _merge_sums(own, selection.processes)
    is_signed = sums.find_negative()
    constant = sums.find_constant() if warn else []
    if constant:
        shown = ", ".join(map(str, constant[:8])) + (", ..." if len(constant) > 8 else "")
        logger.warning(
            "layer '%s': the norms of %s never change, so their bits are of no use: %s",
            layer,
            say_count(len(constant), "kernel"),
            shown,
        )
    if fit.how.kind == "linear":
        return _Fitted(fit.of_sums(_merge_sums(own_sizes, selection.processes) if two_sided else sums), is_signed)
    columns = selection.iterate_columns(layer, n_values)
    thresholds = [fit.of_norms(norms.abs() if two_sided else norms) for norms in columns]
    return _Fitted(torch.cat([torch.zeros(0, dtype=torch.float64), *thresholds]), is_signed)  # of no kernel, none


def _fit_levels(
    selection: Selection, layer: str, first: Tensor, fit: _Fit, n_values: int, per_kernel: int
) -> dict[int, dict[str, float]]:
    """Place of a norm -> its levels after the first, and their thresholds; see `fit_quantiser`.

    Args:
        first: `[n_norms]`: the first thresholds.
    """
    if per_kernel == 1:
        return {}
    kernels = (values for norms in selection.iterate_columns(layer, n_values) for values in norms.T)
    return {place: _split_norms(values, float(first[place]), fit, per_kernel) for place, values in enumerate(kernels)}


def _split_norms(values: Tensor, first: float, fit: _Fit, per_kernel: int) -> dict[str, float]:
    """Split a kernel's norms `[n_images]`, then the images above and below each threshold, in the order of levels."""
    thresholds = {1: float(np.float32(first))}
    images = {1: torch.arange(len(values))}
    for number in range(2, per_kernel + 1):
        above = number // 2
        if above not in thresholds:
            continue
        own = images[above]
        own = own[(values[own] > thresholds[above]) == (number % 2 == 0)]
        part = values[own]
        if not len(own) or bool((part == part[0]).all()):
            continue
        value = _fit_part(part, fit._replace(target=None if fit.target is None else fit.target[own]))
        if bool((part > value).any()) and not bool((part > value).all()):
            thresholds[number], images[number] = value, own
    return {THRESHOLD_LEVELS[number - 2]: value for number, value in thresholds.items() if number > 1}


def _fit_part(values: Tensor, fit: _Fit) -> float:
    """The threshold of some images' norms, as float32 holds it."""
    norms = values[:, None]
    if fit.how.kind == "linear":
        sums = ColumnSums(1)
        sums.add(norms)
        value = fit.of_sums(sums)
    else:
        value = fit.of_norms(norms)
    value = _step_down(value) if fit.how.or_equal else value
    return float(np.float32(value.item()))


def _merge_sums(own: ColumnSums, processes: Processes) -> ColumnSums:
    """Add up the sums of all processes, in the order of their ranks."""
    if processes.count == 1:
        return own
    state = own.to_integers()
    states = torch.zeros(processes.count, *state.shape, dtype=torch.int64)
    states[processes.rank] = state
    whole = ColumnSums(state.shape[1])
    for part in processes.combine(states):
        whole.merge(ColumnSums.from_integers(part))
    return whole
