"""Slots, workers and lines while steps are lowered, in Numba: see `schedule`."""

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from eric_fast.jit import cached_njit
from eric_fast.kernels.gpu.lines import FALSE_SLOT, FLAG, TRUE_SLOT

N_FREE, N_SLOTS = 0, 1  # the columns of `SlotMemory.sizes`


class SlotMemory(NamedTuple):
    """Which rows of scratch memory, *slots*, hold which values.

    slots: int64 `[n_values]`: the slot of a value, or -1.
    last_read: int64 `[n_values]`: the phase after which nothing reads a value, or -1 where nothing does.
    latest: int64 `[n_phases + 1]`: a value that the phase reads last, or -1.
    following: int64 `[n_values]`: the next value that the same phase reads last, or -1.
    free: int64 `[2 * n_values + n_term_values]`: the slots that are free, `sizes[N_FREE]` of them.
    sizes: int64 `[2]`: `N_FREE` and `N_SLOTS`.
    """

    slots: Any
    last_read: Any
    latest: Any
    following: Any
    free: Any
    sizes: Any


class Lines(NamedTuple):
    """fields: int32 `[at least n_lines, n_workers, FIELDS]`; see `schedule`."""

    fields: Any
    n_lines: Any


class Shares(NamedTuple):
    """Tasks dealt to workers.

    workers, places: int64 `[n_tasks]`: who does a task, and after how many lines of its own.
    n_lines: how many lines the busiest worker has.
    """

    workers: Any
    places: Any
    n_lines: Any


@register_jitable
def set_flag(slot: int) -> Any:
    """A field that holds this slot and the flag."""
    return slot | FLAG


@register_jitable
def set_range(phases: Any, phase: int, column: int, start: int, stop: int) -> None:
    """Write a range of a phase. phases: int32 `[n_phases, N_COLUMNS, 2]`."""
    phases[phase, column, 0], phases[phase, column, 1] = start, stop


@cached_njit
def start_slots(n_inputs: int, last_read: Any, n_phases: int, n_terms: int) -> Any:
    """A `SlotMemory` in which the inputs that something reads have slots.

    last_read: int64 `[n_values]`, see `SlotMemory`. n_terms: how many values the terms hold.
    """
    n_values = len(last_read)
    memory = SlotMemory(
        np.full(n_values, -1, np.int64),
        last_read,
        np.full(n_phases + 1, -1, np.int64),
        np.full(n_values, -1, np.int64),
        np.empty(2 * n_values + n_terms, np.int64),
        np.array([0, 2], np.int64),
    )
    memory.slots[n_inputs], memory.slots[n_inputs + 1] = FALSE_SLOT, TRUE_SLOT
    for value in range(n_inputs):
        if last_read[value] >= 0:
            give_slot(value, memory)
    return memory


@cached_njit
def take_slot(memory: SlotMemory) -> Any:
    """A slot that is free. memory: `SlotMemory`."""
    free, sizes = memory.free, memory.sizes
    if sizes[N_FREE]:
        sizes[N_FREE] -= 1
        return free[sizes[N_FREE]]
    sizes[N_SLOTS] += 1
    return sizes[N_SLOTS] - 1


@cached_njit
def give_slot(value: int, memory: SlotMemory) -> None:
    """Give a value a slot until the end of the phase that reads it last. memory: `SlotMemory`."""
    memory.slots[value] = take_slot(memory)
    phase = memory.last_read[value]
    memory.following[value] = memory.latest[phase]
    memory.latest[phase] = value


@cached_njit
def free_slot(slot: int, memory: SlotMemory) -> None:
    """Make a slot free again. memory: `SlotMemory`."""
    memory.free[memory.sizes[N_FREE]] = slot
    memory.sizes[N_FREE] += 1


@cached_njit
def release_slots(phase: int, memory: SlotMemory) -> None:
    """Free the slots of the values that this phase read last; nothing for phase -1. memory: `SlotMemory`."""
    value = memory.latest[phase] if phase >= 0 else -1
    while value >= 0:
        free_slot(memory.slots[value], memory)
        value = memory.following[value]


@cached_njit
def share_out(sizes: Any, n_workers: int) -> Any:
    """Give each task, in turn, to the worker with the fewest lines so far: `Shares`.

    sizes: int64 `[n_tasks]`: the lines of each task, the largest first.
    """
    loads = np.zeros(n_workers, np.int64)
    workers, places = np.empty(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    for k in range(len(sizes)):
        workers[k] = np.argmin(loads)
        places[k] = loads[workers[k]]
        loads[workers[k]] += sizes[k]
    return Shares(workers, places, loads.max())


@cached_njit
def reserve_lines(lines: Lines, n_lines: int) -> Any:
    """The same `Lines` with room for so many more; those are zeros."""
    fields, needed = lines.fields, lines.n_lines + n_lines
    if needed > len(fields):
        fields = np.zeros((max(needed, 2 * len(fields)), *fields.shape[1:]), np.int32)
        fields[: lines.n_lines] = lines.fields[: lines.n_lines]
    return Lines(fields, lines.n_lines)
