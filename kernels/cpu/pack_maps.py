"""`pack_maps` on the CPU: one pass over the maps, sixteen lanes at a time, without a copy whatever the strides.

The norms of the 32 images of a word stay in a core's cache until they are compared. Pixels are added in float32 lanes,
blocks of pixels in float64, so a norm is more exact than a float32 sum; int8 maps are summed exactly.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from eric_fast.bits import WORD_BITS, count_words
from eric_fast.kernels.cpu.simd_floats import (
    LANES,
    add,
    add_term,
    compare_word,
    fill,
    gather,
    keep,
    larger,
    largest_lane,
    load,
    store,
    sum_lanes,
    sum_rows,
)
from eric_fast.kernels.cpu.threads import run_parts
from eric_fast.kernels.cpu.transpose import transpose_columns, view_flat
from eric_fast.kernels.packing import Packed, check_maps, merge_pixels, spread_scale

BLOCK_PIXELS = 1024  # added in float32, 64 to a lane: an error of some 4e-6 at most; int8 squares stay below 2**24
BLOCK_KERNELS = 512  # whose sums and norms of a word's images stay in a core's own cache: 72 KB
ROW, VALUES = WORD_BITS + LANES, BLOCK_KERNELS + LANES  # elements from one kernel, and one image, to the next
# How `add_term` makes a norm's terms: masks of the value, of its second factor, and that factor's bits
_MASKS = {"l1": (0x7FFFFFFF, 0, 0x3F800000), "mean": (0xFFFFFFFF, 0, 0x3F800000), "l2": (0xFFFFFFFF, 0xFFFFFFFF, 0)}
_SUM, _ROOT, _LARGEST = 0, 1, 2


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
    kind = {"l2": _ROOT, "max": _LARGEST}.get(norm, _SUM)
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


@njit(nogil=True, cache=True)
def _pack_units(
    first: Any,
    last: Any,
    n_blocks: Any,
    flat: Any,
    n_images: Any,
    n_kernels: Any,
    image_stride: Any,
    kernel_stride: Any,
    n_runs: Any,
    run_stride: Any,
    n: Any,
    stride: Any,
    kind: Any,
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
        kind: `_SUM`, `_ROOT` or `_LARGEST`.
        kept, squared, one: uint32, see `add_term`.
        scale, constants, operators: float32, float32 and int8 `[n_kernels]`.
        words: uint32 `[n_kernels, n_words]`, written.
        norms: float32 `[n_images, n_kernels]`, written, or `[0, 0]`.
    """
    values = np.zeros(WORD_BITS * VALUES, np.float32)  # norms [image, kernel]
    columns = np.arange(BLOCK_KERNELS)
    transposed = np.zeros((BLOCK_KERNELS + LANES) * ROW, np.float32)  # [kernel, image]
    lanes = np.zeros(BLOCK_KERNELS + LANES, np.float32)
    partial = np.zeros(LANES * LANES, np.float32)  # [kernel, lane]
    sums = np.zeros(BLOCK_KERNELS + LANES, np.float64)
    share = 1 / (n_runs * n)
    factor = share if kind == _SUM else 1.0
    for unit in range(first, last):
        w, k0 = unit // n_blocks, unit % n_blocks * BLOCK_KERNELS
        i0 = w * WORD_BITS
        n_rows, n_columns = min(WORD_BITS, n_images - i0), min(BLOCK_KERNELS, n_kernels - k0)
        for i in range(n_rows):
            base = (i0 + i) * image_stride + k0 * kernel_stride
            if kernel_stride == 1:  # channels-last, and maps of one pixel
                _reduce_pixels(
                    flat, base, n_columns, n_runs, run_stride, n, stride, kind, kept, squared, one, lanes, sums
                )
            elif kind != _LARGEST and n_runs == 1 and n <= BLOCK_PIXELS:
                for first_k in range(0, n_columns, LANES):
                    for k in range(first_k, min(first_k + LANES, n_columns)):
                        place = base + k * kernel_stride
                        block = _add_block(flat, place, n, stride, kept, squared, one)
                        store(partial, (k - first_k) * LANES, block)
                    store(lanes, first_k, sum_rows(partial, 0))
                for k in range(n_columns):
                    sums[k] = lanes[k]
            else:
                for k in range(n_columns):
                    place = base + k * kernel_stride
                    if kind == _LARGEST:
                        sums[k] = _find_largest(flat, place, n_runs, run_stride, n, stride)
                    else:
                        sums[k] = _add_terms(flat, place, n_runs, run_stride, n, stride, kept, squared, one)
            if kind == _ROOT:
                for k in range(n_columns):
                    sums[k] = np.sqrt(sums[k] * share)
            for k in range(n_columns):
                values[i * VALUES + k] = sums[k] * factor * scale[k0 + k]
            for k in range(n_columns if len(norms) else 0):
                norms[i0 + i, k0 + k] = values[i * VALUES + k]
        transpose_columns(values, 0, VALUES, 1, n_rows, columns[:n_columns], transposed, ROW)
        tail = np.uint32(0xFFFFFFFF) >> np.uint32(WORD_BITS - n_rows)
        for k in range(n_columns):
            words[k0 + k, w] = compare_word(transposed, k * ROW, constants[k0 + k], operators[k0 + k]) & tail


@njit(nogil=True, cache=True)
def _add_terms(
    flat: Any, base: Any, n_runs: Any, run_stride: Any, n: Any, stride: Any, kept: Any, squared: Any, one: Any
) -> Any:
    """The sum of one map's terms, float64. Arguments as of `_pack_units`; the map starts at `base`."""
    total = 0.0
    lanes = fill(np.float32(0))
    n_added = 0
    for run in range(n_runs):
        for first in range(0, n, BLOCK_PIXELS):
            n_block = min(BLOCK_PIXELS, n - first)
            start = base + run * run_stride + first * stride
            lanes = add(lanes, _add_block(flat, start, n_block, stride, kept, squared, one))
            n_added += n_block
            if n_added >= BLOCK_PIXELS:
                total += sum_lanes(lanes)
                lanes = fill(np.float32(0))
                n_added = 0
    return total + sum_lanes(lanes)


@njit(nogil=True, cache=True)
def _add_block(flat: Any, start: Any, n: Any, stride: Any, kept: Any, squared: Any, one: Any) -> Any:
    """The sums, in lanes, of the terms of `n` pixels of a run, at most `BLOCK_PIXELS`, from `start` on."""
    zero = fill(np.float32(0))
    a, b, c, d = zero, zero, zero, zero
    j = 0
    if stride == 1:
        while j + 4 * LANES <= n:
            a = add_term(a, load(flat, start + j), kept, squared, one)
            b = add_term(b, load(flat, start + j + LANES), kept, squared, one)
            c = add_term(c, load(flat, start + j + 2 * LANES), kept, squared, one)
            d = add_term(d, load(flat, start + j + 3 * LANES), kept, squared, one)
            j += 4 * LANES
        if j + 2 * LANES <= n:
            a = add_term(a, load(flat, start + j), kept, squared, one)
            b = add_term(b, load(flat, start + j + LANES), kept, squared, one)
            j += 2 * LANES
        if j + LANES <= n:
            c = add_term(c, load(flat, start + j), kept, squared, one)
            j += LANES
        if j < n and start + j + LANES <= len(flat):  # what follows the run is read, but not added
            rest = keep(load(flat, start + j), n - j, np.float32(0))
            d = add_term(d, rest, kept, squared, one)
            j = n
    while j < n:  # in the same lanes: a map's sum mustn't depend on what follows it in memory
        rest = keep(gather(flat, start + j * stride, stride, n - j), n - j, np.float32(0))
        d = add_term(d, rest, kept, squared, one)
        j += LANES
    return add(add(a, b), add(c, d))


@njit(nogil=True, cache=True)
def _find_largest(flat: Any, base: Any, n_runs: Any, run_stride: Any, n: Any, stride: Any) -> Any:
    """The largest value of one map, float32; NaN if there is one. Arguments as of `_add_terms`."""
    a = fill(np.float32(-np.inf))
    b = a
    for run in range(n_runs):
        start = base + run * run_stride
        j = 0
        if stride == 1:
            while j + 2 * LANES <= n:
                a = larger(load(flat, start + j), a)
                b = larger(load(flat, start + j + LANES), b)
                j += 2 * LANES
            if j + LANES <= n:
                a = larger(load(flat, start + j), a)
                j += LANES
            if j < n and start + j + LANES <= len(flat):
                b = larger(keep(load(flat, start + j), n - j, np.float32(-np.inf)), b)
                j = n
        while j < n:
            rest = gather(flat, start + j * stride, stride, n - j)
            a = larger(keep(rest, n - j, np.float32(-np.inf)), a)
            j += LANES
    return largest_lane(larger(a, b))


@njit(nogil=True, cache=True)
def _load_near_end(flat: Any, place: Any, count: Any) -> Any:
    """Load sixteen neighbours, or `count` of them where the array ends sooner."""
    if place + LANES <= len(flat):
        return load(flat, place)
    return gather(flat, place, 1, count)


@njit(nogil=True, cache=True)
def _reduce_pixels(
    flat: Any,
    base: Any,
    n_kernels: Any,
    n_runs: Any,
    run_stride: Any,
    n: Any,
    stride: Any,
    kind: Any,
    kept: Any,
    squared: Any,
    one: Any,
    lanes: Any,
    sums: Any,
) -> None:
    """Compute sums[k] for `n_kernels` kernels that lie side by side at `base`, pixel by pixel.

    lanes, sums: float32 and float64 `[n_kernels + LANES or more]`, written; past the last kernel they hold anything.
    """
    start = np.float32(-np.inf if kind == _LARGEST else 0)
    zero = fill(np.float32(0))
    for k in range(n_kernels):
        sums[k] = 0
    for k in range(0, n_kernels, LANES):
        store(lanes, k, fill(start))
    n_added = 0
    for run in range(n_runs):
        for j in range(0, n, 4):
            place = base + run * run_stride + j * stride
            count = min(4, n - j)
            if count < 4 or place + 3 * stride + n_kernels + LANES > len(flat):
                for k in range(0, n_kernels, LANES):  # in the same order: a sum mustn't depend on what follows
                    x, y = fill(start), fill(start)
                    for i in range(count):
                        value = _load_near_end(flat, place + i * stride + k, n_kernels - k)
                        if kind == _LARGEST:
                            x = larger(value, x)
                        elif i % 2:
                            y = add_term(y, value, kept, squared, one)
                        else:
                            x = add_term(x, value, kept, squared, one)
                    if kind == _LARGEST:
                        store(lanes, k, larger(x, load(lanes, k)))
                    else:
                        store(lanes, k, add(load(lanes, k), add(x, y)))
            elif kind == _LARGEST:
                for k in range(0, n_kernels, LANES):
                    x = larger(load(flat, place + k), load(lanes, k))
                    y = larger(load(flat, place + stride + k), load(flat, place + 2 * stride + k))
                    store(lanes, k, larger(larger(load(flat, place + 3 * stride + k), x), y))
            else:
                for k in range(0, n_kernels, LANES):
                    x = add_term(zero, load(flat, place + k), kept, squared, one)
                    y = add_term(zero, load(flat, place + stride + k), kept, squared, one)
                    x = add_term(x, load(flat, place + 2 * stride + k), kept, squared, one)
                    y = add_term(y, load(flat, place + 3 * stride + k), kept, squared, one)
                    store(lanes, k, add(load(lanes, k), add(x, y)))
            n_added += count
            if kind != _LARGEST and n_added >= BLOCK_PIXELS // 4:
                for k in range(n_kernels):
                    sums[k] += lanes[k]
                    lanes[k] = 0
                n_added = 0
    for k in range(n_kernels):
        sums[k] += lanes[k]  # of the largest, too: to zero
