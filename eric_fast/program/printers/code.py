"""What printing a program as code needs in any language: identifiers, conditions, and which atoms are needed."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from eric_fast.program.atoms import InputAtom
from eric_fast.program.data import ProgramData, atom_of
from eric_fast.program.printers.names import name_predicates, spell_apart
from eric_fast.program.rules import Rule
from eric_fast.program.table_atoms import TEXT_KINDS, Column, TableAtom, TableQuantiser

_WIDTH = 100  # characters of a condition, from which on it is broken
OPPOSITE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}


@dataclass(frozen=True)
class Syntax:
    """How a language writes conditions.

    Attributes:
        conjunction, disjunction, negation, true, false: `and`, `or`, `not {}` and so on; `{}` is always an operand.
        compare: an identifier, an operator (not `!=`) and a number to a condition, false where the value is missing.
        among: an identifier, a set and whether its values are texts to one, false where the value is missing.
        lacks: an identifier and whether it is of a text to one that is true where the value is missing.
    """

    conjunction: str
    disjunction: str
    negation: str
    true: str
    false: str
    compare: Callable[[str, str, float], str]
    among: Callable[[str, Sequence[float | str], bool], str]
    lacks: Callable[[str, bool], str]


@dataclass(frozen=True)
class Value:
    """A number or a text that the code reads: the value of a column or the norm of a kernel.

    Attributes:
        name: its identifier.
        place: where it stands in a row.
        label: what the source calls it.
        kind: of a `Column`; a `loose` one is read as a number, or as `text_of` the only one of these that it may be.
    """

    name: str
    place: int
    label: str
    kind: str
    texts: tuple[str, ...] = ()


class Code:
    """A program's atoms as conditions of a language.

    Attributes:
        program: what is printed.
        values: what is read, in the order of a row.
        columns: of the table; empty for a program over a network.
        labels: what a row holds, by the source's names.
        derived: the derived atoms that something is built on, in an order in which they can be found.
    """

    def __init__(self, program: ProgramData, syntax: Syntax) -> None:
        self.program = program
        self.syntax = syntax
        self.n_given = program.n_given
        self.predicates = name_predicates(program)
        quantiser = program.quantiser
        self.columns: tuple[Column, ...] = ()
        if isinstance(quantiser, TableQuantiser):
            self.columns = quantiser.columns
            self.labels = [column.name for column in self.columns]
            self._identifiers = [f"c_{name}" for name in spell_apart(self.labels)]
        else:
            self.labels = [atom.name for atom in quantiser.atoms[: self.n_given]]
            self._identifiers = list(self.predicates)
        needed = self._find_needed()
        strata = program.strata
        with_rules = [atom for stratum in strata for atom in stratum if needed[atom]]
        rest = [atom for atom in range(self.n_given, len(needed)) if needed[atom] and atom not in program.rules_of_atom]
        self.derived = rest + with_rules
        self.values = self._list_values([atom for atom in range(self.n_given) if needed[atom]])
        self._negated = set(program.negated)
        self._literals: dict[int, str] = {}

    def _find_needed(self) -> list[bool]:
        program = self.program
        needed = [False] * len(program.atoms)
        pending = [atom_of(literal) for literal in set(program.class_arrays.literals.tolist())]
        pending += [atom for _, atom in program.outputs]
        while pending:
            atom = pending.pop()
            if not needed[atom]:
                needed[atom] = True
                pending += {atom_of(literal) for rule in program.rules_of_atom.get(atom, ()) for literal in rule.body}
        return needed

    def _list_values(self, atoms: Iterable[int]) -> list[Value]:
        """What these comparisons read; a loose column may be read as both."""
        columns = self.columns
        texts: dict[int, dict[str, None]] = {}  # of each column all that the program knows, used or not
        found: dict[str, Value] = {}
        for atom in self.program.atoms:
            if not isinstance(atom, TableAtom) or columns[atom.column].kind not in TEXT_KINDS:
                continue
            if isinstance(atom.constant, tuple):
                texts.setdefault(atom.column, {}).update(dict.fromkeys(map(str, atom.constant)))
        for index in atoms:
            atom = self.program.atoms[index]
            assert isinstance(atom, InputAtom | TableAtom)
            name = self._name_value(index)
            if isinstance(atom, InputAtom):
                found[name] = Value(name, index, atom.name, "float32")
            elif atom.constant != () or atom.missing:
                kind = columns[atom.column].kind
                known = tuple(texts[atom.column]) if atom.operator == "in" and kind in TEXT_KINDS else ()
                found[name] = Value(name, atom.column, atom.feature, kind, known)
        return sorted(found.values(), key=lambda value: (value.place, value.name))

    def _name_value(self, index: int) -> str:
        atom = self.program.atoms[index]
        if not isinstance(atom, TableAtom):
            return self._identifiers[index]
        is_loose = self.columns[atom.column].kind == "loose"
        return ("w" if is_loose and atom.operator == "in" else "") + self._identifiers[atom.column]

    @property
    def reads_texts(self) -> bool:
        """Whether a row holds texts."""
        return any(value.kind in TEXT_KINDS for value in self.values)

    def name_answers(self) -> tuple[str, Sequence[str]]:
        """What answers: `outputs` or `classes`, and the names of these."""
        program = self.program
        if program.decision.gives_bits:
            return "outputs", [name for name, _ in program.outputs]
        return "classes", program.classes

    def name_derived(self, atom: int) -> str:
        return self.predicates[atom]

    def write_literal(self, literal: int) -> str:
        """A condition that can stand in a conjunction."""
        if literal not in self._literals:
            self._literals[literal] = self._write_literal(literal)
        return self._literals[literal]

    def _write_literal(self, literal: int) -> str:
        atom, negated = atom_of(literal), literal < 0
        if atom >= self.n_given:
            condition = self.predicates[atom]
        else:
            condition, is_opposite = self._write_comparison(atom)
            negated ^= is_opposite
        return self.syntax.negation.format(condition) if negated else condition

    def _write_comparison(self, index: int) -> tuple[str, bool]:
        """A condition, and whether the atom is its opposite: of one that is true of missing values it is."""
        atom, name, syntax = self.program.atoms[index], self._name_value(index), self.syntax
        assert isinstance(atom, InputAtom | TableAtom)
        missing = isinstance(atom, TableAtom) and atom.missing
        if isinstance(atom.constant, tuple):
            is_text = self.columns[atom.column].kind in TEXT_KINDS
            parts = [syntax.among(name, atom.constant, is_text)] if atom.constant else []
            parts += [syntax.lacks(name, is_text)] if missing else []
            return (f"({syntax.disjunction.join(parts)})" if len(parts) > 1 else (parts or [syntax.false])[0]), False
        operator = OPPOSITE[atom.operator] if missing else atom.operator
        if operator != "!=":
            return syntax.compare(name, operator, atom.constant), missing
        unequal = [syntax.compare(name, side, atom.constant) for side in "<>"]  # != holds of what is missing
        return f"({syntax.disjunction.join(unequal)})", missing

    def write_body(self, rule: Rule, indent: str) -> str:
        """The condition of a rule's body, in lines where it is long: truth is 1 in a sum."""
        literals = [self.write_literal(literal) for literal in rule.body]
        if rule.bound:
            terms = [f"{weight} * ({literal})" for weight, literal in zip(rule.weights, literals, strict=True)]
            return f"({self._join(terms, ' + ', indent)} >= {rule.bound})"
        return self._join(literals, self.syntax.conjunction, indent) or self.syntax.true

    def write_derived(self, atom: int, indent: str) -> str:
        """The condition of a derived atom."""
        rules = self.program.rules_of_atom.get(atom, ())
        bodies = [self.write_body(rule, indent + "    ") for rule in rules]
        if len(rules) > 1:
            bodies = [
                f"({text})" if len(rule.body) > 1 and not rule.bound and not text.startswith("(\n") else text
                for rule, text in zip(rules, bodies, strict=True)
            ]
        condition = self._join(bodies, self.syntax.disjunction, indent) or self.syntax.false
        if atom not in self._negated:
            return condition
        is_closed = condition.startswith("(\n") and not (len(rules) == 1 and rules[0].bound)
        return self.syntax.negation.format(condition if is_closed else f"({condition})")

    def _join(self, parts: Sequence[str], operator: str, indent: str) -> str:
        joined = operator.join(parts)
        if len(parts) < 2 or (len(joined) <= _WIDTH and "\n" not in joined):
            return joined
        lines = f"\n{indent}    {operator.strip()} ".join(parts)
        return f"(\n{indent}    {lines}\n{indent})"
