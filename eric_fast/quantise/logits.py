"""A network's outputs as whole numbers of eight bits, which class votes are fitted to."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.store import Part, Selection

TOP = 255  # the highest of a scale
_UNIT_BITS = 24  # every float16 is a multiple of 2**-24
_SAFE_BITS = 53  # times 510, these stay within 63


class ScaledLogits(NamedTuple):
    """Logits, less their mean on the same image, on one scale for the whole network.

    Attributes:
        values: uint8 `[n_images, n_classes]`, of the images of this process: 0 at `lowest` and 255 at `highest`.
        lowest, highest: over the images of all processes.
    """

    values: Tensor
    lowest: float
    highest: float


def scale_logits(selection: Selection) -> ScaledLogits:
    """Put the logits of a selection on the scale from their lowest to their highest, exactly, part by part.

    Raises:
        CaptureError: there are no logits.
    """
    ends = np.array([[0, 0]], np.int64)
    for part in selection.parts:
        centred = _centre_logits(part)
        if centred.size:
            ends = np.vstack([ends, [centred.min(), centred.max()]])  # 0 lies between: they are centred
    processes = selection.processes
    every = torch.zeros(processes.count, 2, dtype=torch.int64)
    every[processes.rank] = torch.from_numpy(np.array([ends[:, 0].min(), ends[:, 1].max()]))
    every = processes.combine(every)
    lowest, highest = int(every[:, 0].min()), int(every[:, 1].max())
    n_classes = len(selection.classes)
    values = np.empty((len(selection.targets), n_classes), np.uint8)
    first = 0
    for part in selection.parts:
        values[first : first + part.n_images] = _scale(_centre_logits(part), lowest, highest)
        first += part.n_images
    unit = max(1, n_classes) * 2.0**_UNIT_BITS
    return ScaledLogits(torch.from_numpy(values), lowest / unit, highest / unit)


def _centre_logits(part: Part) -> NDArray[np.int64]:
    """The logits less their mean, times the number of classes, in units of 2**-24: whole numbers, so exact."""
    logits = part.read_logits().numpy().astype(np.float64)
    whole = (logits * 2.0**_UNIT_BITS).astype(np.int64)
    centred: NDArray[np.int64] = whole * whole.shape[1] - whole.sum(axis=1, keepdims=True)
    return centred


def _scale(centred: NDArray[np.int64], lowest: int, highest: int) -> NDArray[np.uint8]:
    shift = max(0, (highest - lowest).bit_length() - _SAFE_BITS)
    span = max(1, highest - lowest >> shift)
    scaled = (2 * TOP * ((centred >> shift) - (lowest >> shift)) + span) // (2 * span)
    return scaled.clip(0, TOP).astype(np.uint8)
