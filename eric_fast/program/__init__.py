"""Programs: what a program is, its atoms and rules, and what can be asked of it."""

from eric_fast.program.data import ClassRule, ClassRules, DerivedAtom, Program, Rule, atom_of

__all__ = ["ClassRule", "ClassRules", "DerivedAtom", "Program", "Rule", "atom_of"]
