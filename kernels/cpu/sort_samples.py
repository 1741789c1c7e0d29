"""Lists of samples: sorted by a target's values, and partitioned by an atom's bit; in sixteens where the CPU can.

Both may write up to `SLACK` places past the end of a list.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

from eric_fast.kernels.cpu.simd_words import count_ones

SLACK = 32
# With AVX-512 sixteen samples are partitioned in a few instructions; without, one at a time.
CAN_COMPRESS = bool(binding.get_host_cpu_features().get("avx512f"))

_I16, _I32, _I64 = ir.IntType(16), ir.IntType(32), ir.IntType(64)
_FLAGS, _SIXTEEN = ir.VectorType(ir.IntType(1), 16), ir.VectorType(_I32, 16)


def _spread(builder: Any, number: Any) -> Any:
    """An int32 in all sixteen lanes."""
    blank = ir.Constant(_SIXTEEN, ir.Undefined)
    return builder.shuffle_vector(
        builder.insert_element(blank, number, _I32(0)), blank, ir.Constant(_SIXTEEN, [0] * 16)
    )


def _append(builder: Any, samples: Any, flags: Any, place: Any) -> None:
    """Store the flagged ones of sixteen samples at the address that `place` holds, and advance it."""
    kind = ir.FunctionType(_SIXTEEN, [_SIXTEEN, _SIXTEEN, _FLAGS])
    compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v16i32")
    chosen = builder.call(compress, [samples, ir.Constant(_SIXTEEN, [0] * 16), flags])
    address = builder.load(place)
    builder.store(chosen, builder.inttoptr(address, _SIXTEEN.as_pointer())).align = 4
    count = builder.module.declare_intrinsic("llvm.ctpop", [_I16])
    n_bytes = builder.shl(builder.zext(builder.call(count, [builder.bitcast(flags, _I16)]), _I64), _I64(2))
    builder.store(builder.add(address, n_bytes), place)


@intrinsic
def _list_bits(typing: Any, target: Any, n_blocks: Any, flip: Any, out: Any) -> Any:
    """List those of `n_blocks` times sixteen samples whose bit is 1; `flip` -1 lists the others.

    target, out: the addresses of the bits and of the list, uint32.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, n_blocks, flip, out = arguments
        place = cgutils.alloca_once_value(builder, out)
        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            pointer = builder.inttoptr(builder.add(target, builder.shl(loop.index, _I64(1))), _I16.as_pointer())
            flags = builder.xor(builder.load(pointer), builder.trunc(flip, _I16))
            first = builder.trunc(builder.shl(loop.index, _I64(4)), _I32)
            samples = builder.add(_spread(builder, first), ir.Constant(_SIXTEEN, list(range(16))))
            _append(builder, samples, builder.bitcast(flags, _FLAGS), place)
        return context.get_dummy_value()

    return types.void(types.uint64, types.int64, types.int64, types.uint64), generate


@intrinsic
def _partition_blocks(typing: Any, column: Any, order: Any, n_blocks: Any, flip: Any, moved: Any) -> Any:
    """Partition `n_blocks` times sixteen samples in place; those whose bit is 1 go to `moved`. Return how many did.

    column, order, moved: the addresses of the bits and of lists of uint32. `flip` -1 swaps 0 and 1.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        column, order, n_blocks, flip, moved = arguments
        kept, gone = cgutils.alloca_once_value(builder, order), cgutils.alloca_once_value(builder, moved)
        mask = _spread(builder, builder.trunc(flip, _I32))
        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            pointer = builder.inttoptr(builder.add(order, builder.shl(loop.index, _I64(6))), _SIXTEEN.as_pointer())
            samples = builder.load(pointer)
            samples.align = 4
            words = ir.Constant(_SIXTEEN, ir.Undefined)
            for i in range(16):  # sixteen loads are quicker than a gather
                word = builder.zext(builder.lshr(builder.extract_element(samples, _I32(i)), _I32(5)), _I64)
                address = builder.inttoptr(builder.add(column, builder.shl(word, _I64(2))), _I32.as_pointer())
                words = builder.insert_element(words, builder.load(address), _I32(i))
            shifts = builder.and_(samples, ir.Constant(_SIXTEEN, [31] * 16))
            bits = builder.lshr(builder.xor(words, mask), shifts)
            flags = builder.trunc(bits, _FLAGS)
            _append(builder, samples, builder.not_(flags), kept)
            _append(builder, samples, flags, gone)
        return builder.lshr(builder.sub(builder.load(gone), moved), _I64(2))

    return types.int64(types.uint64, types.uint64, types.int64, types.int64, types.uint64), generate


@njit(nogil=True, cache=True)
def partition_one_by_one(
    column: Any, order: Any, start: Any, end: Any, true_first: Any, n_last: Any, moved: Any
) -> None:
    """Partition `order[start:end]` by a bit, keeping the order on either side.

    Args:
        column: uint64 `[n_words]`: the bit of each sample.
        order: uint32 `[n_samples + SLACK]`.
        true_first: whether samples with a true bit come first.
        n_last: how many samples come last.
        moved: uint32 `[n_last + SLACK]`, to work in.
    """
    _finish_partition(column, order, start, start, end, true_first, np.uint64(0), n_last, moved)


@njit(nogil=True, cache=True)
def partition_in_sixteens(
    column: Any, order: Any, start: Any, end: Any, true_first: Any, n_last: Any, moved: Any
) -> None:
    """As `partition_one_by_one`."""
    n_blocks = (end - start) // 16
    address = np.uint64(order.ctypes.data) + np.uint64(4 * start)
    flip = np.int64(-1) if true_first else np.int64(0)
    n_moved = _partition_blocks(np.uint64(column.ctypes.data), address, n_blocks, flip, np.uint64(moved.ctypes.data))
    _finish_partition(column, order, start, start + 16 * n_blocks, end, true_first, np.uint64(n_moved), n_last, moved)


@njit(nogil=True, cache=True)
def _finish_partition(
    column: Any, order: Any, start: Any, rest: Any, end: Any, true_first: Any, n_moved: Any, n_last: Any, moved: Any
) -> None:
    """Partition `order[rest:end]`, where `order[start:rest]` is partitioned already, `n_moved` of it in `moved`."""
    flip = np.uint64(0xFFFFFFFFFFFFFFFF) if true_first else np.uint64(0)
    for i in range(np.uint64(rest), np.uint64(end)):
        sample = order[i]
        word = column[np.uint64(sample) >> np.uint64(6)] ^ flip
        order[i - n_moved] = sample  # written to both sides; only one moves on
        moved[n_moved] = sample
        n_moved += (word >> (np.uint64(sample) & np.uint64(63))) & np.uint64(1)
    for i in range(n_last):
        order[end - n_last + i] = moved[i]


@njit(nogil=True, cache=True)
def list_one_by_one(target: Any, n_samples: Any, n_false: Any, order: Any) -> None:
    """List the `n_false` samples whose bit in `target`, uint64 `[n_words]`, is false, then the others.

    order: uint32 `[n_samples + SLACK]`, written.
    """
    first_false, first_true = np.int64(0), np.int64(n_false)
    for w in range(-(-n_samples // 64)):
        word = target[w]
        for s in range(64 * w, min(64 * (w + 1), n_samples)):
            if word & np.uint64(1):
                order[first_true] = s
                first_true += 1
            else:
                order[first_false] = s
                first_false += 1
            word >>= np.uint64(1)


@njit(nogil=True, cache=True)
def list_in_sixteens(target: Any, n_samples: Any, n_false: Any, order: Any) -> None:
    """As `list_one_by_one`. What is listed past the last sample is overwritten, or lies in the slack."""
    n_blocks = np.int64(-(-n_samples // 16))
    words, address = np.uint64(target.ctypes.data), np.uint64(order.ctypes.data)
    _list_bits(words, n_blocks, np.int64(-1), address)
    _list_bits(words, n_blocks, np.int64(0), address + np.uint64(4 * n_false))


partition_samples = partition_in_sixteens if CAN_COMPRESS else partition_one_by_one
_list_samples = list_in_sixteens if CAN_COMPRESS else list_one_by_one


@njit(nogil=True, cache=True)
def sort_by_bit(target: Any, n_samples: Any, weighting: Any, order: Any, counts: Any) -> None:
    """List the samples that weigh something, those whose bit is false first.

    Args:
        target: uint64 `[n_words]`.
        weighting: `Weighting`.
        order: uint32 `[n_samples + SLACK]`, written.
        counts: int32 `[2]`, written: samples of either bit.
    """
    n_false = np.int64(n_samples)
    for word in target:
        n_false -= np.int64(count_ones(word))
    counts[0], counts[1] = n_false, n_samples - n_false
    _list_samples(target, n_samples, n_false, order)
    if weighting.matters:
        _drop_weightless(order, counts, weighting)


@njit(nogil=True, cache=True)
def sort_by_value(target: Any, n_samples: Any, weighting: Any, order: Any, counts: Any) -> None:
    """As `sort_by_bit`, by the values of a target, int64 `[n_samples]`; counts: int32 `[n_values]`."""
    for v in range(len(counts)):
        counts[v] = 0
    for value in target:
        counts[value] += 1
    place = np.zeros(len(counts), np.int64)
    for v in range(1, len(counts)):
        place[v] = place[v - 1] + counts[v - 1]
    for s in range(n_samples):
        order[place[target[s]]] = s
        place[target[s]] += 1
    if weighting.matters:
        _drop_weightless(order, counts, weighting)


@njit(nogil=True, cache=True)
def _drop_weightless(order: Any, counts: Any, weighting: Any) -> None:
    """Remove the samples that weigh nothing from `order` and `counts`; see `sort_by_bit`."""
    n, start = 0, 0
    for v in range(len(counts)):
        before = n
        for i in range(start, start + counts[v]):
            order[n] = order[i]
            weight = weighting.of_sample[order[i]] if len(weighting.of_sample) else 1
            n += weight > 0 and weighting.of_value[v] > 0
        start += counts[v]
        counts[v] = n - before
