"""The range of integers on any device: read once, as reading waits for a device."""

from collections.abc import MutableMapping
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary


class Range(NamedTuple):
    """Of the values of a tensor; -1 and -2 where it has none."""

    low: float
    high: float


_known: MutableMapping[Tensor, tuple[int, Range]] = WeakTensorKeyDictionary()  # a tensor's version, and its range then


def find_range(values: Tensor) -> Range:
    """The lowest and the highest value; a tensor on a device isn't read again until it changes."""
    if values.device.type == "cpu":
        # By NumPy: PyTorch would wake its threads, and wait for the last of them.
        array = values.detach().numpy()
        return Range(array.min().item(), array.max().item()) if array.size else Range(-1, -2)
    is_counted = not values.is_inference()  # of inference tensors changes aren't counted
    if is_counted and values in _known and _known[values][0] == values._version:
        return _known[values][1]
    ends = torch.stack(torch.aminmax(values.detach())).tolist() if values.numel() else (-1, -2)
    found = Range(*ends)
    if is_counted:
        _known[values] = values._version, found
    return found
