"""Memory of a launch with its shadow: who wrote and who read each unit, in which block, since which barrier."""

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Lanes: TypeAlias = Any  # an array: one value for each thread, or one for all of them

# A thread's mark: its block, how many barriers that has passed, the thread's number. `SEVERAL` threads are one more.
BLOCK_SHIFT, EPOCH_SHIFT = 44, 12
SEVERAL = np.int64(2048)
MANY_BLOCKS = np.int64(1 << 62)
HOST, NOBODY, ATOMIC = np.int64(-1), np.int64(-2), np.int64(-3)  # marks of what no thread wrote, or many added to
LAST_OF_EPOCH, LAST_OF_BLOCK = np.uint64((1 << EPOCH_SHIFT) - 1), np.int64(1 << BLOCK_SHIFT)


class FaultError(Exception):
    """An access that can't be carried out."""


class Memory:
    """The bytes of one tensor, or of a block's shared memory, in units of `unit` bytes.

    Attributes:
        name: of the tensor. base: its address. data: uint8 `[n_bytes]`, the tensor's own.
        writers, readers: int64 `[n_units]`: the mark of the last thread that wrote or read a unit.
    """

    def __init__(self, name: str, base: int, data: NDArray[np.uint8], unit: int, *, is_blank: bool) -> None:
        self.name, self.base, self.data, self.unit = name, base, data, unit
        n_units = -(-len(data) // unit)
        self.writers = np.full(n_units, NOBODY if is_blank else HOST)
        self.readers = np.full(n_units, HOST)
        sizes = (1, 2, 4, 8)
        self.views = {size: data[: len(data) // size * size].view(f"u{size}") for size in sizes}

    def locate(self, address: Lanes, size: int, what: str) -> NDArray[np.int64]:
        """Offsets of accesses of `size` bytes; raises FaultError unless all of them are aligned and inside."""
        offsets: NDArray[np.int64] = address.astype(np.int64) - self.base
        outside = (offsets < 0) | (offsets > len(self.data) - size)
        if outside.any():
            raise FaultError(f"{what} out of bounds: {self._describe(int(offsets[outside][0]))}")
        if (offsets % size).any():
            raise FaultError(
                f"{what} of {size} bytes is not aligned: {self._describe(int(offsets[offsets % size != 0][0]))}"
            )
        return offsets

    def _describe(self, offset: int) -> str:
        return f"byte {offset} of {self.name}, which has {len(self.data)}"

    def list_units(self, offsets: NDArray[np.int64], size: int) -> NDArray[np.int64]:
        """The units of accesses of `size` bytes: `[n_lanes, n_units]`."""
        first = offsets[:, None] // self.unit
        return first + np.arange(max(1, size // self.unit))

    def mark_read(self, units: NDArray[np.int64], marks: NDArray[np.int64], report: Callable[[str], None]) -> None:
        """Note that threads read these units; report what they must not read.

        marks: int64 `[n_lanes, 1]`.
        """
        writers = self.writers[units]
        apart = writers ^ marks
        self._report_where(
            _is_near(apart), "read of what another thread wrote, without a barrier between", units, report
        )
        self._report_where(apart >= LAST_OF_BLOCK, "read of what another block wrote", units, report)
        self._report_where(writers == NOBODY, "read of what nobody wrote", units, report)
        self._report_where(writers == ATOMIC, "read of what is being added to", units, report)
        before = self.readers[units]
        apart = before ^ marks
        after = np.where(_is_near(apart), marks | SEVERAL, np.where(apart >= LAST_OF_BLOCK, MANY_BLOCKS, marks))
        self.readers[units] = after
        shared = self.readers[units] != after  # with another thread in the same instruction
        if shared.any():
            self.readers[units[shared]] = np.broadcast_to(after, units.shape)[shared] | SEVERAL

    def mark_written(self, units: NDArray[np.int64], marks: NDArray[np.int64], report: Callable[[str], None]) -> None:
        """Note that threads write these units; report what they must not write over. marks: as above."""
        for before, what in ((self.writers[units], "wrote"), (self.readers[units], "read")):
            apart = before ^ marks
            text = f"write over what another thread {what}, without a barrier between"
            self._report_where(_is_near(apart), text, units, report)
            self._report_where(apart >= LAST_OF_BLOCK, f"write over what another block {what}", units, report)
            self._report_where(before == ATOMIC, "write over what is being added to", units, report)
        self.writers[units] = marks

    def check_same(
        self,
        units: NDArray[np.int64],
        marks: NDArray[np.int64],
        is_stored: NDArray[np.bool_],
        report: Callable[[str], None],
    ) -> None:
        """Report two values that one instruction wrote to one place; the same value twice does no harm.

        is_stored: bool `[n_lanes]`: whether what is there now is what the lane stored.
        """
        lost = (self.writers[units] != marks) & ~is_stored[:, None]
        self._report_where(lost, "two threads write different values at once", units, report)

    def mark_added(self, units: NDArray[np.int64], marks: NDArray[np.int64], report: Callable[[str], None]) -> None:
        """Note that threads add to these units atomically. marks: as above."""
        for before in (self.writers[units], self.readers[units]):
            used = before >= 0
            self._report_where(used & ((before ^ marks) != 0), "addition to what another thread uses", units, report)
        self._report_where(self.writers[units] == NOBODY, "addition to what nobody wrote", units, report)
        self.writers[units] = ATOMIC

    def _report_where(
        self, bad: NDArray[np.bool_], text: str, units: NDArray[np.int64], report: Callable[[str], None]
    ) -> None:
        if bad.any():
            unit = int(units[bad][0])
            report(f"{text}: {self.name}, byte {unit * self.unit} ({int(bad.sum())} units)")


def _is_near(apart: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether two marks, XOR-ed, are of two threads of one block between the same barriers."""
    near: NDArray[np.bool_] = apart.view(np.uint64) - np.uint64(1) < LAST_OF_EPOCH
    return near
