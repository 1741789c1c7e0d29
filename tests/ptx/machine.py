"""A grid of blocks, run one after another; all threads of a block at once, as lanes of NumPy's arrays."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tests.ptx.memory import BLOCK_SHIFT, EPOCH_SHIFT, SEVERAL, FaultError, Lanes, Memory

Mask = NDArray[np.bool_] | None  # which threads run; None for all of them
Registers = dict[str, Lanes]
ADDRESS_SHIFT = 36  # every tensor has so many bits of addresses to itself: none is reached from another
WARP = 32
MOST_REPORTS = 20


def find_base(number: int) -> int:
    """The address of tensor `number`, in the middle of its range: what comes before it is out of its bounds, too."""
    return ((2 * number + 3) << ADDRESS_SHIFT) >> 1


class Step(NamedTuple):
    """Where threads go after a block of instructions.

    kind: `next`, `jump`, `branch`, `wait` (at a barrier) or `end`.
    target: of a jump or a branch. condition: bool lanes: who takes a branch.
    """

    kind: str
    target: int = 0
    condition: Any = None


Code = Callable[["Machine", Registers, Mask], Step]


@dataclass
class Grid:
    """What the blocks of one launch share.

    Attributes:
        size: blocks along the three axes.
        memories: by number, which is in the high bits of an address. parameters: a name -> its value.
        n_shared: bytes of a block's shared memory. shared_unit: see `Memory`.
        reports: what was found, at most `MOST_REPORTS`. stops_at_report: raises FaultError at the first.
        visited: the blocks of instructions that ran. stored: the lines by which a thread stored.
    """

    size: tuple[int, int, int]
    n_threads: int
    memories: Sequence[Memory]
    parameters: dict[str, int]
    n_shared: int
    shared_unit: int
    reports: list[str] = field(default_factory=list)
    visited: set[int] = field(default_factory=set)
    stored: set[int] = field(default_factory=set)
    stops_at_report: bool = False

    def run(self, code: Sequence[Code]) -> None:
        """Run every block; raises FaultError where an access can't be carried out."""
        width, height, depth = self.size
        for number in range(width * height * depth):
            place = (number % width, number // width % height, number // (width * height))
            machine = Machine(self, number, place)
            try:
                machine.run(code)
            except FaultError as fault:
                raise FaultError(f"{fault} (line {machine.line}, block {number})") from None


class Machine:
    """One block. `line`: of the instruction that runs."""

    def __init__(self, grid: Grid, number: int, place: tuple[int, int, int]) -> None:
        self.grid, self.number = grid, number
        self.n, self.line, self.epoch = grid.n_threads, 0, 0
        self.threads = np.arange(self.n, dtype=np.uint32)
        self.lane = self.threads % np.uint32(WARP)  # a thread's number in its warp
        axes = "xyz"
        self.special: dict[str, Lanes] = {"%tid.x": self.threads}
        self.special |= {f"%ctaid.{axis}": np.array([place[i]], np.uint32) for i, axis in enumerate(axes)}
        self.special |= {f"%nctaid.{axis}": np.array([grid.size[i]], np.uint32) for i, axis in enumerate(axes)}
        data = np.zeros(grid.n_shared, np.uint8)
        self.shared = Memory("shared memory", 0, data, grid.shared_unit, is_blank=True)

    # Control

    def run(self, code: Sequence[Code]) -> None:
        """Run the block to its end: together as long as all threads are, then those behind first."""
        registers: Registers = {}
        place: int | None = 0
        while place is not None:
            self.grid.visited.add(place)
            step = code[place](self, registers, None)
            if step.kind == "end":
                return
            if step.kind == "wait":
                self.epoch += 1
            if step.kind == "branch":
                taken = bool(step.condition.all())
                if taken == bool(step.condition.any()):
                    place = step.target if taken else place + 1
                else:
                    place = self._run_apart(code, registers, np.where(step.condition, step.target, place + 1))
            else:
                place = step.target if step.kind == "jump" else place + 1

    def _run_apart(self, code: Sequence[Code], registers: Registers, places: NDArray[Any]) -> int | None:
        """Run threads that went different ways until they are together again: where, or None at the end."""
        end = len(code)
        waits = np.zeros(self.n, bool)
        while True:
            ready = (places < end) & ~waits
            if not ready.any():
                if not waits.any():
                    return None
                if len(set(places[waits].tolist())) > 1:
                    self.report("threads wait at different barriers")
                waits[:] = False
                self.epoch += 1
                continue
            place = int(places[ready].min())
            mask = ready & (places == place)
            if mask.all():
                return place
            self.grid.visited.add(place)
            step = code[place](self, registers, mask)
            if step.kind == "branch":
                places[mask] = (
                    np.where(step.condition, step.target, place + 1)[mask]
                    if len(step.condition) > 1
                    else (step.target if step.condition[0] else place + 1)
                )
            else:
                places[mask] = {"end": end, "jump": step.target}.get(step.kind, place + 1)
                if step.kind == "wait":
                    waits |= mask

    def report(self, text: str) -> None:
        if len(self.grid.reports) < MOST_REPORTS:
            self.grid.reports.append(f"{text} (line {self.line}, block {self.number})")
        if self.grid.stops_at_report:
            raise FaultError(text)

    # Registers

    def spread(self, lanes: Lanes) -> Lanes:
        """One value for each thread."""
        return np.broadcast_to(lanes, (self.n,))

    def merge(self, registers: Registers, name: str, mask: Mask, lanes: Lanes) -> None:
        """Write a register of the threads that run."""
        if mask is not None:
            before = registers.get(name)
            lanes = np.where(mask, lanes, np.zeros(1, lanes.dtype) if before is None else before)
        registers[name] = lanes

    def narrow(self, mask: Mask, predicate: Lanes) -> Mask:
        """Those of the threads for which a predicate holds."""
        both = self.spread(predicate) if mask is None else mask & predicate
        return None if both.all() else both

    def exchange(self, lanes: Lanes, mask: Mask, order: Lanes) -> Lanes:
        """What another thread of the warp has: the thread whose number in the warp is `order`."""
        self._check_warps(mask)
        rows, chosen = self.spread(lanes).reshape(-1, WARP), self.spread(order).reshape(-1, WARP)
        return np.take_along_axis(rows, chosen.astype(np.int64) % WARP, axis=1).reshape(-1)

    def reduce(self, operation: Any, lanes: Lanes, mask: Mask) -> Lanes:
        """All values of a warp put together. operation: of NumPy, as `np.add`."""
        self._check_warps(mask)
        return np.repeat(operation.reduce(self.spread(lanes).reshape(-1, WARP), axis=1, dtype=lanes.dtype), WARP)

    def _check_warps(self, mask: Mask) -> None:
        if mask is not None:
            rows = mask.reshape(-1, WARP)
            if (rows.any(axis=1) != rows.all(axis=1)).any():
                raise FaultError("a part of a warp exchanges values")

    # Memory

    def load(self, space: str, address: Lanes, size: int, count: int, mask: Mask) -> list[Lanes]:
        """Load `count` values of `size` bytes, unsigned; 0 for threads that don't run."""
        chosen = self._choose(address, mask)
        if chosen is None:
            return [np.zeros(1, f"u{size}")] * count
        lanes, address = chosen
        memory = self._find_memory(space, address)
        offsets = memory.locate(address, size * count, "load")
        memory.mark_read(memory.list_units(offsets, size * count), self._mark(lanes), self.report)
        values = memory.views[size][offsets[:, None] // size + np.arange(count)]
        if mask is None:
            return list(values.T)
        spread = np.zeros((count, self.n), f"u{size}")
        spread[:, lanes] = values.T
        return list(spread)

    def store(self, space: str, address: Lanes, size: int, values: Sequence[Lanes], mask: Mask) -> None:
        """Store values of `size` bytes, unsigned, side by side."""
        chosen = self._choose(self.spread(address) if any(len(value) > 1 for value in values) else address, mask)
        if chosen is None:
            return
        lanes, address = chosen
        self.grid.stored.add(self.line)
        memory = self._find_memory(space, address)
        offsets = memory.locate(address, size * len(values), "store")
        units, marks = memory.list_units(offsets, size * len(values)), self._mark(lanes)
        memory.mark_written(units, marks, self.report)
        places = offsets[:, None] // size + np.arange(len(values))
        kept = [value if len(value) == 1 or mask is None else value[lanes] for value in values]
        table = np.stack([np.broadcast_to(value, len(address)) for value in kept], axis=1)
        memory.views[size][places] = table
        memory.check_same(units, marks, (memory.views[size][places] == table).all(axis=1), self.report)

    def add(self, address: Lanes, size: int, value: Lanes, mask: Mask) -> None:
        """Add atomically; what was there before isn't given back."""
        chosen = self._choose(self.spread(address), mask)
        if chosen is None:
            return
        lanes, address = chosen
        memory = self._find_memory("global", address)
        offsets = memory.locate(address, size, "addition")
        memory.mark_added(memory.list_units(offsets, size), self._mark(lanes), self.report)
        np.add.at(memory.views[size], offsets // size, self.spread(value)[lanes])

    def _choose(self, address: Lanes, mask: Mask) -> tuple[NDArray[Any], Lanes] | None:
        """The threads that access memory, and their addresses; one of `SEVERAL` where all have the same."""
        if mask is None:
            return (self.threads if len(address) > 1 else np.array([SEVERAL], np.uint32)), address
        lanes = np.flatnonzero(mask)
        return (lanes, self.spread(address)[lanes]) if len(lanes) else None

    def _mark(self, lanes: NDArray[Any]) -> NDArray[np.int64]:
        """The marks of these threads: `[n_lanes, 1]`."""
        here = np.int64(self.number << BLOCK_SHIFT | self.epoch << EPOCH_SHIFT)
        return (here | lanes.astype(np.int64))[:, None]

    def _find_memory(self, space: str, address: Lanes) -> Memory:
        if space == "shared":
            return self.shared
        numbers = address >> np.uint64(ADDRESS_SHIFT)
        number = int(numbers[0])
        if (numbers != number).any() or not 0 < number <= len(self.grid.memories):
            raise FaultError(f"an access is to no tensor, or to several: address {int(address[0]):#x}")
        return self.grid.memories[number - 1]
