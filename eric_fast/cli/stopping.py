"""Ending a long run so that what is finished is kept: a time limit, or the first Ctrl-C."""

import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

from eric_fast.errors import SettingError
from eric_fast.show.console import stderr


class Stopping:
    """Asked by a run whether to end: `stopping()`.

    Attributes:
        signal_number: the signal that asked for it, or None.
    """

    def __init__(self, time_limit: float | None) -> None:
        if time_limit is not None and not 0 < time_limit < float("inf"):
            raise SettingError(f"--time-limit must be a number of seconds above 0, not {time_limit}")
        self._deadline = None if time_limit is None else time.monotonic() + time_limit
        self.signal_number: int | None = None

    def __call__(self) -> bool:
        return self.signal_number is not None or (self._deadline is not None and time.monotonic() > self._deadline)


@contextmanager
def stop_gently(time_limit: float | None) -> Iterator[Stopping]:
    """Until the end of the block, the first SIGINT or SIGTERM lets the run end by itself; the second is as ever."""
    stopping = Stopping(time_limit)
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def restore() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    def note(number: int, frame: object) -> None:
        stopping.signal_number = number
        stderr.print("stopping once the work in hand is done; press Ctrl-C again to stop at once", style="yellow")
        restore()

    for number in numbers:
        signal.signal(number, note)
    try:
        yield stopping
    finally:
        restore()
