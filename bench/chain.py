"""What chaining costs on cifar10_vgg: grown on true and on predicted bits, over leaf sizes, beside what the bits allow.

Thresholds, programs and boosting see the 50,000 training images alone; every figure is on the 10,000 test images.
The picture goes to bench/results/chain.png. Minutes, nearly all of them scikit-learn's boosting.
"""

from typing import Any

from bench.harness import ROOT, describe_machine
from bench.screen import make_table
from bench.tables import CHAIN, capture_cifar
from eric_fast.chains import ChainStudy, measure_chains
from eric_fast.show.chain_plot import save_plot
from eric_fast.show.chains import tabulate_chains
from eric_fast.show.console import show_notes, show_progress, stdout

PLOT = ROOT / "bench" / "results" / "chain.png"
MIN_LEAVES = (250, 2500, 1000, 500, 100, 50)
# Measured with scikit-learn 1.9, minimum leaf 250 (../shared/README.md).
# Layer -> kernel bits right from the layer below, and always the commoner value
KERNELS = {
    "features.5": (0.822, 0.543),
    "features.9": (0.821, 0.553),
    "features.12": (0.785, 0.560),
    "features.16": (0.767, 0.581),
    "features.19": (0.811, 0.614),
}
# Layer -> fidelity of gradient boosting from its bits, 60 rounds
BOUNDS = {
    "features.2": 0.403,
    "features.5": 0.474,
    "features.9": 0.582,
    "features.12": 0.684,
    "features.16": 0.852,
    "features.19": 0.942,
}


def run_case(full: bool = False) -> dict[str, Any]:
    """Print the tables, and the reference beside its figures; they are whole, `full` or not."""
    show_notes()
    with show_progress() as progress:
        train, test = (capture_cifar(split, progress) for split in ("train", "test"))
        study = measure_chains(
            train, test, threshold="mean", min_leaves=MIN_LEAVES, with_bounds=True, progress=progress
        )
    for table in tabulate_chains(study):
        stdout.print(table)
    reference = list(_compare_reference(study))
    _print_reference(reference)
    save_plot(study, PLOT, force=True)
    stdout.print(f"the picture is {PLOT.relative_to(ROOT)}")
    content = study.to_dict()
    return {
        "machine": describe_machine(),
        **{name: value for name, value in content.items() if name not in ("rows", "bounds")},
        "bounds": content["bounds"],
        "reference": reference,
        "rows": content["rows"],
    }


def _compare_reference(study: ChainStudy) -> list[dict[str, Any]]:
    """For each layer our figure and scikit-learn's: the chain on true bits, boosting, kernels from the layer below."""
    rows = []
    for i, layer in enumerate(study.layers):
        bound = study.find_bound(layer)
        assert bound is not None
        row: dict[str, Any] = {
            "layer": layer,
            "chain": study.find_row("true", layer).score.fidelity,
            "chain_reference": CHAIN[layer],
            "bits_allow": bound.fidelity,
            "bits_allow_reference": BOUNDS[layer],
        }
        if i:
            right, commoner = KERNELS[layer]
            row |= {
                "kernels": study.find_row("true", study.layers[i - 1]).bits_right[layer],
                "kernels_reference": right,
                "commoner": study.commoner_value[layer],
                "commoner_reference": commoner,
            }
        rows.append(row)
    return rows


def _print_reference(rows: list[dict[str, Any]]) -> None:
    names = {
        "chain": "fidelity of the\nchain from it",
        "bits_allow": "what its\nbits allow",
        "kernels": "kernel bits right\nfrom the one below",
        "commoner": "always the\ncommoner value",
    }
    title = "minimum leaf 250; scikit-learn's trees and boosting in brackets"
    table = make_table(title, "layer", list(names.values()))
    for row in rows:
        cells = (f"{row[n]:.3f} ({row[f'{n}_reference']:.3f})" if n in row else "-" for n in names)
        table.add_row(row["layer"], *cells)
    stdout.print(table)
