"""Memory for a large result, used again once nobody holds it: clearing new pages takes longer than writing rows to it.

Where 82 MB of rows were asked for, a tenth of a call's time went to new pages and to giving them back. (PyTorch keeps
the memory of GPUs for the same reason, and none of the CPU's.)
"""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a vector of 512 bits, a line of a cache
SMALL_BYTES = 2**22  # less comes out of memory that the process has already
MOST_BYTES = 2**27  # more isn't kept

_kept: deque[NDArray[np.uint8]] = deque(maxlen=1)  # adding and taking are atomic


def allocate_aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An array that starts where whole vectors do: a vector that crosses two lines of a cache takes twice as long."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


class _Lease:
    """What the arrays over `memory` hold on to, through NumPy's array interface: the last of them gives it back."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        if self._memory.nbytes <= MOST_BYTES:
            _kept.append(self._memory)


def allocate_result(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """As `allocate_aligned`: nothing is known of what is in it."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    if n_bytes < SMALL_BYTES:
        return allocate_aligned(shape, dtype)
    try:
        memory = _kept.popleft()
    except IndexError:
        memory = np.empty(0, np.uint8)
    if not n_bytes <= memory.nbytes <= 2 * n_bytes:
        memory = allocate_aligned((n_bytes,), np.uint8)
    return np.asarray(_Lease(memory))[:n_bytes].view(dtype).reshape(shape)
