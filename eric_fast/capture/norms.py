"""Reduce feature maps to norms."""

import torch
from torch import Tensor

from eric_fast.kernels.packing import unknown_norm
from eric_fast.kernels.reference.pack_maps import reduce_maps

__all__ = ["reduce_norm", "unknown_norm"]
# On the CPU, so many bytes of maps (of whole images) are reduced at a time: results of abs() then stay in the caches.
# torch's threads do it: those of the convolution before still spin, and other threads would have to wait for cores.
PART_BYTES = 2**22
FLOAT_BYTES = 4


def reduce_norm(maps: Tensor, norm: str) -> Tensor:
    """Reduce every feature map to its norm.

    Args:
        maps: any float dtype, `[n_images, n_kernels, height, width]`; `n_images` may be 0.
        norm: `l1`: the mean of |x| over the map; `l2`: the root of the mean of x squared; `max`: the maximum of x;
            `mean`: the mean of x; `spectral`: the map's largest singular value, over the root of its number of pixels
            (NeSyFOLD's). The norms of the papers differ from these by a constant factor per layer, so
            bits are the same; a mean doesn't overflow.

    Returns:
        float32 `[n_images, n_kernels]`, summed in float32 whatever the dtype of the maps.

    Raises:
        SettingError: an unknown norm.
    """
    if maps.device.type != "cpu" or torch.compiler.is_compiling():  # the compiler fuses torch's operations
        return reduce_maps(maps, norm)
    n_together = PART_BYTES // (FLOAT_BYTES * max(1, maps[:1].numel()))
    return torch.cat([reduce_maps(part, norm) for part in maps.split(max(1, n_together))])
