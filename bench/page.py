"""The report: how long it takes from a finished capture, how large it is, and when a browser paints it.

On cifar10_vgg with CIFAR-10's 10,000 test images (pictures, heat maps and analyses, from the class rules and from all
layers), on the digits of the demo, and the first paint of a page of 1,000 class rules, in chromium where it is there.
"""

import shutil
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.harness import SHARED, describe_machine, unpack_shared
from bench.screen import make_table
from bench.tables import capture_cifar
from eric_fast.capture import ImageData, LoadedModel, load_model, open_data
from eric_fast.demo.run import run_demo
from eric_fast.extract import TreeOptions
from eric_fast.program import Program
from eric_fast.progress import Progress
from eric_fast.runs import approximate_model
from eric_fast.show.console import show_notes, show_progress, stdout
from eric_fast.show.page import build_report, save_report
from eric_fast.show.page.build import PAGE
from eric_fast.store import load_activations
from eric_fast.store.activations import Activations
from eric_fast.text import load_program

N_RULES = 1000
N_PAINTS = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the table; it is whole, `full` or not."""
    show_notes()
    with show_progress() as progress, tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        train, test = (capture_cifar(split, progress) for split in ("train", "test"))
        images = open_data(unpack_shared("cifar10.tar.gz", "cifar10") / "test")
        model = load_model(f"{SHARED / 'models' / 'cifar10_vgg.py'}:build")
        rows: list[dict[str, Any]] = []
        for name, layers, options in (
            ("cifar10_vgg, class rules", None, TreeOptions(min_leaf=500)),
            ("cifar10_vgg, all layers", "all", TreeOptions(min_leaf=500)),
            ("cifar10_vgg, 1,000 class rules", None, TreeOptions(min_leaf=1, max_rules=N_RULES)),
        ):
            program = approximate_model(train, layers=layers, options=options, simplify=layers is not None)
            part = test.select_layers(program.layers)
            rows.append(_time_report(name, program, part, images, model, folder / str(len(rows)), progress))
        run_demo(folder / "demo", progress=progress)
        demo = folder / "demo"
        rows.append(
            _time_report(
                "digits, all layers",
                load_program(demo / "program.lp"),
                load_activations(demo / "test"),
                open_data("digits/test"),
                load_model(f"{demo / 'digits_cnn.py'}:build"),
                folder / "digits",
                progress,
            )
        )
    _print_rows(rows)
    return {"machine": describe_machine("playwright", "jinja2"), "rows": rows}


def _time_report(
    name: str,
    program: Program,
    activations: Activations,
    images: ImageData,
    model: LoadedModel,
    folder: Path,
    progress: Progress,
) -> dict[str, Any]:
    started = time.perf_counter()
    report = build_report(program, activations, data=images, model=model, progress=progress)
    save_report(report, folder, progress=progress)
    seconds = time.perf_counter() - started
    paints = _time_paints(folder / PAGE)
    return {
        "case": name,
        "n_images": activations.n_images,
        "n_class_rules": len(program.class_rules),
        "n_kernel_rules": len(program.kernel_rules),
        "n_embedded": report.n_embedded,
        "page_mb": len(report.page.encode()) / 1e6,
        "seconds": seconds,
        "first_paint_s": median(paints) if paints else None,
        "slowest_paint_s": max(paints, default=None),
    }


def _time_paints(page: Path) -> list[float]:
    """Seconds from opening the file to the first contentful paint, each in a fresh window; none without a browser."""
    chromium = shutil.which("chromium")
    if chromium is None:
        return []
    from playwright.sync_api import sync_playwright

    seconds = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        for _ in range(N_PAINTS):
            window = browser.new_page()
            window.goto(page.as_uri())
            window.wait_for_selector("html[data-ready]")
            window.wait_for_function("performance.getEntriesByName('first-contentful-paint').length > 0")
            paint = window.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
            seconds.append(paint / 1000)
            window.close()
        browser.close()
    return seconds


def _print_rows(rows: list[dict[str, Any]]) -> None:
    table = make_table(
        "the report, from a finished capture",
        "case",
        ("images", "class rules", "kernel rules", "embedded", "page", "time", "first paint"),
    )
    for row in rows:
        counts = (f"{row[key]:,}" for key in ("n_images", "n_class_rules", "n_kernel_rules", "n_embedded"))
        paint = "no browser" if row["first_paint_s"] is None else f"{row['first_paint_s']:.2f} s"
        table.add_row(row["case"], *counts, f"{row['page_mb']:.1f} MB", f"{row['seconds']:.1f} s", paint)
    stdout.print(table)
