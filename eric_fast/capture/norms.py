"""Reduce feature maps to norms."""

from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.kernels.packing import unknown_norm
from eric_fast.kernels.reference.pack_maps import reduce_maps

__all__ = ["Reduction", "reduce_norm", "reduce_regions", "unknown_norm"]
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


class Reduction(NamedTuple):
    """What maps are reduced to: a norm, of the regions of a grid, one of `GRIDS`."""

    norm: str
    grid: int


def reduce_regions(maps: Tensor, how: Reduction) -> Tensor:
    """Reduce every feature map, and with grid 2 its quarters, to their norms.

    Quarters are halves of halves. The middle row of an odd number of rows belongs to both halves, as does the middle
    column; so each quarter of a map of one pixel is that pixel.

    Args:
        maps: any float dtype, `[n_images, n_kernels, height, width]`.

    Returns:
        float32 `[n_images, n_kernels * n_regions]`: of each kernel the norms in the order of `REGIONS`.
    """
    norm, grid = how
    if grid == 1:
        return reduce_norm(maps, norm)
    height, width = maps.shape[2:]
    rows = (slice(None, (height + 1) // 2), slice(height // 2, None))
    columns = (slice(None, (width + 1) // 2), slice(width // 2, None))
    quarters = [reduce_norm(maps[:, :, i, j], norm) for i in rows for j in columns]
    return torch.stack([reduce_norm(maps, norm), *quarters], dim=2).flatten(1)
