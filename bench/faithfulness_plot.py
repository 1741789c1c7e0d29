"""The picture of `python -m bench faithfulness`."""

from pathlib import Path
from typing import Any

from eric_fast.show.style import BLUE, GREEN, GREY, ORANGE

COLOURS = {"trees": GREY, "single votes": GREEN, "row votes": BLUE, "weights": BLUE, "weights, on both": GREEN}


def draw_faithfulness(rows: list[dict[str, Any]], path: Path) -> None:
    """Class programs: fidelity against literals and against integers. Chains: fidelity by start layer."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15, 4.5), layout="constrained")
    literals, integers, starts = figure.subplots(1, 3)
    of_classes = [row for row in rows if row["part"] == "class program"]
    for panel, size in ((literals, "n_literals"), (integers, "n_integers")):
        for name in dict.fromkeys(row["learner"] for row in of_classes):
            own = [row for row in of_classes if row["learner"] == name]
            colour = COLOURS.get(name, ORANGE)
            panel.plot(
                [row[size] for row in own], [row["fidelity"] for row in own], marker="o", color=colour, label=name
            )
        panel.set_xscale("symlog" if size == "n_integers" else "log")  # trees have no integers
        panel.set_xlabel(f"{size.removeprefix('n_')} of a class program")
    chains = [row for row in rows if row["part"] == "chain"]
    layers = list(dict.fromkeys(row["start"] for row in chains))
    for name, size in dict.fromkeys((row["learner"], row["size"]) for row in chains):
        own = [row for row in chains if (row["learner"], row["size"]) == (name, size)]
        n_literals = own[0]["n_literals"]
        starts.plot(
            layers,
            [row["fidelity"] for row in own],
            marker="o",
            color=COLOURS.get(name, ORANGE),
            linestyle={"4 literals": ":", "8 literals": "--", "32 literals": "-."}.get(size, "-"),
            label=f"{name}, {size}: {n_literals:,} in all",
        )
    starts.set_xlabel("start layer of a chain")
    starts.tick_params(axis="x", rotation=20)
    for panel in (literals, integers, starts):
        panel.set_ylabel("share of the network's answers (10,000 test images)")
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    figure.savefig(path, dpi=120)
