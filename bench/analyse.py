"""Forced bits: what every kernel of cifar10_vgg's programs does, on 50,000 images, from packed bits to exact counts.

A program's compiling and cutting, and the evaluation as it is, are on the clock. A kernel that no rule mentions has no
effect, and isn't evaluated. Beside it the plain way with the same
evaluator (for each kernel one evaluation forced false, one true, one permuted), and scikit-learn's
`permutation_importance` (one repeat) of a tree grown with the same minimum leaf on the same bits.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.inspection import permutation_importance
from sklearn.tree import DecisionTreeClassifier

from bench.harness import Timing, describe_machine, run_tests_first, time_runs
from bench.screen import print_dicts
from bench.tables import capture_cifar
from eric_fast.analyse import measure_effects
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.evaluator import Evaluator
from eric_fast.extract import TreeOptions
from eric_fast.kernels import evaluate
from eric_fast.program import Program
from eric_fast.program.simplify import find_mentioned
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model
from eric_fast.show.console import show_notes, show_progress
from eric_fast.store.activations import Activations

LAYER = "features.19"
MIN_LEAVES = (500, 25)
CHAIN_LEAF = 250
LIMIT_S = 5.0  # what the last layer may take


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the table: seconds for all kernels of the last layer, by minimum leaf; with `full` of all layers too."""
    run_tests_first("test_effects.py")
    show_notes()
    with show_progress() as progress:
        train = capture_cifar("train", progress)
    rows = [row for leaf in MIN_LEAVES for row in _time_last_layer(train, leaf)]
    if full:
        program = approximate_model(train, layers="all", threshold="mean", options=TreeOptions(min_leaf=CHAIN_LEAF))
        bits = quantise_activations(train, program.network_quantiser)
        rows.append(_row("all layers, chained", CHAIN_LEAF, program, bits, _time_ours(program, bits, train, 2)))
    _print_rows(rows)
    return {"machine": describe_machine(), "rows": rows}


def _time_last_layer(train: Activations, min_leaf: int) -> Iterator[dict[str, Any]]:
    program = approximate_model(train, layers=LAYER, threshold="mean", options=TreeOptions(min_leaf=min_leaf))
    bits = quantise_activations(train, program.network_quantiser)
    yield _row("eric_fast", min_leaf, program, bits, _time_ours(program, bits, train, 5))
    yield _row("three runs a kernel", min_leaf, program, bits, _time_plainly(program, bits))
    columns = bits.to_bools().numpy().astype(np.float32)
    tree = DecisionTreeClassifier(criterion="entropy", min_samples_leaf=min_leaf, random_state=0)
    tree.fit(columns, train.predictions.numpy())
    timing = time_runs(
        lambda: permutation_importance(tree, columns, train.predictions.numpy(), n_repeats=1, random_state=0),
        n_runs=1,
        n_warmups=0,
    )
    yield _row("scikit-learn", min_leaf, program, bits, timing)


def _time_ours(program: Program, bits: BitMatrix, train: Activations, n_runs: int) -> Timing:
    return time_runs(lambda: measure_effects(program, bits, train.predictions, train.labels), n_runs=n_runs)


def _time_plainly(program: Program, bits: BitMatrix) -> Timing:
    evaluator = Evaluator(program)
    plan, inputs = evaluator.plan, bits.select_atoms(evaluator.inputs)
    words, n = inputs.words.clone(), bits.n_samples
    order = torch.randperm(n, generator=torch.Generator().manual_seed(0))
    columns = inputs.to_bools()
    variants = {"false": torch.zeros(n, 1, dtype=torch.bool), "true": torch.ones(n, 1, dtype=torch.bool)}
    constant = {name: pack_bits(column)[0] for name, column in variants.items()}

    def force_all() -> None:
        for atom in range(plan.n_inputs):
            own = words[atom].clone()
            for row in (constant["false"], constant["true"], pack_bits(columns[order, atom : atom + 1])[0]):
                words[atom] = row
                evaluate(plan, words, n, rules=False)
            words[atom] = own

    return time_runs(force_all, n_runs=1)


def _row(who: str, min_leaf: int, program: Program, bits: BitMatrix, timing: Timing) -> dict[str, Any]:
    size = {
        "n_images": bits.n_samples,
        "n_kernels": len(program.atoms),
        "n_mentioned": len(find_mentioned(program)),
        "n_literals": program.n_literals,
    }
    limit = {"limit_s": LIMIT_S} if who == "eric_fast" else {}
    return {"who": who, "min_leaf": min_leaf, **size, **timing._asdict(), **limit}


def _print_rows(rows: list[dict[str, Any]]) -> None:
    shown = [{name: value for name, value in row.items() if name != "limit_s"} for row in rows]
    print_dicts(f"forced bits; a limit of {LIMIT_S:g} s for the last layer", shown, names=("who",))
