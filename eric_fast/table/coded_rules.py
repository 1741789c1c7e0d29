"""`CodedRules`: a decision list whose comparisons are looked up by the codes of values."""

from functools import cache
from typing import NamedTuple

import numpy as np

from eric_fast.program import Program
from eric_fast.program.table_atoms import TableAtom
from eric_fast.table.number_tests import list_number_tests
from eric_fast.table.value_codes import MOST_CODES, NumberCodes, TextCodes


class ComparedColumn(NamedTuple):
    """A column as texts or as numbers. `column`: its index in the program; `codes`: of its values."""

    column: int
    codes: TextCodes | NumberCodes


class CodedTest(NamedTuple):
    """A comparison. `place`: of its column among `CodedRules.columns`; `truths`: of each code, as digits."""

    place: int
    truths: bytes


class CodedRules:
    """The rules of a program, of which the first that fires decides.

    Attributes:
        columns: those that are compared.
        tests: the comparisons, by the atom.
        class_rules: head and body of each.
        bodies_of: of each derived atom.
        negated: derived atoms that hold where no body does.
        default: the class where no rule fires, or -1.
        reads_all: whether numbers in a column of texts are refused, whether a rule asks for it or not.
        is_sound: whether a byte holds the codes of each column.
    """

    def __init__(self, program: Program) -> None:
        self.columns: list[ComparedColumn] = []
        self.tests: dict[int, CodedTest] = {}
        self._list_text_tests(program)
        self._list_number_tests(program)
        self.class_rules = [(rule.head, rule.body) for rule in program.class_rules]
        self.bodies_of = {atom: [rule.body for rule in rules] for atom, rules in program.rules_of_atom.items()}
        self.negated = frozenset(program.negated)
        self.default = -1 if program.default is None else program.default
        kinds = [column.kind for column in program.table_quantiser.columns]
        self.reads_all = any(kinds[column.column] == "text" for column in self.columns)
        self.is_sound = all(column.codes.n_codes <= MOST_CODES for column in self.columns)

    def count_steps(self) -> int:
        """How many literals are tested on a row at most, where nothing that was found is kept."""

        @cache
        def count(atom: int) -> int:
            return 1 + sum(count(max(i, ~i)) for body in self.bodies_of.get(atom, ()) for i in body)

        return sum(count(max(i, ~i)) for _, body in self.class_rules for i in body)

    def _list_text_tests(self, program: Program) -> None:
        sets: dict[int, list[int]] = {}
        for index, atom in enumerate(program.quantiser.atoms):
            if isinstance(atom, TableAtom) and atom.operator == "in":
                sets.setdefault(atom.column, []).append(index)
        for column, indices in sets.items():
            atoms = [atom for atom in map(program.quantiser.atoms.__getitem__, indices) if isinstance(atom, TableAtom)]
            codes = TextCodes(atoms, loose=program.table_quantiser.columns[column].kind == "loose")
            for index, atom in zip(indices, atoms, strict=True):
                self.tests[index] = CodedTest(len(self.columns), codes.make_truths(atom))
            self.columns.append(ComparedColumn(column, codes))

    def _list_number_tests(self, program: Program) -> None:
        tests = list_number_tests(program.table_quantiser.atoms)
        for column in np.unique(tests.columns).tolist():
            of_column = np.flatnonzero(tests.columns == column)
            kind = program.table_quantiser.columns[column].kind
            codes = NumberCodes(tests.constants[of_column].tolist(), loose=kind == "loose")
            for test in of_column.tolist():
                truths = codes.make_truths(float(tests.constants[test]), int(tests.operators[test]))
                self.tests[int(tests.rows[test])] = CodedTest(len(self.columns), truths)
            self.columns.append(ComparedColumn(column, codes))
