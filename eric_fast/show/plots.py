"""Plots of what the report says, as figures of matplotlib; `eric_fast.show.style.save_figure` writes them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from eric_fast.analyse import Effects
from eric_fast.errors import require_package
from eric_fast.score import Score
from eric_fast.show.style import BLUE, GREY, ORANGE, STYLE, escape_math

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_NUMBERS = 20  # classes whose cells have room for a number
MOST_NAMES = 60  # classes whose names have room on an axis
_MOST_KERNELS = 25  # bars in a plot


def draw_confusion(score: Score, classes: Sequence[str]) -> "Figure":
    """Images by what the model says (row) and the program says (column, the last: nothing), as shares of their row.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> figure = ef.draw_confusion(ef.evaluate_program(program, test), program.classes)
        >>> type(figure).__name__
        'Figure'
    """
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    counts = score.confusion  # [n_classes, n_classes + 1]
    columns = [*classes, "nothing"]
    if not counts[:, -1].any():
        counts, columns = counts[:, :-1], columns[:-1]
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    side = min(14.0, max(4.2, 1.6 + 0.42 * len(classes)))
    with rc_context(STYLE):
        figure = Figure(figsize=(side + 1, side), layout="constrained")
        axes = figure.subplots()
        axes.grid(False)
        image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if len(classes) <= MOST_NUMBERS:
            for (m, p), count in np.ndenumerate(counts):
                if count:
                    colour = "white" if shares[m, p] > 0.55 else "black"
                    axes.text(p, m, f"{count:,}", ha="center", va="center", fontsize=7, color=colour)
        if len(classes) <= MOST_NAMES:
            axes.set_xticks(range(len(columns)), [escape_math(name) for name in columns], rotation=60, ha="right")
            if all(len(name) < 3 for name in classes):
                for label in axes.get_xticklabels()[: len(classes)]:
                    label.set(rotation=0, ha="center")
            axes.set_yticks(range(len(classes)), [escape_math(name) for name in classes])
        axes.set_xlabel("class by the program")
        axes.set_ylabel("class by the model")
        axes.set_title(
            f"{score.n_images:,} images from {escape_math(score.start_layer)}: fidelity {score.fidelity:.3f}"
        )
        figure.colorbar(image, ax=axes, shrink=0.8, label="share of the row's images")
    return figure


def draw_chain(scores: Sequence[Score]) -> "Figure":
    """Fidelity and accuracy by start layer, lowest first, beside the model's own accuracy.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> figure = ef.draw_chain(ef.evaluate_chains(program, test))
        >>> type(figure).__name__
        'Figure'
    """
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    layers = [escape_math(score.start_layer) for score in scores]
    places = range(len(scores))
    accuracy = [score.accuracy for score in scores]
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 4), layout="constrained")
        axes = figure.subplots()
        lows, highs = zip(*(score.fidelity_interval for score in scores), strict=True)
        axes.fill_between(places, lows, highs, color=BLUE, alpha=0.18, linewidth=0)
        axes.plot(places, [score.fidelity for score in scores], color=BLUE, marker="o", label="fidelity, 95 % interval")
        if None not in accuracy:
            shares = [share or 0.0 for share in accuracy]
            lows, highs = zip(*(score.accuracy_interval or (0.0, 1.0) for score in scores), strict=True)
            axes.fill_between(places, lows, highs, color=ORANGE, alpha=0.18, linewidth=0)
            hollow: dict[str, Any] = {
                "marker": "s",
                "markersize": 9,
                "markerfacecolor": "none",
            }  # seen around the points of fidelity
            axes.plot(places, shares, color=ORANGE, linestyle="--", label="accuracy, 95 % interval", **hollow)
        if (own := scores[0].model_accuracy) is not None:
            axes.axhline(own, color=GREY, linestyle=":", label="accuracy of the model")
        crowded = sum(map(len, layers)) > 48
        axes.set_xticks(places, layers, rotation=35 if crowded else 0, ha="right" if crowded else "center")
        axes.set_ylim(0, 1)
        axes.set_xlabel("start layer, whose bits are given")
        axes.set_ylabel(f"share of {scores[0].n_images:,} images")
        axes.set_title("What starting lower costs")
        axes.legend(loc="lower right")
    return figure


def draw_kernels(effects: Effects) -> "Figure":
    """The key kernels: fidelity lost when each one's bit is another image's, and the answers that change, as bars.

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> figure = ef.draw_kernels(ef.analyse_program(program, test, start="conv4.2", n_permutations=19).effects)
        >>> type(figure).__name__
        'Figure'
    """
    require_package("matplotlib", "drawing a picture")
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    rows = [row for row in effects.rank() if row.when_swapped.changed][:_MOST_KERNELS]
    now, labels = effects.now.fidelity, effects.program.label_of_atom
    places = range(len(rows))
    with rc_context(STYLE):
        figure = Figure(figsize=(6.4, 1.4 + 0.24 * max(4, len(rows))), layout="constrained")
        axes = figure.subplots()
        lost = [100 * (now - row.when_swapped.fidelity) for row in rows]
        changed = [100 * row.when_swapped.changed for row in rows]
        axes.barh(places, changed, color=ORANGE, height=0.35, align="edge", label="answers changed")
        axes.barh(places, lost, color=BLUE, height=-0.35, align="edge", label="fidelity lost")
        axes.set_yticks(places, [escape_math(labels.get(row.atom) or row.name) for row in rows])
        axes.invert_yaxis()
        axes.set_xlabel(f"% of {effects.n_images:,} images, if the kernel’s bit is that of another image")
        axes.set_ylabel("kernel")
        axes.set_title(f"Key kernels from {escape_math(effects.start_layer)}")
        axes.legend(loc="lower right")
    return figure
