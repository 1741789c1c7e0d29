"""The terminal: progress bars, notes and errors on stderr, so that stdout holds results alone."""

import io
import logging
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment

from eric_fast.processes import is_first_process
from eric_fast.progress import Progress as ProgressCallback
from eric_fast.progress import ignore_progress
from eric_fast.show.visible_text import Text
from eric_fast.visible import make_visible

UNITS = {"capture": " images"}  # of a stage, where it is not plain what is counted
LINE_EVERY_S = 30.0
_IS_FIRST = is_first_process()  # of those that torchrun started one prints; errors are printed by the one that fails


class _VisibleConsole(Console):
    """A console on which control characters in texts are shown escaped."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*(make_visible(item) if isinstance(item, str) else item for item in objects), **options)

    def render(self, renderable: Any, options: Any = None) -> Iterator[Segment]:
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=make_visible(segment.text))


stdout = _VisibleConsole(
    soft_wrap=True,
    highlight=False,
    width=None if sys.stdout and sys.stdout.isatty() else 120,
    quiet=not _IS_FIRST,
)
stderr = _VisibleConsole(stderr=True, soft_wrap=True, highlight=False)


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
    """A callback that moves one bar per stage, with its pace and the time left.

    Where stderr is not a terminal: a line every half minute, and one at the end of each stage.
    """
    if not _IS_FIRST:
        yield ignore_progress
        return
    if not stderr.is_terminal:
        yield _print_lines()
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Pace(), TimeRemainingColumn())
    with Progress(*columns, console=stderr) as bars:
        tasks: dict[str, TaskID] = {}

        def move_bar(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(escape(make_visible(stage)), total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield move_bar


class _Pace(ProgressColumn):
    """Units a second, over the last half minute."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else say_pace(task.description, speed))


def say_pace(stage: str, per_s: float) -> str:
    """`608 images/s`, `1.3/s`, `40.0 s each`."""
    if 0 < per_s < 1:
        return f"{1 / per_s:.1f} s each"
    return f"{per_s:,.{0 if per_s >= 10 else 1}f}{UNITS.get(stage, '')}/s"


def _print_lines() -> ProgressCallback:
    started: dict[str, tuple[float, int]] = {}  # when a stage was first heard of, and how far it was
    printed: dict[str, float] = {}

    def print_line(stage: str, done: int, total: int) -> None:
        now = time.perf_counter()
        begin, done_before = started.setdefault(stage, (now, done))
        seconds, n_new = now - begin, done - done_before
        if done == total:
            stderr.print(f"{stage}: {done:,} of {total:,} in {seconds:.1f} s", markup=False)
        elif n_new and now - printed.setdefault(stage, begin) >= LINE_EVERY_S:
            printed[stage] = now
            left = timedelta(seconds=round((total - done) * seconds / n_new))
            pace = say_pace(stage, n_new / seconds)
            stderr.print(f"{stage}: {done:,} of {total:,}, {pace}, {left} left", markup=False)

    return print_line
