"""How fast programs are evaluated: beside rivals and what the hardware can do; memory; from text to ready; growth.

The bits are packed beforehand (packing is timed apart); whatever an engine does to them from there counts. Rivals get
their input in their own format, ready. A literal evaluation is a literal of the program as written on one sample,
whatever a plan shares. Of weight rules, the share of the limit counts the full adders that are left of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from bench.child import measure_memory, time_without_avx512
from bench.growth import measure_growth
from bench.harness import Timing, describe_machine, run_tests_first, time_runs
from bench.limits import (
    describe_limit,
    describe_vectors,
    find_adder_limit,
    find_limit,
    has_avx512,
    measure_loads,
)
from bench.programs import Case, make_cases
from bench.ready import measure_ready
from bench.report import print_growth, print_memory, print_packing, print_ready, print_speed
from bench.rivals import Rival, list_rivals, name_missing
from eric_fast import kernels
from eric_fast.kernels import GREATER
from eric_fast.plan import Plan
from eric_fast.show.console import show_notes, show_progress, stdout

IMAGENET = 1_281_167
SIZES = (50_000, IMAGENET, 10_000_000)
RIVAL_PACKAGES = ("treelite", "tl2cgen", "hummingbird-ml", "foldrm", "clingo")
TESTS = ("test_kernels.py", "test_evaluate.py", "test_bench.py")
DELAY_CLOCKS = 2_000_000  # of a GPU: a millisecond, longer than a call takes to return
SLOW_S = 1.0  # what takes longer runs three times
TOLERANCE = 1e-6  # of shares: others add them in float32

Row = dict[str, Any]


def run_case(full: bool = False, parts: Sequence[str] = ()) -> dict[str, Any]:
    """Print the tables.

    Args:
        full: more samples for slow rivals, more runs of each.
        parts: programs, by the names of `Case`, that are timed alone; no tests run first.

    Raises:
        SystemExit: a test of what is timed fails, or a rival gives other answers.
    """
    if parts:
        return run_programs(parts)
    run_tests_first(*TESTS)
    show_notes()
    stdout.print(describe_limit(), markup=False)
    if missing := name_missing():
        stdout.print(f"not installed, so not timed: {', '.join(missing)}", markup=False)
    speed: list[Row] = []
    memory: list[Row] = []
    packing: list[Row] = []
    with show_progress() as progress:
        for case in make_cases(progress):
            rows = _time_case(case, full)
            print_speed(case, rows)
            speed += rows
            if case.name in ("a", "b"):
                memory += [measure_memory(case, n) for n in SIZES[1:]]
                packing.append(_time_packing(case))
    ready = [measure_ready()]
    growth = measure_growth(full)
    print_packing(packing)
    print_memory(memory)
    print_ready(ready)
    print_growth(growth)
    return {
        "machine": {**describe_machine(*RIVAL_PACKAGES), "vectors": describe_vectors()},
        "limit": find_limit(),
        "evaluate": speed,
        "packing": packing,
        "memory": memory,
        "ready": ready,
        "growth": growth,
    }


def run_programs(names: Sequence[str]) -> dict[str, Any]:
    """Print and give back how fast these programs are alone, by the names of `Case`; no tests run first."""
    speed: list[Row] = []
    with show_progress() as progress:
        for case in make_cases(progress, names):
            rows = _time_case(case, full=False)
            print_speed(case, rows)
            speed += rows
    return {"machine": {**describe_machine(*RIVAL_PACKAGES), "vectors": describe_vectors()}, "evaluate": speed}


def _time_case(case: Case, full: bool) -> list[Row]:
    """Ours at every size, then rivals, slower by how much than ours at ImageNet's size."""
    n_runs = 15 if full else 7
    ours: list[Row] = []
    for n in SIZES if full or not case.forest else SIZES[:2]:
        words = case.make_words(n)
        loads = measure_loads()
        timing = _time_plan(case.plan, words, n, n_runs, **case.wanted)
        loads = (loads + measure_loads()) / 2
        row = _make_row(case, "eric-fast", n, timing)
        ours.append({**row, "share_of_loads": row["literal_evaluations_per_s"] / loads})
        if n == IMAGENET and has_avx512() and case.name in ("a", "b", "w"):
            ours.append(_make_row(case, "eric-fast, AVX2 alone", n, time_without_avx512(case, n, n_runs)))
        if torch.cuda.is_available():
            ours += _time_on_gpu(case, words, n, n_runs)
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    rivals = [_time_rival(case, rival) for device in devices for rival in list_rivals(case, full, device)]
    best = max(row["literal_evaluations_per_s"] for row in rivals)
    for row in ours:
        row["ratio_to_best_rival"] = row["literal_evaluations_per_s"] / best
    yardstick = next(row for row in ours if row["n_samples"] == IMAGENET)
    for row in rivals:
        row["times_slower"] = yardstick["literal_evaluations_per_s"] / row["literal_evaluations_per_s"]
    return ours + rivals


def _time_plan(plan: Plan, words: torch.Tensor, n_samples: int, n_runs: int, **wanted: Any) -> Timing:
    def run() -> object:
        return kernels.evaluate(plan, words, n_samples, **wanted)

    once = time_runs(run, n_runs=1)
    return time_runs(run, n_runs=n_runs if once.median_s < SLOW_S else 3, n_warmups=1)


def _time_on_gpu(case: Case, words: torch.Tensor, n_samples: int, n_runs: int) -> Iterator[Row]:
    """Three clocks: the device's own from the first kernel to the last, until the call returns, until all is done.

    The first begins behind a delay on the device, during which the call returns: it holds no time of the CPU.
    """
    on_gpu = words.cuda()

    def run() -> object:
        return kernels.evaluate(case.plan, on_gpu, n_samples, engine="gpu", **case.wanted)

    def time_events() -> float:
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda._sleep(DELAY_CLOCKS)
        begin.record()
        run()
        end.record()
        end.synchronize()
        return float(begin.elapsed_time(end)) / 1000

    expected = kernels.evaluate(case.plan, words, n_samples, **case.wanted)
    got = kernels.evaluate(case.plan, on_gpu, n_samples, engine="gpu", **case.wanted)
    for name in ("classes", "rows"):
        if getattr(expected, name) is not None and not torch.equal(getattr(got, name).cpu(), getattr(expected, name)):
            raise SystemExit(f"nothing was timed: {case.name}: the GPU gives other {name} than the CPU")
    wall = time_runs(run, n_runs=n_runs, n_warmups=2, wait=torch.cuda.synchronize)
    seconds = sorted(time_events() for _ in range(n_runs))
    kernel = Timing(float(np.median(seconds)), seconds[0], seconds[-1], n_runs)
    launch = time_runs(run, n_runs=n_runs)
    torch.cuda.synchronize()
    for who, timing in (("kernels", kernel), ("launch", launch), ("wall", wall)):
        yield _make_row(case, f"eric-fast (GPU), {who}", n_samples, timing)


def _time_rival(case: Case, rival: Rival) -> Row:
    got = rival.answers(rival.run())
    wrong = ~np.isclose(got, rival.expected, atol=TOLERANCE) if got.dtype.kind == "f" else got != rival.expected
    if got.shape != rival.expected.shape or wrong.any():
        raise SystemExit(
            f"nothing was timed: {case.name}: {rival.who} gives {wrong.sum():,} other answers than eric-fast"
        )
    timing = time_runs(rival.run, n_runs=3, n_warmups=0)  # it has run once
    row = _make_row(case, rival.who, rival.n_samples, timing, factor=rival.rate_factor)
    return {**row, "ratio_to_best_rival": None, "note": rival.note}


def _make_row(case: Case, who: str, n_samples: int, timing: Timing, *, factor: float = 1.0) -> Row:
    rate = case.n_literals * n_samples / timing.median_s * factor
    share = rate / find_limit()
    if case.n_adders:
        share = case.n_adders * n_samples / timing.median_s / find_adder_limit()
    return {
        "case": case.name,
        "who": who,
        "n_samples": n_samples,
        "median_s": timing.median_s,
        "fastest_s": timing.fastest_s,
        "slowest_s": timing.slowest_s,
        "n_runs": timing.n_runs,
        "n_literals": case.n_literals,
        "literal_evaluations_per_s": rate,
        "share_of_limit": share if who.startswith("eric-fast") and "GPU" not in who else None,
    }


def _time_packing(case: Case) -> Row:
    """From float32 norms of 50,000 samples to packed words."""
    n, n_atoms = SIZES[0], case.plan.n_inputs
    norms = torch.rand(n, n_atoms, generator=torch.Generator().manual_seed(0))
    constants = torch.full((n_atoms,), 0.5)
    operators = torch.full((n_atoms,), GREATER, dtype=torch.int8)
    timing = time_runs(lambda: kernels.pack_columns(norms, None, constants, operators))
    return {
        "case": case.name,
        "n_samples": n,
        "n_atoms": n_atoms,
        "median_s": timing.median_s,
        "fastest_s": timing.fastest_s,
        "slowest_s": timing.slowest_s,
        "gb_per_s": norms.nbytes / timing.median_s / 1e9,
    }
