"""Several processes, started by `torchrun`. Only this file uses torch.distributed.

The stages know a single operation, `Combine`, which sums an integer tensor over all processes. Sums of integers don't
depend on order or grouping, so decisions that are based on them are the same in every process and for any number of
processes.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from itertools import count
from socket import gethostname
from typing import TYPE_CHECKING, Any

from eric_fast.errors import EricError, SettingError, first_line

if TYPE_CHECKING:
    from torch import Tensor

Combine = Callable[["Tensor"], "Tensor"]
_FAILURES, _CLAIMS = "eric_fast/failures", "eric_fast/claims"  # keys of the store that torchrun's processes share
_LOST = "another process of this run ended, so this one can't continue; start the run again"
_claims = count()  # calls of `claim_items` so far, the same number in every process


class LostProcessError(EricError):
    """Another process of this run ended early; that process reports the reason."""


def keep(numbers: "Tensor") -> "Tensor":
    """The `Combine` of a single process: the sum over all processes is its own tensor."""
    return numbers


@dataclass(frozen=True)
class Processes:
    """The processes of this run, as one of them sees them.

    Attributes:
        rank: the number of this process, from 0.
        count: the number of processes.
    """

    rank: int = 0
    count: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that prints and writes."""
        return self.rank == 0

    @property
    def combine(self) -> Combine:
        """A function that sums an integer tensor over all processes; for a single process it is `keep`.

        Every process must call it, with a tensor of the same shape and dtype. It may overwrite that tensor. It raises
        `LostProcessError` if another process has ended.
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
        """Wait until every process has called this."""
        import torch

        self.combine(torch.zeros(1, dtype=torch.int32))

    def share_text(self, text: str | None) -> str:
        """Send the text of process 0 to every process; the other processes' argument is ignored."""
        if self.count == 1:
            return text or ""
        import torch

        octets = list((text or "").encode()) if self.is_first else []
        length = int(self.combine(torch.tensor([len(octets)]))[0])
        shared = torch.tensor(octets or [0] * length, dtype=torch.int32)
        return bytes(self.combine(shared).tolist()).decode()

    def check_agreement(self, facts: Mapping[str, str]) -> None:
        """Check that all processes are to do the same: `facts` are texts by what they are called, such as `options`.

        Raises:
            SettingError: this process was given something else than process 0; the message says what.
            LostProcessError: another process was.
        """
        first: dict[str, str] = json.loads(self.share_text(json.dumps(dict(facts))))
        other = [
            f"{name} ({text}; process 0: {first.get(name)})" for name, text in facts.items() if text != first[name]
        ]
        if self.count > 1:
            import torch

            if bool(self.combine(torch.tensor([len(other)]))) and not other:
                self.wait_for_all()  # until the process that reports it has ended
        if other:
            raise SettingError(f"this process has other {', '.join(other)}; give all processes the same")

    def share_out(self, n_items: int) -> range:
        """The consecutive items of this process, out of `n_items`: an equal share, rounded up or down."""
        return range(n_items * self.rank // self.count, n_items * (self.rank + 1) // self.count)

    def claim_items(self, n_items: int) -> Iterator[int]:
        """Yield the items that this process is to do: whichever process is ready claims the next ones.

        For work whose result does not depend on which process does what, such as sums: no process then waits long for
        a slower one. Every process must call this, as often and in the same order as the others, and use up the
        iterator.
        """
        if self.count == 1 or not is_one_of_many():  # one process, or no store to count claims: equal parts
            yield from self.share_out(n_items)
            return
        bounds = [0]  # claims get smaller towards the end; single items would cost a request each
        while bounds[-1] < n_items:
            bounds.append(bounds[-1] + max(1, (n_items - bounds[-1]) // (2 * self.count)))
        key = f"{_CLAIMS}/{_read_number('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_claims)}"
        while True:
            try:
                claim = int(_open_store().add(key, 1))
            except RuntimeError as error:
                raise LostProcessError(_LOST) from error
            if claim >= len(bounds):
                return
            yield from range(bounds[claim - 1], bounds[claim])


def is_one_of_many() -> bool:
    """Whether torchrun started several processes. Reads the environment alone."""
    return _read_number("WORLD_SIZE", 1) > 1


def count_local() -> int:
    """The number of processes of this run on this machine. Reads the environment alone."""
    return _read_number("LOCAL_WORLD_SIZE", 1) if is_one_of_many() else 1


def name_process() -> str:
    """Which of many processes this is: `process 1 of 4 on gpu3: `; empty for one alone. Reads the environment alone."""
    if not is_one_of_many():
        return ""
    return f"process {_read_number('RANK', 0)} of {_read_number('WORLD_SIZE', 1)} on {gethostname()}: "


def is_first_process() -> bool:
    """Whether this is the only process, or number 0 of several. Reads the environment alone."""
    return not is_one_of_many() or _read_number("RANK", 0) == 0


@cache
def join_processes() -> Processes:
    """Connect to the other processes that torchrun started; without torchrun there is this process alone.

    NCCL connects GPUs, gloo CPUs. The processes of one machine share its GPUs and cores evenly.

    Raises:
        SettingError: torchrun's environment is incomplete, or there are more processes than GPUs.
        LostProcessError: the other processes can't be reached.
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
                f"{n_local} processes can't share {torch.cuda.device_count()} GPUs; start one process per GPU, or set "
                "CUDA_VISIBLE_DEVICES= to run on the CPU"
            )
        torch.cuda.set_device(local)
        backend = "cpu:gloo,cuda:nccl"
    try:
        # A process that is done waits for the others, however long; a broken connection tells that one has died.
        dist.init_process_group(backend, timeout=timedelta(days=7))
    except (RuntimeError, ValueError) as error:
        raise LostProcessError(f"the processes of this run can't connect to each other: {first_line(error)}") from error
    return Processes(dist.get_rank(), dist.get_world_size())


def leave_processes() -> None:
    """Disconnect, at the end of a run or after an error."""
    if not is_one_of_many():
        return
    import torch.distributed as dist

    if dist.is_initialized():
        with suppress(RuntimeError):  # the others may have disconnected first
            dist.destroy_process_group()


def claim_failure() -> bool:
    """Whether this process is the first of its run to fail: it alone reports the error, and the others end with it."""
    if not is_one_of_many():
        return True
    try:
        attempt = _read_number("TORCHELASTIC_RESTART_COUNT", 0)
        return int(_open_store().add(f"{_FAILURES}/{attempt}", 1)) == 1
    except Exception:  # the store can't be reached: better reported twice than not at all
        return True


@cache
def _open_store() -> Any:
    """The store of torchrun's own process, which outlives every process of the run."""
    from torch._C._distributed_c10d import TCPStore  # not declared in torch.distributed, for type checkers

    host, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(host, port, is_master=False, timeout=timedelta(seconds=5))


def _read_number(name: str, default: int) -> int:
    text = os.environ.get(name, str(default))
    if not text.isdecimal():
        raise SettingError(f"the environment's {name} is '{text}', not a number; start the processes with torchrun")
    return int(text)


def _take_cores(local: int, n_local: int) -> None:
    """Restrict this process to its part of the cores, so that libraries start as many threads."""
    import torch

    cores = sorted(os.sched_getaffinity(0))
    mine = cores[local * len(cores) // n_local : (local + 1) * len(cores) // n_local]
    mine = mine or [cores[local % len(cores)]]
    os.sched_setaffinity(0, mine)
    torch.set_num_threads(len(mine))
