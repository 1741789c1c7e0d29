"""`pack_columns` on the CPU: blocks of samples are transposed, so that columns lie together, and compared 32 at a time.

Columns that are compared with many constants are binned instead; see `bins`.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, count_words
from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.bins import BinTables, find_binned, make_bins
from eric_fast.kernels.cpu.pack_bins import pack_bins
from eric_fast.kernels.cpu.simd_floats import LANES, compare_word
from eric_fast.kernels.cpu.simd_words import VECTOR_WORDS
from eric_fast.kernels.cpu.threads import run_parts
from eric_fast.kernels.cpu.transpose import transpose_columns, view_flat
from eric_fast.kernels.packing import Comparisons, check_columns, check_words

MOST_SAMPLES, FEWEST_SAMPLES = ROW_WORDS * WORD_BITS, 128  # of a block; the more columns, the fewer
SAMPLES_IN_PLACE = 8192  # of a block if a column lies together already: long pieces of memory are read fastest
BLOCK_VALUES = 2**16  # that are transposed at a time: 256 KB of float32, which stay in a core's own cache


_codes: WeakKeyDictionary[Comparisons, "_Code"] = WeakKeyDictionary()


class _Code(NamedTuple):
    """Comparisons as the compiled functions take them.

    Attributes:
        dtype, n_columns: of the columns.
        used: int64 `[n_used]`: the columns that are compared one constant at a time, ascending.
        starts: int64 `[n_used + 1]`: where the comparisons of each start, in the three arrays that follow.
        rows, constants, operators: int64, floats as the columns' and int8 `[n]`.
        bins: the comparisons that bins answer, if there are any.
    """

    dtype: torch.dtype
    n_columns: int
    used: NDArray[np.int64]
    starts: NDArray[np.int64]
    rows: NDArray[np.int64]
    constants: NDArray[Any]
    operators: NDArray[np.int8]
    bins: BinTables | None


def pack_columns(columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor) -> Tensor:
    """See `reference.pack_columns`; the results are the same to the bit."""
    return pack_comparisons(columns, Comparisons(column_of_atom, constants, operators))


def pack_comparisons(columns: Tensor, comparisons: Comparisons, out: Tensor | None = None) -> Tensor:
    """As `pack_columns`, into `out` if given. The lowered comparisons are kept for as long as `comparisons` exists."""
    code = _codes.get(comparisons)
    if code is None or columns.dtype != code.dtype or columns.shape[1:] != (code.n_columns,):
        check_columns(columns, *comparisons.arrays)
        code = _codes[comparisons] = _lower(columns, comparisons)
    n_samples = len(columns)
    shape = (len(comparisons.constants), count_words(n_samples))
    words = torch.empty(shape, dtype=torch.int32) if out is None else check_words(out, comparisons, shape)
    if not words.numel() or not shape[0]:
        return words
    flat = view_flat(columns).numpy()
    if len(code.used):
        _compare(flat, columns.stride(), n_samples, code, words)
    if code.bins is not None:
        bins, packed = code.bins, words.numpy().view(np.uint64)
        run_parts(
            lambda first, last: pack_bins(first, last, flat, *columns.stride(), n_samples, bins, packed),
            packed.shape[1] // VECTOR_WORDS,
            n_samples * len(bins.rows) // 8,
        )
    return words


def _lower(columns: Tensor, comparisons: Comparisons) -> _Code:
    constants, operators = (x.detach().contiguous().numpy() for x in (comparisons.constants, comparisons.operators))
    atoms = column_of_atom = np.arange(len(constants))
    if comparisons.column_of_atom is not None:
        column_of_atom = comparisons.column_of_atom.numpy().astype(np.int64)
    rows = atoms if comparisons.rows is None else comparisons.rows.numpy()
    is_binned = find_binned(column_of_atom, constants, operators)
    bins = None
    if is_binned.any():
        bins = make_bins(rows[is_binned], column_of_atom[is_binned], constants[is_binned], operators[is_binned])
    plain = atoms[~is_binned]
    plain = plain[column_of_atom[plain].argsort(kind="stable")]
    used, counts = np.unique(column_of_atom[plain], return_counts=True)
    return _Code(
        dtype=columns.dtype,
        n_columns=columns.shape[1],
        used=used,
        starts=np.append(0, np.cumsum(counts)),
        rows=rows[plain],
        constants=constants[plain],
        operators=operators[plain],
        bins=bins,
    )


def _compare(flat: NDArray[Any], strides: tuple[int, ...], n_samples: int, code: _Code, words: Tensor) -> None:
    """Write the comparisons that bins don't answer."""
    n_block = MOST_SAMPLES if strides[0] != 1 else SAMPLES_IN_PLACE
    while strides[0] != 1 and n_block > FEWEST_SAMPLES and n_block * len(code.used) > BLOCK_VALUES:
        n_block //= 2
    arrays, packed = (code.used, code.starts, code.rows, code.constants, code.operators), words.numpy().view(np.uint32)
    run_parts(
        lambda first, last: _pack_blocks(first, last, flat, *strides, n_samples, n_block, *arrays, packed),
        -(-words.shape[1] * WORD_BITS // n_block),
        n_samples * len(code.used) * flat.itemsize,
    )


@cached_njit
def _pack_blocks(
    first: int,
    last: int,
    flat: Any,
    sample_stride: int,
    column_stride: int,
    n_samples: int,
    n_block: int,
    used: Any,
    starts: Any,
    rows: Any,
    constants: Any,
    operators: Any,
    words: Any,
) -> None:
    """Write blocks `first` to `last`, of `n_block` samples each.

    Args:
        flat: 1-D floats: `view_flat` of the columns; strides are in elements.
        used, starts, rows, constants, operators: as in `_Code`.
        words: uint32 `[n_rows, n_words]`, written.
    """
    row = n_block + LANES  # from one transposed column to the next; in powers of two they would share cache sets
    n_chunk = min(len(used), BLOCK_VALUES // n_block)
    transposed = np.zeros((n_chunk + LANES) * row, flat.dtype)
    block_words = n_block // WORD_BITS
    for block in range(first, last):
        w0, w1 = block * block_words, min((block + 1) * block_words, words.shape[1])
        n = max(0, min(n_block, n_samples - block * n_block))
        n_words = -(-n // WORD_BITS)
        base = block * n_block * sample_stride
        for u0 in range(0, len(used), n_chunk):
            chunk = used[u0 : u0 + n_chunk]
            # A column's last word may be compared past its end: those bits are cleared
            end = base + chunk[-1] * column_stride + n_words * WORD_BITS
            in_place = sample_stride == 1 and end <= len(flat)
            if not in_place:
                transpose_columns(flat, base, sample_stride, column_stride, n, chunk, transposed, row)
            for u in range(len(chunk)):
                for a in range(starts[u0 + u], starts[u0 + u + 1]):
                    target = words[rows[a], w0 : w0 + n_words]
                    if in_place:
                        _compare_values(flat, base + chunk[u] * column_stride, constants[a], operators[a], target)
                    else:
                        _compare_values(transposed, u * row, constants[a], operators[a], target)
                    if n % WORD_BITS:
                        target[-1] &= (np.uint32(1) << np.uint32(n % WORD_BITS)) - np.uint32(1)
                    for w in range(w0 + n_words, w1):
                        words[rows[a], w] = 0


@cached_njit
def _compare_values(values: Any, start: int, constant: Any, operator: int, target: Any) -> None:
    """Compare neighbouring values from `start` on; target: uint32 `[n_words]`, written."""
    for w in range(len(target)):
        target[w] = compare_word(values, start + w * WORD_BITS, constant, operator)
