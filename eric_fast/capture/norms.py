"""One number for each feature map."""

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.kernels.packing import MAP_DTYPES, unknown_norm
from eric_fast.kernels.reference_pack import reduce_maps

__all__ = ["reduce_norm", "unknown_norm"]
# Smaller maps are left to torch, which takes no longer for them: so Numba needn't load for small networks.
LARGE_BYTES = 2**22


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
    is_ours = (
        maps.device.type == "cpu"
        and maps.dtype in MAP_DTYPES
        and maps.numel() * maps.element_size() >= LARGE_BYTES
        and not (maps.requires_grad and torch.is_grad_enabled())
        and not torch.compiler.is_compiling()  # which fuses torch's own operations
    )
    return kernels.reduce_maps(maps, norm, engine="cpu") if is_ours else reduce_maps(maps, norm)
