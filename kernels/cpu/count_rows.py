"""Sample-major bits, where trees grow: one sample's atoms lie together in a row; and counts of the atoms over rows.

A row is 1, 2, 4 or a multiple of 8 words of 64 atoms: one vector, or several of 512 bits. One more row, the last, is
all false and fills up what is counted in sixteens.
"""

from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from eric_fast.jit import cached_cfunc, cached_njit

_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_OCTETS = ir.VectorType(_I8, 32)
_MOST_BLOCKS = 255  # a counter of 8 bits holds no more


def count_row_words(n_atoms: int) -> int:
    """64-bit words in a sample's row of this many atoms."""
    words = max(1, -(-n_atoms // 64))
    return next((narrow for narrow in (1, 2, 4) if words <= narrow), -(-words // 8) * 8)


@cached_njit
def transpose_words(
    columns: NDArray[np.uint64], n_samples: int, first: int, last: int, rows: NDArray[np.uint64]
) -> None:
    """Words `first` to `last` of atom-major columns `[n_atoms, n_words]` into `rows` `[n_samples + 1, row_words]`."""
    n_atoms = len(columns)
    block = np.empty(64, np.uint64)
    for w in range(first, last):
        n = min(64, n_samples - 64 * w)
        for group in range(rows.shape[1]):
            for j in range(64):
                atom = 64 * group + j
                block[j] = columns[atom, w] if atom < n_atoms else np.uint64(0)
            # Swap ever smaller off-diagonal squares: bit s of word a becomes bit a of word s.
            half, mask = 32, np.uint64(0x00000000FFFFFFFF)
            while half:
                shift = np.uint64(half)
                for top in range(0, 64, 2 * half):
                    for k in range(top, top + half):
                        swap = ((block[k] >> shift) ^ block[k + half]) & mask
                        block[k] ^= swap << shift
                        block[k + half] ^= swap
                half >>= 1
                mask ^= mask << np.uint64(half)
            for s in range(n):
                rows[64 * w + s, group] = block[s]


def _spread_bits(builder: Any, row: Any, group: int) -> Any:
    """-1 in a byte for each 1 among 32 bits of a row, else 0: the bits' bytes are repeated, and compared with a bit."""
    words = builder.bitcast(row, ir.VectorType(_I32, 2 * row.type.count))
    repeated = builder.shuffle_vector(words, words, ir.Constant(ir.VectorType(_I32, 8), [group] * 8))
    places = [i // 8 + 16 * (i // 16) for i in range(32)]  # from the same half of a register
    octets = builder.bitcast(repeated, _OCTETS)
    octets = builder.shuffle_vector(octets, octets, ir.Constant(ir.VectorType(_I32, 32), places))
    bit = ir.Constant(_OCTETS, [1 << i % 8 for i in range(32)])
    return builder.sext(builder.icmp_unsigned("==", builder.and_(octets, bit), bit), _OCTETS)


def _make_adder(width: int) -> Any:
    """The loop that adds `n_blocks` times sixteen rows of `width` words to int32 counts, in registers throughout.

    Sixteen rows go through a tree of carry-save adders into four vectors (a bit of weight 1, 2, 4, 8 for each atom)
    and a carry of weight 16, which is added to a counter of 8 bits for each atom; so at most 255 blocks.
    """
    row = ir.VectorType(_I64, width)
    n_groups = 2 * width  # of 32 atoms

    def add(builder: Any, a: Any, b: Any, c: Any) -> tuple[Any, Any]:
        carry = builder.or_(builder.and_(a, b), builder.and_(c, builder.or_(a, b)))
        return builder.xor(builder.xor(a, b), c), carry

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        rows, stride, order, n_blocks, out = arguments
        planes = [cgutils.alloca_once_value(builder, ir.Constant(row, None)) for _ in range(4)]
        sixteens = [cgutils.alloca_once_value(builder, ir.Constant(_OCTETS, None)) for _ in range(n_groups)]

        def load_row(number: Any) -> Any:
            place = builder.inttoptr(builder.add(order, builder.mul(number, _I64(4))), _I32.as_pointer())
            sample = builder.zext(builder.load(place), _I64)
            pointer = builder.inttoptr(builder.add(rows, builder.mul(sample, stride)), row.as_pointer())
            loaded = builder.load(pointer)
            loaded.align = 8
            return loaded

        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            first = builder.mul(loop.index, _I64(16))
            pending: list[list[Any]] = [[load_row(builder.add(first, _I64(i))) for i in range(16)]]
            for plane in planes:
                held, carries = builder.load(plane), []
                for a, b in zip(pending[-1][::2], pending[-1][1::2], strict=True):
                    held, carry = add(builder, held, a, b)
                    carries.append(carry)
                builder.store(held, plane)
                pending.append(carries)
            (carry,) = pending[-1]
            for group, place in enumerate(sixteens):
                ones = _spread_bits(builder, carry, group)  # -1 is taken away
                builder.store(builder.sub(builder.load(place), ones), place)

        for group, place in enumerate(sixteens):
            low = ir.Constant(_OCTETS, None)
            for shift, plane in enumerate(planes):
                ones = _spread_bits(builder, builder.load(plane), group)
                low = builder.or_(low, builder.and_(ones, ir.Constant(_OCTETS, [1 << shift] * 32)))
            counts = ir.VectorType(_I32, 32)
            total = builder.shl(builder.zext(builder.load(place), counts), ir.Constant(counts, [4] * 32))
            total = builder.add(total, builder.zext(low, counts))
            pointer = builder.inttoptr(builder.add(out, _I64(4 * 32 * group)), counts.as_pointer())
            before = builder.load(pointer)
            before.align = 4
            builder.store(builder.add(before, total), pointer).align = 4
        return context.get_dummy_value()

    def adder(typing: Any, rows: Any, stride: Any, order: Any, n_blocks: Any, out: Any) -> Any:
        return types.void(types.uint64, types.int64, types.uint64, types.int64, types.uint64), generate

    return intrinsic(adder)


_add_1, _add_2, _add_4, _add_8 = (_make_adder(width) for width in (1, 2, 4, 8))


@cache
def compile_adder() -> Any:
    """The code that adds rows up, whose `address` `count_rows` takes: it is large, and so compiled in one place only.

    Of `n_blocks` times sixteen rows of `width` words at `rows`, numbered by the uint32 at `order`, to the int32 at
    `out`.
    """
    return cached_cfunc(types.void(types.uint64, types.int64, types.uint64, types.int64, types.uint64), _add_rows)


def _add_rows(rows: Any, width: Any, order: Any, n_blocks: Any, out: Any) -> None:
    if width == 1:
        _add_1(rows, 8 * width, order, n_blocks, out)
    elif width == 2:
        _add_2(rows, 8 * width, order, n_blocks, out)
    elif width == 4:
        _add_4(rows, 8 * width, order, n_blocks, out)
    else:
        for part in range(width // 8):
            _add_8(rows + np.uint64(64 * part), 8 * width, order, n_blocks, out + np.uint64(2048 * part))


@intrinsic
def _call_adder(typing: Any, adder: Any, rows: Any, width: Any, order: Any, n_blocks: Any, out: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, *rest = arguments
        kind = ir.FunctionType(ir.VoidType(), [_I64] * 5)
        builder.call(builder.inttoptr(address, kind.as_pointer()), rest)
        return context.get_dummy_value()

    return types.void(types.uint64, types.uint64, types.int64, types.uint64, types.int64, types.uint64), generate


@cached_njit
def count_rows(adder: np.uint64, rows: Any, order: Any, start: int, end: int, out: Any) -> None:
    """out[:] = in how many of the rows `order[start:end]` each atom is true; int32 `[64 * row_words]`."""
    for a in range(len(out)):
        out[a] = 0
    tail = np.empty(16, np.uint32)
    whole = (end - start) // 16
    rest = start + 16 * whole
    for i in range(16):
        tail[i] = order[rest + i] if rest + i < end else len(rows) - 1
    base, counts = np.uint64(rows.ctypes.data), np.uint64(out.ctypes.data)
    for first in range(0, whole, _MOST_BLOCKS):
        indices = np.uint64(order.ctypes.data) + np.uint64(4 * (start + 16 * first))
        _call_adder(adder, base, rows.shape[1], indices, min(_MOST_BLOCKS, whole - first), counts)
    if rest < end:
        _call_adder(adder, base, rows.shape[1], np.uint64(tail.ctypes.data), np.int64(1), counts)
