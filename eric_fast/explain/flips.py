"""Counterfactuals under `first`: the fewest bits to flip so that a class is answered, by branch and bound."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

from eric_fast.program import Program, atom_of

MOST_NODES = 20_000  # in the search for one class; from there on, the best set found is an upper bound


@dataclass(frozen=True)
class FlipSet:
    """Bits to flip.

    Attributes:
        atoms: their atoms, ascending; None if no set was found.
        is_least: whether no smaller set leads to the class (or, for None, no set at all); false if the search reached
            its limit.
    """

    atoms: tuple[int, ...] | None
    is_least: bool


def find_fewest_flips(
    program: Program, truth: Mapping[int, bool], target: int, most_nodes: int = MOST_NODES
) -> FlipSet:
    """Find the fewest atoms to flip so that a rule for `target` fires and no earlier rule for another class does.

    For each rule of the class, the literals that fail must be flipped. Then, as long as an earlier rule of another
    class fires, one of its literals must be flipped that isn't settled yet. The search branches over these literals;
    each branch settles the literals of the branches before it as unflipped. It turns back where a set is as large as
    the smallest one known. If `target` is the default class, it is also enough that no rule of another class fires.

    Args:
        program: a program under `first`; the atoms that its class rules mention can be flipped independently.
        truth: the truth of every atom that a class rule mentions.
        target: the class to reach.
        most_nodes: sets that the search looks at, at most.
    """
    search = _Search(program, truth, target, most_nodes)
    for body, n_earlier in search.list_goals():
        search.try_goal(body, n_earlier)
    found = None if search.best is None else tuple(sorted(search.best))
    return FlipSet(found, is_least=search.n_nodes <= most_nodes)


class _Search:
    def __init__(self, program: Program, truth: Mapping[int, bool], target: int, most_nodes: int) -> None:
        self._rules = [(rule.head == target, rule.body) for rule in program.class_rules]
        self._truth = truth
        self._by_default = program.default == target
        self._most_nodes = most_nodes
        self.n_nodes = 0
        self.best: Collection[int] | None = None

    def list_goals(self) -> list[tuple[tuple[int, ...], int]]:
        """List pairs (body to make true, number of rules before it), those with the fewest flips first."""
        goals = [(body, i) for i, (is_own, body) in enumerate(self._rules) if is_own and not _contradicts(body)]
        if self._by_default:
            goals.append(((), len(self._rules)))
        return sorted(goals, key=lambda goal: (len(self._find_failing(goal[0])), goal[1]))

    def try_goal(self, body: Sequence[int], n_earlier: int) -> None:
        rivals = [rule for is_own, rule in self._rules[:n_earlier] if not is_own]
        flips = frozenset(self._find_failing(body))
        self._branch(flips, flips | {atom_of(literal) for literal in body}, rivals)

    def _branch(self, flips: frozenset[int], settled: frozenset[int], rivals: Sequence[tuple[int, ...]]) -> None:
        """Try `flips` and, where rivals still fire, larger sets; this branch changes no atom in `settled`."""
        self.n_nodes += 1
        if self.n_nodes > self._most_nodes or self._is_no_better(len(flips)):
            return
        firing = [body for body in rivals if all(self._holds(literal, flips) for literal in body)]
        if not firing:
            self.best = flips
            return
        open_atoms = [[atom for atom in dict.fromkeys(map(atom_of, body)) if atom not in settled] for body in firing]
        if self._is_no_better(len(flips) + _count_disjoint(open_atoms)):
            return
        for atom in min(open_atoms, key=len):  # if there is none, nothing can keep this rule from firing
            self._branch(flips | {atom}, settled | {atom}, rivals)
            settled |= {atom}

    def _is_no_better(self, n_flips: int) -> bool:
        return self.best is not None and n_flips >= len(self.best)

    def _holds(self, literal: int, flips: frozenset[int]) -> bool:
        atom = atom_of(literal)
        return (self._truth[atom] != (atom in flips)) == (literal >= 0)

    def _find_failing(self, body: Sequence[int]) -> list[int]:
        return [atom for atom in dict.fromkeys(map(atom_of, body)) if self._truth[atom] != (atom in body)]


def _contradicts(body: Sequence[int]) -> bool:
    return any(~literal in body for literal in body)


def _count_disjoint(sets: Sequence[Sequence[int]]) -> int:
    """Count sets that share nothing, taken greedily: each needs a flip of its own."""
    taken: set[int] = set()
    n = 0
    for atoms in sorted(sets, key=len):
        if taken.isdisjoint(atoms):
            taken.update(atoms)
            n += 1
    return n


def iterate_flip_sets(atoms: Sequence[int], most_sets: int) -> Iterator[list[tuple[int, ...]]]:
    """Yield all sets of one atom, then all of two, and so on, as long as there are at most `most_sets` in all."""
    n_sets = 0
    for size in range(1, len(atoms) + 1):
        n_sets += comb(len(atoms), size)
        if n_sets > most_sets:
            return
        yield list(combinations(atoms, size))
