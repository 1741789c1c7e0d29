"""The terminal: progress bars, notes and errors on stderr, so that stdout holds results alone."""

import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from eric_fast.processes import is_first_process
from eric_fast.progress import Progress as ProgressCallback
from eric_fast.progress import ignore_progress

_IS_FIRST = is_first_process()  # of those that torchrun started one prints; errors are printed by the one that fails
stdout = Console(
    soft_wrap=True,
    highlight=False,
    width=None if sys.stdout and sys.stdout.isatty() else 120,
    quiet=not _IS_FIRST,
)
stderr = Console(stderr=True, soft_wrap=True, highlight=False)


def prepare_streams() -> None:
    """Make printing safe: a closed stdout swallows, and what its encoding lacks is escaped."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  it lasts as long as the process
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


class NoteHandler(logging.Handler):
    """Log records as lines that a person reads, above whatever bar is moving; the same line once."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in self._said:
            self._said.add(message)
            stderr.print(f"note: {message}", markup=False, style="yellow")


def show_notes() -> None:
    """Print what the library logs from now on, in the place of an earlier call's printing."""
    logger = logging.getLogger("eric_fast")
    for handler in list(logger.handlers):
        if isinstance(handler, NoteHandler):
            logger.removeHandler(handler)
    logger.addHandler(NoteHandler() if _IS_FIRST else logging.NullHandler())
    logger.propagate = False


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A callback that moves one bar per stage; where stderr is not a terminal, one line at the end of each stage."""
    if not _IS_FIRST:
        yield ignore_progress
        return
    if not stderr.is_terminal:
        started: dict[str, float] = {}

        def print_line(stage: str, done: int, total: int) -> None:
            begin = started.setdefault(stage, time.perf_counter())
            if done == total:
                seconds = time.perf_counter() - begin
                stderr.print(f"{stage}: {done:,} of {total:,} in {seconds:.1f} s", markup=False)

        yield print_line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=stderr) as bars:
        tasks: dict[str, TaskID] = {}

        def move_bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield move_bar
