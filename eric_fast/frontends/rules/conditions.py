"""Conjunctions of comparisons, from texts to the bodies of rules."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from eric_fast.errors import ModelError
from eric_fast.program import Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser

Condition = tuple[TableAtom, ...]
_TERM = re.compile(r"(\S+) (<=|>=|==|!=|<|>) (\S+)")


class Resolved(NamedTuple):
    """Conditions in a program's terms.

    Attributes:
        quantiser: their comparisons, each once.
        bodies: the literals of each condition.
        derived, rules: derived atoms and their rules; see `Program`.
    """

    quantiser: TableQuantiser
    bodies: list[tuple[int, ...]]
    derived: tuple[str, ...] = ()
    rules: tuple[Rule, ...] = ()


def parse_condition(text: str, place_of: Mapping[str, int], columns: Sequence[Column]) -> Condition:
    """The comparisons of a text such as `X_0 <= 2.5 and X_3 > 1e-05`; `X_0 == X_0` is always true.

    Args:
        place_of: name -> its column.

    Raises:
        ModelError: any other text.
    """
    comparisons = []
    for term in text.split(" and "):
        found = _TERM.fullmatch(term)
        if not found or found[1] not in place_of:
            raise ModelError(f"the rule '{text[:80]}' is not a conjunction of comparisons: '{term[:80]}'")
        name, operator, value = found.groups()
        if operator == "==" and value == name:
            continue
        try:
            constant = float(value)
        except ValueError as error:
            raise ModelError(f"the rule '{text[:80]}' compares with '{value[:80]}', which is not a number") from error
        column = place_of[name]
        comparisons.append(TableAtom(column, columns[column].name, operator, constant))
    return tuple(comparisons)


def resolve_conditions(columns: Sequence[Column], conditions: Sequence[Condition], *, single: bool = False) -> Resolved:
    """The atoms of these conditions.

    Args:
        single: whether each body is one literal, which can be negated: a comparison, or a derived atom `rule 1`,
            numbered by the condition.
    """
    place_of: dict[TableAtom, int] = {}
    bodies = [tuple(place_of.setdefault(atom, len(place_of)) for atom in dict.fromkeys(c)) for c in conditions]
    quantiser = TableQuantiser(tuple(place_of), tuple(columns))
    if not single:
        return Resolved(quantiser, bodies)
    literals: list[tuple[int, ...]] = []
    rules: list[Rule] = []
    for body in bodies:
        if len(body) != 1:
            rules.append(Rule(len(place_of) + len(rules), body))
        literals.append(body if len(body) == 1 else (rules[-1].head,))
    derived = tuple(f"rule {number}" for number, body in enumerate(bodies, 1) if len(body) != 1)
    return Resolved(quantiser, literals, derived, tuple(rules))
