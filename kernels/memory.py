"""Aligned arrays, and memory of large results that is used again once nobody holds it.

New pages take time to clear and to give back: a tenth of a call that returns 82 MB of rows. PyTorch keeps the memory of
GPUs for the same reason, but not the CPU's.
"""

import math
from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 64  # bytes: a vector of 512 bits, a line of a cache
SMALL_BYTES = 2**22  # fewer come from memory that the process already has
MOST_BYTES = 2**27  # more are not kept

_kept: deque[NDArray[np.uint8]] = deque(maxlen=1)  # adding and taking are atomic


def allocate_aligned(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """An uninitialised array that starts at a line of the cache: a vector across two lines takes twice as long."""
    n_bytes = math.prod(shape) * np.dtype(dtype).itemsize
    memory = np.empty(n_bytes + ALIGNMENT, np.uint8)
    first = -memory.ctypes.data % ALIGNMENT
    return memory[first : first + n_bytes].view(dtype).reshape(shape)


class _Lease:
    """Owns `memory` for the arrays over it, through NumPy's array interface; when the last is gone, it is kept."""

    def __init__(self, memory: NDArray[np.uint8]) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self) -> None:
        if self._memory.nbytes <= MOST_BYTES:
            _kept.append(self._memory)


def allocate_result(shape: tuple[int, ...], dtype: type[np.generic]) -> NDArray[Any]:
    """As `allocate_aligned`, for a result: large memory may be that of an earlier one. It is uninitialised."""
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
