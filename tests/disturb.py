"""Disturbances of a process that writes, set in a forked child before a command runs, and waiting for that child."""

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

from eric_fast.output import rename

CALLS = ("rename", "replace", "fsync", "write", "ftruncate", "mkdir", "unlink", "rmdir", "link", "chmod")  # of os
SECONDS = 120  # of one command
NOBODY = 65534
PAGE = 4096  # bytes: how a disk fills up
_TEN_YEARS = 10 * 365 * 86400.0


def limit_file_size() -> None:
    """A file that may not grow."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, 700))


def give_up_rights() -> None:
    """Root may write anywhere; nobody may not."""
    if os.geteuid() == 0:
        os.setuid(NOBODY)


def kill_at_call(number: int) -> None:
    """From now on, the call of this number kills this process."""
    n_calls = count(1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(SECONDS)  # until it arrives

    def watch(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            if next(n_calls) == number:
                die()
            return function(*arguments, **options)

        return call

    def write_half(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(path: Path, content: Any, *arguments: Any, **options: Any) -> Any:
            if next(n_calls) == number:
                function(path, content[: len(content) // 2], *arguments, **options)
                die()
            return function(path, content, *arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, watch(getattr(os, name)))
    found = rename._find_renameat2()
    exchange = None if found is None else watch(found)
    rename._find_renameat2 = lambda: exchange  # type: ignore[assignment]
    Path.write_text = write_half(Path.write_text)  # type: ignore[method-assign]
    Path.write_bytes = write_half(Path.write_bytes)  # type: ignore[method-assign]


def jump_clock() -> None:
    """From now on, each look at the clock is ten years before or after the last one."""
    now, looks = time.time, count()

    def jump() -> float:
        return now() + (_TEN_YEARS if next(looks) % 2 else -_TEN_YEARS)

    time.time = jump
    time.time_ns = lambda: int(jump() * 1e9)


def age_files(root: Path) -> None:
    """Give files times of 2100 and of 1970, in turns."""
    for number, path in enumerate(sorted(root.rglob("*"))):
        stamp = 4_102_444_800 if number % 2 else 1
        os.utime(path, (stamp, stamp))


def keep_answers(place: str) -> None:
    """Have `module:function` answer once, and in children of this process answer the same to the same call.

    Calls are known by their number.
    """
    module, _, name = place.partition(":")
    function = getattr(import_module(module), name)
    answers: list[Any] = []
    n_calls: Counter[int] = Counter()  # by process

    def answer(*arguments: Any, **options: Any) -> Any:
        number = n_calls[os.getpid()]
        n_calls[os.getpid()] += 1
        if number == len(answers):
            answers.append(function(*arguments, **options))
        return answers[number]

    setattr(import_module(module), name, answer)


@contextlib.contextmanager
def mount(path: Path, options: str) -> Iterator[bool]:
    """A file system in memory at a new folder; false, where only root may mount one."""
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], capture_output=True, check=False)
    try:
        yield done.returncode == 0
    finally:
        if done.returncode == 0:
            subprocess.run(["umount", path], check=True)


def fill_disk(path: Path, n_pages: int = 0) -> None:
    """Write a file until the disk is full but for so many pages."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(bytes(PAGE))
    os.truncate(path, path.stat().st_size - n_pages * PAGE)


def wait_for(process: int) -> int:
    """The exit code of a child, negative where a signal killed it. AssertionError: it hung, and was killed."""
    end = time.monotonic() + SECONDS
    while not (found := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
            raise AssertionError("a command hangs")
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(found[1])
