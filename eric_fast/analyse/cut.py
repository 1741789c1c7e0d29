"""Cut: the part of a program above one of its levels, with the truth of what lies below given."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from eric_fast.evaluator import Evaluator
from eric_fast.program import Program, atom_of
from eric_fast.program.simplify import find_mentioned


def take_part(program: Program, start: str | None) -> Program:
    """The program from layer `start` (the lowest by default) up, as `Program.start_at` gives it.

    Raises:
        ProgramError: no such layer, the program can't start there, or it doesn't answer with a class.
    """
    program.expect_class("an analysis")
    return program.start_at(start) if program.layers else program


def list_part(program: Program, start: str | None) -> NDArray[np.int64]:
    """The atoms of `take_part(program, start)`, in its order, by their indices in `program`: int64 `[n]`."""
    return np.array([*program.list_given(start), *program.list_derivable(start)], np.int64)


@dataclass(frozen=True, eq=False)
class Cut:
    """The part of a program above one of its levels.

    Attributes:
        evaluator: takes the truth of `given`, and answers as the whole program does.
        given: int64 `[n_inputs]`: which atom each input is.
        level: the places in `given` of the atoms of this level. No other input depends on them.
    """

    evaluator: Evaluator
    given: NDArray[np.int64]
    level: list[int]


def list_cuts(program: Program, engine: str = "auto") -> Iterator[Cut]:
    """One for each level: the atoms without rules first, then stratum by stratum.

    Together their levels are all atoms that classes build on. When the truth of the others is given, an atom of the
    level can be set to anything: what depends on it lies above the cut and follows; what it depends on stays.
    """
    level_of = np.zeros(len(program.atoms), np.int64)
    for level, atoms in enumerate(program.strata, 1):
        level_of[list(atoms)] = level
    mentioned = sorted(find_mentioned(program))
    of_classes = np.unique(program.class_arrays.atoms).tolist()
    for level in np.unique(level_of[mentioned]).tolist():
        above = [atom for atom in mentioned if level_of[atom] > level]
        rules = (rule for atom in above for rule in program.rules_of_atom[atom])
        needed = {atom_of(literal) for rule in rules for literal in rule.body}.union(of_classes)
        given = np.array(sorted(atom for atom in needed if level_of[atom] <= level), np.int64)
        names = [program.atoms[atom].name for atom in given.tolist()]
        places = np.flatnonzero(level_of[given] == level).tolist()
        yield Cut(Evaluator(program, given=names, engine=engine), given, places)
