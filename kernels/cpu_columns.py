"""Packing columns on the CPU: blocks of samples, turned so that a column lies together, compared 32 at a time."""

from typing import Any

import numpy as np
import torch
from numba import njit
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, count_words
from eric_fast.kernels.lanes import LANES, compare_word, transpose
from eric_fast.kernels.packing import check_columns
from eric_fast.kernels.threads import run_parts

MOST_SAMPLES, FEWEST_SAMPLES = ROW_WORDS * WORD_BITS, 128  # of a block; fewer where there are many columns
SAMPLES_IN_PLACE = 8192  # of a block where a column lies together already: memory is fastest in long pieces
BLOCK_VALUES = 2**16  # that are turned at a time: 256 KB of float32, which stay in a core's own cache


def pack_columns(columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor) -> Tensor:
    """As `reference_pack.pack_columns`, to the bit."""
    check_columns(columns, column_of_atom, constants, operators)
    n_samples, n_columns = columns.shape
    words = torch.empty(len(constants), count_words(n_samples), dtype=torch.int32)
    if not words.numel():
        return words
    if column_of_atom is None:
        used, starts = torch.arange(n_columns), torch.arange(n_columns + 1)
        atoms = used
    else:
        used, counts = column_of_atom.long().unique(return_counts=True)
        starts = torch.cat([torch.zeros(1, dtype=torch.int64), counts.cumsum(0)])
        atoms = column_of_atom.argsort(stable=True)
    n_block = MOST_SAMPLES if columns.stride(0) != 1 else SAMPLES_IN_PLACE
    while columns.stride(0) != 1 and n_block > FEWEST_SAMPLES and n_block * len(used) > BLOCK_VALUES:
        n_block //= 2
    n_blocks = -(-words.shape[1] * WORD_BITS // n_block)
    arrays = (used, starts, atoms, constants.detach().contiguous(), operators.contiguous())
    run_parts(
        lambda first, last: _pack_blocks(
            first,
            last,
            flatten(columns).numpy(),
            *columns.stride(),
            n_samples,
            n_block,
            *(array.numpy() for array in arrays),
            words.numpy().view(np.uint32),
        ),
        n_blocks,
        n_samples * len(used) * columns.element_size(),
    )
    return words


def flatten(tensor: Tensor) -> Tensor:
    """1-D, no copy: all that lies between the tensor's first and last element. The tensor isn't empty."""
    extent = 1 + sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return tensor.detach().as_strided((extent,), (1,))


@njit(nogil=True, cache=True)
def _pack_blocks(
    first: Any,
    last: Any,
    flat: Any,
    sample_stride: Any,
    column_stride: Any,
    n_samples: Any,
    n_block: Any,
    used: Any,
    starts: Any,
    atoms: Any,
    constants: Any,
    operators: Any,
    words: Any,
) -> None:
    """Blocks `first` to `last`, of `n_block` samples; `atoms[starts[u]:starts[u + 1]]` compare column `used[u]`."""
    row = n_block + LANES  # from one turned column to the next; powers of two would share cache sets
    n_chunk = min(len(used), BLOCK_VALUES // n_block)
    turned = np.zeros((n_chunk + LANES) * row, flat.dtype)
    block_words = n_block // WORD_BITS
    for block in range(first, last):
        w0, w1 = block * block_words, min((block + 1) * block_words, words.shape[1])
        n = max(0, min(n_block, n_samples - block * n_block))
        n_words = -(-n // WORD_BITS)
        base = block * n_block * sample_stride
        for u0 in range(0, len(used), n_chunk):
            chunk = used[u0 : u0 + n_chunk]
            # A last word may be compared with what stands behind its column: those bits are cleared
            end = base + chunk[-1] * column_stride + n_words * WORD_BITS
            in_place = sample_stride == 1 and end <= len(flat)
            if not in_place:
                turn_columns(flat, base, sample_stride, column_stride, n, chunk, turned, row)
            for u in range(len(chunk)):
                for a in range(starts[u0 + u], starts[u0 + u + 1]):
                    atom = atoms[a]
                    target = words[atom, w0 : w0 + n_words]
                    if in_place:
                        _compare_values(flat, base + chunk[u] * column_stride, constants[atom], operators[atom], target)
                    else:
                        _compare_values(turned, u * row, constants[atom], operators[atom], target)
                    if n % WORD_BITS:
                        target[-1] &= (np.uint32(1) << np.uint32(n % WORD_BITS)) - np.uint32(1)
                    for w in range(w0 + n_words, w1):
                        words[atom, w] = 0


@njit(nogil=True, cache=True)
def _compare_values(values: Any, start: Any, constant: Any, operator: Any, target: Any) -> None:
    """The bits of neighbouring values: uint32 `[n_words]`."""
    for w in range(len(target)):
        target[w] = compare_word(values, start + w * WORD_BITS, constant, operator)


@njit(nogil=True, cache=True)
def turn_columns(
    flat: Any, base: Any, sample_stride: Any, column_stride: Any, n: Any, used: Any, turned: Any, row: Any
) -> None:
    """turned[u * row + s] = flat[base + s * sample_stride + used[u] * column_stride] for s < n."""
    n_tiles = len(used) // LANES if column_stride == 1 and used[-1] - used[0] == len(used) - 1 else 0
    whole = n - n % LANES
    first = base + used[0] * column_stride
    for s in range(0, whole, LANES):
        for tile in range(n_tiles):
            u = tile * LANES
            transpose(flat, first + s * sample_stride + u, sample_stride, turned, u * row + s, row)
    for u in range(len(used)):
        place = base + used[u] * column_stride
        for s in range(whole if u < n_tiles * LANES else 0, n):
            turned[u * row + s] = flat[place + s * sample_stride]
