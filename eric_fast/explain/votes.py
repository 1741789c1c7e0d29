"""What decides a vote: the points that each kernel gives to the winner rather than to the runner-up."""

from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction

from eric_fast.evaluator import NO_RULE
from eric_fast.explain.proof import Proof
from eric_fast.program import Program, atom_of

Exact = int | Fraction


@dataclass(frozen=True)
class Rivalry:
    """The winner of a vote against the class with the next most points.

    Attributes:
        winner: the class that is answered.
        rival: the class that was asked for, or that with the most points of all others, the first of equals.
        points: of the winner and of the rival.
        start: what the winner is ahead by before any rule fires.
        leads: what fired rules add to that, as pairs (atom, points), the largest sizes first: of rules of one literal
            by its atom, of all others together by None. With `start` they sum to the difference of `points`.
    """

    winner: int
    rival: int
    points: tuple[float, float]
    start: float
    leads: tuple[tuple[int | None, float], ...]


def find_rivalry(program: Program, proof: Proof, rival: int | None = None) -> Rivalry | None:
    """Find what the answer of a vote rests on, against the runner-up or another class.

    None if no rule fires, there is one class, or it is no vote.
    """
    if not program.decision.adds_weights or not proof.fired or len(program.classes) < 2 or proof.answer == NO_RULE:
        return None
    sums = [_read_exactly(start) for start in program.full_base]
    adds: list[tuple[int | None, dict[int, Exact]]] = []
    for number in proof.fired:
        rule = program.class_rules[number]
        atom = atom_of(rule.body[0]) if len(rule.body) == 1 else None
        adds.append((atom, {c: _read_exactly(weight) for c, weight in rule.votes}))
        for output, weight in adds[-1][1].items():
            sums[output] += weight
    winner = proof.answer
    if rival is None or rival == winner:
        rival = max((c for c in range(len(sums)) if c != winner), key=lambda c: (sums[c], -c))
    leads: dict[int | None, Exact] = defaultdict(int)
    for atom, weights in adds:
        leads[atom] += weights.get(winner, 0) - weights.get(rival, 0)
    ordered = sorted(((atom, lead) for atom, lead in leads.items() if lead), key=lambda item: min(item[1], -item[1]))
    start = sums[winner] - sums[rival] - sum(leads.values())
    points = float(sums[winner]), float(sums[rival])
    return Rivalry(winner, rival, points, float(start), tuple((atom, float(lead)) for atom, lead in ordered))


def _read_exactly(value: float) -> Exact:
    """An exact number, whole where it can be: of many classes, sums of fractions take long."""
    return int(value) if float(value).is_integer() else Fraction(value)
