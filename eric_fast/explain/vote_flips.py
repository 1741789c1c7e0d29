"""Counterfactuals under `vote`: the fewest bits to flip so that a class has the most points.

Where every class rule has one literal at most, a flip adds a whole number to the lead of the class over each rival, and
the leads must become positive: a covering problem with a constraint for each rival. `find_fewest_vote_flips` solves it
exactly, as long as that takes few steps; else it says how many flips are needed at least, and gives a set that is
enough.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from eric_fast.explain.flips import MOST_NODES, FlipSet
from eric_fast.explain.reasons import holds
from eric_fast.program import Program, atom_of

_N_MIXTURES = 60  # of constraints that are tried; the best of them prunes the search


def has_single_votes(program: Program) -> bool:
    """Whether the program is a vote of whole numbers by rules of one literal each, or of none."""
    lengths = np.diff(program.class_arrays.offsets)
    return program.decision.adds_weights and program.has_integer_weights and bool((lengths < 2).all())


def find_fewest_vote_flips(
    program: Program, truth: Mapping[int, bool], target: int, most_nodes: int = MOST_NODES
) -> FlipSet:
    """Find the fewest atoms to flip so that `target` has the most points.

    The search asks for one flip, then for two, and so on, from the least number that no constraint, and no mixture of
    them with positive factors, rules out. It turns back where the largest gains that are left don't close a gap. If
    `target` is the default class, it is also enough that no rule fires.

    Args:
        program: see `has_single_votes`; the atoms that its class rules mention can be flipped independently.
        truth: the truth of every atom that a class rule mentions.
        target: the class to reach.
        most_nodes: sets that the search looks at, at most.
    """
    cover = _state_cover(program, truth, target)
    silent = _find_silence(program, truth) if program.default == target else None
    n_least = cover.count_least()
    if n_least is None:
        return FlipSet(silent, True, 0 if silent is None else len(silent))
    best = min((found for found in (cover.find_some(), silent) if found is not None), key=len, default=None)
    search = _Search(cover, len(cover.atoms) if best is None else len(best) - 1, most_nodes)
    for size in range(n_least, search.most + 1):
        found = search.find(size)
        if found is not None:
            return FlipSet(_sort(found), True, size)
        if search.n_nodes > most_nodes:
            return FlipSet(_sort(best), False, size)
    return FlipSet(_sort(best), True, 0 if best is None else len(best))


def _sort(atoms: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if atoms is None else tuple(sorted(atoms))


@dataclass(frozen=True)
class _Cover:
    """A covering problem: each gap, the points that the class lacks against a rival, must be closed.

    Attributes:
        atoms: what can be flipped, those of the largest gains in the last row first.
        gains: for each gap, what each atom's flip closes of it.
        gaps: one for each rival, then the mixture of them that needs the most flips.
        n_rivals: how many of the gaps are those of rivals: these must be closed.
        n_firing: literals whose rules fire now; one at least must fire in the end.
        firing: what each atom's flip adds to that: -1, 0 or 1.
    """

    atoms: tuple[int, ...]
    gains: tuple[tuple[int, ...], ...]
    gaps: tuple[int, ...]
    n_rivals: int
    n_firing: int
    firing: tuple[int, ...]

    def count_least(self) -> int | None:
        """Flips that are needed at least; None if all of them together don't close a gap."""
        needed = [_count_needed(gains, gap) for gains, gap in zip(self.gains, self.gaps, strict=True)]
        return None if None in needed else max(n for n in needed if n is not None)

    def find_some(self) -> tuple[int, ...] | None:
        """A set that is enough, flip by flip the one that leaves the smallest gaps; None if that ends elsewhere."""
        chosen: list[int] = []
        gaps, n_firing = list(self.gaps[: self.n_rivals]), self.n_firing
        while any(gap > 0 for gap in gaps) or not n_firing:
            left = [place for place in range(len(self.atoms)) if place not in chosen]
            sizes = {p: sum(max(0, gap - row[p]) for gap, row in zip(gaps, self.gains, strict=False)) for p in left}
            place = min(left, key=sizes.__getitem__, default=None)
            if place is None or (sizes[place] >= sum(max(0, gap) for gap in gaps) and n_firing):
                return None
            chosen.append(place)
            gaps = [gap - row[place] for gap, row in zip(gaps, self.gains, strict=False)]
            n_firing += self.firing[place]
        for place in tuple(chosen):  # what later flips have made useless
            fewer = [other for other in chosen if other != place]
            if self.is_closed_by(fewer):
                chosen = fewer
        return tuple(self.atoms[place] for place in chosen)

    def is_closed_by(self, places: Sequence[int]) -> bool:
        """Whether flipping the atoms at these places is enough."""
        closed = (sum(row[place] for place in places) for row in self.gains[: self.n_rivals])
        fires = self.n_firing + sum(self.firing[place] for place in places) > 0
        return fires and all(sum_ >= gap for sum_, gap in zip(closed, self.gaps, strict=False))


def _state_cover(program: Program, truth: Mapping[int, bool], target: int) -> _Cover:
    points = list(map(int, program.base)) or [0] * len(program.classes)
    adds: dict[int, list[int]] = {}  # literal -> what it adds to each class
    n_always = 0
    for rule in program.class_rules:
        added = adds.setdefault(rule.body[0], [0] * len(points)) if rule.body else points
        n_always += not rule.body
        for output, weight in ((rule.head, rule.weight), *rule.also):
            added[output] += int(weight)
    nothing = [0] * len(points)
    n_firing = n_always
    changes: dict[int, list[int]] = {}
    firing: dict[int, int] = {}
    for literal, added in adds.items():
        sign = -1 if holds(literal, truth) else 1  # of a flip
        if sign < 0:
            points = [have + more for have, more in zip(points, added, strict=True)]
            n_firing += 1
        atom = atom_of(literal)
        changes[atom] = [have + sign * more for have, more in zip(changes.get(atom, nothing), added, strict=True)]
        firing[atom] = firing.get(atom, 0) + sign
    rivals = [c for c in range(len(points)) if c != target]
    gaps = [points[c] - points[target] + (c < target) for c in rivals]  # of equals the first is answered
    atoms = sorted(changes)
    gains = [[changes[atom][target] - changes[atom][c] for atom in atoms] for c in rivals]
    mixed_gains, mixed_gap = _mix(gains, gaps)
    order = sorted(range(len(atoms)), key=lambda place: -mixed_gains[place])  # stable
    return _Cover(
        tuple(atoms[place] for place in order),
        tuple(tuple(row[place] for place in order) for row in (*gains, mixed_gains)),
        (*gaps, mixed_gap),
        len(rivals),
        n_firing,
        tuple(firing[atoms[place]] for place in order),
    )


def _mix(gains: Sequence[Sequence[int]], gaps: Sequence[int]) -> tuple[list[int], int]:
    """Gains and gap of the sum of all constraints, by factors of which those are raised that others leave unmet."""
    factors = [1 if gap > 0 else 0 for gap in gaps]
    best: tuple[int, int, list[int], int] | None = None
    for _ in range(_N_MIXTURES):
        mixed = [sum(map(int.__mul__, factors, column)) for column in zip(*gains, strict=True)]
        gap = sum(map(int.__mul__, factors, gaps))
        needed = _count_needed(mixed, gap)
        n = len(mixed) + 1 if needed is None else needed
        largest = sorted(range(len(mixed)), key=lambda place: -mixed[place])[: max(0, n - 1)]
        short = gap - sum(max(0, mixed[place]) for place in largest)  # what one flip fewer leaves open
        if best is None or n > best[0] or (n == best[0] and short * sum(best[2]) > best[1] * sum(factors)):
            best = n, short, factors, gap
        if needed is None:
            break
        left = [gap - sum(row[place] for place in largest) for gap, row in zip(gaps, gains, strict=True)]
        scale = max(1, max(map(abs, left), default=1))
        factors = [max(0, 16 * factor + 16 * open_ // scale) for factor, open_ in zip(factors, left, strict=True)]
        factors = [-(-1000 * factor // max(1, max(factors))) for factor in factors]
    if best is None or not any(best[2]):
        return [0] * len(gains[0] if gains else ()), 0
    return [sum(map(int.__mul__, best[2], column)) for column in zip(*gains, strict=True)], best[3]


def _count_needed(gains: Sequence[int], gap: int) -> int | None:
    """How many of the largest gains close a gap; None if all positive ones don't."""
    n = 0
    for gain in sorted(gains, reverse=True):
        if gap <= 0:
            return n
        if gain <= 0:
            return None
        gap -= gain
        n += 1
    return n if gap <= 0 else None


def _find_silence(program: Program, truth: Mapping[int, bool]) -> tuple[int, ...] | None:
    """The atoms to flip so that no rule fires, ascending; None where some rule always does."""
    literals = {rule.body[:1] for rule in program.class_rules}
    if () in literals or any((~literal[0],) in literals for literal in literals):
        return None
    return tuple(sorted(atom_of(literal) for (literal,) in literals if holds(literal, truth)))


class _Search:
    """Look for a set of a given size; `most` is the largest that will be asked for."""

    def __init__(self, cover: _Cover, most: int, most_nodes: int) -> None:
        self._cover, self.most, self._most_nodes = cover, most, most_nodes
        self._columns = list(zip(*cover.gains, strict=True))
        self._reach = [self._list_reach(row) for row in cover.gains]
        self.n_nodes = 0

    def _list_reach(self, gains: Sequence[int]) -> list[list[int]]:
        """`[place][k]`: the sum of the `k` largest positive gains from a place on."""
        top: list[int] = []
        rows = [[0] * (self.most + 1)]
        for gain in reversed(gains):
            if gain > 0:
                top = sorted([*top, gain], reverse=True)[: self.most]
            sums = [0]
            for value in top:
                sums.append(sums[-1] + value)
            rows.append(sums + sums[-1:] * (self.most + 1 - len(sums)))
        return rows[::-1]

    def find(self, size: int) -> tuple[int, ...] | None:
        """The first set of at most so many flips that is enough; None if there is none, or the steps are used up."""
        places = self._extend((), 0, size, self._cover.gaps, self._cover.n_firing)
        return None if places is None else tuple(self._cover.atoms[place] for place in places)

    def _extend(
        self, chosen: tuple[int, ...], first: int, n_more: int, gaps: Sequence[int], n_firing: int
    ) -> tuple[int, ...] | None:
        """Add flips of atoms from place `first` on to those chosen."""
        self.n_nodes += 1
        if n_firing > 0 and all(gap <= 0 for gap in gaps[: self._cover.n_rivals]):
            return chosen
        if not n_more:
            return None
        for place in range(first, len(self._columns)):
            if self.n_nodes > self._most_nodes:
                return None
            if any(gap > reach[place][n_more] for gap, reach in zip(gaps, self._reach, strict=True)):
                return None  # nor can what follows
            left = [gap - gain for gap, gain in zip(gaps, self._columns[place], strict=True)]
            found = self._extend((*chosen, place), place + 1, n_more - 1, left, n_firing + self._cover.firing[place])
            if found is not None:
                return found
        return None
