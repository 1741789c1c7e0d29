"""Real processes: what torchrun starts makes what one process makes, and fails with one line.

One of these tests starts torchrun itself; in the others its processes are forked, see `tests.torchrun`.
"""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from eric_fast import processes
from eric_fast.cli import app
from eric_fast.errors import SettingError
from eric_fast.processes import Processes, is_first_process, join_processes, keep, name_process
from eric_fast.store import save_activations
from tests.activations import make_activations
from tests.command_fixtures import NETWORK
from tests.torchrun import run_torchrun

ROOT = Path(__file__).resolve().parents[1]

SCRIPT = """
import sys, torch
from eric_fast.cli import app
from eric_fast.processes import join_processes, leave_processes

folder = sys.argv[1]
here = join_processes()
assert here.count == 3
for dtype in (torch.int32, torch.int64):
    assert here.combine(torch.tensor([here.rank, 1], dtype=dtype)).tolist() == [3, 3]
assert here.combine(torch.zeros(0, dtype=torch.int32)).shape == (0,)
for text in ("one, \\u00e9 and \\N{SNOWMAN}", ""):
    assert here.share_text(text if here.is_first else None) == text
assert sorted(i for rank in range(3) for i in type(here)(rank, 3).share_out(7)) == list(range(7))
assert list(type(here)().claim_items(3)) == [0, 1, 2]  # on its own, among others
for n_items in (7, 0, 2, 100):
    mine = list(here.claim_items(n_items))
    assert mine == sorted(mine)
    taken = torch.zeros(n_items, dtype=torch.int32)
    taken[mine] = 1
    assert here.combine(taken).tolist() == [1] * n_items
train, test = f"{folder}/train", f"{folder}/test"
options = ["--min-leaf", "0.02", "--layers", "all"]
app(["extract", train, "-o", f"{folder}/many.lp", *options, "--json", f"{folder}/extract.json"], standalone_mode=False)
for name, more in {"pruned": ["--max-loss", "0.02"], "predicted": ["--grown-on", "predicted"]}.items():
    app(["extract", train, "-o", f"{folder}/{name}.lp", *options, *more], standalone_mode=False)
here.wait_for_all()
program = f"{folder}/many.lp"
app(["evaluate", program, test, "--chains", "--json", f"{folder}/evaluate.json"], standalone_mode=False)
network = f"{folder}/net.py:build"
app(["capture", network, "digits", "-o", f"{folder}/many", "--shard-size", "1024"], standalone_mode=False)
leave_processes()
"""


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    for seed, name in enumerate(("train", "test")):
        settings = replace(make_activations(1).settings, n_bad_images=0)
        made = make_activations(2500, n_kernels=(9, 20, 17), seed=seed, settings=settings)
        save_activations(made, folder / name, shard_size=1024)
    return folder


@pytest.mark.slow
def test_three_processes_write_what_one_writes_to_the_last_byte(captures):
    (captures / "script.py").write_text(SCRIPT, encoding="utf-8")
    (captures / "net.py").write_text(NETWORK, encoding="utf-8")
    done = run_torchrun(3, str(captures / "script.py"), str(captures))
    assert done.returncode == 0, done.stderr
    said = [
        done.stdout.count(words) for words in ("class rules and", "images; model accuracy", "captured 1,797 images")
    ]
    assert said == [3, 1, 1]  # once for each command, not by each process

    one = captures / "one.lp"
    options = ["--min-leaf", "0.02", "--layers", "all"]
    app(["extract", str(captures / "train"), "-o", str(one), *options], standalone_mode=False)
    assert one.read_bytes() == (captures / "many.lp").read_bytes()
    for name, more in {"pruned": ["--max-loss", "0.02"], "predicted": ["--grown-on", "predicted"]}.items():
        alone = captures / f"{name}_alone.lp"
        app(["extract", str(captures / "train"), "-o", str(alone), *options, *more], standalone_mode=False)
        assert alone.read_bytes() == (captures / f"{name}.lp").read_bytes() != one.read_bytes()
    found = json.loads((captures / "extract.json").read_text(encoding="utf-8"))
    assert found["n_processes"] == 3
    app(
        ["evaluate", str(one), str(captures / "test"), "--chains", "--json", str(captures / "one.json")],
        standalone_mode=False,
    )
    assert (captures / "one.json").read_bytes() == (captures / "evaluate.json").read_bytes()
    command = [
        "capture",
        f"{captures / 'net.py'}:build",
        "digits",
        "--shard-size",
        "1024",
        "-o",
        str(captures / "alone"),
    ]
    app(command, standalone_mode=False)
    names = {file.name for file in (captures / "many").iterdir() if not file.name.startswith(".")}
    assert {"shard-00000.safetensors", "shard-00001.safetensors", "manifest.json"} <= names
    for name in names:
        assert (captures / "many" / name).read_bytes() == (captures / "alone" / name).read_bytes(), name


@pytest.mark.slow
def test_an_error_of_one_process_ends_all_with_one_line(captures, tmp_path):
    save_activations(make_activations(3000), tmp_path / "c", shard_size=1024)
    damaged = tmp_path / "c" / "shard-00002.safetensors"  # the second process's
    damaged.write_bytes(damaged.read_bytes()[:-1])
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "eric_fast"]
    command += ["extract", str(tmp_path / "c"), "-o", str(tmp_path / "p.lp")]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment)
    assert done.returncode != 0
    assert not (tmp_path / "p.lp").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) == 1
    assert "shard-00002.safetensors is damaged" in errors[0]
    assert str(Path(processes.__file__).parents[1]) not in done.stderr  # no traceback of ours


UNLIKE = """
import os, signal, sys
from eric_fast import cli, store

rank, what = int(os.environ["RANK"]), sys.argv.pop(1)
if rank == 1 and what == "options":
    sys.argv[sys.argv.index("0.02")] = "0.03"
if rank == 1 and what == "folder":
    sys.argv[2] += "/nowhere"
if rank == 1 and what == "killed":
    store.CaptureWriter.write_shard = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if rank == 1 and what == "data":
    plain = store.open_capture
    store.open_capture = lambda path: plain(str(path).replace("train", "test"))
cli.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("options", ["process 1 of 2 on", "this process has other options", "0.03", "process 0: ", "0.02"]),
        ("data", ["process 1 of 2 on", "this process has other data"]),
        ("folder", ["process 1 of 2 on", "train/nowhere is not a capture"]),
        ("killed", []),
    ],
)
def test_a_process_that_differs_or_dies_ends_all_with_one_line(captures, tmp_path, what, said):
    (tmp_path / "unlike.py").write_text(UNLIKE, encoding="utf-8")
    (tmp_path / "net.py").write_text(NETWORK, encoding="utf-8")
    command = ["extract", str(captures / "train"), "-o", str(tmp_path / "p.lp"), "--min-leaf", "0.02"]
    if what == "killed":
        command = [
            "capture",
            f"{tmp_path / 'net.py'}:build",
            "digits",
            "-o",
            str(tmp_path / "c"),
            "--shard-size",
            "1024",
        ]
    done = run_torchrun(2, str(tmp_path / "unlike.py"), what, *command)
    assert done.returncode != 0
    assert not (tmp_path / "p.lp").exists()
    errors = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert len(errors) <= 1 if what == "killed" else len(errors) == 1, (
        done.stderr
    )  # torchrun itself names the killed one
    assert all(words in errors[0] for words in said), errors
    assert str(Path(processes.__file__).parents[1]) not in done.stderr  # no traceback of ours


def test_a_single_process_joins_nobody(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    assert join_processes() == Processes(0, 1)
    assert Processes().combine is keep
    assert Processes().share_text("alone") == "alone"
    Processes().check_agreement({"options": "any"})
    assert name_process() == ""
    assert list(Processes().claim_items(3)) == [0, 1, 2]
    assert is_first_process()
    assert not torch.distributed.is_initialized()


def test_commands_that_nothing_shares_out_are_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(SettingError, match="start 'show' without torchrun"):
        app(["show", "p.lp"], standalone_mode=False)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(SettingError, match="WORLD_SIZE is 'two', not a number"):
        processes.is_one_of_many()
