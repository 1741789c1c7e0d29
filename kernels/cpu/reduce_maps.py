"""Reduce feature maps to sums or largest values in Numba, sixteen lanes at a time; see `pack_maps`.

Arguments that functions share: `flat` is 1-D, see `simd_floats`, and strides are in elements; `n_runs`, `run_stride`,
`n` and `stride` are a map's `packing.Pixels`; `kept`, `squared` and `one` are the uint32 masks of `add_norm_term`.
"""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_floats import (
    LANES,
    add,
    add_norm_term,
    fill_lanes,
    gather,
    keep_lanes,
    larger,
    largest_lane,
    load_lanes,
    store_lanes,
    sum_lanes,
)

BLOCK_PIXELS = 1024  # added in float32, 64 to a lane: an error of some 4e-6 at most; int8 squares stay below 2**24
TOTAL, ROOT, LARGEST = 0, 1, 2  # what becomes of a map's terms: their sum, the root of their mean, the largest


@cached_njit
def add_terms(
    flat: Any, base: int, n_runs: int, run_stride: int, n: int, stride: int, kept: Any, squared: Any, one: Any
) -> Any:
    """The sum, float64, of the terms of the map that starts at `base`."""
    total = 0.0
    lanes = fill_lanes(np.float32(0))
    n_added = 0
    for run in range(n_runs):
        for first in range(0, n, BLOCK_PIXELS):
            n_block = min(BLOCK_PIXELS, n - first)
            start = base + run * run_stride + first * stride
            lanes = add(lanes, add_block(flat, start, n_block, stride, kept, squared, one))
            n_added += n_block
            if n_added >= BLOCK_PIXELS:
                total += sum_lanes(lanes)
                lanes = fill_lanes(np.float32(0))
                n_added = 0
    return total + sum_lanes(lanes)


@cached_njit
def add_block(flat: Any, start: int, n: int, stride: int, kept: Any, squared: Any, one: Any) -> Any:
    """The sums, in lanes, of the terms of `n` pixels of a run, at most `BLOCK_PIXELS`, from `start` on."""
    zero = fill_lanes(np.float32(0))
    a, b, c, d = zero, zero, zero, zero
    j = 0
    if stride == 1:
        while j + 4 * LANES <= n:
            a = add_norm_term(a, load_lanes(flat, start + j), kept, squared, one)
            b = add_norm_term(b, load_lanes(flat, start + j + LANES), kept, squared, one)
            c = add_norm_term(c, load_lanes(flat, start + j + 2 * LANES), kept, squared, one)
            d = add_norm_term(d, load_lanes(flat, start + j + 3 * LANES), kept, squared, one)
            j += 4 * LANES
        if j + 2 * LANES <= n:
            a = add_norm_term(a, load_lanes(flat, start + j), kept, squared, one)
            b = add_norm_term(b, load_lanes(flat, start + j + LANES), kept, squared, one)
            j += 2 * LANES
        if j + LANES <= n:
            c = add_norm_term(c, load_lanes(flat, start + j), kept, squared, one)
            j += LANES
        if j < n and start + j + LANES <= len(flat):  # what follows the run is read, but not added
            rest = keep_lanes(load_lanes(flat, start + j), n - j, np.float32(0))
            d = add_norm_term(d, rest, kept, squared, one)
            j = n
    while j < n:  # in the same lanes: a map's sum mustn't depend on what follows it in memory
        rest = keep_lanes(gather(flat, start + j * stride, stride, n - j), n - j, np.float32(0))
        d = add_norm_term(d, rest, kept, squared, one)
        j += LANES
    return add(add(a, b), add(c, d))


@cached_njit
def find_largest(flat: Any, base: int, n_runs: int, run_stride: int, n: int, stride: int) -> Any:
    """The largest value, float32, of the map that starts at `base`; NaN if there is one."""
    a = fill_lanes(np.float32(-np.inf))
    b = a
    for run in range(n_runs):
        start = base + run * run_stride
        j = 0
        if stride == 1:
            while j + 2 * LANES <= n:
                a = larger(load_lanes(flat, start + j), a)
                b = larger(load_lanes(flat, start + j + LANES), b)
                j += 2 * LANES
            if j + LANES <= n:
                a = larger(load_lanes(flat, start + j), a)
                j += LANES
            if j < n and start + j + LANES <= len(flat):
                b = larger(keep_lanes(load_lanes(flat, start + j), n - j, np.float32(-np.inf)), b)
                j = n
        while j < n:
            rest = gather(flat, start + j * stride, stride, n - j)
            a = larger(keep_lanes(rest, n - j, np.float32(-np.inf)), a)
            j += LANES
    return largest_lane(larger(a, b))


@cached_njit
def _load_near_end(flat: Any, place: int, count: int) -> Any:
    """Load sixteen neighbours, or `count` of them where the array ends sooner."""
    if place + LANES <= len(flat):
        return load_lanes(flat, place)
    return gather(flat, place, 1, count)


@cached_njit
def reduce_pixels(
    flat: Any,
    base: int,
    n_kernels: int,
    n_runs: int,
    run_stride: int,
    n: int,
    stride: int,
    kind: int,
    kept: Any,
    squared: Any,
    one: Any,
    lanes: Any,
    sums: Any,
) -> None:
    """Compute sums[k] for `n_kernels` kernels that lie side by side at `base`, pixel by pixel.

    lanes, sums: float32 and float64 `[n_kernels + LANES or more]`, written; past the last kernel they hold anything.
    """
    start = np.float32(-np.inf if kind == LARGEST else 0)
    zero = fill_lanes(np.float32(0))
    for k in range(n_kernels):
        sums[k] = 0
    for k in range(0, n_kernels, LANES):
        store_lanes(lanes, k, fill_lanes(start))
    n_added = 0
    for run in range(n_runs):
        for j in range(0, n, 4):
            place = base + run * run_stride + j * stride
            count = min(4, n - j)
            if count < 4 or place + 3 * stride + n_kernels + LANES > len(flat):
                for k in range(0, n_kernels, LANES):  # in the same order: a sum mustn't depend on what follows
                    x, y = fill_lanes(start), fill_lanes(start)
                    for i in range(count):
                        value = _load_near_end(flat, place + i * stride + k, n_kernels - k)
                        if kind == LARGEST:
                            x = larger(value, x)
                        elif i % 2:
                            y = add_norm_term(y, value, kept, squared, one)
                        else:
                            x = add_norm_term(x, value, kept, squared, one)
                    if kind == LARGEST:
                        store_lanes(lanes, k, larger(x, load_lanes(lanes, k)))
                    else:
                        store_lanes(lanes, k, add(load_lanes(lanes, k), add(x, y)))
            elif kind == LARGEST:
                for k in range(0, n_kernels, LANES):
                    x = larger(load_lanes(flat, place + k), load_lanes(lanes, k))
                    y = larger(load_lanes(flat, place + stride + k), load_lanes(flat, place + 2 * stride + k))
                    store_lanes(lanes, k, larger(larger(load_lanes(flat, place + 3 * stride + k), x), y))
            else:
                for k in range(0, n_kernels, LANES):
                    x = add_norm_term(zero, load_lanes(flat, place + k), kept, squared, one)
                    y = add_norm_term(zero, load_lanes(flat, place + stride + k), kept, squared, one)
                    x = add_norm_term(x, load_lanes(flat, place + 2 * stride + k), kept, squared, one)
                    y = add_norm_term(y, load_lanes(flat, place + 3 * stride + k), kept, squared, one)
                    store_lanes(lanes, k, add(load_lanes(lanes, k), add(x, y)))
            n_added += count
            if kind != LARGEST and n_added >= BLOCK_PIXELS // 4:
                for k in range(n_kernels):
                    sums[k] += lanes[k]
                    lanes[k] = 0
                n_added = 0
    for k in range(n_kernels):
        sums[k] += lanes[k]  # of the largest, too: to zero
