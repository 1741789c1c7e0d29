"""`python -m bench.gpu_day test|check|bench [--folder FOLDER]`: what is to be run where there is a GPU.

Each is cut into parts, and a part that passed at this commit isn't run again: call it until it says that all are done.
It begins no part after its budget, and installs nothing. A part's output is FOLDER/NAME/PART.log, its rows PART.json.

- `test`: the tests marked `gpu`, one after another.
- `check`: a chosen dozen of them under NVIDIA's compute-sanitizer. memcheck sees accesses out of bounds, initcheck
  memory that nobody wrote. racecheck is left out: it sees shared memory alone, and rows lie in global memory.
- `bench`: `python -m bench` of evaluate, program by program, pack and extract, beside the rivals that can be imported.
"""

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from bench.foldrm import NAMES
from bench.harness import ROOT, SHARED, describe_machine

BUDGET_S = 9 * 60
CHECKED = (
    *(f"test_gpu.py::test_kernels_on_forests[{seed}]" for seed in (0, 5, 9)),
    *(f"test_gpu.py::test_kernels_on_rules_that_share[{seed}]" for seed in (1, 7, 10)),
    "test_gpu.py::test_kernels_on_many_samples[first]",
    "test_gpu.py::test_kernels_on_many_samples[vote]",
    "test_gpu.py::test_kernels_of_a_program_in_parts[100]",
    "test_gpu.py::test_kernels_take_chunks_from_the_cpu",
    "test_gpu_calls.py::test_kernels_never_wait[4]",
    "test_gpu_calls.py::test_kernels_are_captured_in_a_graph",
)
MADE_UP = ("evaluate a", "evaluate w", "pack")  # what needs none of the data in ../shared
PROGRAMS = ("a", "b", "w", "c", *(f"d {name}" for name in NAMES))  # see `bench.programs`: each a part of `evaluate`


class Part(NamedTuple):
    """A command, and what it needs of the environment."""

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]


def list_tests() -> list[Part]:
    """A part for each function that is marked `gpu`, with all of its cases; no module is imported for that."""
    parts = []
    for path in sorted((ROOT / "tests").glob("test_*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and any("mark.gpu" in ast.unparse(d) for d in node.decorator_list):
                name = f"tests/{path.name}::{node.name}"
                parts.append(Part(name, (sys.executable, "-m", "pytest", "-m", "gpu", name), {}))
    return parts


def list_checks() -> list[Part]:
    if shutil.which("compute-sanitizer") is None:
        raise SystemExit("compute-sanitizer is not on the PATH; it comes with the CUDA toolkit")
    environment = {"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"}  # each tensor has memory of its own, so that strays are seen
    return [
        Part(
            f"{tool} {test}",
            ("compute-sanitizer", "--tool", tool, "--error-exitcode", "1", sys.executable, "-m", "pytest", test),
            environment,
        )
        for tool in ("memcheck", "initcheck")
        for test in (f"tests/{name}" for name in CHECKED)
    ]


def list_benchmarks(folder: Path) -> list[Part]:
    chosen: dict[str, tuple[str, ...]] = {f"evaluate {name}": ("evaluate", "--parts", name) for name in PROGRAMS}
    chosen |= {case: (case,) for case in ("pack", "extract")}
    if not SHARED.is_dir():
        print(f"{SHARED} is not there: only {', '.join(MADE_UP)} are timed, whose programs and data are made up")
        chosen = {name: chosen[name] for name in MADE_UP}
    return [
        Part(name, (sys.executable, "-m", "bench", *words, "--json", str(folder / f"{name}.json")), {})
        for name, words in chosen.items()
    ]


def run_parts(parts: list[Part], folder: Path, budget_s: float) -> int:
    """Run those that haven't passed at this commit; gives how many are left or failed."""
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "passed.json"
    passed = json.loads(log.read_text(encoding="utf-8")) if log.exists() else {}
    commit, stop, left = describe_machine()["commit"], time.monotonic() + budget_s, 0
    for part in parts:
        if passed.get(part.name) == commit:
            continue
        rest = stop - time.monotonic()
        status = _run_part(part, folder, rest) if rest > 0 else "left for the next call"
        print(f"{part.name}: {status}", flush=True)
        if status == "passed":
            passed[part.name] = commit
            log.write_text(json.dumps(passed, indent=1) + "\n", encoding="utf-8")
        else:
            left += 1
    print(f"{len(parts) - left} of {len(parts)} parts passed at {commit}; their output is in {folder}")
    return left


def _run_part(part: Part, folder: Path, limit_s: float) -> str:
    name = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in part.name)
    with (folder / f"{name}.log").open("w", encoding="utf-8") as output:
        try:
            done = subprocess.run(
                part.command,
                cwd=ROOT,
                env={**os.environ, **part.environment},
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=limit_s,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {limit_s:.0f} s, the rest of the budget"
    return "passed" if done.returncode == 0 else f"FAILED: see {name}.log"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.gpu_day", description=__doc__)
    parser.add_argument("what", choices=("test", "check", "bench"))
    parser.add_argument("--folder", type=Path, default=ROOT / "gpu-results", help="of the results")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="SECONDS")
    arguments = parser.parse_args()
    folder = arguments.folder.resolve() / arguments.what
    if arguments.what == "test":
        parts = list_tests()
    else:
        parts = list_checks() if arguments.what == "check" else list_benchmarks(folder)
    return int(bool(run_parts(parts, folder, arguments.budget)))


if __name__ == "__main__":
    sys.exit(main())
