"""A map's values to its norm, in Triton: what the kernels of `pack_maps` do alike.

`b_raw` is a tile of values as they are in memory, `b_total` and `b_totals` float32 tiles of the same shape, `b_scale` a
number or float32 `[KERNELS]`.
"""

import triton
import triton.language as tl


@triton.jit
def _read_values(b_raw):
    """Values as float32. A byte is put into the digits of 2**23, as converting it takes eight times as long."""
    if b_raw.dtype == tl.int8:
        b_digits = (b_raw.to(tl.int32) & 0xFF) ^ 0x4B000080  # of 2**23 + 128 + value
        return b_digits.to(tl.float32, bitcast=True) - 8388736.0
    else:  # noqa: RET505  Triton looks at one branch alone
        return b_raw.to(tl.float32)


@triton.jit
def add_values(b_total, b_raw, NORM: tl.constexpr):
    """One more value in each lane; float32, NaN in `max` stays."""
    b_values = _read_values(b_raw)
    if NORM == "l1":
        return b_total + tl.abs(b_values)
    if NORM == "l2":
        return b_total + b_values * b_values
    if NORM == "max":
        return larger(b_total, b_values)
    return b_total + b_values


@triton.jit
def larger(x, y):
    """The larger of two float32; NaN if either is."""
    return tl.maximum(x, y, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def fold_lanes(b_totals, AXIS: tl.constexpr, NORM: tl.constexpr):
    """[KERNELS]: over the axis of pixels."""
    if NORM == "max":
        return tl.reduce(b_totals, AXIS, larger)
    return tl.sum(b_totals, axis=AXIS)


@triton.jit
def finish_norm(b_totals, n_pixels, b_scale, NORM: tl.constexpr):
    """The norm, from the sum or the largest; divided so that a map of equal values has exactly that norm."""
    if NORM != "max":
        b_totals = tl.div_rn(b_totals, tl.cast(n_pixels, tl.float32))
    if NORM == "l2":
        b_totals = tl.sqrt_rn(b_totals)
    return b_totals * b_scale
