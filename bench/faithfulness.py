"""How much of a network programs keep, for their size: trees, default rules, votes and weight rules, alone and chained.

Learners see training images alone. Fidelity and accuracy are on the test images; beside them stands what three random
splits of the training images give, four fifths to learn from and the rest to score on: mean and range. With --parts
some of the learners are measured anew, and the other rows of --json stay. The picture goes to
bench/results/faithfulness.png.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from rich.table import Table

from bench.faithfulness_plot import draw_faithfulness
from bench.harness import ROOT, Timing, describe_machine, time_runs
from bench.learners import CHAIN_LITERALS, CHAIN_VOTES, PARTS, WHOLE_CHAIN, Learner, Part
from bench.networks import VGG, load_both
from eric_fast.evaluator import Evaluator
from eric_fast.extract import ExtractOptions, extract_program
from eric_fast.program import Program
from eric_fast.program.simplify import drop_unmentioned
from eric_fast.progress import ignore_progress
from eric_fast.quantise import fit_quantiser, quantise_activations, scale_logits
from eric_fast.score import Score, score_predictions
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.store import select_images
from eric_fast.store.activations import Activations
from eric_fast.training import find_logits, find_quantiser, select_training

PLOT = ROOT / "bench" / "results" / "faithfulness.png"
SEEDS = (0, 1, 2)
HELD_BACK = 0.2


def run_case(full: bool = False, parts: Sequence[str] = (), before: Path | None = None) -> dict[str, Any]:
    """Print the tables, and fail if a figure that is required isn't reached; they are whole, `full` or not.

    Args:
        parts: what to measure, of `PARTS`; by default all.
        before: an earlier result, whose other rows stay.
    """
    show_notes()
    old = json.loads(before.read_text(encoding="utf-8")) if parts and before and before.exists() else {"rows": []}
    rows = [row for row in old["rows"] if row["run"] not in parts]
    for name in parts or PARTS:
        rows += measure_part(name, PARTS[name])
    order = list(PARTS)
    rows.sort(key=lambda row: order.index(row["run"]))  # as they stood otherwise
    times = old["times"] if "times" in old else list(time_learning())
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


def measure_part(name: str, part: Part) -> list[dict[str, Any]]:
    """The rows of a part: for each learner, one for each start layer."""
    with show_progress() as progress:
        train, test = load_both(part.network, part.grid, progress)
    found = [ImageSet(train, test).score_learners(part.learners)]
    found += [ImageSet(*split_images(train, seed)).score_learners(part.learners) for seed in SEEDS]
    rows = []
    for learner, (scores, *splits) in zip(part.learners, zip(*found, strict=True), strict=True):
        for start, score in scores.items():
            held_back = [split[start].fidelity for split in splits]
            rows.append(
                {
                    "part": learner.kind,
                    "run": name,
                    "network": part.network,
                    "learner": learner.name,
                    "size": learner.size,
                    "start": start,
                    "n_rules": score.n_rules,
                    "n_literals": score.n_literals,
                    "n_integers": score.n_integers,
                    "fidelity": score.fidelity,
                    "required": learner.required.get(start),
                    "accuracy": score.accuracy,
                    "held_back": mean(held_back),
                    "held_back_lowest": min(held_back),
                    "held_back_highest": max(held_back),
                }
            )
    return rows


def split_images(activations: Activations, seed: int) -> tuple[Activations, Activations]:
    """Images to learn from, and images to score on, at random."""
    order = torch.randperm(activations.n_images, generator=torch.Generator().manual_seed(seed))
    n_held_back = round(HELD_BACK * activations.n_images)
    return activations.take(order[n_held_back:].sort().values), activations.take(order[:n_held_back].sort().values)


class ImageSet:
    """Images to learn from and images to score on; their bits are made once for all learners that share thresholds."""

    def __init__(self, learned: Activations, scored: Activations) -> None:
        self.learned, self.scored = learned, scored
        self._bits: dict[str, Any] = {}

    def score_learners(self, learners: Sequence[Learner]) -> list[dict[str, Score]]:
        """For each learner, start layer -> score."""
        return [dict(self._score_starts(learner)) for learner in learners]

    def _score_starts(self, learner: Learner) -> Iterator[tuple[str, Score]]:
        options = learner.options
        training, quantiser, bits, unseen = self._prepare(options)
        logits = find_logits(training, options)
        if logits is not None and not learner.clamps:
            logits = scale_logits(training)
        program = extract_program(
            bits,
            quantiser,
            training.targets,
            training.classes,
            options,
            grown_on=options.grown_on,
            scores=logits,
        )
        for start in program.layers:
            own: Program = drop_unmentioned(program.start_at(start))
            answers = Evaluator(own).predict(unseen)
            score = score_predictions(own, start, answers, self.scored.predictions, self.scored.labels)
            stdout.print(f"{learner.name}, {learner.size}, {start}: {score.fidelity:.4f}", markup=False)
            yield start, score

    def _prepare(self, options: ExtractOptions) -> Any:
        """The images that are learned from, thresholds, and the bits of both kinds of images."""
        key = repr((options.layers, options.threshold, options.per_kernel, options.grid))
        if key not in self._bits:
            training = select_training(self.learned, options)
            quantiser = find_quantiser(training, options)
            bits = [quantise_activations(part, quantiser) for part in (training, self.scored)]
            self._bits[key] = training, quantiser, *bits
        return self._bits[key]


def time_learning() -> Iterator[dict[str, Any]]:
    """Seconds for the whole network's weight rules and votes from packed bits; no GPU was at hand."""
    train, _ = load_both(VGG, 1, ignore_progress)
    options = WHOLE_CHAIN.options
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
    for network, part in dict.fromkeys((row["network"], row["part"]) for row in rows):
        table = Table(
            title=f"{part}s of {network}; held back: three splits of the training images", title_justify="left"
        )
        for name in ("learner", "size", "from"):
            table.add_column(name)
        for name in ("rules", "literals", "integers", "fidelity", "required", "accuracy", "held back", "range"):
            table.add_column(name, justify="right")
        for row in (row for row in rows if (row["network"], row["part"]) == (network, part)):
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
