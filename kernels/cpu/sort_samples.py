"""Lists of samples: sorted by a target's values, and partitioned by an atom's bit.

With AVX-512 sixteen samples are listed in a few instructions, with AVX2 eight; without, one at a time.

Both may write up to `SLACK` places past the end of a list.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_words import count_ones
from eric_fast.kernels.cpu.tree import Weighting
from eric_fast.kernels.cpu.vectors import has_feature, spread

SLACK = 32

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_SIXTEEN = ir.VectorType(_I32, 16)
_EIGHT = ir.VectorType(_I32, 8)
# For each byte the places of its bits, those that are set first: `_append_eight` brings samples into this order.
_FLAGGED_FIRST = [sorted(range(8), key=lambda place: not byte >> place & 1) for byte in range(256)]


def _append_sixteen(builder: Any, samples: Any, flags: Any, place: Any) -> None:
    """Store the flagged ones of sixteen samples at the address that `place` holds, and advance it: with AVX-512."""
    kind = ir.FunctionType(_SIXTEEN, [_SIXTEEN, _SIXTEEN, flags.type])
    compress = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx512.mask.compress.v16i32")
    chosen = builder.call(compress, [samples, ir.Constant(_SIXTEEN, None), flags])
    _store_chosen(builder, chosen, builder.bitcast(flags, ir.IntType(16)), place)


def _append_eight(builder: Any, samples: Any, flags: Any, place: Any) -> None:
    """As `_append_sixteen`, of eight samples with AVX2."""
    table_type = ir.ArrayType(_EIGHT, len(_FLAGGED_FIRST))
    table = cgutils.global_constant(
        builder, "flagged_first", ir.Constant(table_type, [ir.Constant(_EIGHT, row) for row in _FLAGGED_FIRST])
    )
    mask = builder.bitcast(flags, _I8)
    row = builder.load(builder.gep(table, [_I64(0), builder.zext(mask, _I64)], inbounds=True))
    kind = ir.FunctionType(_EIGHT, [_EIGHT, _EIGHT])
    permute = cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.avx2.permd")
    _store_chosen(builder, builder.call(permute, [samples, row]), mask, place)


def _store_chosen(builder: Any, chosen: Any, mask: Any, place: Any) -> None:
    address = builder.load(place)
    builder.store(chosen, builder.inttoptr(address, chosen.type.as_pointer())).align = 4
    count = builder.module.declare_intrinsic("llvm.ctpop", [mask.type])
    n_bytes = builder.shl(builder.zext(builder.call(count, [mask]), _I64), _I64(2))
    builder.store(builder.add(address, n_bytes), place)


def _make_lister(lanes: Any, append: Any) -> Any:
    """List those of `n_blocks` times as many samples as there are lanes whose bit is 1; `flip` -1 lists the others.

    target, out: the addresses of the bits and of the list, uint32.
    """
    n, bits = lanes.count, ir.IntType(lanes.count)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        target, n_blocks, flip, out = arguments
        place = cgutils.alloca_once_value(builder, out)
        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            first = builder.mul(loop.index, _I64(n))
            pointer = builder.inttoptr(builder.add(target, builder.lshr(first, _I64(3))), bits.as_pointer())
            flags = builder.xor(builder.load(pointer), builder.trunc(flip, bits))
            numbers = builder.add(spread(builder, builder.trunc(first, _I32), n), ir.Constant(lanes, list(range(n))))
            append(builder, numbers, builder.bitcast(flags, ir.VectorType(ir.IntType(1), n)), place)
        return context.get_dummy_value()

    def list_bits(typing: Any, target: Any, n_blocks: Any, flip: Any, out: Any) -> Any:
        return types.void(types.uint64, types.int64, types.int64, types.uint64), generate

    return intrinsic(list_bits)


def _make_partitioner(lanes: Any, append: Any) -> Any:
    """Partition `n_blocks` times as many samples as there are lanes, in place; those whose bit is 1 go to `moved`.

    Return how many did. column, order, moved: the addresses of the bits and of lists of uint32. `flip` -1 swaps 0
    and 1.
    """
    n = lanes.count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        column, order, n_blocks, flip, moved = arguments
        kept, gone = cgutils.alloca_once_value(builder, order), cgutils.alloca_once_value(builder, moved)
        mask, tops = spread(builder, builder.trunc(flip, _I32), n), ir.Constant(lanes, [31] * n)
        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            base = builder.add(order, builder.mul(loop.index, _I64(4 * n)))
            samples = builder.load(builder.inttoptr(base, lanes.as_pointer()))
            samples.align = 4
            words = ir.Constant(lanes, ir.Undefined)
            for i in range(n):  # so many loads are quicker than a gather
                sample = builder.load(builder.inttoptr(builder.add(base, _I64(4 * i)), _I32.as_pointer()))
                word = builder.zext(builder.lshr(sample, _I32(5)), _I64)
                address = builder.inttoptr(builder.add(column, builder.shl(word, _I64(2))), _I32.as_pointer())
                words = builder.insert_element(words, builder.load(address), _I32(i))
            # The bit becomes the sign: bit `sample % 32` moves up by `31 - sample % 32`.
            shifts = builder.xor(builder.and_(samples, tops), tops)
            signed = builder.shl(builder.xor(words, mask), shifts)
            flags = builder.icmp_signed("<", signed, ir.Constant(lanes, None))
            append(builder, samples, builder.not_(flags), kept)
            append(builder, samples, flags, gone)
        return builder.lshr(builder.sub(builder.load(gone), moved), _I64(2))

    def partition_blocks(typing: Any, column: Any, order: Any, n_blocks: Any, flip: Any, moved: Any) -> Any:
        return types.int64(types.uint64, types.uint64, types.int64, types.int64, types.uint64), generate

    return intrinsic(partition_blocks)


_list_16, _list_8 = _make_lister(_SIXTEEN, _append_sixteen), _make_lister(_EIGHT, _append_eight)
_partition_16, _partition_8 = _make_partitioner(_SIXTEEN, _append_sixteen), _make_partitioner(_EIGHT, _append_eight)


@cached_njit
def partition_one_by_one(
    column: Any, order: Any, start: int, end: int, true_first: bool, n_last: int, moved: Any
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


@cached_njit
def partition_in_sixteens(
    column: Any, order: Any, start: int, end: int, true_first: bool, n_last: int, moved: Any
) -> None:
    """As `partition_one_by_one`."""
    n_blocks = (end - start) // 16
    address = np.uint64(order.ctypes.data) + np.uint64(4 * start)
    flip = np.int64(-1) if true_first else np.int64(0)
    n_moved = _partition_16(np.uint64(column.ctypes.data), address, n_blocks, flip, np.uint64(moved.ctypes.data))
    _finish_partition(column, order, start, start + 16 * n_blocks, end, true_first, np.uint64(n_moved), n_last, moved)


@cached_njit
def partition_in_eights(
    column: Any, order: Any, start: int, end: int, true_first: bool, n_last: int, moved: Any
) -> None:
    """As `partition_one_by_one`."""
    n_blocks = (end - start) // 8
    address = np.uint64(order.ctypes.data) + np.uint64(4 * start)
    flip = np.int64(-1) if true_first else np.int64(0)
    n_moved = _partition_8(np.uint64(column.ctypes.data), address, n_blocks, flip, np.uint64(moved.ctypes.data))
    _finish_partition(column, order, start, start + 8 * n_blocks, end, true_first, np.uint64(n_moved), n_last, moved)


@cached_njit
def _finish_partition(
    column: Any,
    order: Any,
    start: int,
    rest: int,
    end: int,
    true_first: bool,
    n_moved: np.uint64,
    n_last: int,
    moved: Any,
) -> None:
    """Partition `order[rest:end]`, where `order[start:rest]` is partitioned already, `n_moved` of it in `moved`.

    column: see `partition_one_by_one`.
    """
    flip = np.uint64(0xFFFFFFFFFFFFFFFF) if true_first else np.uint64(0)
    for i in range(np.uint64(rest), np.uint64(end)):
        sample = order[i]
        word = column[np.uint64(sample) >> np.uint64(6)] ^ flip
        order[i - n_moved] = sample  # written to both sides; only one moves on
        moved[n_moved] = sample
        n_moved += (word >> (np.uint64(sample) & np.uint64(63))) & np.uint64(1)
    for i in range(n_last):
        order[end - n_last + i] = moved[i]


@cached_njit
def list_one_by_one(target: Any, n_samples: int, n_false: int, order: Any) -> None:
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


@cached_njit
def list_in_sixteens(target: Any, n_samples: int, n_false: int, order: Any) -> None:
    """As `list_one_by_one`. What is listed past the last sample is overwritten, or lies in the slack."""
    n_blocks = np.int64(-(-n_samples // 16))
    words, address = np.uint64(target.ctypes.data), np.uint64(order.ctypes.data)
    _list_16(words, n_blocks, np.int64(-1), address)
    _list_16(words, n_blocks, np.int64(0), address + np.uint64(4 * n_false))


@cached_njit
def list_in_eights(target: Any, n_samples: int, n_false: int, order: Any) -> None:
    """As `list_one_by_one`; see `list_in_sixteens`."""
    n_blocks = np.int64(-(-n_samples // 8))
    words, address = np.uint64(target.ctypes.data), np.uint64(order.ctypes.data)
    _list_8(words, n_blocks, np.int64(-1), address)
    _list_8(words, n_blocks, np.int64(0), address + np.uint64(4 * n_false))


partition_samples, _list_samples = partition_one_by_one, list_one_by_one
if has_feature("avx512f"):
    partition_samples, _list_samples = partition_in_sixteens, list_in_sixteens
elif has_feature("avx2"):
    partition_samples, _list_samples = partition_in_eights, list_in_eights


@cached_njit
def sort_by_bit(target: Any, n_samples: int, weighting: Weighting, order: Any, counts: Any) -> None:
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


@cached_njit
def sort_by_value(target: Any, n_samples: int, weighting: Weighting, order: Any, counts: Any) -> None:
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


@cached_njit
def _drop_weightless(order: Any, counts: Any, weighting: Weighting) -> None:
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
