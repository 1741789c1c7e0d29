"""From clauses of other tools to a `Program`: finds which predicates are columns, derived atoms, or the class."""

import logging
import re
from collections.abc import Sequence
from typing import NamedTuple

from eric_fast.errors import EricError, ProgramError, suggest_nearest
from eric_fast.frontends.rules.asp_class import choose_class
from eric_fast.frontends.rules.asp_reader import Reader
from eric_fast.frontends.rules.asp_sums import Clause, Sum
from eric_fast.frontends.rules.asp_terms import (
    SAMPLE_NAMES,
    Bare,
    Head,
    Number,
    Predicate,
    Term,
    Variable,
    VariableTest,
    key_predicate,
    spell_term,
)
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.data import map_literals
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.program.weight_bodies import WeightBody, find_sum_fault
from eric_fast.table import match_name

HOLDS = ("1", "1.0", "true")  # what a column holds where `name(X)` is true
_AUXILIARY = re.compile(r"(?:ab|rule)\d+")  # names that these tools give to derived predicates
_DERIVED = 2**40  # before atoms are numbered: input atoms count from 0, derived ones from here

logger = logging.getLogger(__name__)


class Built(NamedTuple):
    """A program, and the names of its last columns, which rules define too and which a table may lack."""

    program: Program
    optional: tuple[str, ...]


def build_program(reader: Reader, columns: Sequence[str] | None, class_predicate: str | None) -> Built:
    """The program that the clauses make.

    Raises:
        ProgramError: all errors of the text, each with its place.
    """
    reader.raise_errors()  # later errors could be due to clauses that were not read
    builder = _Builder(reader, columns)
    builder.collect_heads()
    reader.raise_errors()
    chosen = None
    if class_predicate is not None or not (reader.is_propositional and reader.clauses):
        chosen = choose_class(reader.source, builder.heads, builder.mentioned, class_predicate)
    try:
        return builder.build(chosen)
    except ProgramError as error:
        if str(error).startswith(f"{reader.source}:"):
            raise
        raise ProgramError(f"{reader.source}: {error}") from error


class _Builder:
    """The columns, atoms and derived atoms of a program while it is built."""

    def __init__(self, reader: Reader, columns: Sequence[str] | None) -> None:
        self.reader = reader
        self.given = columns
        self.heads: dict[Head, int] = {}  # predicate -> its index among derived atoms
        self.mentioned: set[str] = set()  # those that bodies mention
        self.names: list[str] = list(columns or ())
        self.column_of: dict[str, int] = {}
        self.valued: set[str] = set()  # predicates that rules define with a value
        self.samples: set[str] = set()  # predicates that only bind X
        self.unknown: set[str] = set()  # derived predicates without a rule
        self.texts: set[int] = set()  # columns that are compared with texts
        self.atoms: dict[TableAtom, int] = {}
        self.sums: dict[WeightBody, tuple[Head, WeightBody]] = {}  # those with an atom of their own
        # Literal -> its sample and atoms, for those that depend on no other; equal literals are one object.
        self.stated: dict[int, tuple[Term, tuple[int, ...]]] = {}

    def collect_heads(self) -> None:
        """Find the predicates that rules define and that bodies mention; adds the errors of heads."""
        for head, at, *_ in self.reader.clauses:
            if not isinstance(head.sample, Variable) or head.sample == "_":
                found = spell_term(head.sample)
                self.reader.add_error(at, f"expected a variable for the sample in '{head.name}', got '{found}'")
            elif isinstance(head.value, Variable):
                self.reader.add_error(at, f"expected a constant as the value of '{head.name}', got '{head.value}'")
            else:
                self.heads.setdefault(key_predicate(head), len(self.heads))
        self.valued = {name for name, value in self.heads if value is not None}
        negated: set[str] = set()
        undefined: set[str] = set()
        for literal in self.reader.literals.values():
            if isinstance(literal, VariableTest):
                continue
            if literal.name in self.valued if literal.value is not None else (literal.name, None) in self.heads:
                self.mentioned.add(literal.name)
            elif literal.value is None:
                undefined.add(literal.name)
                if literal.negated:
                    negated.add(literal.name)
        if self.reader.is_propositional:
            return  # every atom is a column
        undefined -= set(self.given or ())
        self.samples = undefined & SAMPLE_NAMES - negated
        if self.samples:
            shown = ", ".join(f"'{name}(X)'" for name in sorted(self.samples))
            logger.warning("%s: ignored %s, which only binds X", self.reader.source, shown)
        self.unknown = {name for name in undefined if _AUXILIARY.fullmatch(name)}

    def build(self, chosen: tuple[str, bool] | None) -> Built:
        """The program for this class, or the one that answers with the truth of each head if there is none."""
        name, has_value = chosen or ("", False)
        classes: dict[str, int] = {}
        class_bodies: list[tuple[int, WeightBody, float | None]] = []
        bodies: list[tuple[Head, WeightBody]] = []
        settled: set[int] = set()  # literals that are false if no class rule so far fired
        is_read = name in self.mentioned
        for place, clause in enumerate(self.reader.clauses):
            body = self._read_body(clause)
            is_class = clause.head.name == name and (clause.head.value is not None) == has_value
            if not is_class or is_read:
                bodies.append((key_predicate(clause.head), body))
            if is_class:
                text = clause.head.name if clause.head.value is None else spell_term(clause.head.value)
                if not body.bound:
                    kept = tuple(lit for lit in body.literals if not (~lit in settled and lit <= ~_DERIVED))
                    settled.update(kept if len(kept) == 1 else ())
                    body = WeightBody(kept)
                confidence = self.reader.confidences.get(place)
                class_bodies.append((classes.setdefault(text, len(classes)), body, confidence))
        self.reader.raise_errors()
        n_columns = len(self.names)
        bodies += [*self.sums.values(), *self._list_facts(name)]
        defined = dict.fromkeys(head for head, _ in bodies)
        atom_of_head = {head: atom for atom, head in enumerate(defined, len(self.atoms))}
        places = {_DERIVED + self.heads[head]: atom for head, atom in atom_of_head.items()}
        places |= {atom: atom for atom in range(len(self.atoms))}
        heads = dict.fromkeys(key_predicate(clause.head) for clause in self.reader.clauses) if chosen is None else ()
        columns = [Column(name, "loose" if i in self.texts else "float64") for i, name in enumerate(self.names)]
        program = Program(
            TableQuantiser(tuple(self.atoms), tuple(columns)),
            tuple(classes),
            tuple(
                ClassRule(
                    head,
                    map_literals(body.literals, places),
                    weights=body.weights,
                    bound=body.bound,
                    given_confidence=confidence,
                )
                for head, body, confidence in class_bodies
            ),
            tuple(
                Rule(atom_of_head[head], map_literals(body.literals, places), weights=body.weights, bound=body.bound)
                for head, body in bodies
            ),
            decision=Decision.BITS if chosen is None else Decision.FIRST,
            derived=tuple(name if value is None else f"{name}({value})" for name, value in defined),
            outputs=tuple((head[0], atom_of_head[head]) for head in heads),
        )
        return Built(program, tuple(self.names[n_columns:]))

    def _list_facts(self, class_name: str) -> list[tuple[Head, WeightBody]]:
        """For each predicate that may be a column as well: it holds where the column says so."""
        own = {head for head, _ in self.sums.values()}  # of sums that have an atom
        facts = []
        for head in self.heads:
            name, value = head
            may_be_column = self.given is None or name in self.given
            if may_be_column and head not in own and name != class_name and not _AUXILIARY.fullmatch(name):
                facts.append((head, WeightBody(self._add(False, name, HOLDS if value is None else (value,)))))
        return facts

    def _read_body(self, clause: Clause) -> WeightBody:
        """Its literals, in order, each once, or the sum that it is; adds the errors of the body."""
        sample = clause.head.sample
        bound = compared = None
        body: list[int] = []
        for number, literal in enumerate(clause.body):
            known = self.stated.get(id(literal))
            if known is not None and known[0] == sample:
                body += known[1]
                continue
            if bound is None or compared is None:
                bound, compared = self._bind(clause)
            try:
                if isinstance(literal, Sum):
                    halves = self._weigh(literal, sample)
                    if len(clause.body) == len(halves) == 1 and not literal.negated:
                        return halves[0]
                    body += self._derive_sums(halves, literal.negated)
                elif isinstance(literal, VariableTest):
                    body += self._compare(literal, bound.get(literal.variable))
                elif not isinstance(literal.sample, Variable) or literal.sample != sample:
                    raise ProgramError(f"expected '{sample}', as in the head, got '{spell_term(literal.sample)}'")
                elif not self._only_binds(literal, compared):
                    found = self._state(literal)
                    body += found
                    if not isinstance(literal.value, Variable):
                        self.stated[id(literal)] = (sample, found)
            except EricError as error:
                self.reader.add_error(self.reader.find_literal(clause, number), str(error))
        return WeightBody(tuple(dict.fromkeys(body)))

    def _weigh(self, found: Sum, sample: Term) -> list[WeightBody]:
        """The bounds of a sum, one or two; a literal that stands several times weighs the sum of its weights."""
        halves = []
        for terms, bound in found.list_halves():
            weights: dict[int, int] = {}
            for weight, fact in terms:
                if fact.sample != sample:
                    raise ProgramError(f"expected '{sample}', as in the head, got '{spell_term(fact.sample)}'")
                for literal in self._state(fact):
                    weights[literal] = weights.get(literal, 0) + weight
            halves.append(WeightBody(tuple(weights), tuple(weights.values()), bound))
        kept = [half for half in halves if half.bound >= 1] or halves  # of two one may be true always
        for half in kept:
            if (fault := find_sum_fault(half.weights, half.bound)) is not None:
                raise ProgramError(fault)
        return kept

    def _derive_sums(self, halves: list[WeightBody], negated: bool) -> tuple[int, ...]:
        """The literals that these sums reach their bounds or, if negated, that one of them doesn't."""
        atoms = tuple(self._derive_body(half) for half in halves)
        if not negated:
            return atoms
        return (~(atoms[0] if len(atoms) == 1 else self._derive_body(WeightBody(atoms))),)

    def _derive_body(self, body: WeightBody) -> int:
        """An atom that is true where this body is."""
        head = self.sums.setdefault(body, ((f"sum {len(self.sums) + 1}", None), body))[0]
        return self.heads.setdefault(head, len(self.heads)) + _DERIVED

    def _only_binds(self, fact: Predicate, compared: set[Variable]) -> bool:
        """Whether it only binds a variable that this body compares."""
        is_variable = isinstance(fact.value, Variable) and fact.value in compared
        return is_variable and not fact.negated and fact.name not in self.valued

    def _bind(self, clause: Clause) -> tuple[dict[Variable, str], set[Variable]]:
        """The column that each variable of a body stands for, and the variables that are compared."""
        bound: dict[Variable, str] = {}
        compared: set[Variable] = set()
        for number, literal in enumerate(clause.body):
            if isinstance(literal, VariableTest):
                compared.add(literal.variable)
            elif isinstance(literal, Sum):
                continue
            elif isinstance(literal.value, Variable) and literal.value != "_" and not literal.negated:
                other = bound.setdefault(literal.value, literal.name)
                if other != literal.name:
                    message = f"expected a variable of its own for '{literal.name}', got that of '{other}'"
                    self.reader.add_error(self.reader.find_literal(clause, number), message)
        return bound, compared

    def _state(self, fact: Predicate) -> tuple[int, ...]:
        """The literals of a predicate."""
        value = fact.value
        if value is not None and fact.name in self.valued:
            if isinstance(value, Variable):
                raise ProgramError(f"expected a constant as the value of '{fact.name}', got '{value}'")
            return self._derive(fact)
        if value is None:
            if (fact.name, None) in self.heads:
                return self._derive(fact)
            if fact.name in self.unknown:
                raise ProgramError(f"expected a rule for '{fact.name}(X)', got none")
            return () if fact.name in self.samples else self._add(fact.negated, fact.name, HOLDS)
        if isinstance(value, Variable):
            if value == fact.sample or (fact.negated and value != "_"):
                raise ProgramError(f"expected '_' or a constant as the value of '{fact.name}', got '{value}'")
            return self._add(not fact.negated, fact.name, (), missing=True)
        if isinstance(value, Number):
            return self._add_number(fact.negated, fact.name, "==", value.value)
        if isinstance(value, Bare) and value == "null":  # how FOLD-RM writes an empty value
            return self._add(fact.negated, fact.name, ("", "null"), missing=True)
        return self._add(fact.negated, fact.name, (str(value),))

    def _compare(self, literal: VariableTest, name: str | None) -> tuple[int, ...]:
        """The literals of a comparison with column `name`; it is false if the value is missing, negated or not."""
        if name is None:
            raise ProgramError(f"expected a literal such as age(X,{literal.variable}) in this body too, got none")
        if name in self.valued:
            raise ProgramError(f"expected a constant as the value of '{name}', got '{literal.variable}'")
        constant, negated = literal.constant, literal.negated
        if isinstance(constant, Number):
            found = self._add_number(negated, name, literal.operator, constant.value)
        else:
            negated = negated != (literal.operator == "!=")
            found = self._add(negated, name, (str(constant),))
        return (*self._add(True, name, (), missing=True), *found) if negated else found

    def _derive(self, fact: Predicate) -> tuple[int, ...]:
        head = key_predicate(fact)
        if head not in self.heads:
            known = [f"{name}(X,'{value}')" for name, value in self.heads if name == fact.name]
            raise ProgramError(f"expected a rule for {head[0]}(X,'{head[1]}'), got none{suggest_nearest('', known)}")
        place = self.heads[head] + _DERIVED
        return (~place if fact.negated else place,)

    def _add(self, negated: bool, name: str, values: tuple[str, ...], *, missing: bool = False) -> tuple[int, ...]:
        column = self._column(name)
        self.texts.add(column)
        return self._number(negated, TableAtom(column, self.names[column], "in", values, missing))

    def _add_number(self, negated: bool, name: str, operator: str, constant: float) -> tuple[int, ...]:
        column = self._column(name)
        return self._number(negated, TableAtom(column, self.names[column], operator, constant))

    def _number(self, negated: bool, atom: TableAtom) -> tuple[int, ...]:
        index = self.atoms.setdefault(atom, len(self.atoms))
        return (~index if negated else index,)

    def _column(self, name: str) -> int:
        """The index of the column of this name; it is added if columns weren't given."""
        if name not in self.column_of:
            if self.given is None:
                self.names.append(name)
                self.column_of[name] = len(self.names) - 1
            else:
                self.column_of[name] = match_name(name, self.given)
        return self.column_of[name]
