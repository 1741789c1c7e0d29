"""Counterfactuals under `first`: the fewest bits to flip so that a class is answered, by branch and bound."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import NamedTuple

from eric_fast.explain.reasons import holds, pick_fewest
from eric_fast.program import Program, atom_of
from eric_fast.program.weight_bodies import LiteralSum, weigh_body

MOST_NODES = 20_000  # in the search for one class; from there on, the best set found is an upper bound


@dataclass(frozen=True)
class FlipSet:
    """Bits to flip.

    Attributes:
        atoms: their atoms, ascending; None if no set was found.
        is_least: whether no smaller set leads to the class (or, for None, no set at all); false if the search reached
            its limit.
        n_least: no set of fewer flips leads to the class.
    """

    atoms: tuple[int, ...] | None
    is_least: bool
    n_least: int


def find_fewest_flips(
    program: Program, truth: Mapping[int, bool], target: int, most_nodes: int = MOST_NODES
) -> FlipSet:
    """Find the fewest atoms to flip so that a rule for `target` fires and no earlier rule for another class does.

    For each rule of the class: where its literals don't reach its bound, one that is false must be flipped; where an
    earlier rule of another class fires, one of its literals that are true. The search branches over these literals, as
    long as they aren't settled yet; each branch settles the literals of the branches before it as unflipped. It turns
    back where a set is as large as the smallest one known, counting the flips that rules which share no literals need
    each: of the largest weights, until its bound is passed. If `target` is the default class, it is also enough that no
    rule of another class fires.

    Args:
        program: a program under `first`; the atoms that its class rules mention can be flipped independently.
        truth: the truth of every atom that a class rule mentions.
        target: the class to reach.
        most_nodes: sets that the search looks at, at most.
    """
    search = _Search(program, truth, target, most_nodes)
    for goal, n_earlier in search.list_goals():
        search.try_goal(goal, n_earlier)
    found = None if search.best is None else tuple(sorted(search.best))
    is_least = search.n_nodes <= most_nodes
    return FlipSet(found, is_least, len(found or ()) if is_least else max(1, search.n_least))


class _Search:
    def __init__(self, program: Program, truth: Mapping[int, bool], target: int, most_nodes: int) -> None:
        self._rules = [(rule.head == target, weigh_body(rule).merge_negations()) for rule in program.class_rules]
        self._truth = truth
        self._by_default = program.default == target
        self._most_nodes = most_nodes
        self.n_nodes = 0
        self.n_least = 0
        self.best: Collection[int] | None = None

    def list_goals(self) -> list[tuple[LiteralSum, int]]:
        """List pairs (body to make true, number of rules before it), those with the fewest flips first."""
        goals = [(body, i) for i, (is_own, body) in enumerate(self._rules) if is_own and body.most >= body.bound]
        if self._by_default:
            goals.append((LiteralSum({}, 0), len(self._rules)))
        nothing: frozenset[int] = frozenset()

        def count_flips(goal: LiteralSum) -> int:
            wrong = self._find_wrong(goal, True, nothing, nothing)
            return 0 if wrong is None else wrong.n_least

        self.n_least = min((count_flips(body) for body, _ in goals), default=0)
        return sorted(goals, key=lambda goal: (count_flips(goal[0]), goal[1]))

    def try_goal(self, goal: LiteralSum, n_earlier: int) -> None:
        rivals = [rule for is_own, rule in self._rules[:n_earlier] if not is_own]
        needed = [literal for literal, weight in goal.weights.items() if goal.most - weight < goal.bound]
        flips = frozenset(atom_of(literal) for literal in needed if not holds(literal, self._truth))
        self._branch(flips, frozenset(map(atom_of, needed)), goal, rivals)

    def _branch(
        self, flips: frozenset[int], settled: frozenset[int], goal: LiteralSum, rivals: Sequence[LiteralSum]
    ) -> None:
        """Try `flips` and, where they aren't enough, larger sets; this branch changes no atom in `settled`."""
        self.n_nodes += 1
        if self.n_nodes > self._most_nodes or self._is_no_better(len(flips)):
            return
        found = [self._find_wrong(goal, True, flips, settled)]
        found += [self._find_wrong(rival, False, flips, settled) for rival in rivals]
        wrong = [one for one in found if one is not None]
        if not wrong:
            self.best = flips
            return
        if self._is_no_better(len(flips) + _count_disjoint(wrong)):
            return
        for atom in min(wrong, key=lambda one: len(one.atoms)).atoms:
            self._branch(flips | {atom}, settled | {atom}, goal, rivals)
            settled |= {atom}

    def _is_no_better(self, n_flips: int) -> bool:
        return self.best is not None and n_flips >= len(self.best)

    def _find_wrong(
        self, body: LiteralSum, is_wanted: bool, flips: frozenset[int], settled: frozenset[int]
    ) -> "_Wrong | None":
        """What can be flipped so that the body becomes true, or false if that is wanted; None if it is already."""
        missing = body.bound if is_wanted else 1 - body.bound
        open_weights = []
        for literal, weight in body.weights.items():
            atom = atom_of(literal)
            is_true = holds(literal, self._truth) != (atom in flips)
            missing -= (weight if is_wanted else -weight) if is_true else 0
            if is_true != is_wanted and atom not in settled:
                open_weights.append((atom, weight))
        if missing <= 0:
            return None
        open_weights.sort(key=lambda item: -item[1])  # stable
        if sum(weight for _, weight in open_weights) < missing:
            return _Wrong([], 1)
        return _Wrong([atom for atom, _ in open_weights], len(pick_fewest(open_weights, missing)))


class _Wrong(NamedTuple):
    """A body that isn't as it should be.

    Attributes:
        atoms: those whose flips help, the largest weights first; empty if even all of them aren't enough.
        n_least: how many of them must be flipped at least.
    """

    atoms: list[int]
    n_least: int


def _count_disjoint(wrong: Sequence[_Wrong]) -> int:
    """Count the flips that bodies need which share nothing, taken greedily: each needs flips of its own."""
    taken: set[int] = set()
    n = 0
    for one in sorted(wrong, key=lambda one: len(one.atoms)):
        if taken.isdisjoint(one.atoms):
            taken.update(one.atoms)
            n += one.n_least
    return n


def iterate_flip_sets(atoms: Sequence[int], most_sets: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield all sets of one atom, then all of two, and so on, as long as there are at most `most_sets` in all."""
    n_sets = 0
    for size in range(1, len(atoms) + 1):
        n_sets += comb(len(atoms), size)
        if n_sets > most_sets:
            return
        yield list(combinations(atoms, size))
