"""What the analyses found, as the page reads it."""

from typing import Any

from eric_fast.analyse import Effects
from eric_fast.page.document import pack_floats

FORCED = {"false": "when_false", "true": "when_true", "swapped": "when_swapped"}
FIGURES = ("fidelity", "accuracy", "changed")


def describe_effects(effects: Effects) -> dict[str, Any]:
    """What forcing each atom's bit does: columns over the atoms from `first` up."""
    rows = [effects.row(i) for i in range(len(effects.atoms))]
    columns: dict[str, list[float]] = {
        "share_true": [row.share_true for row in rows],
        "p_value": [row.p_value for row in rows],
    }
    for short, name in FORCED.items():
        for figure in FIGURES:
            values = [getattr(getattr(row, name), figure) for row in rows]
            columns[f"{short}_{figure}"] = [float("nan") if value is None else value for value in values]
    first = int(effects.atoms[0]) if len(rows) else 0
    return {"first": first, "packed": {name: pack_floats(values) for name, values in columns.items()}}
