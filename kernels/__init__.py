"""Everything that touches packed words, behind one dispatch by engine.

`reference` is the meaning of each operation, in plain tensors on any device; `cpu` is Numba on packed words.
The other engines agree with `reference` to the bit.
"""

from typing import Any

import torch
from torch import Tensor

from eric_fast.errors import SettingError
from eric_fast.kernels.chunks import evaluate_chunks
from eric_fast.kernels.code_cache import drop_stale_code
from eric_fast.kernels.fixed_point import MAX_WEIGHT, make_entropy_table
from eric_fast.kernels.growth import (
    ENTROPY,
    GINI,
    NO_LIMIT,
    Forest,
    Limits,
    Stop,
    TreeProgress,
    check_samples,
    ignore_trees,
    never_stop,
)
from eric_fast.kernels.outcome import Outcome, Pack, Request, expect
from eric_fast.kernels.packing import (
    EQUAL,
    GREATER,
    GREATER_EQUAL,
    LESS,
    LESS_EQUAL,
    MISSING,
    UNEQUAL,
    Comparisons,
    Packed,
    check_words,
)
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.kernels.reference import pack as reference_pack
from eric_fast.plan import Plan
from eric_fast.processes import Combine, keep

__all__ = [
    "ENGINES",
    "ENTROPY",
    "EQUAL",
    "GINI",
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "MAX_WEIGHT",
    "MISSING",
    "NO_LIMIT",
    "UNEQUAL",
    "Comparisons",
    "Forest",
    "Limits",
    "Outcome",
    "Pack",
    "Packed",
    "Request",
    "Stop",
    "TreeProgress",
    "choose_engine",
    "count",
    "count_bytes",
    "evaluate",
    "evaluate_chunks",
    "evaluate_packed",
    "expect",
    "grow",
    "ignore_trees",
    "make_entropy_table",
    "never_stop",
    "pack_columns",
    "pack_comparisons",
    "pack_maps",
]

drop_stale_code()
ENGINES = ("auto", "reference", "cpu", "gpu")
FUSED_INPUTS = 1024  # of a plan, on the CPU: from there on words are evaluated where they are packed


def choose_engine(engine: str, device: str, *, streams: bool = False) -> str:
    """The engine that `engine` means for data on a device of this type: `auto` is `gpu` for CUDA, else `cpu`.

    Where an operation `streams`, `gpu` takes data from the CPU, too, in chunks; results are where the data are.

    Raises:
        SettingError: no such engine, or one named that can't take data from there: nothing is changed silently.
    """
    if engine not in ENGINES:
        raise SettingError(f"engine '{engine}' is not one of {', '.join(ENGINES)}")
    if engine == "auto":
        return "gpu" if device == "cuda" else "cpu"
    needed = "cuda" if engine == "gpu" else "cpu" if engine == "cpu" else device
    if engine == "gpu" and not torch.cuda.is_available():
        raise SettingError("engine 'gpu' needs a CUDA device, and there is none; use --engine cpu or auto")
    if needed != device and not (engine == "gpu" and streams):
        raise SettingError(f"engine '{engine}' needs data on a {needed} device, these are on {device}")
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
    return _evaluate(choose_engine(engine, words.device.type, streams=True), plan, words, n_samples, Request(**wanted))


def _evaluate(name: str, plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    if name == "reference":
        return reference.evaluate(plan, words, n_samples, request)
    if name == "cpu":
        from eric_fast.kernels.cpu import evaluate as cpu  # Numba loads when it is needed

        return cpu.evaluate(plan, words, n_samples, request)
    from eric_fast.kernels.gpu import chunked as stream
    from eric_fast.kernels.gpu import evaluate as gpu

    if words.device.type == "cpu":
        return stream.evaluate(plan, words, n_samples, request, torch.device("cuda", torch.cuda.current_device()))
    return gpu.evaluate(plan, words, n_samples, request)


def evaluate_packed(
    plan: Plan, pack: Pack, n_samples: int, *, device: str = "cpu", engine: str = "auto", **wanted: Any
) -> Outcome:
    """As `evaluate`, on words that `pack` makes: on the CPU a block at a time where they are many, see `count_bytes`.

    Args:
        pack: makes the words of some samples; see `Pack`.
        device: the type of device that the words are on.
    """
    name = choose_engine(engine, device, streams=True)
    request = Request(**wanted)
    if name == "cpu" and plan.n_inputs >= FUSED_INPUTS:
        from eric_fast.kernels.cpu import evaluate as cpu

        return cpu.evaluate_packed(plan, pack, n_samples, request)
    return _evaluate(name, plan, pack(0, n_samples), n_samples, request)


def count_bytes(plan: Plan, engine: str) -> int:
    """What `evaluate_packed` needs for a sample beside its results."""
    return 0 if engine == "cpu" and plan.n_inputs >= FUSED_INPUTS else -(-plan.n_inputs // 8)


def count(words: Tensor, masks: Tensor, *, engine: str = "auto") -> Tensor:
    """In how many samples of each mask each atom is true; see `reference_trees.count`."""
    name = choose_engine(engine, words.device.type)
    if name == "reference":
        from eric_fast.kernels.reference import count as reference_trees

        return reference_trees.count(words, masks)
    if name == "cpu":
        from eric_fast.kernels.cpu import count as cpu_trees

        return cpu_trees.count(words, masks)
    from eric_fast.kernels.gpu import count as gpu_trees

    return gpu_trees.count(words, masks)


def grow(
    words: Tensor,
    n_samples: int,
    targets: Tensor,
    limits: Limits,
    *,
    n_values: int | None = None,
    weights: Tensor | None = None,
    value_weights: Tensor | None = None,
    engine: str = "auto",
    stop: Stop = never_stop,
    progress: TreeProgress = ignore_trees,
    n_threads: int | None = None,
    combine: Combine = keep,
) -> Forest:
    """A decision tree (CART) for every target over the same atoms, decided in integers: the same on every engine.

    A node is split at the atom that lowers its impurity most, the lowest of equals. What a gain is compared in: of
    entropy, 2**-30 of one sample's bit; of gini, exact fractions inside a node, 2**-30 of a sample between nodes, where
    `max_leaves` lets the best node go first, the older of equals.

    Args:
        words: int32 `[n_atoms, n_words]`.
        targets: int32 words `[n_targets, n_words]` of two values each, or int64 values `[n_targets, n_samples]`.
        n_values: of int64 targets; one more than the highest by default.
        weights: integers `[n_samples]`, at least 0: how often each sample counts. What weighs nothing isn't there.
        value_weights: integers `[n_values]`, which multiply the weights of samples by the value of their target.
        stop: asked before each tree (on the GPU each batch of trees) from any thread; once true, no other is begun.
        progress: told after each tree how many there are, from any thread.
        n_threads: on the CPU; one per core by default.
        combine: adds up integers over the processes that hold parts of the samples, where there are several: each has
            its own `words`, `targets` and `weights`, all else is the same, and so is the forest. Asked to stop, a
            process stops all.

    Raises:
        EricError: tensors that don't belong together. SettingError: samples that weigh more than 2**27 in all.
    """
    name = choose_engine(engine, words.device.type)
    samples = check_samples(words, n_samples, targets, limits, n_values, weights, value_weights, combine)
    if name == "cpu":
        from eric_fast.kernels.cpu import grow as cpu_trees

        return cpu_trees.grow(samples, limits, stop=stop, progress=progress, n_threads=n_threads, combine=combine)
    from eric_fast.kernels import level_trees

    if name == "reference":
        from eric_fast.kernels.reference import count as reference_trees

        return level_trees.grow(samples, limits, reference_trees.count, stop=stop, progress=progress, combine=combine)
    from eric_fast.kernels.gpu import count as gpu_trees

    return level_trees.grow(samples, limits, gpu_trees.count, stop=stop, progress=progress, combine=combine)


def pack_columns(
    columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor, *, engine: str = "auto"
) -> Tensor:
    """Compare plain columns and pack the bits; see `reference_pack.pack_columns`, of which every engine is an equal."""
    name = choose_engine(engine, columns.device.type)
    if name == "reference":
        return reference_pack.pack_columns(columns, column_of_atom, constants, operators)
    if name == "cpu":
        from eric_fast.kernels.cpu import pack_columns as cpu_columns

        return cpu_columns.pack_columns(columns, column_of_atom, constants, operators)
    from eric_fast.kernels.gpu import pack_columns as gpu_columns

    return gpu_columns.pack_columns(columns, column_of_atom, constants, operators)


def pack_comparisons(
    columns: Tensor, comparisons: Comparisons, *, out: Tensor | None = None, engine: str = "auto"
) -> Tensor:
    """As `pack_columns`; what an engine makes of the comparisons is made once. They go to where the columns are.

    Args:
        out: contiguous words to write to, and to give back; needed where the comparisons have rows of their own.
    """
    name = choose_engine(engine, columns.device.type)
    if name == "cpu":
        from eric_fast.kernels.cpu import pack_columns as cpu_columns

        return cpu_columns.pack_comparisons(columns, comparisons, out)
    arrays = (None if array is None else array.to(columns.device) for array in comparisons.arrays)
    words = pack_columns(columns, *arrays, engine=name)  # type: ignore[arg-type]
    if out is None:
        return words
    check_words(out, comparisons, (len(words), words.shape[1]))
    if comparisons.rows is None:
        out[: len(words)] = words
    else:
        out[comparisons.rows.to(out.device)] = words
    return out


def pack_maps(maps: Tensor, constants: Tensor, operators: Tensor, *, engine: str = "auto", **wanted: Any) -> Packed:
    """Reduce feature maps to norms, compare and pack in one pass; see `reference_pack.pack_maps`."""
    name = choose_engine(engine, maps.device.type)
    if name == "reference":
        return reference_pack.pack_maps(maps, constants, operators, **wanted)
    if name == "cpu":
        from eric_fast.kernels.cpu import pack_maps as cpu_maps

        return cpu_maps.pack_maps(maps, constants, operators, **wanted)
    from eric_fast.kernels.gpu import pack_maps as gpu_maps

    return gpu_maps.pack_maps(maps, constants, operators, **wanted)
