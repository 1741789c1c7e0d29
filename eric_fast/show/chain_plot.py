"""The picture of a study of chains: fidelity by start layer, and against size."""

from pathlib import Path
from typing import TYPE_CHECKING

from eric_fast.chains.study import ChainStudy, name_leaf, name_rules
from eric_fast.errors import require_package
from eric_fast.show.style import BLUE, GREEN, GREY, ORANGE, PURPLE, STYLE, check_plot, escape_math, save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Way -> line, marker, colour, and what the legend says
LINES = {
    "predicted": ("-", "o", ORANGE, "chain grown on predicted bits (solid)"),
    "true": ("--", "s", BLUE, "chain grown on true bits (dashed)"),
    "direct": ("-.", "D", PURPLE, "no chain: class rules on these bits"),
}
MOST_LAYERS = 8  # lines by layer that one panel has room for


def save_plot(study: ChainStudy, path: Path, *, force: bool = False) -> None:
    """Draw the study to `path`, PNG or SVG by its ending, whole or not at all.

    Raises:
        SettingError: another ending. OutputError: `path` exists and `force` is false, or it can't be written.
    """
    check_plot(path)
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context

    with rc_context(STYLE):
        save_figure(draw_chains(study), path, force=force)


def draw_chains(study: ChainStudy) -> "Figure":
    """Two panels: fidelity by start layer at the first minimum leaf; fidelity against literals over all of them."""
    require_package("matplotlib", "drawing a picture")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.2, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    _draw_layers(left, study)
    _draw_sizes(right, study)
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
    return figure


def _draw_layers(axes: "Axes", study: ChainStudy) -> None:
    places = range(len(study.starts))
    if study.bounds:
        allowed = [bound.fidelity for bound in study.bounds]
        label = f"what the bits allow (boosting, {study.bounds[0].n_rounds} rounds)"
        axes.plot(places, allowed, color=GREEN, linestyle=":", marker="^", label=label)
    for way, (style, marker, colour, label) in LINES.items():
        scores = [study.find_row(way, layer).score for layer in study.starts]
        fidelity = [score.fidelity for score in scores]
        lows, highs = zip(*(score.fidelity_interval for score in scores), strict=True)
        axes.fill_between(places, lows, highs, color=colour, alpha=0.18, linewidth=0)
        axes.plot(places, fidelity, color=colour, linestyle=style, marker=marker, markersize=5, label=label)
    axes.axhline(study.commonest_class, color=GREY, linewidth=1, label="always the most frequent class")
    crowded = sum(map(len, study.starts)) > 48
    axes.set_xticks(
        places,
        [escape_math(layer) for layer in study.starts],
        rotation=35 if crowded else 0,
        ha="right" if crowded else "center",
    )
    axes.set_ylim(0, 1)
    axes.set_xlabel("start layer, whose bits are given")
    axes.set_ylabel(f"fidelity (share of {study.n_images:,} images), 95 % interval")
    axes.set_title(name_rules(study))


def _draw_sizes(axes: "Axes", study: ChainStudy) -> None:
    require_package("matplotlib", "drawing a picture")
    from matplotlib import colormaps

    shown = _spread(study.starts, MOST_LAYERS)
    for i, layer in enumerate(shown):
        colour = colormaps["viridis"](0.9 * i / max(1, len(shown) - 1))
        for way in ("true", "predicted"):
            style, marker, _, _ = LINES[way]
            scores = [study.find_row(way, layer, min_leaf).score for min_leaf in study.order_leaves()]
            last = scores[-1]
            label = f"{layer}: {last.n_rules:,} / {last.n_literals:,} / {last.n_integers:,}"
            sizes, fidelity = [score.n_literals for score in scores], [score.fidelity for score in scores]
            axes.plot(
                sizes,
                fidelity,
                color=colour,
                linestyle=style,
                marker=marker,
                markersize=3.5,
                label=label if way == "predicted" else None,
            )
    axes.set_xscale("log")
    axes.set_xlabel("literals in the program")
    largest, *_, smallest = [*study.order_leaves(), study.order_leaves()[-1]]
    leaves = f"minimum leaf {name_leaf(largest)} (left end) to {name_leaf(smallest)} (right end)"
    axes.set_title(leaves if len(study.min_leaves) > 1 else name_rules(study))
    axes.legend(
        title="start layer: rules / literals / integers\nat the right end, predicted bits",
        loc="center left",
        bbox_to_anchor=(1, 0.5),
        reverse=True,
    )


def _spread(layers: tuple[str, ...], most: int) -> list[str]:
    """At most so many of them, evenly spread, the first and the last among them."""
    if len(layers) <= most:
        return list(layers)
    return [layers[round(i * (len(layers) - 1) / (most - 1))] for i in range(most)]
