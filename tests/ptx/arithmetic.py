"""What instructions of PTX compute that NumPy has no name for; all of lanes."""

from collections.abc import Callable

import numpy as np

from tests.ptx.memory import Lanes


def multiply_add(a: Lanes, b: Lanes, c: Lanes) -> Lanes:
    """`a * b + c`, rounded once: in float64 for float32, else in long double, whose 64 bits may round a second time."""
    wide = np.float64 if a.dtype == np.float32 else np.longdouble
    return (a.astype(wide) * b.astype(wide) + c.astype(wide)).astype(a.dtype)


def shift_left(a: Lanes, count: Lanes) -> Lanes:
    """Bits shifted out are lost, all of them by a count past the width."""
    bits = 8 * a.dtype.itemsize
    return np.where(count < bits, a << np.minimum(count, bits - 1).astype(a.dtype), a.dtype.type(0))


def shift_right(a: Lanes, count: Lanes) -> Lanes:
    """By its sign where `a` is signed."""
    bits = 8 * a.dtype.itemsize
    shifted = a >> np.minimum(count, bits - 1).astype(a.dtype)
    return shifted if a.dtype.kind == "i" else np.where(count < bits, shifted, a.dtype.type(0))


def extract_field(a: Lanes, start: int, length: int) -> Lanes:
    """`length` bits from bit `start`, extended by their sign where `a` is signed."""
    bits = 8 * a.dtype.itemsize
    return (a << a.dtype.type(bits - start - length)) >> a.dtype.type(bits - length)


def permute_bytes(a: Lanes, b: Lanes, order: Lanes) -> Lanes:
    """Bytes of two words by number, four bits each; the highest of those bits asks for a byte's sign alone."""
    both = a.astype(np.uint64) | b.astype(np.uint64) << np.uint64(32)
    found = np.zeros(1, np.uint32)
    for k in range(4):
        chosen = order >> np.uint32(4 * k) & np.uint32(15)
        byte = (both >> ((chosen & np.uint32(7)) << np.uint32(3)).astype(np.uint64)).astype(np.uint32) & np.uint32(255)
        sign = np.where(byte & np.uint32(128), np.uint32(255), np.uint32(0))
        found = found | np.where(chosen & np.uint32(8), sign, byte) << np.uint32(8 * k)
    return found


def widen_bf16(a: Lanes) -> Lanes:
    """bfloat16 as its 16 bits -> float32."""
    return (a.astype(np.uint32) << np.uint32(16)).view(np.float32)


def larger_bf16(a: Lanes, b: Lanes) -> Lanes:
    """The larger of two bfloat16, as bits; NaN if either is."""
    return (np.maximum(widen_bf16(a), widen_bf16(b)).view(np.uint32) >> np.uint32(16)).astype(np.uint16)


def larger_bf16_pairs(a: Lanes, b: Lanes) -> Lanes:
    """`larger_bf16` of the two halves of words."""
    low = larger_bf16(a.astype(np.uint16), b.astype(np.uint16))
    high = larger_bf16((a >> np.uint32(16)).astype(np.uint16), (b >> np.uint32(16)).astype(np.uint16))
    return low.astype(np.uint32) | high.astype(np.uint32) << np.uint32(16)


def larger_f16_pairs(a: Lanes, b: Lanes) -> Lanes:
    """The larger of two float16 in each half of words; NaN if either is."""
    low = np.maximum(a.astype(np.uint16).view(np.float16), b.astype(np.uint16).view(np.float16))
    a, b = (a >> np.uint32(16)).astype(np.uint16), (b >> np.uint32(16)).astype(np.uint16)
    high = np.maximum(a.view(np.float16), b.view(np.float16))
    return low.view(np.uint16).astype(np.uint32) | high.view(np.uint16).astype(np.uint32) << np.uint32(16)


def pairwise(operation: Callable[..., Lanes], *lanes: Lanes) -> Lanes:
    """An operation of float32 on the two halves of 64-bit words."""
    halves = [np.ascontiguousarray(spread).view(np.float32) for spread in np.broadcast_arrays(*lanes)]
    return operation(*halves).view(np.uint64)


def to_width(a: Lanes, kind: type) -> Lanes:
    """The bits as a register of that width holds them; narrower numbers are extended by their sign."""
    if a.dtype == kind:
        return a
    if a.dtype.itemsize == np.dtype(kind).itemsize:
        return a.view(kind)
    return a.astype(kind)
