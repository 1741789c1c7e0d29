"""Processes as `torchrun` starts them, by its own agent, but forked: none of them has to import torch again."""

import os
import runpy
import signal
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping
from io import BufferedRandom
from pathlib import Path
from subprocess import CompletedProcess
from typing import NamedTuple, NoReturn

import torch
from torch.distributed import run as torchrun
from torch.distributed.launcher.api import elastic_launch

from eric_fast.processes import join_processes
from tests.disturb import wait_for

ROOT = Path(__file__).resolve().parents[1]


class Started(NamedTuple):
    """The agent's process, and what it and its ranks print."""

    process: int
    out: BufferedRandom
    error: BufferedRandom

    @property
    def is_running(self) -> bool:
        return os.waitid(os.P_PID, self.process, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

    def list_ranks(self) -> list[int]:
        """The agent's children that are there."""
        try:
            return [
                int(child) for child in Path(f"/proc/{self.process}/task/{self.process}/children").read_text().split()
            ]
        except FileNotFoundError:  # it has ended just now
            return []

    def wait(self) -> "CompletedProcess[str]":
        """Wait until it ends. Its exit code is negative where a signal killed it."""
        code = wait_for(self.process)
        said = []
        for file in (self.out, self.error):
            file.seek(0)
            said.append(file.read().decode())
            file.close()
        return CompletedProcess([], code, *said)


def start_torchrun(count: int, *command: str, **environment: str) -> Started:
    """Begin `torchrun --standalone --nproc-per-node=count`, then a script, or `-m` and a module; and arguments."""
    started = Started(0, tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115  until it has ended
    process = os.fork()
    if not process:
        _run_and_exit(lambda: _run_agent(count, command), started, environment)
    return started._replace(process=process)


def run_torchrun(count: int, *command: str, **environment: str) -> "CompletedProcess[str]":
    """The same, to its end."""
    return start_torchrun(count, *command, **environment).wait()


def _run_and_exit(work: Callable[[], None], started: Started, environment: Mapping[str, str]) -> NoReturn:
    """In a fork: do the work as a process of its own would."""
    code = 1
    try:
        os.dup2(started.out.fileno(), 1), os.dup2(started.error.fileno(), 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", closefd=False)
        os.environ |= {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1", **environment}
        os.chdir(ROOT)
        warnings.resetwarnings()
        torch.set_num_threads(1)  # threads are lost in a fork
        work()
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        os._exit(code)


def _run_agent(count: int, command: tuple[str, ...]) -> None:
    options = ["--standalone", f"--nproc-per-node={count}", "--start-method=fork", *command]
    arguments = torchrun.parse_args(options)
    arguments.rdzv_backend, arguments.rdzv_endpoint, arguments.rdzv_id = "c10d", "localhost:0", str(os.getpid())
    config, _, _ = torchrun.config_from_args(arguments)
    elastic_launch(config, _run_rank)(command)


def _run_rank(command: tuple[str, ...]) -> None:
    join_processes.cache_clear()  # the process that was forked was alone
    for number in (signal.SIGINT, signal.SIGTERM):  # the agent's handlers
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    try:
        if command[0] == "-m":
            sys.argv = list(command[1:])
            runpy.run_module(command[1], run_name="__main__", alter_sys=True)
        else:
            sys.argv = list(command)
            runpy.run_path(command[0], run_name="__main__")
    except SystemExit as stop:
        if stop.code:
            raise
    finally:
        sys.stdout.flush(), sys.stderr.flush()
