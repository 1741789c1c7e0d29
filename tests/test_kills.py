"""Commands that are killed while they write, at 30 calls that a fixed seed draws; `make faults` tries all."""

import pytest

from tests.kills import QUICK, Sweep, draw_kills, read_output


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
    assert read_output(tmp_path / "nowhere") is None


class write_in_place:  # noqa: N801  in the place of a function
    """What `replace_file` would be, without care."""

    def __init__(self, path, *, force):
        self.path = path

    def __enter__(self):
        return self.path

    def __exit__(self, *error):
        return None
