"""`count` on the CPU: in how many samples of each mask each atom is true."""

from typing import Any

import numpy as np
import torch
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.simd_words import count_ones
from eric_fast.kernels.cpu.threads import run_parts
from eric_fast.kernels.cpu.vectors import has_feature
from eric_fast.kernels.growth import check_count

TILE_ROWS = 16  # rows of either side that meet while their words are in the cache
CUT = 1024  # words of a row at a time
_WIDTH = 8 if has_feature("avx512f") else 4  # 64-bit words of a register
_STEP = 16  # registers that go through a tree of adders at a time
_BLOCK = _STEP * _WIDTH
_I64 = ir.IntType(64)


def count(words: Tensor, masks: Tensor) -> Tensor:
    """As `reference.count`. Of pairs of the same rows (`masks` is `words`), each is counted once."""
    check_count(words, masks)
    columns, rows = view_words(words), view_words(masks)
    out = np.zeros((len(rows), len(columns)), np.int32)
    is_symmetric = words.data_ptr() == masks.data_ptr() and words.shape == masks.shape
    firsts = [range(0, len(side), TILE_ROWS) for side in (rows, columns)]
    tiles = [(i, j) for i in firsts[0] for j in firsts[1] if not is_symmetric or j >= i]
    if tiles and rows.shape[1]:
        corners = np.array(tiles, np.int64)

        def run(first: int, last: int) -> None:
            _count_tiles(columns, rows, corners[first:last], is_symmetric, out)

        run_parts(run, len(tiles), len(tiles) * 8 * TILE_ROWS * rows.shape[1])
    return torch.from_numpy(out)


def view_words(words: Tensor) -> NDArray[np.uint64]:
    view: NDArray[np.uint64] = words.contiguous().numpy().view(np.uint64)
    return view


@intrinsic
def _count_both(typing: Any, left: Any, right: Any, n_blocks: Any) -> Any:
    """The bits that are 1 in both of two rows of `_BLOCK` times `n_blocks` words, given by address.

    Carry-save adders turn sixteen registers into one of weight 16, of which alone the bits are counted at each step
    (Harley and Seal; Muła, Kurz, Lemire, "Faster population counts using AVX2 instructions", section 3.3).
    """
    register = ir.VectorType(_I64, _WIDTH)
    zeros = ir.Constant(register, None)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        *rows, n_blocks = arguments
        kind = ir.FunctionType(register, [register])
        count = cgutils.get_or_insert_function(builder.module, kind, f"llvm.ctpop.v{_WIDTH}i64")
        planes = [cgutils.alloca_once_value(builder, zeros) for _ in range(4)]
        sixteens = cgutils.alloca_once_value(builder, zeros)

        def load_both(offset: Any) -> Any:
            loaded = []
            for row in rows:
                loaded.append(builder.load(builder.inttoptr(builder.add(row, offset), register.as_pointer())))
                loaded[-1].align = 8
            return builder.and_(*loaded)

        with cgutils.for_range(builder, n_blocks, intp=_I64) as loop:
            start = builder.mul(loop.index, _I64(8 * _BLOCK))
            pending = [load_both(builder.add(start, _I64(8 * _WIDTH * i))) for i in range(_STEP)]
            for plane in planes:
                held, carries = builder.load(plane), []
                for a, b in zip(pending[::2], pending[1::2], strict=True):
                    carries.append(builder.or_(builder.and_(a, b), builder.and_(held, builder.or_(a, b))))
                    held = builder.xor(builder.xor(a, b), held)
                builder.store(held, plane)
                pending = carries
            (carry,) = pending
            builder.store(builder.add(builder.load(sixteens), builder.call(count, [carry])), sixteens)

        total = builder.shl(builder.load(sixteens), ir.Constant(register, [4] * _WIDTH))
        for shift, plane in enumerate(planes):
            ones = builder.call(count, [builder.load(plane)])
            total = builder.add(total, builder.shl(ones, ir.Constant(register, [shift] * _WIDTH)))
        parts = [builder.extract_element(total, _I64(i)) for i in range(_WIDTH)]
        while len(parts) > 1:
            parts = [builder.add(a, b) for a, b in zip(parts[::2], parts[1::2], strict=True)]
        return parts[0]

    return types.int64(types.uint64, types.uint64, types.int64), generate


@cached_njit
def _count_tiles(columns: Any, masks: Any, corners: Any, is_symmetric: bool, out: Any) -> None:
    """Add to `out`, int32 `[n_masks, n_atoms]`, for tiles of it.

    columns, masks: uint64 `[n_atoms, n_words]` and `[n_masks, n_words]`. corners: int64 `[n_tiles, 2]`: the lowest mask
    and atom of each tile.
    """
    n_words = masks.shape[1]
    bases = np.uint64(masks.ctypes.data), np.uint64(columns.ctypes.data)
    for t in range(len(corners)):
        first, least = corners[t]
        for start in range(0, n_words, CUT):
            stop = min(start + CUT, n_words)
            n_blocks = (stop - start) // _BLOCK
            rest = start + n_blocks * _BLOCK
            for m in range(first, min(first + TILE_ROWS, len(masks))):
                mask = bases[0] + np.uint64(8 * (m * n_words + start))
                for a in range(max(m, least) if is_symmetric else least, min(least + TILE_ROWS, len(columns))):
                    n = _count_both(mask, bases[1] + np.uint64(8 * (a * n_words + start)), n_blocks)
                    for w in range(rest, stop):
                        n += np.int64(count_ones(masks[m, w] & columns[a, w]))
                    out[m, a] += n
        if is_symmetric:
            for m in range(first, min(first + TILE_ROWS, len(masks))):
                for a in range(max(m, least), min(least + TILE_ROWS, len(columns))):
                    out[a, m] = out[m, a]
