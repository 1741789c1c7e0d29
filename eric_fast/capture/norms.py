"""One number for each feature map."""

import math

import torch
from torch import Tensor

from eric_fast.errors import SettingError, suggest_nearest
from eric_fast.quantiser import NORMS


def reduce_norm(maps: Tensor, norm: str) -> Tensor:
    """Reduce every feature map to its norm.

    Args:
        maps: any float dtype, `[n_images, n_kernels, height, width]`; `n_images` may be 0.
        norm: `l1`: the mean of |x| over the map; `l2`: the root of the mean of x squared; `max`: the largest x;
            `mean`: the mean of x. The paper's L1 and L2 norms are these times a constant of the layer, so bits
            are the same, and a mean doesn't overflow.

    Returns:
        float32 `[n_images, n_kernels]`, summed in float32 whatever the dtype of the maps.

    Raises:
        SettingError: an unknown norm.
    """
    match norm:
        case "l1":  # 0.47 ms where vector_norm(ord=1) takes 1.3 ms: [64, 64, 32, 32], two cores
            return maps.abs().mean((2, 3), dtype=torch.float32)
        case "l2":
            n_pixels = maps.shape[2] * maps.shape[3]
            norms: Tensor = torch.linalg.vector_norm(maps, 2, (2, 3), dtype=torch.float32)
            return norms / math.sqrt(n_pixels)
        case "max":
            return maps.amax((2, 3)).to(torch.float32)
        case "mean":
            return maps.mean((2, 3), dtype=torch.float32)
    raise unknown_norm(norm)


def unknown_norm(norm: str) -> SettingError:
    """The error that says which norms there are."""
    return SettingError(f"'{norm}' is not a norm{suggest_nearest(norm, NORMS)}")
