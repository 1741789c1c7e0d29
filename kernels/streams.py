"""Tensors that are kept on a device and read on any of its streams."""

from collections.abc import Sequence

import torch
from torch import Tensor


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
