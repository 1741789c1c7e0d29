"""`pack_maps` on the CPU: one pass over the maps, sixteen lanes at a time, without a copy whatever the strides.

The norms of the 32 images of a word stay in a core's cache until they are compared. Pixels are added in float32 lanes,
blocks of pixels in float64, so a norm is more exact than a float32 sum; int8 maps are summed exactly.
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.bits import WORD_BITS, count_words
from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.reduce_maps import (
    BLOCK_PIXELS,
    LARGEST,
    ROOT,
    TOTAL,
    add_block,
    add_terms,
    find_largest,
    reduce_pixels,
)
from eric_fast.kernels.cpu.simd_floats import LANES, compare_word, store_lanes, sum_rows
from eric_fast.kernels.cpu.threads import run_parts
from eric_fast.kernels.cpu.transpose import transpose_columns, view_flat
from eric_fast.kernels.packing import Packed, check_maps, merge_pixels, spread_scale

BLOCK_KERNELS = 512  # whose sums and norms of a word's images stay in a core's own cache: 72 KB
_ROW, _VALUES = WORD_BITS + LANES, BLOCK_KERNELS + LANES  # elements from one kernel, and one image, to the next
# How `add_norm_term` makes a norm's terms: masks of the value, of its second factor, and that factor's bits
_MASKS = {"l1": (0x7FFFFFFF, 0, 0x3F800000), "mean": (0xFFFFFFFF, 0, 0x3F800000), "l2": (0xFFFFFFFF, 0xFFFFFFFF, 0)}


def pack_maps(
    maps: Tensor,
    constants: Tensor,
    operators: Tensor,
    *,
    norm: str = "l1",
    scale: float | Tensor | None = None,
    with_norms: bool = False,
) -> Packed:
    """See `reference.pack_maps`; a bit may differ where a norm lies within rounding of its constant."""
    check_maps(maps, constants, operators, norm, scale)
    n_images, n_kernels = maps.shape[:2]
    words = torch.empty(n_kernels, count_words(n_images), dtype=torch.int32)
    norms = torch.empty(n_images, n_kernels) if with_norms else None
    words[:, -(-n_images // WORD_BITS) :] = 0
    if not n_images * n_kernels:
        return Packed(words, norms)
    # Numba has no 16-bit floats: their bits go as int16 (float16) or uint16 (bfloat16)
    flat = view_flat(maps).view(torch.int16).numpy() if maps.element_size() == 2 else view_flat(maps).numpy()
    flat = flat.view(np.uint16) if maps.dtype == torch.bfloat16 else flat
    kind = {"l2": ROOT, "max": LARGEST}.get(norm, TOTAL)
    masks = tuple(np.uint32(mask) for mask in _MASKS.get(norm, (0, 0, 0)))
    scales = spread_scale(scale, maps).numpy()
    arrays = (scales, constants.detach().contiguous().numpy(), operators.contiguous().numpy())
    targets = (words.numpy().view(np.uint32), (torch.empty(0, 0) if norms is None else norms).numpy())
    n_blocks = -(-n_kernels // BLOCK_KERNELS)

    def run(first: int, last: int) -> None:
        _pack_units(
            first, last, n_blocks, flat, *maps.shape[:2], *maps.stride()[:2], *merge_pixels(maps), kind, *masks,
            *arrays, *targets,
        )  # fmt: skip

    run_parts(run, -(-n_images // WORD_BITS) * n_blocks, maps.numel() * maps.element_size())
    return Packed(words, norms)


@cached_njit
def _pack_units(
    first: int,
    last: int,
    n_blocks: int,
    flat: Any,
    n_images: int,
    n_kernels: int,
    image_stride: int,
    kernel_stride: int,
    n_runs: int,
    run_stride: int,
    n: int,
    stride: int,
    kind: int,
    kept: Any,
    squared: Any,
    one: Any,
    scale: Any,
    constants: Any,
    operators: Any,
    words: Any,
    norms: Any,
) -> None:
    """Write units `first` to `last`: each is a word of images and one of `n_blocks` blocks of kernels.

    Args:
        flat: 1-D: `view_flat` of the maps, see `simd_floats`; strides are in elements.
        n_runs, run_stride, n, stride: the pixels of a map, see `packing.Pixels`.
        kind: `TOTAL`, `ROOT` or `LARGEST`.
        kept, squared, one: uint32, see `add_norm_term`.
        scale, constants, operators: float32, float32 and int8 `[n_kernels]`.
        words: uint32 `[n_kernels, n_words]`, written.
        norms: float32 `[n_images, n_kernels]`, written, or `[0, 0]`.
    """
    values = np.zeros(WORD_BITS * _VALUES, np.float32)  # norms [image, kernel]
    columns = np.arange(BLOCK_KERNELS)
    transposed = np.zeros((BLOCK_KERNELS + LANES) * _ROW, np.float32)  # [kernel, image]
    lanes = np.zeros(BLOCK_KERNELS + LANES, np.float32)
    partial = np.zeros(LANES * LANES, np.float32)  # [kernel, lane]
    sums = np.zeros(BLOCK_KERNELS + LANES, np.float64)
    share = 1 / (n_runs * n)
    factor = share if kind == TOTAL else 1.0
    for unit in range(first, last):
        w, k0 = unit // n_blocks, unit % n_blocks * BLOCK_KERNELS
        i0 = w * WORD_BITS
        n_rows, n_columns = min(WORD_BITS, n_images - i0), min(BLOCK_KERNELS, n_kernels - k0)
        for i in range(n_rows):
            base = (i0 + i) * image_stride + k0 * kernel_stride
            if kernel_stride == 1:  # channels-last, and maps of one pixel
                reduce_pixels(
                    flat, base, n_columns, n_runs, run_stride, n, stride, kind, kept, squared, one, lanes, sums
                )
            elif kind != LARGEST and n_runs == 1 and n <= BLOCK_PIXELS:
                for first_k in range(0, n_columns, LANES):
                    for k in range(first_k, min(first_k + LANES, n_columns)):
                        place = base + k * kernel_stride
                        block = add_block(flat, place, n, stride, kept, squared, one)
                        store_lanes(partial, (k - first_k) * LANES, block)
                    store_lanes(lanes, first_k, sum_rows(partial, 0))
                for k in range(n_columns):
                    sums[k] = lanes[k]
            else:
                for k in range(n_columns):
                    place = base + k * kernel_stride
                    if kind == LARGEST:
                        sums[k] = find_largest(flat, place, n_runs, run_stride, n, stride)
                    else:
                        sums[k] = add_terms(flat, place, n_runs, run_stride, n, stride, kept, squared, one)
            if kind == ROOT:
                for k in range(n_columns):
                    sums[k] = np.sqrt(sums[k] * share)
            for k in range(n_columns):
                values[i * _VALUES + k] = sums[k] * factor * scale[k0 + k]
            for k in range(n_columns if len(norms) else 0):
                norms[i0 + i, k0 + k] = values[i * _VALUES + k]
        transpose_columns(values, 0, _VALUES, 1, n_rows, columns[:n_columns], transposed, _ROW)
        tail = np.uint32(0xFFFFFFFF) >> np.uint32(WORD_BITS - n_rows)
        for k in range(n_columns):
            words[k0 + k, w] = compare_word(transposed, k * _ROW, constants[k0 + k], operators[k0 + k]) & tail
