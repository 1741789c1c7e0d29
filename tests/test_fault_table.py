"""The tables of docs/RELIABILITY.md are those of what was recorded."""

import pytest

from tests import fault_table
from tests.fault_table import CAPTURES, KINDS, PAGE, TESTS, fill_page, read_results, record
from tests.kill_cases import CASES
from tests.limits import CASES as SIZES


def test_the_page_shows_what_was_recorded():
    results = read_results()
    assert fill_page(PAGE.read_text(), results) == PAGE.read_text()  # else `python -m tests.fault_table`
    assert set(results["commands"]) <= set(CASES)
    assert all(set(tries) == set(KINDS) and all(tries.values()) for tries in results["commands"].values())
    for group, known in (("captures", CAPTURES), ("tests", TESTS), ("limits", SIZES)):
        assert set(results.get(group, ())) <= set(known)


def test_results_of_one_name_are_replaced_and_others_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(fault_table, "RESULTS", tmp_path / "r.json")
    for name, result in (("a", 1), ("b", 2), ("a", 3)):
        record("g", name, result)
    record("h", "a", 4)
    assert read_results() == {"g": {"a": 3, "b": 2}, "h": {"a": 4}}
    with pytest.raises(KeyError):
        fill_page(PAGE.read_text(), {})
