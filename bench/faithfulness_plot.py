"""The picture of `python -m bench faithfulness`."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.learners import CHAIN, CLASS_PROGRAM
from bench.networks import VGG
from eric_fast.show.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Row = dict[str, Any]
# Learner -> colour, marker
LOOKS = {
    "trees": (GREY, "s"),
    "default rules": (ORANGE, "D"),
    "single votes": (GREEN, "o"),
    "row votes": (BLUE, "o"),
    "row votes, logistic": (PURPLE, "^"),
    "row votes, logistic, 2 thresholds": (ORANGE, "^"),
    "weights": (BLUE, "o"),
    "weights, logistic": (PURPLE, "^"),
    "weights, on both": (GREEN, "o"),
    "weights, on both, quarters": (ORANGE, "D"),
    "weights, on both, quarters, logistic": (PURPLE, "D"),
    "weights, quarters, logistic, votes on all layers": (BLUE, "^"),
}
SIZES = {"n_literals": "literals", "n_integers": "integers (weights, bounds, votes)"}


def draw_faithfulness(rows: list[Row], path: Path) -> None:
    """A row of panels for each network: class programs against both sizes, and chains by their start layer."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    networks = list(dict.fromkeys(row["network"] for row in rows))
    with rc_context(STYLE):
        figure = Figure(figsize=(18, 4.4 * len(networks)), layout="constrained")
        for network, panels in zip(networks, figure.subplots(len(networks), 3, squeeze=False), strict=True):
            own = [row for row in rows if row["network"] == network]
            for panel, size in zip(panels, SIZES, strict=False):
                _draw_sizes(panel, [row for row in own if row["part"] == CLASS_PROGRAM], size)
            _draw_starts(panels[2], [row for row in own if row["part"] == CHAIN])
            for panel in panels:
                panel.set_title(network)
                panel.set_ylabel("fidelity, test images")
                panel.grid(alpha=0.3)
                if panel.lines:
                    beside = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if panel is panels[2] else {}
                    panel.legend(fontsize="small", **beside)
        figure.savefig(path, dpi=110)


def _draw_sizes(panel: "Axes", rows: list[Row], size: str) -> None:
    for name in dict.fromkeys(row["learner"] for row in rows if row["learner"] in LOOKS):
        own = sorted((row for row in rows if row["learner"] == name), key=lambda row: row["n_literals"])
        colour, marker = LOOKS[name]
        panel.plot(
            [row[size] for row in own], [row["fidelity"] for row in own], marker, ls="-", color=colour, label=name
        )
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

    panel.set_xscale("symlog" if size == "n_integers" else "log")  # trees have no integers
    if size != "n_integers":  # names of the powers of ten alone would leave some panels with one
        panel.xaxis.set_major_locator(LogLocator(subs=(1, 3)))
        panel.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        panel.xaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel(f"{SIZES[size]} of a class program")


def _draw_starts(panel: "Axes", rows: list[Row]) -> None:
    drawn = [row for row in rows if row["network"] != VGG or row["size"] not in ("4 literals", "8 literals")]
    layers = list(dict.fromkeys(row["start"] for row in drawn))
    for name, size in dict.fromkeys((row["learner"], row["size"]) for row in drawn):
        own = [row for row in drawn if (row["learner"], row["size"]) == (name, size)]
        colour, marker = LOOKS.get(name, (GREY, "x"))
        first = own[0]
        label = f"{name}, {size}: {first['n_literals']:,} literals, {first['n_integers']:,} integers"
        style = "-." if size == "32 literals" else "-"
        panel.plot(layers, [row["fidelity"] for row in own], marker, ls=style, color=colour, label=label)
    panel.set_xlabel("start layer of a chain; sizes from the lowest")
    panel.tick_params(axis="x", rotation=20)
