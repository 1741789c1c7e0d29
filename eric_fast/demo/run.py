"""The demo: a small CNN on scikit-learn's handwritten digits, from training to a report."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from safetensors.torch import save
from torch.nn.functional import cross_entropy

from eric_fast.bits import BitMatrix
from eric_fast.capture import capture_activations, load_model, open_data
from eric_fast.capture.sources import Digits
from eric_fast.demo import digits_cnn
from eric_fast.evaluator import Evaluator
from eric_fast.extract import TreeOptions
from eric_fast.output import DEMO, replace_folder, write_marker
from eric_fast.program import Program
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, evaluate_chains
from eric_fast.score import Score
from eric_fast.show.page import build_report, save_report
from eric_fast.store import load_activations, save_activations
from eric_fast.text import load_program, save_program

N_EPOCHS = 12
BATCH_SIZE = 32
WEIGHTS = "weights.lp"
PAGE_FOLDER = "report"


@dataclass(frozen=True)
class DemoResult:
    """Results of the demo.

    Attributes:
        program: the extracted program, a chain of trees from the first convolution to the classes.
        scores: on the test images, one for each start layer, lowest first.
        weight_scores: the same of a program of weight rules.
        images_per_s: test images evaluated per second from the bits of the highest layer, without packing.
        seconds: wall time of each stage, in seconds.
    """

    program: Program
    scores: list[Score]
    weight_scores: list[Score]
    images_per_s: float
    seconds: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Build what `metrics.json` holds: the score of trees from the highest layer, and all scores under `chains`."""
        return {
            **self.scores[-1].to_dict(),
            "chains": [score.to_dict(with_confusion=False) for score in self.scores],
            "weight_chains": [score.to_dict(with_confusion=False) for score in self.weight_scores],
            "images_per_s": self.images_per_s,
            "seconds": self.seconds,
        }


def run_demo(folder: Path, *, force: bool = False, progress: Progress = ignore_progress) -> DemoResult:
    """Train a CNN on three quarters of the digits, approximate it, and score that on the rest.

    Leaves in `folder`: the network (`digits_cnn.py`, `.safetensors`), both captures (`train/`, `test/`), a program of
    trees (`program.lp`) and one of weight rules (`weights.lp`), `metrics.json`, and `report/`, the page to look at.

    Raises:
        OutputError: `folder` exists and `force` is false, or can't be written.
    """
    seconds: dict[str, float] = {}
    started = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal started
        now = time.perf_counter()
        seconds[stage] = round(now - started, 3)
        started = now

    with replace_folder(folder, force=force, kind=DEMO) as new:
        train_digits(new / "digits_cnn.py", progress=progress)
        lap("train")
        model = replace(load_model(f"{new / 'digits_cnn.py'}:build"), name=f"{folder / 'digits_cnn.py'}:build")
        for split in ("train", "test"):
            activations = capture_activations(model, open_data(f"digits/{split}"), progress=progress)
            save_activations(activations, new / split)
        lap("capture")
        training = load_activations(new / "train")
        program = approximate_model(training, layers=["all"], options=TreeOptions(min_leaf=10), progress=progress)
        save_program(program, new / "program.lp")
        save_program(approximate_model(training, layers=["all"], rules="weights", progress=progress), new / WEIGHTS)
        lap("extract")
        program, test = load_program(new / "program.lp"), load_activations(new / "test")
        scores = evaluate_chains(program, test, progress=progress)
        weight_scores = evaluate_chains(load_program(new / WEIGHTS), test, progress=progress)
        images_per_s = measure_speed(program, quantise_activations(test, program.network_quantiser))
        lap("evaluate")
        data = open_data("digits/test")
        save_report(build_report(program, test, data=data, model=model, progress=progress), new / PAGE_FOLDER)
        lap("report")
        result = DemoResult(program, scores, weight_scores, images_per_s, seconds)
        write_marker(result.to_dict(), new, DEMO)
    return result


def train_digits(path: Path, *, progress: Progress = ignore_progress) -> None:
    """Train `digits_cnn` on `digits/train` with a fixed seed; write it to `path` (`.py`), and weights beside it."""
    path.write_bytes(Path(digits_cnn.__file__).read_bytes())
    data, transform = Digits("digits/train"), digits_cnn.transform()
    images = torch.stack([transform(data.load_image(i)) for i in range(len(data))])  # [n, 1, 8, 8]
    labels = torch.tensor([int(data.folders[label]) for label in data.folder_labels])
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        model = digits_cnn.build().train()
        n_steps = N_EPOCHS * -(-len(images) // BATCH_SIZE)
        optimiser = torch.optim.Adam(model.parameters())
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=0.01, total_steps=n_steps)
        for epoch in range(N_EPOCHS):
            progress("train a CNN", epoch, N_EPOCHS)
            for batch in torch.randperm(len(images)).split(BATCH_SIZE):
                optimiser.zero_grad()
                cross_entropy(model(images[batch]), labels[batch]).backward()
                optimiser.step()
                schedule.step()
        progress("train a CNN", N_EPOCHS, N_EPOCHS)
    path.with_suffix(".safetensors").write_bytes(save(model.state_dict()))


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one thread: on batches this small, threads wait for each other longer than they work."""
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(n_threads)


def measure_speed(program: Program, bits: BitMatrix, n_runs: int = 21) -> float:
    """Measure how many images a second the compiled program classifies from the bits of its highest layer.

    The median of warm runs.
    """
    evaluator = Evaluator(program, program.layers[-1])
    inputs = bits.select_atoms(evaluator.inputs)
    seconds = []
    for _ in range(1 + n_runs):
        start = time.perf_counter()
        evaluator.predict(inputs)
        seconds.append(time.perf_counter() - start)
    return bits.n_samples / median(seconds[1:])
