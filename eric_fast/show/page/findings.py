"""What the analyses found, as the page reads it."""

from typing import Any

from eric_fast.analyse import Analysis, Effects, Subclasses
from eric_fast.show.page.document import pack_floats, pack_ints

FORCED = {"false": "when_false", "true": "when_true", "swapped": "when_swapped"}
FIGURES = ("fidelity", "accuracy", "changed")


def describe_effects(effects: Effects) -> dict[str, Any]:
    """What forcing each atom's bit does: columns over these atoms."""
    rows = [effects.row(i) for i in range(len(effects.atoms))]
    columns: dict[str, list[float]] = {
        "share_true": [row.share_true for row in rows],
        "p_value": [row.p_value for row in rows],
    }
    for short, name in FORCED.items():
        for figure in FIGURES:
            values = [getattr(getattr(row, name), figure) for row in rows]
            columns[f"{short}_{figure}"] = [float("nan") if value is None else value for value in values]
    packed = {name: pack_floats(values) for name, values in columns.items()}
    return {"atoms": pack_ints(effects.atoms), "packed": packed}


def describe_subclasses(subclasses: Subclasses) -> dict[str, Any]:
    """The images that class rules cover, as groups: an entry for each that was tested, by its class and rule."""
    rows = {
        f"{row.class_index} {row.rule}": {
            "nCovered": row.n_covered,
            "nOfClass": row.n_of_class,
            "shareOfClass": row.share_of_class,
            "cohesion": row.cohesion,
            "distinctness": row.distinctness,
            "effect": row.effect,
            "isFound": row.is_found(),
            "p": row.p_value,
        }
        for row in subclasses.rows
    }
    return {"rows": rows, "nPermutations": subclasses.n_permutations, "nLeftOut": subclasses.n_left_out}


def describe_symbols(analysis: Analysis) -> dict[str, dict[str, Any]]:
    """What kernels stand for, by their names: a class, and a sub-class by its rule (`rule 7`)."""
    found: dict[str, dict[str, Any]] = {}
    for kind, symbols in (("class", analysis.list_class_symbols()), ("rule", analysis.list_rule_symbols())):
        for symbol in symbols:
            own: dict[str, Any] = {
                "phi": symbol.phi,
                "precision": symbol.precision,
                "recall": symbol.recall,
                "p": symbol.p_value,
            }
            own |= {"isPrecise": symbol.is_precise, "trueFor": [list(pair) for pair in symbol.true_for]}
            found.setdefault(symbol.atom, {})[kind] = {"name": symbol.stands_for, **own}
    return found
