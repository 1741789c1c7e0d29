"""Prove what a program answers, step by step down to the bits of its start layer."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import NO_RULE, Evaluator
from eric_fast.explain.reasons import fires, pick_failing, pick_holding
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program, atom_of


class Blocked(NamedTuple):
    """A rule that doesn't fire.

    Attributes:
        rule: its index among the program's rules.
        literals: the fewest false literals that keep it from firing, those of the largest weights first; of a
            conjunction one.
    """

    rule: int
    literals: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """Why one atom is true or false.

    Attributes:
        is_true: the atom's truth.
        rule: the kernel rule (an index into `Program.kernel_rules`) that fires, and so makes the atom true, or false if
            the atom is negated; None for a given bit, and if no rule fires.
        blocked: if no rule fires, every rule of the atom with what keeps it from firing; else empty.
        literals: the literals by which `rule` fires: all of a conjunction's, of a weight body the fewest true ones that
            reach its bound, those of the largest weights first.
    """

    is_true: bool
    rule: int | None = None
    blocked: tuple[Blocked, ...] = ()
    literals: tuple[int, ...] = ()

    def list_needs(self) -> list[int]:
        """List the atoms that the step rests on directly."""
        literals = [*self.literals, *(literal for one in self.blocked for literal in one.literals)]
        return list(dict.fromkeys(map(atom_of, literals)))


@dataclass(frozen=True)
class Proof(PickledByFields):
    """Why a program gives one image its class. `find_fault` checks it.

    Attributes:
        start: the layer whose bits are given; several, with commas between.
        answer: a class, or `NO_RULE`.
        fired: the class rules that fire, indices into `Program.class_rules` (after `Program.select_start(start)`):
            under `first` only the first one, under `vote` all, those that add most to the answer first.
        blocked: the class rules that must not fire: under `first` those before the one that fires (all if none does),
            under `vote` all others.
        literals: for each rule of `fired`, the literals by which it fires, as in `Step`.
        steps: atom -> why it is true or false, for exactly the atoms that the rules in this proof need.
    """

    start: str
    answer: int
    fired: tuple[int, ...]
    blocked: tuple[Blocked, ...]
    literals: tuple[tuple[int, ...], ...]
    steps: Mapping[int, Step]

    def __post_init__(self) -> None:
        object.__setattr__(self, "steps", MappingProxyType(dict(self.steps)))

    def list_reasons(self) -> list[int]:
        """List the atoms that the rules that fired rest on: those of class rules first, then those below."""
        found: dict[int, None] = {}
        waiting = [atom_of(literal) for literals in self.literals for literal in literals]
        for atom in waiting:  # grows while it is read: breadth-first
            if atom not in found:
                found[atom] = None
                waiting += self.steps[atom].list_needs()
        return list(found)


def prove_answers(
    program: Program, bits: BitMatrix, start: str | None = None, *, evaluator: Evaluator | None = None
) -> list[Proof]:
    """Prove the program's answer on each sample; the proofs aren't checked yet.

    If several rules fire for an atom, the proof names the one that covers most. If several literals of a rule fail, it
    names those that it needs anyway, if possible.

    Args:
        program: a program that answers with a class.
        bits: of the atoms of layer `start` at least; rows are found by name.
        start: the lowest layer by default.
        evaluator: of the program, from this start, where one is at hand.

    Raises:
        ProgramError: the program doesn't answer with a class, or can't start there.
    """
    program.expect_class("a proof")
    start = program.layer_to_start(start)
    program = program.select_start(start)
    evaluator, prover = evaluator or Evaluator(program, start), _Prover(program, start)
    atoms = [*program.list_given(start), *program.list_derivable(start)]
    rows, answers = evaluator.truth(bits).to_bools().tolist(), evaluator.classes(bits).tolist()
    return [prover.prove(dict(zip(atoms, row, strict=True)), answer) for row, answer in zip(rows, answers, strict=True)]


class _Prover:
    def __init__(self, program: Program, start: str) -> None:
        self._program = program
        self._start = start
        self._given = frozenset(program.list_given(start))
        self._class_rules = tuple(program.class_rules)
        self._rules_of_atom: dict[int, list[int]] = {}
        for number, rule in enumerate(program.kernel_rules):
            self._rules_of_atom.setdefault(rule.head, []).append(number)

    def prove(self, truth: Mapping[int, bool], answer: int) -> Proof:
        """Prove an answer from the truth of every atom from the start layer up."""
        fired = [number for number, rule in enumerate(self._class_rules) if fires(rule, truth)]
        if self._program.decision.takes_first:
            fired = fired[:1]
            others: Iterable[int] = range(fired[0] if fired else len(self._class_rules))
        else:
            others = [number for number in range(len(self._class_rules)) if number not in set(fired)]
            fired.sort(key=lambda number: (-self._weigh(number, answer), number))
        steps: dict[int, Step] = {}
        literals = tuple(pick_holding(self._class_rules[number], truth) for number in fired)
        self._explain([atom_of(literal) for each in literals for literal in each], truth, steps)
        blocked = tuple(Blocked(n, pick_failing(self._class_rules[n], truth, steps)) for n in others)
        self._explain([atom_of(literal) for one in blocked for literal in one.literals], truth, steps)
        return Proof(self._start, answer, tuple(fired), blocked, literals, steps)

    def _weigh(self, number: int, answer: int) -> float:
        """Find what a class rule adds to the answer's sum."""
        rule = self._class_rules[number]
        return dict(rule.votes).get(answer, 0.0) if answer != NO_RULE else 0.0

    def _explain(self, atoms: Sequence[int], truth: Mapping[int, bool], steps: dict[int, Step]) -> None:
        """Add the steps of these atoms and of all atoms that they rest on."""
        waiting = list(atoms)
        for atom in waiting:
            if atom not in steps:
                steps[atom] = self._make_step(atom, truth, steps)
                waiting += steps[atom].list_needs()

    def _make_step(self, atom: int, truth: Mapping[int, bool], known: Collection[int]) -> Step:
        if atom in self._given:
            return Step(truth[atom])
        rules, numbers = self._program.kernel_rules, self._rules_of_atom.get(atom, ())
        firing = [number for number in numbers if fires(rules[number], truth)]
        if firing:
            chosen = max(firing, key=lambda number: (rules[number].covered or 0, -number))
            return Step(truth[atom], chosen, literals=pick_holding(rules[chosen], truth))
        return Step(truth[atom], None, tuple(Blocked(n, pick_failing(rules[n], truth, known)) for n in numbers))
