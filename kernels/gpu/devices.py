"""Launches on the right device: Triton launches on the current one, whatever device the tensors are on."""

from contextlib import AbstractContextManager, nullcontext

import torch


def launch_on(device: torch.device) -> AbstractContextManager[object]:
    """Return a context in which launches go to `device`; for Triton's interpreter it does nothing."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
