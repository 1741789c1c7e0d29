"""`count` on the CPU: in how many samples of each mask each atom is true."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.cpu.count_rows import count_ones
from eric_fast.kernels.cpu.threads import count_cores
from eric_fast.kernels.growth import check_count

TILE = 8  # masks that share an atom's words while these are in the cache


def count(words: Tensor, masks: Tensor) -> Tensor:
    """As `reference.count`."""
    check_count(words, masks)
    columns, rows = view_words(words), view_words(masks)
    out = np.zeros((len(rows), len(columns)), np.int32)

    def count_tile(first: int) -> None:
        _count_masks(columns, rows[first : first + TILE], out[first : first + TILE])

    with ThreadPoolExecutor(count_cores()) as pool:
        list(pool.map(count_tile, range(0, len(rows), TILE)))
    return torch.from_numpy(out)


def view_words(words: Tensor) -> NDArray[np.uint64]:
    view: NDArray[np.uint64] = words.contiguous().numpy().view(np.uint64)
    return view


@njit(nogil=True, cache=True)
def _count_masks(columns: Any, masks: Any, out: Any) -> None:
    for a in range(len(columns)):
        column = columns[a]
        for m in range(len(masks)):
            mask = masks[m]
            n = np.uint64(0)
            for w in range(len(column)):
                n += count_ones(column[w] & mask[w])
            out[m, a] = n
