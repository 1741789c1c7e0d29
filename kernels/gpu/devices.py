"""Where Triton launches: on the current device, whatever device the tensors are on."""

from contextlib import AbstractContextManager, nullcontext

import torch


def launch_on(device: torch.device) -> AbstractContextManager[object]:
    """In this context a launch goes to `device`, as its tensors do; nothing to do for Triton's interpreter."""
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
