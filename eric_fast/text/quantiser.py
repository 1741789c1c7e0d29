"""The atoms that compare something, from a program's text: norms of kernels, or columns of a table."""

import math

import numpy as np

from eric_fast.program import InputAtom, Quantiser
from eric_fast.program.table_atoms import KINDS, TEXT_KINDS, Column, TableAtom, TableQuantiser
from eric_fast.text.statements import REAL, Statements


def build_quantiser(said: Statements) -> tuple[Quantiser | TableQuantiser, dict[str, int]]:
    """The atoms that compare something, and the index of each predicate."""
    if not said.facts["column"]:
        for kind in ("compare", "among", "value", "missing"):
            for *_, at in said.facts[kind].values():
                raise said.error(at, f"'{kind}' needs a table, but there is no fact column(NUMBER,NAME,KIND)")
        atoms, atom_of_predicate = _build_atoms(said)
        return Quantiser(atoms, said.find_only("norm", "l1")), atom_of_predicate
    for *_, at in said.facts["kernel"].values():
        raise said.error(
            at, "a program is over kernels or over the columns of a table, not both; remove one kind of fact"
        )
    return _build_table(said)


def _build_atoms(said: Statements) -> tuple[tuple[InputAtom, ...], dict[str, int]]:
    """The atoms, layer by layer in the order in which layers first occur, and the index of each predicate."""
    facts = said.facts["kernel"].values()
    for predicate, _, at in said.facts["region"].values():
        if (predicate,) not in said.facts["kernel"]:
            raise said.error(at, f"there is no fact kernel({predicate},...)")
    place_of_layer: dict[str, int] = {}
    for fact in facts:
        place_of_layer.setdefault(fact[1], len(place_of_layer))
    in_order = sorted(facts, key=lambda fact: place_of_layer[fact[1]])
    atoms = []
    for predicate, *values, at in in_order:
        if not predicate.startswith("k_"):
            raise said.error(at, f"the predicate of a kernel must start with 'k_', unlike '{predicate}'")
        region = said.facts["region"].get((predicate,))
        layer, column, operator, constant = values
        atoms.append(InputAtom(layer, column, operator, constant, "" if region is None else region[1]))
        if not math.isfinite(atoms[-1].constant):
            raise said.error(
                at, f"the threshold {values[-1]!r} of {predicate} is larger than the largest float32 number"
            )
    return tuple(atoms), {fact[0]: index for index, fact in enumerate(in_order)}


def _build_table(said: Statements) -> tuple[TableQuantiser, dict[str, int]]:
    """The comparisons in the order in which they stand, and the index of each predicate.

    Raises:
        ProgramError: what is wrong, with its place.
    """
    columns = []
    for _, name, kind, at in said.list_numbered("column", "columns"):
        if kind not in KINDS:
            raise said.error(at, f"kind '{kind}' is not one of {', '.join(KINDS)}")
        columns.append(Column(name, kind))
    values: dict[str, list[tuple[str, int]]] = {}
    for predicate, text, at in said.facts["value"].values():
        if (predicate,) not in said.facts["among"]:
            raise said.error(at, f"'{predicate}' has a value but no fact among({predicate},COLUMN)")
        values.setdefault(predicate, []).append((text, at))
    missing = {predicate for predicate, _ in said.facts["missing"].values()}
    in_order = sorted([*said.facts["compare"].values(), *said.facts["among"].values()], key=lambda fact: fact[-1])
    atoms: list[TableAtom] = []
    atom_of_predicate: dict[str, int] = {}
    for predicate, number, *comparison, at in in_order:
        if not predicate.startswith("c_"):
            raise said.error(at, f"the predicate of a comparison must start with 'c_', unlike '{predicate}'")
        if not 0 <= number < len(columns):
            raise said.error(at, f"the table has only {len(columns)} columns, so no column {number}")
        if atom_of_predicate.setdefault(predicate, len(atoms)) < len(atoms):
            raise said.error(at, f"'{predicate}' is given for two comparisons; rename one")
        column = columns[number]
        if comparison:
            operator, constant = comparison[0], _round(comparison[1], column.kind)
            if operator == "in" or column.kind == "text":
                raise said.error(at, f"a set or a column of text needs among({predicate},{number}) and 'value' instead")
            atoms.append(TableAtom(number, column.name, operator, constant, predicate in missing))
        else:
            among = tuple(_read_value(said, *value, column.kind) for value in values.get(predicate, ()))
            atoms.append(TableAtom(number, column.name, "in", among, predicate in missing))
    for predicate, at in said.facts["missing"].values():
        if predicate not in atom_of_predicate:
            raise said.error(at, f"'{predicate}' is not a comparison")
    return TableQuantiser(tuple(atoms), tuple(columns)), atom_of_predicate


def _read_value(said: Statements, text: str, at: int, kind: str) -> float | str:
    if kind in TEXT_KINDS:
        return text
    if not REAL.fullmatch(text):
        raise said.error(at, f"the column holds numbers, but {text!r} is not a number")
    return _round(float(text), kind)


def _round(constant: float, kind: str) -> float:
    with np.errstate(over="ignore"):
        return float(np.float32(constant)) if kind == "float32" else constant
