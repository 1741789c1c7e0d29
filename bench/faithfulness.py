"""How much of cifar10_vgg programs keep, for their size: trees and weight rules, class programs and chains.

Learners see training images alone. Fidelity and accuracy are on the 10,000 test images; beside them stands what three
random splits of the training images give, four fifths to learn from and the rest to score on: mean and range. The
picture goes to bench/results/faithfulness.png.
"""

from collections.abc import Iterator
from statistics import mean
from typing import Any, NamedTuple

import torch
from rich.table import Table

from bench.faithfulness_plot import draw_faithfulness
from bench.harness import ROOT, Timing, describe_machine, time_runs
from bench.tables import capture_cifar
from eric_fast.extract import ExtractOptions, WeightOptions, extract_program
from eric_fast.program import Program
from eric_fast.program.simplify import drop_unmentioned
from eric_fast.quantise import fit_quantiser, quantise_activations, scale_logits
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.store import select_images
from eric_fast.store.activations import Activations

PLOT = ROOT / "bench" / "results" / "faithfulness.png"
SEEDS = (0, 1, 2)
HELD_BACK = 0.2
CHAIN_LITERALS, CHAIN_VOTES = 16, 200


class Learner(NamedTuple):
    """What learns, and the fidelity that it must reach, from each start in turn.

    Attributes:
        name: of a line of the picture; several sizes of one learner share it.
        size: in words.
        options: what is extracted.
        required: start layer -> the least fidelity on test images; empty where nothing is required.
    """

    name: str
    size: str
    options: ExtractOptions
    required: dict[str, float]


LAST = "features.19"
CHAIN_REQUIRED = {
    "features.2": 0.30,
    "features.5": 0.365,
    "features.9": 0.47,
    "features.12": 0.58,
    "features.16": 0.78,
    "features.19": 0.92,
}
CLASS_LEARNERS = (
    *(
        Learner("trees", f"{n} rules", ExtractOptions(threshold="split", max_rules=n, min_leaf=25), {})
        for n in (30, 100, 300)
    ),
    *(
        Learner(
            "row votes" if votes == "rows" else "single votes",
            f"{n} rules",
            ExtractOptions(threshold="split", rules="weights", votes=votes, n_votes=n),
            {LAST: least},
        )
        for votes, sizes in (
            ("single", {30: 0.82, 100: 0.895, 300: 0.93}),
            ("rows", {30: 0.87, 100: 0.925, 200: 0.94}),
        )
        for n, least in sizes.items()
    ),
)


def make_chain_learners() -> tuple[Learner, ...]:
    """Chains of all layers; only one of them has figures to reach."""
    learners = [Learner("trees", f"minimum leaf {n:,}", ExtractOptions(layers="all", min_leaf=n), {}) for n in (250,)]
    for n_literals, grown_on in ((4, "true"), (8, "true"), (16, "true"), (16, "both"), (32, "true")):
        options = ExtractOptions(
            layers="all",
            rules="weights",
            grown_on=grown_on,
            n_votes=CHAIN_VOTES,
            weight_options=WeightOptions(n_literals),
        )
        is_required = (n_literals, grown_on) == (CHAIN_LITERALS, "true")
        name = "weights" if grown_on == "true" else f"weights, on {grown_on}"
        learners.append(Learner(name, f"{n_literals} literals", options, CHAIN_REQUIRED if is_required else {}))
    return tuple(learners)


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the tables, and fail if a figure that is required isn't reached; they are whole, `full` or not."""
    show_notes()
    with show_progress() as progress:
        train, test = (capture_cifar(split, progress) for split in ("train", "test"))
    splits = [split_images(train, seed) for seed in SEEDS]
    rows = []
    for part, learners in (("class program", CLASS_LEARNERS), ("chain", make_chain_learners())):
        for learner in learners:
            rows += list(measure_learner(part, learner, (train, test), splits))
    times = list(time_learning(train))
    _print_rows(rows)
    for row in times:
        seconds = "not measured" if row["median_s"] is None else f"{row['median_s']:.2f} s"
        stdout.print(f"{row['what']}, {row['device']}: {seconds}", markup=False)
    draw_faithfulness(rows, PLOT)
    stdout.print(f"the picture is {PLOT.relative_to(ROOT)}")
    missed = [row for row in rows if row["required"] is not None and row["fidelity"] < row["required"]]
    if missed:
        stdout.print(f"{len(missed)} figures are below what is required", style="bold")
    return {"machine": describe_machine(), "times": times, "rows": rows}


def split_images(activations: Activations, seed: int) -> tuple[Activations, Activations]:
    """Images to learn from, and images to score on, at random."""
    order = torch.randperm(activations.n_images, generator=torch.Generator().manual_seed(seed))
    n_held_back = round(HELD_BACK * activations.n_images)
    return activations.take(order[n_held_back:].sort().values), activations.take(order[:n_held_back].sort().values)


def measure_learner(
    part: str,
    learner: Learner,
    images: tuple[Activations, Activations],
    splits: list[tuple[Activations, Activations]],
) -> Iterator[dict[str, Any]]:
    """A row for each start layer."""
    programs = [approximate_model(to_learn, learner.options) for to_learn, _ in (images, *splits)]
    for start in programs[0].layers:
        program = drop_unmentioned(programs[0].start_at(start))
        score = evaluate_program(program, images[1])
        held_back = [_score_from(own, start, split[1]) for own, split in zip(programs[1:], splits, strict=True)]
        row = {
            "part": part,
            "learner": learner.name,
            "size": learner.size,
            "start": start,
            "n_rules": score.n_rules,
            "n_literals": program.n_literals,
            "n_integers": program.n_integers,
            "fidelity": score.fidelity,
            "required": learner.required.get(start),
            "accuracy": score.accuracy,
            "held_back": mean(held_back),
            "held_back_lowest": min(held_back),
            "held_back_highest": max(held_back),
        }
        stdout.print(f"{part}, {learner.name}, {learner.size}, {start}: {row['fidelity']:.4f}", markup=False)
        yield row


def _score_from(program: Program, start: str, images: Activations) -> float:
    return evaluate_program(program, images, start=start).fidelity


def time_learning(train: Activations) -> Iterator[dict[str, Any]]:
    """Seconds for the whole network's weight rules and votes from packed bits; no GPU was at hand."""
    options = next(learner.options for learner in make_chain_learners() if learner.required)
    quantiser = fit_quantiser(train)
    bits = quantise_activations(train, quantiser)
    scores = scale_logits(select_images(train, train.layers, "model"))

    def learn() -> None:
        extract_program(bits, quantiser, train.predictions, train.classes, options, all_kernels=True, scores=scores)

    what = f"weight rules of {CHAIN_LITERALS} literals, {CHAIN_VOTES} row votes a start, from {train.n_images:,} images"
    timing = time_runs(learn, n_runs=5)
    yield {"what": what, "device": "cpu", **timing._asdict()}
    yield {"what": what, "device": "gpu", **dict.fromkeys(Timing._fields)}


def _print_rows(rows: list[dict[str, Any]]) -> None:
    for part in dict.fromkeys(row["part"] for row in rows):
        table = Table(
            title=f"{part}s of cifar10_vgg; held back: three splits of the training images", title_justify="left"
        )
        for name in ("learner", "size", "from"):
            table.add_column(name)
        for name in ("rules", "literals", "integers", "fidelity", "required", "accuracy", "held back", "range"):
            table.add_column(name, justify="right")
        for row in (row for row in rows if row["part"] == part):
            table.add_row(
                row["learner"],
                row["size"],
                row["start"],
                *(f"{row[name]:,}" for name in ("n_rules", "n_literals", "n_integers")),
                f"{row['fidelity']:.3f}",
                "" if row["required"] is None else f"{row['required']:.3f}",
                f"{row['accuracy']:.3f}",
                f"{row['held_back']:.3f}",
                f"{row['held_back_lowest']:.3f} to {row['held_back_highest']:.3f}",
            )
        stdout.print(table)
