"""Everything that touches packed words, behind one dispatch by engine.

The engine `reference` says what each operation means, in plain tensors on any device. `cpu` is written in Numba and
`gpu` in Triton; both agree with `reference` to the bit. Each operation has a module of its name in all three.
"""

from typing import Any

import torch
from torch import Tensor

from eric_fast.kernels.chunks import evaluate_chunks
from eric_fast.kernels.engines import choose_engine, find_operation, spare_compiling
from eric_fast.kernels.fixed_point import make_entropy_table
from eric_fast.kernels.growth import (
    ENTROPY,
    GINI,
    MOST_TREES,
    NO_LIMIT,
    Forest,
    GrowControl,
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
from eric_fast.kernels.tallies import WeightedBodies
from eric_fast.plan import Plan
from eric_fast.processes import Combine, keep
from eric_fast.program.atoms import PIXEL_NORMS

__all__ = [
    "ENTROPY",
    "EQUAL",
    "GINI",
    "GREATER",
    "GREATER_EQUAL",
    "LESS",
    "LESS_EQUAL",
    "MISSING",
    "MOST_TREES",
    "NO_LIMIT",
    "UNEQUAL",
    "Comparisons",
    "Forest",
    "Limits",
    "Outcome",
    "Packed",
    "Request",
    "Stop",
    "TreeProgress",
    "WeightedBodies",
    "choose_engine",
    "count",
    "count_sample_bytes",
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
    "tally_sums",
]

FUSED_INPUTS = 1024  # of a plan, on the CPU: from there on words are evaluated where they are packed


def evaluate(plan: Plan, words: Tensor, n_samples: int, *, engine: str = "auto", **wanted: Any) -> Outcome:
    """Run a whole program over packed bits; `reference.evaluate` says what it means, and every engine equals it.

    Args:
        words: int32 `[n_inputs, n_words]`, the bits of the plan's inputs.
        n_samples: how many samples they hold.
        engine: one of `engines.ENGINES`; `gpu` takes words on the CPU, too, in chunks.
        wanted: the fields of `Request`.

    Returns:
        Results on the device of `words`.

    Raises:
        EricError: words or a request that don't fit the plan.
        SettingError: an engine that can't take the words; see `choose_engine`.
    """
    chosen = choose_engine(engine, words.device.type, in_chunks=True)
    engine = spare_compiling(engine, chosen, n_samples * _count_operations(plan))
    return _evaluate(engine, plan, words, n_samples, Request(**wanted))


def _count_operations(plan: Plan) -> int:
    """What the reference multiplies for a sample; a vote of a rule takes as long as so many numbers."""
    return plan.n_rows * plan.n_rules + 2**18 * len(plan.vote_weights)


def _evaluate(engine: str, plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    if engine == "gpu" and words.device.type == "cpu":
        from eric_fast.kernels.gpu.chunked import evaluate_from_cpu

        device = torch.device("cuda", torch.cuda.current_device())
        return evaluate_from_cpu(plan, words, n_samples, request, device)
    if engine == "gpu" and plan.generate:
        from eric_fast.kernels.gpu.generated import evaluate_generated

        return evaluate_generated(plan, words, n_samples, request)
    outcome: Outcome = find_operation(engine, "evaluate")(plan, words, n_samples, request)
    return outcome


def evaluate_packed(
    plan: Plan, pack: Pack, n_samples: int, *, device: str = "cpu", engine: str = "auto", **wanted: Any
) -> Outcome:
    """As `evaluate`, on words that `pack` makes: a block at a time where the CPU has many inputs.

    Args:
        pack: makes the words of some samples; see `Pack`.
        device: the type of device that the words are on.
    """
    chosen = choose_engine(engine, device, in_chunks=True)
    engine = spare_compiling(engine, chosen, n_samples * _count_operations(plan))
    request = Request(**wanted)
    if engine == "cpu" and plan.n_inputs >= FUSED_INPUTS:
        from eric_fast.kernels.cpu.evaluate import evaluate_packed

        return evaluate_packed(plan, pack, n_samples, request)
    return _evaluate(engine, plan, pack(0, n_samples), n_samples, request)


def count_sample_bytes(plan: Plan, engine: str) -> int:
    """Return how many bytes `evaluate_packed` needs for each sample, its results aside."""
    return 0 if engine == "cpu" and plan.n_inputs >= FUSED_INPUTS else -(-plan.n_inputs // 8)


def count(words: Tensor, masks: Tensor, *, engine: str = "auto") -> Tensor:
    """Count in how many samples of each mask each atom is true; see `reference.count`."""
    counts: Tensor = find_operation(choose_engine(engine, words.device.type), "count")(words, masks)
    return counts


def tally_sums(
    words: Tensor, targets: Tensor, n_samples: int, bodies: WeightedBodies, *, engine: str = "auto"
) -> Tensor:
    """Count on how many samples each weighted sum has each value; see `reference.tally_sums`."""
    tally: Tensor = find_operation(choose_engine(engine, words.device.type), "tally_sums")(
        words, targets, n_samples, bodies
    )
    return tally


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
    n_trees: int = MOST_TREES,
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
        n_trees: how many trees may grow at the same time; each takes 4 bytes for every sample.
        combine: adds up integers over the processes that hold parts of the samples, where there are several: each has
            its own `words`, `targets` and `weights`, all else is the same, and so is the forest. Asked to stop, a
            process stops all.

    Raises:
        EricError: tensors that don't belong together. SettingError: samples that weigh more than 2**27 in all.
    """
    engine = choose_engine(engine, words.device.type)
    samples = check_samples(words, n_samples, targets, limits, n_values, weights, value_weights, combine)
    control = GrowControl(stop, progress, n_threads, n_trees, combine)
    forest: Forest = find_operation(engine, "grow")(samples, limits, control)
    return forest


def pack_columns(
    columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor, *, engine: str = "auto"
) -> Tensor:
    """Compare plain columns with constants and pack the bits; see `reference.pack_columns`."""
    pack = find_operation(choose_engine(engine, columns.device.type), "pack_columns")
    words: Tensor = pack(columns, column_of_atom, constants, operators)
    return words


def pack_comparisons(
    columns: Tensor, comparisons: Comparisons, *, out: Tensor | None = None, engine: str = "auto"
) -> Tensor:
    """As `pack_columns`; what an engine makes of the comparisons is kept, and they go to where the columns are.

    Args:
        out: contiguous words to write to and to return; needed where `comparisons.rows` is given.
    """
    engine = spare_compiling(
        engine, choose_engine(engine, columns.device.type), len(columns) * len(comparisons.constants)
    )
    if engine == "cpu":
        from eric_fast.kernels.cpu.pack_columns import pack_comparisons

        return pack_comparisons(columns, comparisons, out)
    sent = comparisons.send(columns.device)
    words = pack_columns(columns, *sent[:3], engine=engine)
    if out is None:
        return words
    check_words(out, comparisons, (len(words), words.shape[1]))
    if comparisons.rows is None:
        out[: len(words)] = words
    else:
        out[sent.rows] = words
    return out


def pack_maps(maps: Tensor, constants: Tensor, operators: Tensor, *, engine: str = "auto", **wanted: Any) -> Packed:
    """Reduce feature maps to norms, compare these with constants and pack the bits; see `reference.pack_maps`."""
    engine = choose_engine(engine, maps.device.type)
    pack = find_operation(engine if wanted.get("norm", "l1") in PIXEL_NORMS else "reference", "pack_maps")
    packed: Packed = pack(maps, constants, operators, **wanted)
    return packed
