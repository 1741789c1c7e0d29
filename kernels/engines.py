"""Which engine runs an operation, and where an engine's function for it is found."""

from collections.abc import Callable
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import torch

from eric_fast.errors import SettingError, require_package

ENGINES = ("auto", "reference", "cpu", "gpu")
_CODE_SEEN: list[bool] = []  # once that the CPU's code is there


def choose_engine(engine: str, device: str, *, in_chunks: bool = False) -> str:
    """Return the engine that `engine` means for data on this type of device: `auto` is `gpu` for CUDA, else `cpu`.

    Args:
        engine: one of `ENGINES`.
        device: the type of a torch device.
        in_chunks: whether the operation sends data from the CPU to the GPU in chunks, so that `gpu` takes them too.

    Raises:
        SettingError: an unknown engine, or one that can't take data from this device. No other is chosen silently.
    """
    if engine not in ENGINES:
        raise SettingError(f"engine '{engine}' is not one of {', '.join(ENGINES)}")
    if engine == "auto":
        return "gpu" if device == "cuda" else "cpu"
    needed = "cuda" if engine == "gpu" else "cpu" if engine == "cpu" else device
    if engine == "gpu" and not torch.cuda.is_available():
        raise SettingError("engine 'gpu' needs a CUDA device, but this machine has none; use engine 'cpu' or 'auto'")
    if needed != device and not (engine == "gpu" and in_chunks):
        raise SettingError(
            f"engine '{engine}' needs data on a {needed} device, but these are on {device}; "
            "move them there or use engine 'auto'"
        )
    return engine


def spare_compiling(asked: str, engine: str, n_operations: int) -> str:
    """Return `reference` in place of `cpu` for little work that nobody chose an engine for, while there is no code yet.

    What this process does so takes two seconds in all, then it compiles, which takes half a minute.

    Args:
        asked: the engine as it was asked for.
        engine: what `choose_engine` made of it.
        n_operations: what the reference would do, in numbers multiplied.
    """
    if asked != "auto" or engine != "cpu" or _has_cpu_code() or not _find_budget().take(n_operations):
        return engine
    return "reference"


def _has_cpu_code() -> bool:
    if not _CODE_SEEN:
        from eric_fast.jit import has_code  # Numba loads when it is needed
        from eric_fast.kernels.cpu.simd_words import mark_valid

        if has_code(mark_valid, np.zeros(1, np.uint64), 1):  # evaluating and packing call it
            _CODE_SEEN.append(True)
    return bool(_CODE_SEEN)


@cache
def _find_budget() -> Any:
    from eric_fast.jit import SlowBudget  # Numba loads when it is needed

    return SlowBudget(2**36)


@cache
def find_operation(engine: str, operation: str) -> Callable[..., Any]:
    """Return an engine's function for an operation: both the function and its module have the operation's name.

    Numba and Triton are imported here, when their engine is first used.
    """
    if engine == "gpu":
        require_package("triton", "engine 'gpu'")
    function: Callable[..., Any] = getattr(import_module(f"eric_fast.kernels.{engine}.{operation}"), operation)
    return function
