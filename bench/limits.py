"""What the CPU could do at most: vector operations a clock, cores, and a clock that is measured."""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit

from bench.harness import N_CORES, time_runs
from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES, VECTOR_WORDS, either, load, store
from eric_fast.kernels.cpu.threads import run_workers
from eric_fast.kernels.memory import allocate_aligned

TURNS = 500_000
CLOCKS_A_TURN = 6  # three shifts and three XORs, each waiting for the one before
LOADED_ROWS = 16384 // VECTOR_BYTES  # half of a nearest cache of 32 KiB
LOAD_TURNS = 50_000


@cache
def find_limit() -> float:
    """Literal evaluations a second: one logic operation each, as wide as a vector register, two a clock and core.

    More can't be fed: a literal's bits come from the nearest cache, which gives two vectors a clock.
    """
    return 2 * _count_bits() * measure_clock() * N_CORES


def find_adder_limit() -> float:
    """Full adders times samples a second: two logic operations each with AVX-512, five with AVX2."""
    return find_limit() / (2 if has_avx512() else 5)


def describe_vectors() -> str:
    return "AVX-512" if has_avx512() else "AVX2"


def describe_limit() -> str:
    return (
        f"the limit: {find_limit():.2e} literals a second = "
        f"2 logic operations of {_count_bits()} bits ({describe_vectors()}) a clock and core "
        f"x {measure_clock() / 1e9:.2f} GHz (measured) x {N_CORES} cores; "
        f"loads: what these cores load from their nearest caches while others share them, measured beside each row"
    )


def measure_loads() -> float:
    """Literal evaluations a second, if each were nothing but one load from the nearest cache, on all cores at once.

    The limit counts two such loads a clock and core. Where a neighbour's thread shares a core, it takes its part of
    them, more at one time than at another: so this is measured beside what it is compared with.
    """
    rows = [allocate_aligned((LOADED_ROWS * VECTOR_WORDS,), np.uint64) for _ in range(N_CORES)]
    for of_core in rows:
        of_core[:] = 0
    timing = time_runs(
        lambda: run_workers(lambda core: _load_rows(np.uint64(rows[core].ctypes.data), LOAD_TURNS), N_CORES), n_runs=5
    )
    return N_CORES * LOAD_TURNS * LOADED_ROWS * VECTOR_BYTES * 8 / timing.median_s


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


@njit(nogil=True, cache=True)
def _shift_and_mix(n_turns: Any) -> Any:
    x = np.uint64(88172645463325252)
    for _ in range(n_turns):
        x ^= x << np.uint64(13)
        x ^= x >> np.uint64(7)
        x ^= x << np.uint64(17)
    return x


@njit(nogil=True, cache=True)
def _load_rows(base: Any, n_turns: Any) -> None:
    found = load(base)
    for _ in range(n_turns):
        for row in range(0, LOADED_ROWS, 4):
            address = base + np.uint64(row * VECTOR_BYTES)
            for k in range(4):
                found = either(found, load(address + np.uint64(k * VECTOR_BYTES)))
    store(base, found)
