"""Levels of x86-64 that a package carries machine code for: what code of each may use, and which one this CPU has."""

import platform
import sys
from functools import cache

import numba
from llvmlite import binding

_V3 = [
    "sse3",
    "ssse3",
    "sse4.1",
    "sse4.2",
    "popcnt",
    "cx16",
    "sahf",
    "avx",
    "avx2",
    "bmi",
    "bmi2",
    "f16c",
    "fma",
    "lzcnt",
    "movbe",
    "xsave",
]
_V4 = [*_V3, *["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"]]
LEVELS = {"x86-64-v4": _V4, "x86-64-v3": _V3}  # the highest first


@cache
def find_level() -> str | None:
    """The level of this CPU, for which carried code is right; None where Numba compiles for the CPU itself.

    Our functions ask for `avx512f` when they are compiled and when they are called, so a CPU that has it without the
    rest of its level has none. Nor is there one where the user names a CPU or features (`NUMBA_CPU_NAME`,
    `NUMBA_CPU_FEATURES`).
    """
    config = numba.config
    if config.CPU_NAME or config.CPU_FEATURES is not None or not config.ENABLE_AVX or config.DISABLE_JIT:
        return None
    if not sys.platform.startswith("linux") or platform.machine() != "x86_64":
        return None
    features = binding.get_host_cpu_features()
    level = next((name for name, needed in LEVELS.items() if all(features.get(feature) for feature in needed)), None)
    return None if level == "x86-64-v3" and features.get("avx512f") else level


def describe_target(level: str) -> dict[str, str]:
    """The environment in which Numba compiles for a level, and for no CPU in particular."""
    features = ",".join(f"+{feature}" for feature in LEVELS[level])
    return {
        "NUMBA_CPU_NAME": level,
        "NUMBA_CPU_FEATURES": features,
        "NUMBA_DISABLE_INTEL_SVML": "1",
    }
