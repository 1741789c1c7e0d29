"""Launches on the right device, and what is asked of a device only once."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch
from torch import Tensor

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
