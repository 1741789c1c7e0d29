"""What there is to a device: launches on the right one, what is asked of it once, and tensors kept for its streams."""

from collections.abc import MutableMapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

INTERPRETED_BLOCKS = 2  # at once, where Triton's interpreter stands in for a GPU


def launch_on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which Triton's launches go to `device`, not to the current one.

    For Triton's interpreter it does nothing.
    """
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()


@cache
def count_multiprocessors(device: torch.device) -> int:
    """How many blocks run at once."""
    if device.type != "cuda":
        return INTERPRETED_BLOCKS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)


@cache
def share_empty(dtype: torch.dtype, device: torch.device) -> Tensor:
    """A tensor of no elements, `[0]`, for what a launch doesn't need; always the same one."""
    return torch.empty(0, dtype=dtype, device=device)


def keep_for_stream(tensors: Sequence[Tensor], seen: set[int]) -> None:
    """Let the current stream read tensors that another made: once freed, they stay until it is done with them.

    seen: the streams that were told so; written.
    """
    device = tensors[0].device
    if device.type != "cuda":
        return
    stream = torch.cuda.current_stream(device)
    if stream.cuda_stream not in seen:
        for tensor in tensors:
            tensor.record_stream(stream)
        seen.add(stream.cuda_stream)


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
