"""The picture of a study of chains: fidelity by start layer, and against size."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from eric_fast.chains.measure import ChainStudy
from eric_fast.errors import SettingError
from eric_fast.output import replace_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg")
# Okabe and Ito's colours, told apart by every kind of eye; each line has a marker of its own too.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#666666"
MOST_LAYERS = 8  # lines by layer that one panel has room for
STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "svg.fonttype": "none",
    "svg.hashsalt": "eric_fast",  # the same picture is the same file
}


def check_plot(path: Path) -> None:
    """Refuse a picture's file whose ending isn't one of `ENDINGS`.

    Raises:
        SettingError: which endings there are.
    """
    if path.suffix.lower() not in ENDINGS:
        raise SettingError(f"{path} is to be a picture, and must end in {' or '.join(ENDINGS)}")


def save_plot(study: ChainStudy, path: Path, *, force: bool = False) -> None:
    """Draw the study to `path`, PNG or SVG by its ending, whole or not at all.

    Raises:
        SettingError: another ending. OutputError: `path` exists and `force` is false, or it can't be written.
    """
    check_plot(path)
    from matplotlib import rc_context

    kind = path.suffix.lower()[1:]
    metadata: dict[str, Any] = {"Date": None} if kind == "svg" else {"Software": None}
    with replace_file(path, force=force) as part, rc_context(STYLE):
        draw_chains(study).savefig(part, format=kind, dpi=200, metadata=metadata)


def draw_chains(study: ChainStudy) -> "Figure":
    """Two panels: fidelity by start layer at the first minimum leaf; fidelity against literals over all of them."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    _draw_layers(left, study)
    _draw_sizes(right, study)
    return figure


def _draw_layers(axes: "Axes", study: ChainStudy) -> None:
    places = range(len(study.layers))
    if study.bounds:
        allowed = [bound.fidelity for bound in study.bounds]
        label = f"what the bits allow (boosting, {study.bounds[0].n_rounds} rounds)"
        axes.plot(places, allowed, color=GREEN, linestyle=":", marker="^", label=label)
    for way, colour, style, marker in (("predicted", ORANGE, "-", "o"), ("true", BLUE, "--", "s")):
        fidelity = [study.find_row(way, layer).score.fidelity for layer in study.layers]
        axes.plot(places, fidelity, color=colour, linestyle=style, marker=marker, label=f"rules, grown on {way} bits")
    axes.axhline(study.commonest_class, color=GREY, linewidth=1, label="always the commonest class")
    crowded = sum(map(len, study.layers)) > 60
    axes.set_xticks(places, study.layers, rotation=40 if crowded else 0, ha="right" if crowded else "center")
    axes.set_ylim(0, 1)
    axes.set_xlabel("start layer (its bits are given)")
    axes.set_ylabel("fidelity (share of test images)")
    axes.legend(loc="upper left")
    axes.set_title(f"minimum leaf {study.min_leaves[0]:,}", fontsize="medium")


def _draw_sizes(axes: "Axes", study: ChainStudy) -> None:
    from matplotlib import colormaps

    shown = _spread(study.layers, MOST_LAYERS)
    for i, layer in enumerate(shown):
        colour = colormaps["viridis"](0.92 * i / max(1, len(shown) - 1))
        for way, style, marker in (("true", "--", "s"), ("predicted", "-", "o")):
            scores = [study.find_row(way, layer, min_leaf).score for min_leaf in study.order_leaves()]
            label = layer if way == "predicted" else None
            sizes, fidelity = [score.n_literals for score in scores], [score.fidelity for score in scores]
            axes.plot(sizes, fidelity, color=colour, linestyle=style, marker=marker, markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_xlabel("literals in the program (minimum leaf from large to small)")
    axes.legend(title="start layer", loc="upper left", bbox_to_anchor=(1, 1), reverse=True)


def _spread(layers: tuple[str, ...], most: int) -> list[str]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]
