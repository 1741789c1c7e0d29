"""What every case needs: data, clocks, tests that stand before a clock, and where a figure was measured."""

import hashlib
import json
import os
import platform
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[1]
SHARED = next((path for path in (ROOT.parent / "shared", ROOT / "shared") if path.is_dir()), ROOT.parent / "shared")
CACHE = ROOT / ".cache"
PACKAGES = ("torch", "scikit-learn", "numba", "triton")
N_CORES = len(os.sched_getaffinity(0))
LOOP_SECONDS, MOST_CALLS = 0.2, 300  # of `time_calls`
LEAST_CALLS = ((0.5, 5), (1.5, 3), (float("inf"), 1))  # where one takes less than so many seconds


class Timing(NamedTuple):
    """Seconds of several runs of one thing, warm-up left out."""

    median_s: float
    fastest_s: float
    slowest_s: float
    n_runs: int


def time_runs(
    run: Callable[[], object], *, n_runs: int = 5, n_warmups: int = 1, wait: Callable[[], object] | None = None
) -> Timing:
    """Time `run` over and over: first `n_warmups` times unseen (compiling, caches), then `n_runs` times.

    `wait` ends what a device still has in flight (`torch.cuda.synchronize`), inside the clock.
    """
    seconds = []
    for i in range(n_warmups + n_runs):
        started = time.perf_counter()
        run()
        if wait:
            wait()
        if i >= n_warmups:
            seconds.append(time.perf_counter() - started)
    return Timing(median(seconds), min(seconds), max(seconds), n_runs)


def time_call(make: Callable[[], Any]) -> tuple[Any, float]:
    """What it gives, and the seconds that took."""
    started = time.perf_counter()
    made = make()
    return made, time.perf_counter() - started


def time_calls(run: Callable[[], object]) -> Timing:
    """Time a warm call in a loop, each call by itself; `describe_protocol` says how often."""
    _, first = time_call(run)
    if first < LEAST_CALLS[1][0]:
        run()
    times = [time_call(run)[1]]
    least = next(n_calls for seconds, n_calls in LEAST_CALLS if times[0] < seconds)
    while len(times) < least or (len(times) < MOST_CALLS and sum(times) < LOOP_SECONDS):
        times.append(time_call(run)[1])
    return Timing(median(times), min(times), max(times), len(times))


def describe_protocol(**more: str) -> dict[str, str]:
    """How `time_calls` measures, in words that belong in a result beside its figures."""
    (quick, most), (slow, fewer), (_, fewest) = LEAST_CALLS
    return {
        "warm-up": f"two calls that don't count; one, where it takes {slow} s or more",
        "loop": f"calls, each timed by itself, for {LOOP_SECONDS} s: {MOST_CALLS} at most; at least {most}, "
        f"{fewer} of {quick} s or more, {fewest} of {slow} s or more",
        "figure": "the median",
        **more,
    }


def run_tests_first(*names: str) -> None:
    """Run these tests (paths under tests/, `::` and all); where one fails, nothing is timed.

    Raises:
        SystemExit: a test failed; its output stands above.
    """
    command = [sys.executable, "-m", "pytest", *(f"tests/{name}" for name in names)]
    if subprocess.run(command, cwd=ROOT, check=False).returncode:
        raise SystemExit(f"nothing was timed: a test of {', '.join(names)} failed")


def write_rows(path: Path, result: Mapping[str, Any]) -> None:
    """A case's result as JSON, each row of a list on a line of its own, so that two runs can be compared by `diff`."""
    parts = []
    for name, value in result.items():
        text = json.dumps(value)
        if isinstance(value, list):
            text = "[\n" + ",\n".join(f"    {json.dumps(row)}" for row in value) + "\n  ]"
        parts.append(f"  {json.dumps(name)}: {text}")
    path.write_text("{\n" + ",\n".join(parts) + "\n}\n", encoding="utf-8")


def unpack_shared(archive: str, name: str) -> Path:
    """The folder `name` of an archive of ../shared/data, unpacked once into .cache/."""
    folder = CACHE / name
    if not folder.exists():
        part = CACHE / f".{name}.part"
        with tarfile.open(SHARED / "data" / archive) as tar:
            tar.extractall(part, filter="data")
        part.replace(folder)
    return folder


def describe_machine(*rivals: str) -> dict[str, str]:
    """Hardware, versions (of rivals' packages too) and commit: they belong in every committed result."""
    cpu = next(
        (line.partition(":")[2].strip() for line in _read("/proc/cpuinfo").splitlines() if "model name" in line),
        platform.machine(),
    )
    packages = {name: _version_of(name) for name in (*PACKAGES, *rivals)}
    return {
        "cpu": cpu,
        "cores": str(N_CORES),
        "python": platform.python_version(),
        **packages,
        "commit": name_commit(),
    }


def name_commit() -> str:
    """What git calls this tree; a copy without git is called by what its sources hold."""
    if (ROOT / ".git").exists():
        command = ["git", "describe", "--always", "--dirty"]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    folders = ("bench", "eric_fast", "kernels", "tests")
    sources = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return f"sources-{hashlib.sha256(b''.join(path.read_bytes() for path in sources)).hexdigest()[:12]}"


def _version_of(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _read(path: str) -> str:
    return Path(path).read_text(encoding="utf-8")
