"""Nearest counterfactuals: what would have to change for each other class, checked by evaluation.

What is flipped are bits of the highest layer, which class rules are over: for a program of one layer these are its
inputs; of a chain they are what its rules below derive, and flipping them says what the last step turns on. (Flips of
a chain's lowest bits would be of hundreds of bits that no person reads.)

Under `first` the search is exact within a bound on its steps (`find_fewest_flips`); under `vote` every set of one bit,
of two, and so on is evaluated while there are fewer than `MOST_SETS`, so what is found is the fewest, and what isn't
takes more.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from eric_fast.bits import BitMatrix
from eric_fast.errors import ProgramError
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.explain.check import ProofError
from eric_fast.explain.flips import MOST_NODES, find_fewest_flips, iterate_flip_sets
from eric_fast.program import Program, atom_of

MOST_SETS = 200_000
BATCH_SETS = 2**16  # evaluated at a time


@dataclass(frozen=True)
class Counterfactual:
    """What would have to change for one class.

    Attributes:
        target: the class.
        flips: the atoms whose bits would have to flip, ascending; None where no such set was found.
        is_least: no smaller set does it; where `flips` is None, no set does. If false, `flips` is an upper bound, and
            None means that it takes more than `n_tried` bits.
        rule: the class rule that then decides; None where it is the default class, or where there are no flips.
        n_tried: all sets of so many bits were tried; 0 under `first`, whose search goes another way.
    """

    target: int
    flips: tuple[int, ...] | None
    is_least: bool
    rule: int | None
    n_tried: int = 0


def find_counterfactuals(
    program: Program, truth: Mapping[int, bool], answer: int, *, most_nodes: int = MOST_NODES
) -> tuple[Counterfactual, ...]:
    """For every other class the fewest bits of the highest layer to flip, those with the fewest first.

    Args:
        truth: of the atoms of the highest layer (`program.layers[-1]`).
        answer: the program's class, or `NO_RULE`.
        most_nodes: see `find_fewest_flips`.

    Raises:
        ProgramError: class rules mention atoms of other layers, which can't be flipped independently.
    """
    top = program.layers[-1]
    atoms = program.quantiser.rows_of_layer[top]
    mentioned = sorted({atom_of(literal) for rule in program.class_rules for literal in rule.body})
    strange = next((atom for atom in mentioned if atom not in atoms), None)
    if strange is not None:
        raise ProgramError(
            f"a class rule mentions {program.atoms[strange].name}, which is not of layer '{top}', and bits of several "
            "layers can't be flipped independently"
        )
    targets = [target for target in range(len(program.classes)) if target != answer]
    evaluator = Evaluator(program, top)
    if program.decision.takes_first:
        sets = [find_fewest_flips(program, truth, target, most_nodes) for target in targets]
        found = [Counterfactual(t, s.atoms, s.is_least, None) for t, s in zip(targets, sets, strict=True)]
    else:
        found = _try_all(evaluator, truth, mentioned, targets)
    return _check(evaluator, truth, found)


def _try_all(
    evaluator: Evaluator, truth: Mapping[int, bool], mentioned: Sequence[int], targets: Sequence[int]
) -> list[Counterfactual]:
    """Evaluate all sets of one flip, two, ...; the first that answers a class is one of its fewest."""
    fewest: dict[int, tuple[int, ...]] = {}
    n_tried = 0
    for sets in iterate_flip_sets(mentioned, MOST_SETS):
        for first in range(0, len(sets), BATCH_SETS):
            batch = sets[first : first + BATCH_SETS]
            classes = _evaluate_flips(evaluator, truth, batch).classes
            for target in targets:
                if target not in fewest and bool((classes == target).any()):
                    fewest[target] = batch[int((classes == target).nonzero()[0])]
        n_tried = len(sets[0])
        if len(fewest) == len(targets):
            break
    is_all = n_tried == len(mentioned)
    return [Counterfactual(t, fewest.get(t), t in fewest or is_all, None, n_tried) for t in targets]


def _check(
    evaluator: Evaluator, truth: Mapping[int, bool], found: Sequence[Counterfactual]
) -> tuple[Counterfactual, ...]:
    """The same with the deciding rule, once the evaluator has answered the class for each."""
    sets = [one.flips for one in found if one.flips is not None]
    predictions = _evaluate_flips(evaluator, truth, sets)
    answers = iter(zip(predictions.classes.tolist(), predictions.rules.tolist(), strict=True))
    checked = []
    for one in found:
        rule = None
        if one.flips is not None:
            answer, rule = next(answers)
            if answer != one.target:
                name = evaluator.program.classes[one.target]
                raise ProofError(
                    f"the counterfactual for class '{name}' doesn't lead to it; please report this, with the program"
                )
        checked.append(
            Counterfactual(
                one.target, one.flips, one.is_least, rule if rule is not None and rule >= 0 else None, one.n_tried
            )
        )
    return tuple(sorted(checked, key=lambda one: (one.flips is None, len(one.flips or ()), one.target)))


def _evaluate_flips(evaluator: Evaluator, truth: Mapping[int, bool], sets: Sequence[tuple[int, ...]]) -> Predictions:
    """What the program answers from its highest layer, with each of these sets of bits flipped."""
    quantiser = evaluator.program.quantiser
    atoms = quantiser.rows_of_layer[quantiser.layers[-1]]
    bits = torch.tensor([truth[atom] for atom in atoms]).repeat(len(sets), 1)  # [n_sets, n_atoms]
    rows = torch.tensor([i for i, flips in enumerate(sets) for _ in flips], dtype=torch.int64)
    columns = torch.tensor([atom - atoms.start for flips in sets for atom in flips], dtype=torch.int64)
    bits[rows, columns] ^= True
    return evaluator.predict(BitMatrix.from_bools(bits, evaluator.inputs))
