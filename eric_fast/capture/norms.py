"""Reduce feature maps to norms."""

from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.kernels.packing import unknown_norm
from eric_fast.kernels.reference.pack_maps import reduce_maps
from eric_fast.program.atoms import REGIONS

__all__ = ["Reduction", "reduce_norm", "reduce_regions", "slice_region", "unknown_norm"]
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


class Region(NamedTuple):
    """The rows and columns of a part of a map."""

    rows: slice
    columns: slice


def slice_region(region: str, height: int, width: int) -> Region:
    """Find a region, one of `REGIONS`, in a map; see `reduce_regions`."""
    if not region:
        return Region(slice(None), slice(None))
    upper, left = region.startswith("upper"), region.endswith("left")
    rows = slice(None, (height + 1) // 2) if upper else slice(height // 2, None)
    return Region(rows, slice(None, (width + 1) // 2) if left else slice(width // 2, None))


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
    parts = (slice_region(region, maps.shape[2], maps.shape[3]) for region in REGIONS[1:])
    quarters = [reduce_norm(maps[:, :, rows, columns], norm) for rows, columns in parts]
    return torch.stack([reduce_norm(maps, norm), *quarters], dim=2).flatten(1)
