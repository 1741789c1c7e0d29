"""What a long stage shows: a bar with its pace on a terminal, plain lines elsewhere."""

import io

import pytest
from rich.console import Console

from eric_fast.show import console


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = [0.0]
    monkeypatch.setattr(console.time, "perf_counter", lambda: now[0])
    return now


@pytest.fixture
def shown(monkeypatch):
    def show(*, terminal):
        file = io.StringIO()
        monkeypatch.setattr(
            console, "stderr", Console(file=file, force_terminal=terminal, width=120, color_system=None)
        )
        return file

    return show


def test_lines_where_there_is_no_terminal(clock, shown):
    file = shown(terminal=False)
    with console.show_progress() as progress:
        for seconds, done in [(0, 1000), (10, 3000), (31, 7200), (40, 9000), (62, 13400), (100, 21000)]:
            clock[0] = seconds
            progress("capture", done, 21000)
        progress("grow", 0, 2)
        clock[0] = 140.0
        progress("grow", 1, 2)
        progress("grow", 2, 2)
    assert file.getvalue().splitlines() == [
        "capture: 7,200 of 21,000, 200 images/s, 0:01:09 left",  # not counted: what was there before
        "capture: 13,400 of 21,000, 200 images/s, 0:00:38 left",
        "capture: 21,000 of 21,000 in 100.0 s",
        "grow: 1 of 2, 40.0 s each, 0:00:40 left",
        "grow: 2 of 2 in 40.0 s",
    ]


def test_a_bar_says_its_pace_and_the_time_left(clock, shown, monkeypatch):
    file = shown(terminal=True)
    monkeypatch.setattr(console, "Progress", lambda *columns, console: Bars(*columns, console=console))
    from rich.progress import Progress

    class Bars(Progress):
        def __init__(self, *columns, console):
            super().__init__(*columns, console=console, get_time=lambda: clock[0], auto_refresh=False)

    with console.show_progress() as progress:
        for seconds in range(5):
            clock[0] = float(seconds)
            progress("capture", 1000 + 250 * seconds, 5000)
    last = next(line for line in reversed(file.getvalue().splitlines()) if "capture" in line)
    assert "2000/5000" in last
    assert "250 images/s" in last
    assert "0:00:12" in last
