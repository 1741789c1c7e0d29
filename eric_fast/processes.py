"""Many processes, as `torchrun` starts them: the one file that knows torch.distributed.

The stages know one thing of it: `Combine`, which adds up an integer tensor over all processes. Sums of integers are the
same in any order and grouping, so what is decided by them is the same in every process, and with any number of them.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from eric_fast.errors import EricError, SettingError

if TYPE_CHECKING:
    from torch import Tensor

Combine = Callable[["Tensor"], "Tensor"]
_FAILURES, _TURNS = "eric_fast/failures", "eric_fast/turns"  # keys of the store that torchrun's processes share
_LOST = "another process of this run ended, so this one can't go on; start the run again"
_turns = count()  # of this process: as many as of every other


class LostProcessError(EricError):
    """Another process of this run ended early: what went wrong was said there."""


def keep(numbers: "Tensor") -> "Tensor":
    """A single process: the sum over all processes is what this one has."""
    return numbers


@dataclass(frozen=True)
class Processes:
    """The processes of this run, seen from one of them.

    Attributes:
        rank: its number, from 0.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether it is this process that prints and writes."""
        return self.rank == 0

    @property
    def combine(self) -> Combine:
        """What gives the sum over all processes of an integer tensor, of one shape and dtype in all.

        Every process must ask; the tensor given may be overwritten; where another process has ended, it raises
        `LostProcessError`. Of a single process it is `keep`.
        """
        return keep if self.count == 1 else self._add_up

    def _add_up(self, numbers: "Tensor") -> "Tensor":
        import torch.distributed as dist

        assert not numbers.dtype.is_floating_point, "sums of floats depend on their order"
        numbers = numbers.contiguous()
        if numbers.numel():
            try:
                dist.all_reduce(numbers)
            except RuntimeError as error:
                raise LostProcessError(_LOST) from error
        return numbers

    def wait_for_all(self) -> None:
        """Go on when every process has come here."""
        import torch

        self.combine(torch.zeros(1, dtype=torch.int32))

    def share_text(self, text: str | None) -> str:
        """The text of process 0 in every process; the others' is not looked at."""
        if self.count == 1:
            return text or ""
        import torch

        octets = list((text or "").encode()) if self.is_first else []
        length = int(self.combine(torch.tensor([len(octets)]))[0])
        shared = torch.tensor(octets or [0] * length, dtype=torch.int32)
        return bytes(self.combine(shared).tolist()).decode()

    def share_out(self, n_items: int) -> range:
        """Which of `n_items` are this process's: an equal part in a row, one more or less where they don't divide."""
        return range(n_items * self.rank // self.count, n_items * (self.rank + 1) // self.count)

    def take_turns(self, n_items: int) -> Iterator[int]:
        """Those of `n_items` that this process is to do, one by one: whoever is ready takes the next.

        For work whose result does not depend on who did what, as sums don't: no process then waits long for a slower
        one. Every process must ask, in the same order where it asks more than once, and must finish.
        """
        if self.count == 1 or not is_one_of_many():  # nobody to share with; no store to ask: an equal part each
            yield from self.share_out(n_items)
            return
        bounds = [0]  # fewer and fewer at a time: asking takes a little, too
        while bounds[-1] < n_items:
            bounds.append(bounds[-1] + max(1, (n_items - bounds[-1]) // (2 * self.count)))
        key = f"{_TURNS}/{_read_number('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_turns)}"
        while True:
            try:
                turn = int(_open_store().add(key, 1))
            except RuntimeError as error:
                raise LostProcessError(_LOST) from error
            if turn >= len(bounds):
                return
            yield from range(bounds[turn - 1], bounds[turn])


def is_one_of_many() -> bool:
    """Whether torchrun started this process beside others; joins nothing."""
    return _read_number("WORLD_SIZE", 1) > 1


def count_local() -> int:
    """How many processes of this run are on this machine; joins nothing."""
    return _read_number("LOCAL_WORLD_SIZE", 1) if is_one_of_many() else 1


def is_first_process() -> bool:
    """Whether this is the only process, or number 0 of several; joins nothing."""
    return not is_one_of_many() or _read_number("RANK", 0) == 0


@cache
def join_processes() -> Processes:
    """Meet the other processes that torchrun started, if it did; without torchrun this is the only one.

    NCCL joins GPUs, gloo CPUs. Processes of one machine share its GPUs and its cores evenly among them.

    Raises:
        SettingError: torchrun's environment is incomplete. LostProcessError: the others can't be reached.
    """
    if not is_one_of_many():
        return Processes()
    import torch
    import torch.distributed as dist

    local, n_local = _read_number("LOCAL_RANK", 0), count_local()
    _take_cores(local, n_local)
    backend = "gloo"
    if torch.cuda.is_available():
        if n_local > torch.cuda.device_count():
            raise SettingError(
                f"{n_local} processes share {torch.cuda.device_count()} GPUs here; start one for each GPU, or hide the "
                "GPUs with CUDA_VISIBLE_DEVICES= to run on the CPU"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        # Whoever is done waits for the others, however long; one that dies is noticed by its connection.
        dist.init_process_group(backend, timeout=timedelta(days=7))
    except (RuntimeError, ValueError) as error:
        first_line = (str(error).splitlines() or [type(error).__name__])[0]
        raise LostProcessError(f"the processes of this run can't meet: {first_line}") from error
    return Processes(dist.get_rank(), dist.get_world_size())


def leave_processes() -> None:
    """Hang up, at the end of a run or after an error."""
    if not is_one_of_many():
        return
    import torch.distributed as dist

    if dist.is_initialized():
        with suppress(RuntimeError):  # the others may have hung up first
            dist.destroy_process_group()


def claim_failure() -> bool:
    """Whether this process is the first of its run to fail: it alone says why, all others end with it."""
    if not is_one_of_many():
        return True
    try:
        attempt = _read_number("TORCHELASTIC_RESTART_COUNT", 0)
        return int(_open_store().add(f"{_FAILURES}/{attempt}", 1)) == 1
    except Exception:  # no store to ask: better said twice than not at all
        return True


@cache
def _open_store() -> Any:
    """The store that torchrun's own process keeps, which outlives every process of the run."""
    from torch._C._distributed_c10d import TCPStore  # torch.distributed has it, too, but doesn't tell type checkers

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=5))


def _read_number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise SettingError(f"the environment's {name} is '{text}', not a number; start the processes with torchrun")
    return int(text)


def _take_cores(local: int, n_local: int) -> None:
    """Keep to this process's part of the cores; all that counts cores then starts as many threads as it should."""
    import torch

    cores = sorted(os.sched_getaffinity(0))
    mine = cores[local * len(cores) // n_local : (local + 1) * len(cores) // n_local]
    mine = mine or [cores[local % len(cores)]]
    os.sched_setaffinity(0, mine)
    torch.set_num_threads(len(mine))
