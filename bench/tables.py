"""The reference tables of `cifar10_vgg`: class trees from the last layer, and the chain from each layer below.

Thresholds and trees see the 50,000 training images alone; every figure is on the 10,000 test images.
"""

import time
from dataclasses import replace
from typing import Any

from rich.table import Table

from bench.harness import CACHE, SHARED, describe_machine, unpack_shared
from bench.screen import make_table
from eric_fast.capture import capture_activations, load_model, open_data
from eric_fast.extract import GROWN_RULES, TreeOptions
from eric_fast.progress import Progress
from eric_fast.runs import approximate_model, evaluate_chains, evaluate_program
from eric_fast.score import Score
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.store import is_capture, load_activations, save_activations
from eric_fast.store.activations import Activations

# Threshold, minimum leaf -> rules, fidelity, accuracy; measured with scikit-learn 1.9 (../shared/README.md)
CLASS_TREES = {
    ("mean", 500): (78, 0.749, 0.713),
    ("mean", 100): (266, 0.804, 0.756),
    ("mean", 25): (784, 0.827, 0.775),
    ("0.6*mean+0.7*std", 500): (73, 0.766, 0.721),
    ("0.6*mean+0.7*std", 100): (251, 0.820, 0.768),
    ("0.6*mean+0.7*std", 25): (707, 0.845, 0.788),
    ("split", 500): (72, 0.782, 0.741),
    ("split", 100): (229, 0.831, 0.777),
    ("split", 25): (684, 0.853, 0.797),
}
# Start layer -> fidelity of the chain from there, minimum leaf 250
CHAIN = {
    "features.2": 0.278,
    "features.5": 0.322,
    "features.9": 0.381,
    "features.12": 0.478,
    "features.16": 0.630,
    "features.19": 0.777,
}


def run_case(full: bool = False) -> dict[str, Any]:
    """Print both tables, the reference beside each figure; they are whole, `full` or not."""
    show_notes()
    with show_progress() as progress:
        train, test = (capture_cifar(split, progress) for split in ("train", "test"))
        class_rows = [_score_class_tree(train, test, threshold, leaf) for threshold, leaf in CLASS_TREES]
        started = time.perf_counter()
        options = TreeOptions(min_leaf=250)
        program = approximate_model(train, layers=["all"], threshold="mean", options=options, progress=progress)
        seconds = time.perf_counter() - started
        scores = evaluate_chains(program, test, progress=progress)
    _print_class_trees(class_rows)
    _print_chain(scores, seconds)
    return {
        "machine": describe_machine(),
        "class_trees": class_rows,
        "chain": [{**score.to_dict(), "reference_fidelity": CHAIN[score.start_layer]} for score in scores],
        "chain_seconds": seconds,
    }


def capture_cifar(split: str, progress: Progress) -> Activations:
    """All six layers over `train` or `test`, made once and kept in .cache/."""
    path = CACHE / "cifar10_vgg" / split
    model = load_model(f"{SHARED / 'models' / 'cifar10_vgg.py'}:build")
    if is_capture(path):
        activations = load_activations(path)
        if activations.settings.fingerprint == model.fingerprint and activations.has_logits:
            return activations
    data = open_data(unpack_shared("cifar10.tar.gz", "cifar10") / split)
    model = replace(model, name="cifar10_vgg.py:build")
    activations = capture_activations(model, data, batch_size=250, progress=progress)
    save_activations(activations, path, force=True)
    return activations


def _score_class_tree(train: Activations, test: Activations, threshold: str, min_leaf: int) -> dict[str, Any]:
    started = time.perf_counter()
    program = approximate_model(train, threshold=threshold, options=TreeOptions(min_leaf=min_leaf))
    seconds = time.perf_counter() - started
    score = evaluate_program(program, test)
    rules, fidelity, accuracy = CLASS_TREES[threshold, min_leaf]
    return {
        "threshold": threshold,
        "min_leaf": min_leaf,
        "n_rules": score.n_rules,
        "n_literals": score.n_literals,
        "n_rules_as_grown": int(dict(program.settings)[GROWN_RULES]),
        "fidelity": score.fidelity,
        "accuracy": score.accuracy,
        "seconds": seconds,
        "reference": {"n_rules": rules, "fidelity": fidelity, "accuracy": accuracy},
    }


def _print_class_trees(rows: list[dict[str, Any]]) -> None:
    table = Table(
        title="class rules from features.19, entropy, 10,000 test images; the reference in brackets",
        title_justify="left",
    )
    table.add_column("threshold")
    for name in ("minimum leaf", "rules", "as grown", "fidelity", "accuracy", "seconds"):
        table.add_column(name, justify="right")
    for row in rows:
        known = row["reference"]
        table.add_row(
            row["threshold"],
            str(row["min_leaf"]),
            str(row["n_rules"]),
            f"{row['n_rules_as_grown']} ({known['n_rules']})",
            f"{row['fidelity']:.3f} ({known['fidelity']:.3f})",
            f"{row['accuracy']:.3f} ({known['accuracy']:.3f})",
            f"{row['seconds']:.1f}",
        )
    stdout.print(table)


def _print_chain(scores: list[Score], seconds: float) -> None:
    table = make_table(
        f"the chain, minimum leaf 250, extracted in {seconds:.0f} s",
        "start layer",
        ("fidelity", "accuracy", "rules", "literals"),
    )
    for score in scores:
        table.add_row(
            score.start_layer,
            f"{score.fidelity:.3f} ({CHAIN[score.start_layer]:.3f})",
            f"{score.accuracy:.3f}",
            f"{score.n_rules:,}",
            f"{score.n_literals:,}",
        )
    stdout.print(table)
