"""Transpose tables on the CPU, so that a column's samples lie side by side: tiles of sixteen by sixteen at a time."""

from typing import Any

from torch import Tensor

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_floats import LANES, transpose_tile


def view_flat(tensor: Tensor) -> Tensor:
    """View all that lies between the first and the last element of a tensor, which isn't empty, as one dimension."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((extent,), (1,))


@cached_njit
def transpose_columns(
    flat: Any, base: int, sample_stride: int, column_stride: int, n: int, used: Any, transposed: Any, row: int
) -> None:
    """transposed[u * row + s] = flat[base + s * sample_stride + used[u] * column_stride] for s < n.

    Args:
        flat, transposed: 1-D, floats of the same dtype; `transposed` is written in whole tiles.
        base, sample_stride, column_stride, n, row: integers, in elements.
        used: int64 `[n_used]`: columns, ascending.
    """
    n_tiles = len(used) // LANES if column_stride == 1 and used[-1] - used[0] == len(used) - 1 else 0
    whole = n - n % LANES
    first = base + used[0] * column_stride
    for s in range(0, whole, LANES):
        for tile in range(n_tiles):
            u = tile * LANES
            transpose_tile(flat, first + s * sample_stride + u, sample_stride, transposed, u * row + s, row)
    for u in range(len(used)):
        place = base + used[u] * column_stride
        for s in range(whole if u < n_tiles * LANES else 0, n):
            transposed[u * row + s] = flat[place + s * sample_stride]
