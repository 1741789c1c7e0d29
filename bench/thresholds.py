"""Which thresholds keep most of a network: class rules of growing size for each, and chains, on three networks.

Class rules are trees over the last layer, grown to a given number of leaves. Thresholds are compared on held-back
training images, the mean of three random splits; test images are reported beside, and choose nothing. In a chain, `A,B`
is threshold A in the last layer, and B below it. The picture goes to bench/results/thresholds.png.
"""

from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from bench.faithfulness import measure_part
from bench.harness import ROOT, describe_machine
from bench.learners import CHAIN, CLASS_PROGRAM, Learner, Part
from bench.networks import DIGITS, SMALL, VGG
from bench.screen import make_table
from eric_fast.extract import ExtractOptions
from eric_fast.show.console import show_notes, stdout
from eric_fast.show.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
PLOT = ROOT / "bench" / "results" / "thresholds.png"
# Threshold -> colour, marker
THRESHOLDS = {
    "mean": (GREY, "s"),
    "0.6*mean+0.7*std": (ORANGE, "D"),
    "mean+std": (PURPLE, "v"),
    "quantile:0.5": (GREEN, "x"),
    "quantile:0.75": (GREEN, "+"),
    "quantile:0.9": (GREEN, "*"),
    "split": (BLUE, "o"),
}
CHAINS = ("mean", "0.6*mean+0.7*std", "split", "split,mean", "split,0.6*mean+0.7*std")
MIN_LEAF = 0.005  # of chains
# Network -> rules of its trees at most, before those of one class are joined
SIZES = {VGG: (10, 20, 40, 80, 160, 320, 640), SMALL: (10, 20, 40, 80, 160, 320, 640), DIGITS: (10, 14, 20, 28, 40)}


def run_case(full: bool = False) -> dict[str, Any]:
    """Print a table for each network; it is whole, `full` or not."""
    show_notes()
    rows = [row for network in SIZES for row in measure_part(network, _list_learners(network))]
    for network in SIZES:
        _print_rows(network, [row for row in rows if row["network"] == network])
    draw_frontier(rows, PLOT)
    stdout.print(f"the picture is {PLOT.relative_to(ROOT)}")
    return {"machine": describe_machine(), "rows": rows}


def _list_learners(network: str) -> Part:
    classes = [
        Learner(
            CLASS_PROGRAM,
            threshold,
            f"{n} rules",
            ExtractOptions(threshold=threshold, max_rules=n, min_leaf=0.0005),
            {},
        )
        for threshold in THRESHOLDS
        for n in SIZES[network]
    ]
    chains = [
        Learner(CHAIN, threshold, "", ExtractOptions(layers="all", threshold=threshold, min_leaf=MIN_LEAF), {})
        for threshold in CHAINS
    ]
    return Part(network, 1, (*classes, *chains))


def _print_rows(network: str, rows: list[Row]) -> None:
    """A line for each threshold, a column for each size or start: fidelity on held-back images, then on test images."""
    for part, words, column in ((CLASS_PROGRAM, "class rules as grown", "size"), (CHAIN, "chains by start", "start")):
        own = [row for row in rows if row["part"] == part]
        heads = list(dict.fromkeys(row[column] for row in own))
        for what, key in (("held-back training images", "held_back"), ("test images", "fidelity")):
            table = make_table(f"{network}, {words}: fidelity on {what}", "threshold", (*heads, "mean"))
            for threshold in dict.fromkeys(row["learner"] for row in own):
                found = {row[column]: row[key] for row in own if row["learner"] == threshold}
                cells = (*(found[head] for head in heads), mean(found.values()))
                table.add_row(threshold, *(f"{cell:.3f}" for cell in cells))
            stdout.print(table)


def draw_frontier(rows: list[Row], path: Path) -> None:
    """A panel for each network: fidelity on held-back and on test images against class rules."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys(row["network"] for row in rows))
    with rc_context(STYLE):
        figure = Figure(figsize=(5.2 * len(networks), 8), layout="constrained")
        panels = figure.subplots(2, len(networks), squeeze=False, sharex="col")
        for column, network in enumerate(networks):
            own = [row for row in rows if row["network"] == network and row["part"] == CLASS_PROGRAM]
            _draw_panel(panels[0, column], own, "held_back", f"{network}: held-back training images")
            _draw_panel(panels[1, column], own, "fidelity", f"{network}: test images")
            panels[1, column].set_xlabel("class rules of the program")
        panels[0, 0].legend()
        figure.savefig(path, dpi=110)


def _draw_panel(panel: "Axes", rows: list[Row], key: str, title: str) -> None:
    for threshold, (colour, marker) in THRESHOLDS.items():
        own = [row for row in rows if row["learner"] == threshold]
        panel.plot(
            [row["n_rules"] for row in own], [row[key] for row in own], marker, ls="-", color=colour, label=threshold
        )
    panel.set_xscale("log")
    panel.set_title(title)
    panel.set_ylabel("fidelity")
