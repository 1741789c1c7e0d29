"""Turning tables on the CPU: the samples of a column side by side, sixteen columns by sixteen samples at a time."""

from typing import Any

from numba import njit
from torch import Tensor

from eric_fast.kernels.cpu.simd_floats import LANES, transpose


def flatten(tensor: Tensor) -> Tensor:
    """1-D, no copy: all that lies between the tensor's first and last element. The tensor isn't empty."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((extent,), (1,))


@njit(nogil=True, cache=True)
def turn_columns(
    flat: Any, base: Any, sample_stride: Any, column_stride: Any, n: Any, used: Any, turned: Any, row: Any
) -> None:
    """turned[u * row + s] = flat[base + s * sample_stride + used[u] * column_stride] for s < n."""
    n_tiles = len(used) // LANES if column_stride == 1 and used[-1] - used[0] == len(used) - 1 else 0
    whole = n - n % LANES
    first = base + used[0] * column_stride
    for s in range(0, whole, LANES):
        for tile in range(n_tiles):
            u = tile * LANES
            transpose(flat, first + s * sample_stride + u, sample_stride, turned, u * row + s, row)
    for u in range(len(used)):
        place = base + used[u] * column_stride
        for s in range(whole if u < n_tiles * LANES else 0, n):
            turned[u * row + s] = flat[place + s * sample_stride]
