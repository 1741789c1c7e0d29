"""Slots and streams for `gpu_lower`, in Numba: which rows of scratch memory are free, and which stream takes what."""

from typing import Any

import numpy as np
from numba import njit

FALSE_SLOT, TRUE_SLOT = 0, 1
FLAG = -(2**31)  # in a field, with a slot


@njit(nogil=True, cache=True)
def start_slots(n_inputs: Any, last_read: Any, n_phases: Any, n_terms: Any) -> Any:
    """What the functions below call memory, with slots for the inputs that something reads.

    last_read: int64 `[n_values]`: the phase after which nothing reads a value, -1 where nothing does.
    """
    n_values = len(last_read)
    memory = (
        np.full(n_values, -1, np.int64),  # the slot of a value
        last_read,
        np.full(n_phases + 1, -1, np.int64),  # a phase -> a value that it reads last
        np.full(n_values, -1, np.int64),  # and the next of that phase
        np.empty(2 * n_values + n_terms, np.int64),  # free slots
        np.array([0, 2], np.int64),  # how many are free; how many slots there are
    )
    slots = memory[0]
    slots[n_inputs], slots[n_inputs + 1] = FALSE_SLOT, TRUE_SLOT
    for value in range(n_inputs):
        if last_read[value] >= 0:
            give_slot(value, memory)
    return memory


@njit(nogil=True, cache=True)
def take_slot(memory: Any) -> Any:
    free, sizes = memory[4], memory[5]
    if sizes[0]:
        sizes[0] -= 1
        return free[sizes[0]]
    sizes[1] += 1
    return sizes[1] - 1


@njit(nogil=True, cache=True)
def give_slot(value: Any, memory: Any) -> None:
    """A slot for a value, until the phase is over that reads it last."""
    slots, last_read, latest, following = memory[:4]
    slots[value] = take_slot(memory)
    following[value] = latest[last_read[value]]
    latest[last_read[value]] = value


@njit(nogil=True, cache=True)
def free_slot(slot: Any, memory: Any) -> None:
    free, sizes = memory[4], memory[5]
    free[sizes[0]] = slot
    sizes[0] += 1


@njit(nogil=True, cache=True)
def release_slots(phase: Any, memory: Any) -> None:
    slots, _, latest, following = memory[:4]
    value = latest[phase] if phase >= 0 else -1
    while value >= 0:
        free_slot(slots[value], memory)
        value = following[value]


@njit(nogil=True, cache=True)
def share_out(sizes: Any, n_streams: Any) -> Any:
    """Each of these, the largest first, to the stream with the least so far: streams, places in them, the longest."""
    loads = np.zeros(n_streams, np.int64)
    streams, places = np.empty(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    for k in range(len(sizes)):
        streams[k] = np.argmin(loads)
        places[k] = loads[streams[k]]
        loads[streams[k]] += sizes[k]
    return streams, places, loads.max()


@njit(nogil=True, cache=True)
def reserve_lines(fields: Any, n_lines: Any) -> Any:
    if n_lines <= len(fields):
        return fields
    larger = np.zeros((max(n_lines, 2 * len(fields)), *fields.shape[1:]), np.int32)
    larger[: len(fields)] = fields
    return larger
