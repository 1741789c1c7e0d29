"""Programs: what a program is, its atoms and rules, and what can be asked of it."""

from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.class_rules import ClassRules
from eric_fast.program.data import DerivedAtom, atom_of
from eric_fast.program.decision import Decision
from eric_fast.program.program import Program
from eric_fast.program.rules import ClassRule, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableAtoms, TableQuantiser

__all__ = [
    "ClassRule",
    "ClassRules",
    "Column",
    "Decision",
    "DerivedAtom",
    "InputAtom",
    "Program",
    "Quantiser",
    "Rule",
    "TableAtom",
    "TableAtoms",
    "TableQuantiser",
    "atom_of",
]
