"""The comparisons of a table's columns in words, beside the values of one row."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from eric_fast.program import Program, atom_of
from eric_fast.program.table_atoms import TableAtom
from eric_fast.table.columns import is_missing

_OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}
_HOLDS = {"1", "1.0", "true"}  # the set of a column that a rule takes for a fact, as in bird(X)


class RowCondition(NamedTuple):
    """What rules say of one column.

    Attributes:
        column: its name.
        text: `20 < age <= 30`.
        value: that of the row, as given; None if it is missing.
    """

    column: str
    text: str
    value: Any

    def __str__(self) -> str:
        if self.value is None:
            return self.text  # which says so
        shown = spell_value(self.value)
        if isinstance(self.value, float) and shown in self.text.split():
            shown = spell_value(self.value, float(shown))
        return f"{self.text} (it is {shown})"


def spell_value(value: Any, beside: Any = None) -> str:
    """A number in six digits, or in as many as tell it from one `beside` it; whole ones in full; a text as it is."""
    if not isinstance(value, float):
        return str(value)
    if value == round(value, 0) and abs(value) < 1e15:
        return f"{value:.0f}"
    is_alone = not isinstance(beside, int | float) or beside == value
    n_digits = (n for n in (6, 9, 17) if is_alone or f"{value:.{n}g}" != f"{beside:.{n}g}")
    return f"{value:.{next(n_digits, 17)}g}"


def describe_comparison(atom: TableAtom, is_true: bool, value: Any = "") -> str:
    """`age > 12.5`, and where that is false `age <= 12.5`, or `age is missing` if the value is."""
    if is_missing(value):
        return f"{atom.feature} is missing"
    if isinstance(atom.constant, tuple):
        if set(atom.constant) == _HOLDS:
            return atom.feature if is_true else f"not {atom.feature}"
        values = " or ".join(map(spell_value, atom.constant))
        return f"{atom.feature} {'is' if is_true else 'is not'} {values}"
    operator = atom.operator if is_true else _OPPOSITE[atom.operator]
    return f"{atom.feature} {operator} {spell_value(atom.constant, value)}"


def list_conditions(program: Program, literals: Iterable[int], values: Sequence[Any]) -> list[RowCondition]:
    """The comparisons among these literals, all true of the row, one condition for each column.

    Args:
        values: of the row, by the program's columns; None where they are missing.
    """
    of_column: dict[int, list[tuple[TableAtom, bool]]] = {}
    for literal in literals:
        atom = program.atoms[atom_of(literal)]
        if isinstance(atom, TableAtom):
            of_column.setdefault(atom.column, []).append((atom, literal >= 0))
    return [RowCondition(tests[0][0].feature, _merge(tests, values[c]), values[c]) for c, tests in of_column.items()]


def _merge(tests: list[tuple[TableAtom, bool]], value: Any) -> str:
    """Of bounds the nearest on either side, as an interval; then whatever else is compared."""
    if is_missing(value):
        return f"{tests[0][0].feature} is missing"
    lower: tuple[float, str] | None = None
    upper: tuple[float, str] | None = None
    others: list[str] = []
    for atom, is_true in tests:
        operator = atom.operator if is_true else _OPPOSITE.get(atom.operator, "")
        constant = atom.constant
        if operator in (">", ">=") and not isinstance(constant, tuple):
            nearest = (constant, "<" if operator == ">" else "<=")
            lower = nearest if lower is None or (nearest[0], nearest[1] == "<") > (lower[0], lower[1] == "<") else lower
        elif operator in ("<", "<=") and not isinstance(constant, tuple):
            nearest = (constant, operator)
            upper = nearest if upper is None or (nearest[0], nearest[1] != "<") < (upper[0], upper[1] != "<") else upper
        else:
            others.append(describe_comparison(atom, is_true, value))
    name = tests[0][0].feature
    if lower and upper:
        low, high = spell_value(lower[0], value), spell_value(upper[0], value)
        others.insert(0, f"{low} {lower[1]} {name} {upper[1]} {high}")
    elif lower:
        others.insert(0, f"{name} {'>' if lower[1] == '<' else '>='} {spell_value(lower[0], value)}")
    elif upper:
        others.insert(0, f"{name} {upper[1]} {spell_value(upper[0], value)}")
    return " and ".join(dict.fromkeys(others))
