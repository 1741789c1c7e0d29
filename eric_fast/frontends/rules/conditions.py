"""Conjunctions of comparisons that a source writes as text or data: as bodies, and as literals that can be negated."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eric_fast.errors import ModelError
from eric_fast.program import Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser

Condition = tuple[TableAtom, ...]
TERM = re.compile(r"(\S+) (<=|>=|==|!=|<|>) (\S+)")


class Resolved(NamedTuple):
    """Conditions in a program's terms.

    Attributes:
        quantiser: their comparisons, each once.
        bodies: of each condition its comparisons.
        literals: of each condition the atom that is true where it holds: a comparison, or a derived one.
        derived, rules: the derived atoms and what they are.
    """

    quantiser: TableQuantiser
    bodies: list[tuple[int, ...]]
    literals: list[int]
    derived: tuple[str, ...]
    rules: tuple[Rule, ...]


def parse_condition(text: str, place_of: Mapping[str, int], columns: Sequence[Column]) -> Condition:
    """`X_0 <= 2.5 and X_3 > 1e-05`; `X_0 == X_0` is always true.

    Args:
        place_of: which column a name stands for.

    Raises:
        ModelError: anything else.
    """
    comparisons = []
    for term in text.split(" and "):
        found = TERM.fullmatch(term)
        if not found or found[1] not in place_of:
            raise ModelError(f"the rule '{text[:80]}' is no conjunction of comparisons: '{term[:80]}'")
        name, operator, value = found.groups()
        if operator == "==" and value == name:
            continue
        try:
            constant = float(value)
        except ValueError as error:
            raise ModelError(f"the rule '{text[:80]}' compares with '{value[:80]}', which is no number") from error
        column = place_of[name]
        comparisons.append(TableAtom(column, columns[column].name, operator, constant))
    return tuple(comparisons)


def resolve_conditions(columns: Sequence[Column], conditions: Sequence[Condition]) -> Resolved:
    """The atoms of these conditions; a derived one is called `rule 1`, by its place."""
    place_of: dict[TableAtom, int] = {}
    bodies = [tuple(place_of.setdefault(atom, len(place_of)) for atom in dict.fromkeys(c)) for c in conditions]
    derived: list[str] = []
    rules: list[Rule] = []
    literals = []
    for number, body in enumerate(bodies, 1):
        if len(body) == 1:
            literals.append(body[0])
            continue
        literals.append(len(place_of) + len(derived))
        derived.append(f"rule {number}")
        rules.append(Rule(literals[-1], body))
    return Resolved(TableQuantiser(tuple(place_of), tuple(columns)), bodies, literals, tuple(derived), tuple(rules))
