"""1,000 classes and 50,000 images, made up: how long an explanation takes, how long a report, and how large it is.

A class is a pattern of the 512 kernels of a layer, with noise; the network's logits are linear in their norms. Trees
and row votes are learned from 20,000 other images. What is timed of `explain` is everything after the network has
answered: the time of the whole call, less that of capturing the same image alone. The reports stay in .cache/thousand.
"""

import time
from itertools import pairwise
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from bench.harness import CACHE, describe_machine
from bench.screen import make_table
from eric_fast.capture import capture_activations, open_data, wrap_model
from eric_fast.explain import explain_image
from eric_fast.program import Program
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.show.page import build_report, save_report
from eric_fast.show.proof import render_explanation
from eric_fast.store.activations import Activations, CaptureSettings

N_CLASSES, N_KERNELS, N_TRAINING, N_IMAGES = 1_000, 512, 20_000, 50_000
LAYER, N_EXPLAINED = "relu", 5
LIMIT_S, LIMIT_MB = 2.0, 20.0
PREPROCESSING = "of the data: TensorDataset"  # as of any data set of tensors


class Network(nn.Module):
    """Norms of maps `[n, 512, 1, 1]` of an image are the image's own pixels, where above 0."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.kernels, self.relu = nn.Conv2d(N_KERNELS, N_KERNELS, 1, bias=False), nn.ReLU()
        self.head = nn.Linear(N_KERNELS, N_CLASSES, bias=False)
        with torch.no_grad():
            self.kernels.weight.copy_(torch.eye(N_KERNELS)[:, :, None, None])
            self.head.weight.copy_(weights)

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.relu(self.kernels(images)).mean((2, 3)))
        return logits


def make_patterns() -> Tensor:
    """float32 `[1000, 512]`: of each class a tenth of the kernels, at 1."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(N_CLASSES, N_KERNELS, generator=generator) < 0.1).float()


def make_images(n: int, seed: int, patterns: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels `[n, 512, 2, 2]`, all of a kernel alike, and classes `[n]`."""
    generator = torch.Generator().manual_seed(seed)
    classes = torch.randint(N_CLASSES, (n,), generator=generator)
    values = patterns[classes] + 0.35 * torch.randn(n, N_KERNELS, generator=generator)
    return values[:, :, None, None].expand(-1, -1, 2, 2), classes


def make_capture(network: Network, images: Tensor, classes: Tensor, seed: int, fingerprint: str) -> Activations:
    """What a capture of these images holds."""
    norms = images[:, :, 0, 0].relu()
    with torch.inference_mode():
        logits = network.head(norms)
    return Activations(
        norms={LAYER: norms},
        ids=[f"image {number}" for number in range(len(images))],
        labels=classes,
        predictions=logits.argmax(dim=1),
        classes=tuple(f"class {number}" for number in range(N_CLASSES)),
        settings=CaptureSettings("Network", fingerprint, f"made up, {seed}", preprocessing=PREPROCESSING),
        logits=logits.half(),
    )


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the table; it is whole, `full` or not."""
    show_notes()
    patterns = make_patterns()
    network = Network(patterns - patterns.mean(dim=0)).eval()
    model = wrap_model(network, classes=[f"class {number}" for number in range(N_CLASSES)])
    (pixels, classes), (unseen, truth) = (make_images(n, n, patterns) for n in (N_TRAINING, N_IMAGES))
    train = make_capture(network, pixels, classes, N_TRAINING, model.fingerprint)
    test = make_capture(network, unseen, truth, N_IMAGES, model.fingerprint)
    data = open_data(TensorDataset(unseen[:N_EXPLAINED].contiguous(), truth[:N_EXPLAINED]))
    rows = []
    with show_progress() as progress:
        cases: tuple[tuple[str, dict[str, Any]], ...] = (
            ("trees", {"min_leaf": 5, "threshold": "0.5"}),
            ("300 row votes", {"votes": "rows", "n_votes": 300, "threshold": "0.5"}),
        )
        for name, options in cases:
            program = approximate_model(train, progress=progress, **options)
            row: dict[str, Any] = {"case": name, "n_rules": len(program.class_rules)}
            row["fidelity"] = evaluate_program(program, test).fidelity
            row |= _time_explanations(program, model, data)
            started = time.perf_counter()
            report = build_report(program, test, progress=progress)
            save_report(report, CACHE / "thousand" / name.replace(" ", "_"), force=True, progress=progress)
            row |= {"report_s": time.perf_counter() - started, "page_mb": len(report.page.encode()) / 1e6}
            row |= {"n_embedded": report.n_embedded}
            rows.append(row)
    _print_rows(rows)
    return {"machine": describe_machine("jinja2"), "rows": rows}


def _time_explanations(program: Program, model: Any, data: Any) -> dict[str, Any]:
    """The median of some images; the first explanation compiles, and isn't counted."""
    after, forward, own, lines = [], [], [], 0
    for index in (0, *range(N_EXPLAINED)):
        clocks = [read_clocks()]
        capture_activations(model, data, layers=program.layers, limit=1)
        clocks.append(read_clocks())
        explanation = explain_image(program, model, data, index, with_maps=False)
        rendered = render_explanation(explanation, depth=2, earlier=False)
        clocks.append(read_clocks())
        (alone, used_alone), (whole, used) = ((b[0] - a[0], b[1] - a[1]) for a, b in pairwise(clocks))
        forward.append(alone)
        after.append(whole)
        own.append(used - used_alone)
        with stdout.capture() as printed:
            stdout.print(rendered)
        lines = max(lines, len(printed.get().splitlines()))
    return {
        "explain_s": median(after[1:]) - median(forward[1:]),
        "explain_cpu_s": median(own[1:]),
        "slowest_explain_s": max(after[1:]) - min(forward[1:]),
        "lines": lines,
    }


def read_clocks() -> tuple[float, float]:
    """The time now, and the processor time that this process has used."""
    return time.perf_counter(), time.process_time()


def _print_rows(rows: list[dict[str, Any]]) -> None:
    title = (
        f"{N_CLASSES:,} classes, {N_IMAGES:,} images; limits: {LIMIT_S:g} s an explanation, {LIMIT_MB:g} MB a report"
    )
    table = make_table(
        title,
        "program",
        ("rules", "fidelity", "explain", "of it CPU", "slowest", "lines", "report", "page", "embedded"),
    )
    for row in rows:
        table.add_row(
            row["case"],
            f"{row['n_rules']:,}",
            f"{row['fidelity']:.3f}",
            f"{row['explain_s']:.2f} s",
            f"{row['explain_cpu_s']:.2f} s",
            f"{row['slowest_explain_s']:.2f} s",
            str(row["lines"]),
            f"{row['report_s']:.0f} s",
            f"{row['page_mb']:.1f} MB",
            f"{row['n_embedded']:,}",
        )
    stdout.print(table)
