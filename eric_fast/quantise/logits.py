"""A network's outputs as whole numbers of eight bits, which class votes are fitted to."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.store import Part, Selection

TOP = 255  # the highest of a scale
_FINE = 2**16 - 1  # of a scale from the lowest to the highest
_UNIT_BITS = 24  # every float16 is a multiple of 2**-24
_SAFE_BITS = 45  # times twice `_FINE`, these stay within 63


class ScaledLogits(NamedTuple):
    """Logits, less their mean on the same image, on one scale for the whole network.

    Attributes:
        values: uint8 `[n_images, n_classes]`, of the images of this process: 0 at `lowest` and below, 255 at `highest`
            and above.
        lowest, highest: the ends of the scale, over the images of all processes.
    """

    values: Tensor
    lowest: float
    highest: float

    @property
    def unit(self) -> float:
        """Of a logit, from one value to the next."""
        return (self.highest - self.lowest) / TOP


def scale_logits(selection: Selection, tail: int | None = None) -> ScaledLogits:
    """Put the logits of a selection on the scale from their lowest to their highest, in whole numbers, part by part.

    Args:
        tail: one in so many logits lies below the scale, and one above, and is clamped: few logits are far away, and
            a fit to squares spends itself on them. By default none.

    Raises:
        CaptureError: there are no logits.
    """
    combine, processes = selection.processes.combine, selection.processes
    ends = np.zeros((1, 2), np.int64)  # 0 lies between: logits are centred
    for centred in map(_centre_logits, selection.parts):
        if centred.size:
            ends = np.vstack([ends, [centred.min(), centred.max()]])
    every = torch.zeros(processes.count, 2, dtype=torch.int64)
    every[processes.rank] = torch.from_numpy(np.array([ends[:, 0].min(), ends[:, 1].max()]))
    every = combine(every)
    lowest, highest = int(every[:, 0].min()), int(every[:, 1].max())

    counts = np.zeros(_FINE + 1, np.int64)
    for centred in map(_centre_logits, selection.parts):
        counts += np.bincount(_scale(centred, lowest, highest, _FINE).ravel(), minlength=_FINE + 1)
    below = combine(torch.from_numpy(counts)).numpy().cumsum()
    n_beyond = 0 if tail is None else below[-1] // tail
    first, last = int((below > n_beyond).argmax()), int((below >= below[-1] - n_beyond).argmax())
    span = highest - lowest
    lowest, highest = lowest + span * first // _FINE, lowest + span * last // _FINE

    n_classes = len(selection.classes)
    parts = [_scale(_centre_logits(part), lowest, highest, TOP).astype(np.uint8) for part in selection.parts]
    values = np.concatenate([np.zeros((0, n_classes), np.uint8), *parts])
    unit = max(1, n_classes) * 2.0**_UNIT_BITS
    return ScaledLogits(torch.from_numpy(values), lowest / unit, highest / unit)


def _centre_logits(part: Part) -> NDArray[np.int64]:
    """The logits less their mean, times the number of classes, in units of 2**-24: whole numbers, so exact."""
    logits = part.read_logits().numpy().astype(np.float64)
    whole = (logits * 2.0**_UNIT_BITS).astype(np.int64)
    centred: NDArray[np.int64] = whole * whole.shape[1] - whole.sum(axis=1, keepdims=True)
    return centred


def _scale(centred: NDArray[np.int64], lowest: int, highest: int, top: int) -> NDArray[np.int64]:
    """From 0 at `lowest` to `top` at `highest`, rounded half up; what lies beyond is clamped."""
    shift = max(0, (highest - lowest).bit_length() - _SAFE_BITS)
    span = max(1, highest - lowest >> shift)
    inside = (centred.clip(lowest, highest) >> shift) - (lowest >> shift)
    scaled: NDArray[np.int64] = (2 * top * inside + span) // (2 * span)
    return scaled.clip(0, top)
