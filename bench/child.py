"""What is measured in a process of its own: peak memory, and a CPU that has no AVX-512."""

import gc
import multiprocessing
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.harness import Timing, time_runs
from bench.programs import Case
from eric_fast import kernels
from eric_fast.bits import count_words, mask_tail
from eric_fast.plan import Plan

AVX2_CPU = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+bmi,+bmi2,+fma,+popcnt,+lzcnt"}


def measure_memory(case: Case, n_samples: int) -> dict[str, Any]:
    """Peak of one evaluation against the packed input and what was asked for, in bytes."""
    n_input, n_output, n_extra = call_in_child(_measure_peak, {}, case.plan, case.wanted, n_samples)
    return {
        "case": case.name,
        "n_samples": n_samples,
        "input_bytes": n_input,
        "output_bytes": n_output,
        "peak_bytes": n_input + n_extra,
        "ratio": (n_input + n_extra) / (n_input + n_output),
    }


def time_without_avx512(case: Case, n_samples: int, n_runs: int) -> Timing:
    """The same call, compiled for a CPU that has AVX2 alone."""
    result: Timing = call_in_child(
        _time_plan, AVX2_CPU, case.plan, case.wanted, case.make_words(n_samples), n_samples, n_runs
    )
    return result


def call_in_child(function: Callable[..., Any], environment: Mapping[str, str], *arguments: Any) -> Any:
    with _set_environment(environment), multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


@contextmanager
def _set_environment(changes: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(changes)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _time_plan(plan: Plan, wanted: Mapping[str, Any], words: Tensor, n_samples: int, n_runs: int) -> Timing:
    words = words.clone()  # out of memory that two processes share
    return time_runs(lambda: kernels.evaluate(plan, words, n_samples, **wanted), n_runs=n_runs, n_warmups=2)


def _measure_peak(plan: Plan, wanted: Mapping[str, Any], n_samples: int) -> tuple[int, int, int]:
    """Bytes of the input, of the results, and by how much the process grew over having the input."""
    words = torch.empty(plan.n_inputs, count_words(n_samples), dtype=torch.int32).random_()
    mask_tail(words, n_samples)
    few = count_words(1)
    for _ in range(2):  # compiling leaves its own marks
        kernels.evaluate(plan, mask_tail(words[:, :few].clone(), 1), 1, **wanted)
    gc.collect()
    before = read_status("VmRSS")
    forget_peak()
    outcome = kernels.evaluate(plan, words, n_samples, **wanted)
    n_output = sum(result.nbytes for result in outcome if result is not None)
    return words.nbytes, n_output, read_status("VmHWM") - before


def forget_peak() -> None:
    """`VmHWM` starts again from what there is."""
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def read_status(name: str) -> int:
    """A size of this process in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:")) * 1024
