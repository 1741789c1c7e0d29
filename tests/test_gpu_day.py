"""What `make gpu-test`, `gpu-check` and `gpu-bench` run, and that a part which passed isn't run again."""

import sys

import pytest

from bench import evaluate as speed
from bench import gpu_day, harness, programs
from bench.gpu_day import CHECKED, Part, list_benchmarks, list_tests, run_parts


def test_parts_that_passed_are_not_run_again(tmp_path, capsys):
    def make(name, code):
        return Part(name, (sys.executable, "-c", code), {"WORD": name})

    count = tmp_path / "count"
    good = make("good one", f"import os; open({str(count)!r}, 'a').write(os.environ['WORD']); print('hello')")
    bad, slow = make("bad", "raise SystemExit(3)"), make("slow", "import time; time.sleep(60)")
    assert run_parts([good, bad], tmp_path, 60) == 1
    assert run_parts([good, bad], tmp_path, 60) == 1
    assert count.read_text() == "good one"
    assert (tmp_path / "good_one.log").read_text() == "hello\n"
    assert run_parts([slow, good], tmp_path, 0.5) == 1
    assert run_parts([bad], tmp_path, 0) == 1
    shown = capsys.readouterr().out
    assert "bad: FAILED: see bad.log" in shown
    assert "slow: not done after 0 s" in shown or "slow: not done after 1 s" in shown
    assert "bad: left for the next call" in shown


def test_what_is_marked_is_run():
    names = [part.name for part in list_tests()]
    assert "tests/test_gpu_calls.py::test_kernels_are_captured_in_a_graph" in names
    assert "tests/test_gpu_calls.py::test_truths_are_read_once" not in names
    assert {name.partition("::")[0] for name in names} >= {"tests/test_gpu.py", "tests/test_module_operator.py"}
    for checked in CHECKED:
        assert f"tests/{checked}".partition("[")[0] in names, checked


def test_a_copy_without_git_is_named_by_its_sources(monkeypatch, tmp_path):
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests" / "test_a.py").write_text("a = 1\n")
    monkeypatch.setattr(harness, "ROOT", tmp_path)
    name = harness.name_commit()
    assert name.startswith("sources-")
    (tmp_path / "tests" / "test_a.py").write_text("a = 2\n")
    assert harness.name_commit() != name


def test_programs_are_made_one_by_one(monkeypatch, tmp_path):
    """And nothing that only others need."""
    monkeypatch.setattr(programs, "capture_cifar", lambda *_: pytest.fail("not needed"))
    monkeypatch.setattr(speed, "_time_case", lambda case, full: [{"case": case.name}])
    monkeypatch.setattr(speed, "print_speed", lambda case, rows: None)
    assert speed.run_programs(["w"])["evaluate"] == [{"case": "w"}]
    with pytest.raises(SystemExit, match="no program is called e; there are a, b, w, c, d krkp"):
        speed.run_programs(["e"])
    monkeypatch.setattr(gpu_day, "SHARED", tmp_path)
    parts = {part.name: part.command for part in list_benchmarks(tmp_path)}
    assert parts["evaluate d nursery"][-4:-1] == ("--parts", "d nursery", "--json")
    assert len(parts) == 10
    monkeypatch.setattr(gpu_day, "SHARED", tmp_path / "none")
    assert [part.name for part in list_benchmarks(tmp_path)] == ["evaluate a", "evaluate w", "pack"]
