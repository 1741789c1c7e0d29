"""What the CPU could do at most: vector operations a clock, cores, and a clock that is measured."""

import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from bench.harness import time_runs

TURNS = 500_000
CLOCKS_A_TURN = 6  # three shifts and three XORs, each waiting for the one before


@cache
def find_limit() -> float:
    """Literal evaluations a second: one logic operation each, as wide as a vector register, two a clock and core.

    More can't be fed: a literal's bits come from the nearest cache, which gives two vectors a clock.
    """
    return 2 * _count_bits() * measure_clock() * _count_cores()


def describe_vectors() -> str:
    return "AVX-512" if has_avx512() else "AVX2"


def describe_limit() -> str:
    return (
        f"the limit: {find_limit():.2e} literals a second = "
        f"2 logic operations of {_count_bits()} bits ({describe_vectors()}) a clock and core "
        f"x {measure_clock() / 1e9:.2f} GHz (measured) x {_count_cores()} cores"
    )


def _count_bits() -> int:
    return 512 if has_avx512() else 256


@cache
def has_avx512() -> bool:
    return " avx512f " in Path("/proc/cpuinfo").read_text(encoding="utf-8")


@cache
def measure_clock() -> float:
    """Clocks a second of one busy core, from a chain of operations that take one clock each; runs are short, so that
    the fastest had its core to itself."""
    return TURNS * CLOCKS_A_TURN / time_runs(lambda: _shift_and_mix(TURNS), n_runs=200).fastest_s


def _count_cores() -> int:
    return len(os.sched_getaffinity(0))


@njit(nogil=True, cache=True)
def _shift_and_mix(n_turns: Any) -> Any:
    x = np.uint64(88172645463325252)
    for _ in range(n_turns):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x
