"""From a program's text on disk to its first answer: seconds and memory, in a process of its own."""

import gc
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from torch import Tensor

from bench.child import call_in_child, forget_peak, read_status
from bench.harness import CACHE
from bench.programs import make_random_program, make_random_words
from eric_fast import kernels
from eric_fast.compile.program import compile_program
from eric_fast.plan import Plan
from eric_fast.text import load_program, save_program

N_RULES, N_LITERALS, N_ATOMS, N_HEADS = 100_000, 7, 512, 512
N_RUNS = 3


def measure_ready() -> dict[str, Any]:
    """Read, compile, lower and answer for one sample; what Numba compiles is on disk, and loaded before."""
    folder = CACHE / "bench"
    folder.mkdir(parents=True, exist_ok=True)
    path, small = folder / "random_100000_rules.lp", folder / "random_100_rules.lp"
    for target, n_rules in ((path, N_RULES), (small, 100)):
        if not target.exists():
            save_program(make_random_program(n_rules, N_LITERALS, N_ATOMS, N_HEADS), target)
    seconds, n_peak, n_plan, n_literals = call_in_child(_time_ready, {}, path, small)
    return {
        "n_rules": N_RULES,
        "n_literals": n_literals,
        "text_bytes": path.stat().st_size,
        "median_s": median(seconds),
        "fastest_s": min(seconds),
        "slowest_s": max(seconds),
        "n_runs": len(seconds),
        "peak_bytes": n_peak,
        "plan_bytes": n_plan,
    }


def _time_ready(path: Path, small: Path) -> tuple[list[float], int, int, int]:
    """Seconds of each run; by how much the process grew at most in the first; the plan's bytes; its literals."""
    words = make_random_words(N_ATOMS, 1)
    for _ in range(2):
        _answer_once(small, words)
    gc.collect()
    before = read_status("VmRSS")
    forget_peak()
    seconds: list[float] = []
    n_peak = 0
    for _ in range(N_RUNS):
        started = perf_counter()
        plan = _answer_once(path, words)
        seconds.append(perf_counter() - started)
        n_peak = n_peak or read_status("VmHWM") - before
    tensors = [*vars(plan).values(), *vars(plan.steps).values()]
    n_plan = sum(tensor.nbytes for tensor in tensors if isinstance(tensor, Tensor))
    return seconds, n_peak, n_plan, len(plan.literals)


def _answer_once(path: Path, words: Tensor) -> Plan:
    plan = compile_program(load_program(path))
    kernels.evaluate(plan, words, 1, rows=range(plan.n_rows))
    return plan
