"""Cut: a program in levels, and the part of it above a level with the truth of what lies below given."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.compile.program import compile_program
from eric_fast.errors import ProgramError
from eric_fast.plan import Plan
from eric_fast.program import Program, Rule, atom_of
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.simplify import find_mentioned


@dataclass(frozen=True, eq=False)
class Run:
    """A program run once over samples.

    Attributes:
        program: from the start layer up.
        shift: how many atoms of the whole program lie below: atom `a` of `program` is its atom `a + shift`.
        words: int32 `[n_atoms, n_words]`: the truth of each atom of `program`, in its order.
        n_samples: how many samples the words hold.
        classes: int32 `[n_samples]`: the answers, -1 for none.
        fires: int64 `[n_kernel_rules + n_class_rules]`: on how many samples each rule fires, in the program's order.
    """

    program: Program
    shift: int
    words: Tensor
    n_samples: int
    classes: Tensor
    fires: Tensor


def run_program(program: Program, bits: BitMatrix, start: str | None, engine: str = "auto") -> Run:
    """Everything that the program says of these samples, from the bits of layer `start` (the lowest by default).

    Raises:
        ProgramError: no such layer, the program can't start there, or it answers with no class.
    """
    if program.decision not in ("first", "vote"):
        raise ProgramError(f"the program's decision is '{program.decision}'; only programs that answer with a class")
    shift = program.quantiser.rows_of_layer[program.layer_to_start(start)].start if program.layers else 0
    part = program.start_at(start) if program.layers else program
    plan = compile_program(part)
    inputs = bits.select_atoms([part.atoms[atom].name for atom in plan.atoms[: plan.n_inputs].tolist()])
    outcome = kernels.evaluate(
        plan, inputs.words, bits.n_samples, engine=engine, rules=False, counts=True, rows=range(plan.n_rows)
    )
    assert outcome.classes is not None
    assert outcome.rows is not None
    assert outcome.counts is not None
    words = torch.empty_like(outcome.rows)
    words[plan.atoms.to(words.device)] = outcome.rows
    # The plan has the rules for kernels by the stratum of their head
    of_head: dict[int, list[int]] = {}
    for number, rule in enumerate(part.kernel_rules):
        of_head.setdefault(rule.head, []).append(number)
    order = [number for atoms in part.strata for atom in atoms for number in of_head[atom]]
    fires = outcome.counts.cpu()
    fires[torch.tensor(order, dtype=torch.int64)] = fires[: len(order)].clone()
    return Run(part, shift, words, bits.n_samples, outcome.classes, fires)


@dataclass(frozen=True, eq=False)
class Cut:
    """The part of a program above one of its levels.

    Attributes:
        plan: takes the truth of `given`, and answers as the whole program does.
        given: int64 `[n_inputs]`: which atom each input is.
        level: int64 `[n]`: places in `given` of the atoms of this level. No other input depends on them.
    """

    plan: Plan
    given: Tensor
    level: Tensor


def list_cuts(program: Program) -> Iterator[Cut]:
    """One for each level: the atoms without rules first, then stratum by stratum.

    Together their levels are all atoms that classes build on. Given the truth of the others, one of a level can be
    set to anything: what depends on it lies above the cut, and follows; what it depends on doesn't change.
    """
    strata = program.strata
    level_of = np.zeros(len(program.atoms), np.int64)
    for level, atoms in enumerate(strata, 1):
        level_of[list(atoms)] = level
    mentioned = find_mentioned(program)
    levels = level_of[sorted(mentioned)]
    of_classes = np.unique(program.class_arrays.atoms).tolist()
    for level in np.unique(levels).tolist():
        above = [rule for rule in program.kernel_rules if level_of[rule.head] > level and rule.head in mentioned]
        needed = {atom_of(literal) for rule in above for literal in rule.body}.union(of_classes)
        given = np.array(sorted(atom for atom in needed if level_of[atom] <= level), np.int64)
        plan = compile_program(give_atoms(program, given.tolist(), above))
        yield Cut(plan, torch.from_numpy(given), torch.from_numpy(np.flatnonzero(level_of[given] == level)))


def give_atoms(program: Program, given: Sequence[int], kernel_rules: Sequence[Rule]) -> Program:
    """The program with these atoms as inputs, in this order, and these rules for the others; the names are lost."""
    rest = dict.fromkeys(rule.head for rule in kernel_rules)
    row_of = np.full(len(program.atoms), -1, np.int64)
    row_of[[*given, *rest]] = np.arange(len(given) + len(rest))

    def move(body: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(int(row_of[lit]) if lit >= 0 else ~int(row_of[~lit]) for lit in body)

    rules = program.class_arrays
    signs = rules.literals >> 31
    return Program(
        quantiser=Quantiser(tuple(InputAtom("given", i, ">", 0) for i in range(len(given)))),
        classes=program.classes,
        class_rules=replace(rules, literals=(row_of[rules.literals ^ signs] ^ signs).astype(np.int32)),
        kernel_rules=tuple(Rule(int(row_of[rule.head]), move(rule.body)) for rule in kernel_rules),
        negated=tuple(int(row_of[atom]) for atom in program.negated if atom in rest),
        decision=program.decision,
        default=program.default,
        base=program.base,
        derived=tuple(f"derived {i}" for i in range(len(rest))),
    )
