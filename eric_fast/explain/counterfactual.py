"""Nearest counterfactuals: the fewest bits to flip for each other class, checked by evaluation.

The bits are those of the highest layer, which class rules are made of. In a program of one layer they are its inputs.
In a chain they are derived from the layers below, and flipping them shows what the last step depends on. (Flips at the
bottom of a chain would be of hundreds of bits, too many to read.) Bits of lower layers that class rules mention, too,
stay as they are.

Under `first`, and under `vote` where class rules have one literal each, the search is exact up to a limit on its steps
(`find_fewest_flips`, `find_fewest_vote_flips`); then it says how many flips are needed at least and at most. For other
votes, and where rules have exceptions, all sets of one bit, of two bits and so on are evaluated while there are at most
`MOST_SETS` of them: a set that is found is a smallest one, and a class without one needs more bits. How many are enough
for a vote is then found by climbing: one bit after another, each time the one that brings the class nearest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf

import torch

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator, Predictions
from eric_fast.explain.check import ProofError
from eric_fast.explain.flips import MOST_NODES, find_fewest_flips, iterate_flip_sets
from eric_fast.explain.vote_flips import find_fewest_vote_flips, has_single_votes, state_votes
from eric_fast.kernels.outcome import expect
from eric_fast.program import Program, atom_of
from eric_fast.program.simplify import find_mentioned

MOST_SETS = 200_000
BATCH_SETS = 2**16  # evaluated at a time
MOST_TARGETS = 20  # classes that are searched for, of those that seem nearest


@dataclass(frozen=True)
class Counterfactual:
    """What would have to change for one class.

    Attributes:
        target: the class.
        flips: the atoms whose bits would have to flip, ascending; None if no such set was found.
        is_least: whether no smaller set leads to the class or, if `flips` is None, no set at all. If it is false,
            `flips` is an upper bound.
        rule: the class rule that then decides; None for the default class, or without flips.
        n_least: so many bits at least must flip.
    """

    target: int
    flips: tuple[int, ...] | None
    is_least: bool
    rule: int | None
    n_least: int = 0


def find_counterfactuals(
    program: Program,
    truth: Mapping[int, bool],
    answer: int,
    *,
    against: int | None = None,
    most_nodes: int = MOST_NODES,
    evaluator: Evaluator | None = None,
) -> tuple[Counterfactual, ...]:
    """Find for other classes the fewest bits of the highest layer to flip; classes with the fewest come first.

    Of more than `MOST_TARGETS` classes, those are searched for that seem nearest: with the highest sums under `vote`,
    else with a rule of which the fewest literals fail.

    Args:
        program: a program that answers with a class.
        truth: the truth of the atoms of the highest layers (`program.graph.highest`), and of `list_fixed`.
        answer: the program's class, or `NO_RULE`.
        against: search for this class alone.
        most_nodes: see `find_fewest_flips` and `find_fewest_vote_flips`.
        evaluator: of the program, from the highest layers, where one is at hand.

    Raises:
        ProofError: an evaluation contradicts a counterfactual: a bug of this package.
    """
    atoms, fixed = program.list_given(program.graph.highest), list_fixed(program)
    built_on = find_mentioned(program, {*atoms, *fixed})
    mentioned = sorted(atom for atom in built_on if atom < len(program.quantiser.atoms) and atom not in fixed)
    if fixed or evaluator is None:
        evaluator = Evaluator(program, given=[program.atoms[atom].name for atom in (*atoms, *fixed)])
    targets = [target for target in range(len(program.classes)) if target != answer]
    if against is not None:
        targets = [target for target in targets if target == against]
    elif len(targets) > MOST_TARGETS:
        targets = sorted(_rank_targets(evaluator, truth, targets)[:MOST_TARGETS])
    is_flat = len(mentioned) + len(fixed) == len(built_on)  # class rules mention no exceptions
    if is_flat and has_single_votes(program):
        state = state_votes(program, truth, fixed)
        sets = [find_fewest_vote_flips(program, truth, target, most_nodes, fixed, state) for target in targets]
        found = [Counterfactual(t, s.atoms, s.is_least, None, s.n_least) for t, s in zip(targets, sets, strict=True)]
    elif is_flat and program.decision.takes_first and not fixed:
        sets = [find_fewest_flips(program, truth, target, most_nodes) for target in targets]
        found = [Counterfactual(t, s.atoms, s.is_least, None, s.n_least) for t, s in zip(targets, sets, strict=True)]
    else:
        found = _try_all(evaluator, truth, mentioned, targets)
        if program.decision.adds_weights:
            found = [one if one.is_least else _climb(evaluator, truth, mentioned, one) for one in found]
    return _check(evaluator, truth, found)


def list_fixed(program: Program) -> list[int]:
    """The atoms of lower layers that class rules mention: they stay as they are while bits above them are flipped.

    (Bits of several layers can't be flipped independently.)
    """
    n_compared, highest = len(program.quantiser.atoms), program.list_given(program.graph.highest)
    mentioned = find_mentioned(program, set(range(n_compared)))
    return sorted(atom for atom in mentioned if atom < n_compared and atom not in highest)


def _rank_targets(evaluator: Evaluator, truth: Mapping[int, bool], targets: Sequence[int]) -> list[int]:
    """Sort classes by how near they seem, the nearest first, equals by number."""
    program = evaluator.program
    if program.decision.adds_weights:
        scores = expect(_evaluate_flips(evaluator, truth, [()], with_scores=True).scores)[0].tolist()
        return sorted(targets, key=lambda target: -scores[target])
    known = truth.keys()
    fewest: dict[int, float] = {}
    for rule in program.class_rules:
        n_failing = sum(atom_of(lit) in known and truth[atom_of(lit)] == (lit < 0) for lit in rule.body)
        fewest[rule.head] = min(fewest.get(rule.head, inf), n_failing)
    return sorted(targets, key=lambda target: fewest.get(target, inf))


def _try_all(
    evaluator: Evaluator, truth: Mapping[int, bool], mentioned: Sequence[int], targets: Sequence[int]
) -> list[Counterfactual]:
    """Evaluate all sets of one flip, then of two, and so on; the first that leads to a class is a smallest one."""
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
    n_least = {target: len(fewest[target]) if target in fewest else n_tried + 1 for target in targets}
    return [Counterfactual(t, fewest.get(t), t in fewest or is_all, None, n_least[t]) for t in targets]


def _climb(
    evaluator: Evaluator, truth: Mapping[int, bool], mentioned: Sequence[int], one: Counterfactual
) -> Counterfactual:
    """Flip one bit after another, each time the one by which the class comes nearest, as long as it does.

    One that a flip before it or after it makes useless stays out.
    """
    flips: tuple[int, ...] = ()
    nearest = -inf
    while True:
        sets = [(*flips, atom) for atom in mentioned if atom not in flips]
        predictions = _evaluate_flips(evaluator, truth, sets, with_scores=True)
        if bool((predictions.classes == one.target).any()):
            flips = sets[int((predictions.classes == one.target).nonzero()[0])]
            break
        scores = expect(predictions.scores).double()
        others = scores.clone()
        others[:, one.target] = -inf
        leads = scores[:, one.target] - others.max(dim=1).values
        if not sets or float(leads.max()) <= nearest:
            return one
        nearest, flips = float(leads.max()), sets[int(leads.argmax())]
    for atom in flips:
        fewer = tuple(other for other in flips if other != atom)
        if int(_evaluate_flips(evaluator, truth, [fewer]).classes[0]) == one.target:
            flips = fewer
    return replace(one, flips=tuple(sorted(flips)))


def _check(
    evaluator: Evaluator, truth: Mapping[int, bool], found: Sequence[Counterfactual]
) -> tuple[Counterfactual, ...]:
    """Check that each set of flips leads to its class, and fill in the rule that decides."""
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
        checked.append(replace(one, rule=rule if rule is not None and rule >= 0 else None))
    return tuple(sorted(checked, key=lambda one: (one.flips is None, len(one.flips or ()), one.target)))


def _evaluate_flips(
    evaluator: Evaluator, truth: Mapping[int, bool], sets: Sequence[tuple[int, ...]], *, with_scores: bool = False
) -> Predictions:
    """Evaluate the program from the evaluator's inputs, with each of these sets of bits flipped."""
    atoms = evaluator.plan.atoms[: evaluator.plan.n_inputs].tolist()
    bits = torch.tensor([truth[atom] for atom in atoms]).repeat(len(sets), 1)  # [n_sets, n_atoms]
    rows = torch.tensor([i for i, flips in enumerate(sets) for _ in flips], dtype=torch.int64)
    columns = torch.tensor([atoms.index(atom) for flips in sets for atom in flips], dtype=torch.int64)
    bits[rows, columns] ^= True
    return evaluator.predict(BitMatrix.from_bools(bits, evaluator.inputs), with_scores=with_scores)
