"""Pack columns that are compared with many constants on the CPU, by bins: see `bins`."""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.bins import GROUP, LOG_GROUP
from eric_fast.kernels.cpu.simd_floats import LANES, point
from eric_fast.kernels.cpu.simd_words import (
    BLOCK_SAMPLES,
    ONES,
    VECTOR_BYTES,
    VECTOR_WORDS,
    both,
    differ,
    either,
    fill,
    load,
    mark_valid,
    select,
    store,
)
from eric_fast.kernels.cpu.transpose import transpose_columns
from eric_fast.kernels.cpu.vectors import spread
from eric_fast.kernels.memory import ALIGNMENT

COLUMNS_AT_A_TIME = 64  # columns that are transposed at a time: 256 KB of float32
ROW = BLOCK_SAMPLES + LANES  # from one transposed column to the next; powers of two would share cache sets


def _make_counter(width: int) -> Any:
    """How many of keys[index : index + width] are below the value: int64."""

    def counter(_: Any, keys: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kind = ir.VectorType(context.get_data_type(keys.dtype), width)
            group = builder.load(point(context, builder, keys, args[0], args[1], kind))
            group.align = keys.dtype.bitwidth // 8
            bits = builder.bitcast(builder.icmp_signed("<", group, spread(builder, args[2], width)), ir.IntType(width))
            return builder.zext(builder.ctpop(bits), ir.IntType(64))

        return types.int64(keys, types.int64, keys.dtype), generate

    return intrinsic(counter)


_count_below, _count_below_half = _make_counter(GROUP), _make_counter(GROUP // 2)


@intrinsic
def _mark_bit(_: Any, numbers: Any, index: Any, bit: Any) -> Any:
    """uint64: bit i says whether numbers[index + i] (uint8) has any bit of `bit`."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), 64)
        values = builder.load(point(context, builder, numbers, args[0], args[1], kind))
        values.align = 1
        held = builder.and_(values, spread(builder, args[2], 64))
        return builder.bitcast(builder.icmp_unsigned("!=", held, ir.Constant(kind, None)), ir.IntType(64))

    return types.uint64(numbers, types.int64, types.uint8), generate


@cached_njit
def pack_bins(
    first: int, last: int, flat: Any, sample_stride: int, column_stride: int, n_samples: int, tables: Any, words: Any
) -> None:
    """Write blocks `first` to `last`, of `BLOCK_SAMPLES` samples each.

    Args:
        flat: 1-D floats: `view_flat` of the columns; strides are in elements.
        tables: `BinTables`.
        words: uint64 `[n_rows, n_words]`, written.
    """
    used, starts, segments, keys, rows, places, flips, missing = tables
    transposed = np.zeros((min(COLUMNS_AT_A_TIME, len(used)) + LANES) * ROW if sample_stride != 1 else 0, flat.dtype)
    floats = np.empty(BLOCK_SAMPLES, flat.dtype)
    values = floats.view(keys.dtype)
    highs, lows = np.zeros(BLOCK_SAMPLES, np.uint8), np.zeros(BLOCK_SAMPLES, np.uint8)
    memory = np.empty((2 * GROUP + 3) * VECTOR_WORDS + ALIGNMENT // 8, np.uint64)
    aligned = memory[(-memory.ctypes.data % ALIGNMENT) >> 3 :]
    valid, missed, planes = aligned[:VECTOR_WORDS], aligned[VECTOR_WORDS:], aligned[2 * VECTOR_WORDS :]
    planes[: (2 * GROUP + 1) * VECTOR_WORDS] = np.uint64(0)
    planes[GROUP * VECTOR_WORDS :][:VECTOR_WORDS] = ONES
    row_bytes = 8 * words.shape[1]
    for block in range(first, last):
        n = max(0, min(BLOCK_SAMPLES, n_samples - block * BLOCK_SAMPLES))
        n_words = (n + 63) >> 6
        mark_valid(valid, n)
        base = block * BLOCK_SAMPLES * sample_stride
        target = words.ctypes.data + block * VECTOR_BYTES
        for u0 in range(0, len(used), COLUMNS_AT_A_TIME):
            chunk = used[u0 : u0 + COLUMNS_AT_A_TIME]
            if sample_stride != 1:
                transpose_columns(flat, base, sample_stride, column_stride, n, chunk, transposed, ROW)
            for u in range(len(chunk)):
                column = flat[base + chunk[u] * column_stride :] if sample_stride == 1 else transposed[u * ROW :]
                is_masked = _order_values(column, n, floats, values, missed) or n < BLOCK_SAMPLES
                for g in range(starts[u0 + u], starts[u0 + u + 1]):
                    key, a, z = segments[g]
                    _find_bins(keys, key, values, n, highs, lows)
                    _mark_above(lows, LOG_GROUP, n_words, planes, 0)
                    _mark_above(highs, LOG_GROUP, n_words, planes, GROUP + 1)
                    for i in range(a, z):
                        bits = differ(_find_bits(planes.ctypes.data, places[i]), fill(flips[i]))
                        if is_masked:
                            bits = differ(bits, both(load(np.uint64(missed.ctypes.data)), fill(missing[i])))
                            bits = both(bits, load(np.uint64(valid.ctypes.data)))
                        store(np.uint64(target + rows[i] * row_bytes), bits)


@cached_njit
def _order_values(column: Any, n: int, floats: Any, values: Any, missed: Any) -> Any:
    """Map the first `n` values to integers of the same order, NaN to the least. Return whether there is a NaN.

    Args:
        column: 1-D floats.
        floats, values: floats and, in the same memory, integers `[BLOCK_SAMPLES]`, written.
        missed: uint64 `[VECTOR_WORDS or more]`, written: which samples are NaN.
    """
    for s in range(n):
        floats[s] = column[s] + floats.dtype.type(0)  # both zeros are one
    shift, most = values.dtype.type(8 * values.itemsize - 1), values.dtype.type(np.iinfo(values.dtype).max)
    lowest = highest = values.dtype.type(0)
    for s in range(n):
        value = values[s] ^ ((values[s] >> shift) & most)
        lowest, highest = min(lowest, value), max(highest, value)
        values[s] = value
    infinity = np.array([np.inf], floats.dtype).view(values.dtype)[0]
    any_missed = highest > infinity or lowest < ~infinity  # what lies past the infinities is NaN
    missed[:VECTOR_WORDS] = np.uint64(0)
    if any_missed:
        for s in range(n):
            if column[s] != column[s]:
                values[s] = np.iinfo(values.dtype).min
                missed[s >> 6] |= np.uint64(1) << np.uint64(s & 63)
    return any_missed


@cached_njit
def _find_bins(keys: Any, key: int, values: Any, n: int, highs: Any, lows: Any) -> None:
    """Find the bin of each value: GROUP * highs[s] + lows[s] keys of the segment are below values[s].

    Args:
        keys: `BinTables.keys`, of which the segment's start at `key`.
        values: integers as the keys `[BLOCK_SAMPLES]`, of which `n` count.
        highs, lows: uint8 `[BLOCK_SAMPLES]`, written.
    """
    groups = key + GROUP
    if keys[key + GROUP // 2] == np.iinfo(keys.dtype).max:  # half of the places for last keys are empty
        for s in range(n):
            high = _count_below_half(keys, key, values[s])
            highs[s] = high
            lows[s] = _count_below(keys, groups + GROUP * high, values[s])
        return
    for s in range(n):
        high = _count_below(keys, key, values[s])
        highs[s] = high
        lows[s] = _count_below(keys, groups + GROUP * high, values[s])


@cached_njit
def _mark_above(numbers: Any, n_bits: int, n_words: int, planes: Any, first: int) -> None:
    """Set row `first + j` of planes, for j < 2**n_bits - 1, to where a number's lowest `n_bits` bits exceed j.

    numbers: uint8 `[BLOCK_SAMPLES]`. planes: uint64 `[n_rows * VECTOR_WORDS]`, aligned.
    """
    for b in range(n_bits):
        top = first + (1 << b) - 1
        for w in range(n_words):
            planes[top * VECTOR_WORDS + w] = _mark_bit(numbers, 64 * w, np.uint8(1 << b))
        base = np.uint64(planes.ctypes.data)
        bit = load(base + np.uint64(top * VECTOR_BYTES))
        for row in range(first, top):
            below = load(base + np.uint64(row * VECTOR_BYTES))
            store(base + np.uint64((row + (1 << b)) * VECTOR_BYTES), both(bit, below))
            store(base + np.uint64(row * VECTOR_BYTES), either(bit, below))


@cached_njit
def _find_bits(planes: int, place: np.uint32) -> Any:
    """The vector that says which values exceed a key; planes: an address; place: the key's place in its segment."""
    low = planes + (place & (GROUP - 1)) * VECTOR_BYTES
    high = planes + (GROUP + (place >> LOG_GROUP)) * VECTOR_BYTES
    return select(load(np.uint64(low)), load(np.uint64(high)), load(np.uint64(high + VECTOR_BYTES)))
