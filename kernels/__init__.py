"""Everything that touches packed words, behind one dispatch by engine.

`reference` is the meaning of each operation, in plain tensors on any device; `cpu` is Numba on packed words.
The other engines agree with `reference` to the bit.
"""

from typing import Any

from torch import Tensor

from eric_fast.errors import SettingError
from eric_fast.kernels import reference
from eric_fast.kernels.outcome import Outcome, Request
from eric_fast.kernels.reference import EQUAL, GREATER, LESS_EQUAL, pack
from eric_fast.plan import Plan

__all__ = ["ENGINES", "EQUAL", "GREATER", "LESS_EQUAL", "Outcome", "Request", "choose_engine", "evaluate", "pack"]

ENGINES = ("auto", "reference", "cpu", "gpu")


def choose_engine(engine: str, device: str) -> str:
    """The engine that `engine` means for bits on a device of this type: `auto` is `gpu` for CUDA, else `cpu`.

    Raises:
        SettingError: no such engine, or one named that can't take bits from there: nothing is changed silently.
    """
    if engine not in ENGINES:
        raise SettingError(f"engine '{engine}' is not one of {', '.join(ENGINES)}")
    if engine == "auto":
        return "gpu" if device == "cuda" else "cpu"
    needed = {"cpu": "cpu", "gpu": "cuda"}.get(engine, device)
    if needed != device:
        raise SettingError(f"engine '{engine}' needs bits on a {needed} device, these are on {device}")
    return engine


def evaluate(plan: Plan, words: Tensor, n_samples: int, *, engine: str = "auto", **wanted: Any) -> Outcome:
    """Run a whole program over packed bits; see `reference.evaluate`, of which every engine is an equal.

    Args:
        words: int32 `[n_inputs, n_words]`, the bits of the plan's inputs.
        n_samples: how many samples they hold.
        engine: one of `ENGINES`.
        wanted: the fields of `Request`.

    Raises:
        EricError: words or wishes that don't fit the plan. SettingError: see `choose_engine`.
    """
    name = choose_engine(engine, words.device.type)
    request = Request(**wanted)
    if name == "reference":
        return reference.evaluate(plan, words, n_samples, request)
    if name == "cpu":
        from eric_fast.kernels import cpu  # Numba loads when it is needed

        return cpu.evaluate(plan, words, n_samples, request)
    from eric_fast.kernels import gpu

    return gpu.evaluate(plan, words, n_samples, request)
