"""Commands that are killed while they write, at 30 calls that a fixed seed draws; `make faults` tries all."""

from contextlib import contextmanager

import pytest

from tests.kill_cases import QUICK
from tests.kills import Sweep, draw_kills


@pytest.mark.slow
def test_killed_commands_leave_old_or_new_and_the_next_run_works(made, tmp_path):
    assert len(list(draw_kills(QUICK, made, tmp_path, 30, seed=2010))) == 30


def test_a_program_that_is_labelled_twice_at_once_or_without_room_stays_whole(made, tmp_path):
    sweep = Sweep("label", made, tmp_path / "label")
    for check in (sweep.check_file_size, sweep.check_two):
        assert check()


def test_the_harness_sees_a_file_that_is_written_in_place(made, tmp_path, monkeypatch):
    """A half-written file must not pass."""
    sweep = Sweep("convert", made, tmp_path / "convert")
    monkeypatch.setattr("eric_fast.cli.tables.replace_file", write_in_place)
    with pytest.raises(AssertionError, match="neither old nor new"):
        for number in range(1, 10):
            sweep.kill_at(number)


@contextmanager
def write_in_place(path, *, force):
    """What `replace_file` would be, without care."""
    yield path
