"""Counterfactuals under `vote`: the fewest bits to flip so that a class has the most points.

Where every class rule has one literal at most, a flip adds a whole number to the lead of the class over each rival, and
the leads must become positive: a covering problem with a constraint for each rival. `find_fewest_vote_flips` solves it
exactly, as long as that takes few steps; else it says how many flips are needed at least, and gives a set that is
enough.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.explain.flips import MOST_NODES, FlipSet
from eric_fast.explain.reasons import holds
from eric_fast.program import Program, atom_of

_Integers = NDArray[np.int64]
_N_MIXTURES = 60  # of constraints that are tried; the best of them prunes the search
MOST_REACH = 2**25  # sums that the search keeps at a time, of 8 bytes each


def has_single_votes(program: Program) -> bool:
    """Whether the program is a vote of whole numbers by rules of one literal each, or of none."""
    lengths = np.diff(program.class_arrays.offsets)
    return program.decision.adds_weights and program.has_integer_weights and bool((lengths < 2).all())


class VoteState(NamedTuple):
    """What a vote of single literals says now, and what flips change.

    Attributes:
        points: int64 `[n_classes]`.
        atoms: what can be flipped.
        changes: int64 `[n_classes, n_atoms]`: points that each atom's flip adds to each class.
        n_firing: literals whose rules fire.
        firing: int64 `[n_atoms]`: what each atom's flip adds to that.
    """

    points: _Integers
    atoms: tuple[int, ...]
    changes: _Integers
    n_firing: int
    firing: _Integers


def find_fewest_vote_flips(
    program: Program,
    truth: Mapping[int, bool],
    target: int,
    most_nodes: int = MOST_NODES,
    fixed: Collection[int] = (),
    state: VoteState | None = None,
) -> FlipSet:
    """Find the fewest atoms to flip so that `target` has the most points.

    The search asks for one flip, then for two, and so on, from the least number that no constraint, and no mixture of
    them with positive factors, rules out. It turns back where the largest gains that are left don't close a gap. If
    `target` is the default class, it is also enough that no rule fires.

    Args:
        program: see `has_single_votes`; the atoms that its class rules mention can be flipped independently.
        truth: the truth of every atom that a class rule mentions.
        target: the class to reach.
        most_nodes: sets that the search looks at, at most. (It also stops where it would keep more than `MOST_REACH`
            sums.)
        fixed: atoms that can't be flipped.
        state: `state_votes(program, truth, fixed)`, where it is at hand.
    """
    cover = _state_cover(state or state_votes(program, truth, fixed), target)
    silent = _find_silence(program, truth, fixed) if program.default == target else None
    n_least = cover.count_least()
    if n_least is None:
        return FlipSet(silent, True, 0 if silent is None else len(silent))
    best = min((found for found in (cover.find_some(), silent) if found is not None), key=len, default=None)
    most = len(cover.atoms) if best is None else len(best) - 1
    search = _Search(cover.drop_safe(most), most_nodes)
    for size in range(n_least, most + 1):
        found = search.find(size)
        if found is not None:
            return FlipSet(_sort(found), True, size)
        if search.is_over:
            return FlipSet(_sort(best), False, size)
    return FlipSet(_sort(best), True, 0 if best is None else len(best))


def _sort(atoms: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if atoms is None else tuple(sorted(atoms))


@dataclass(frozen=True, eq=False)
class _Cover:
    """A covering problem: each gap, the points that the class lacks against a rival, must be closed.

    Attributes:
        atoms: what can be flipped, those of the largest gains in the last row first.
        gains: int64 `[n_rivals + 1, n_atoms]`: for each gap, what each atom's flip closes of it.
        gaps: int64 `[n_rivals + 1]`: one for each rival, which must be closed, then the mixture of them that needs the
            most flips.
        n_firing: literals whose rules fire now; one at least must fire in the end.
        firing: what each atom's flip adds to that: -1, 0 or 1.
    """

    atoms: tuple[int, ...]
    gains: _Integers
    gaps: _Integers
    n_firing: int
    firing: tuple[int, ...]

    @property
    def n_rivals(self) -> int:
        return len(self.gaps) - 1

    def count_least(self) -> int | None:
        """Flips that are needed at least; None if all of them together don't close a gap."""
        reach = np.zeros((len(self.gaps), len(self.atoms) + 1), np.int64)
        np.cumsum(-np.sort(-self.gains.clip(0), axis=1), axis=1, out=reach[:, 1:])
        closes = reach >= self.gaps[:, None]
        return int(closes.argmax(axis=1).max()) if closes.any(axis=1).all() else None

    def find_some(self) -> tuple[int, ...] | None:
        """A set that is enough, flip by flip the one that leaves the smallest gaps; None if that ends elsewhere."""
        chosen: list[int] = []
        gaps, gains, n_firing = self.gaps[:-1], self.gains[:-1], self.n_firing
        while (gaps > 0).any() or not n_firing:
            if len(chosen) == len(self.atoms):
                return None
            left = gaps[:, None] - gains
            sizes = np.maximum(left, 0, out=left).sum(axis=0)
            sizes[chosen] = np.iinfo(np.int64).max
            place = int(sizes.argmin())  # the first of equals
            if sizes[place] >= gaps.clip(0).sum() and n_firing:
                return None
            chosen.append(place)
            gaps = gaps - gains[:, place]
            n_firing += self.firing[place]
        for place in tuple(chosen):  # what later flips have made useless
            fewer = [other for other in chosen if other != place]
            if self.is_closed_by(fewer):
                chosen = fewer
        return tuple(self.atoms[place] for place in chosen)

    def is_closed_by(self, places: Sequence[int]) -> bool:
        """Whether flipping the atoms at these places is enough."""
        fires = self.n_firing + sum(self.firing[place] for place in places) > 0
        return fires and bool((self.gains[:-1, list(places)].sum(axis=1) >= self.gaps[:-1]).all())

    def drop_safe(self, most: int) -> "_Cover":
        """Without the rivals that at most so many flips can't bring ahead, whichever they are."""
        losses = -np.sort(-(-self.gains).clip(0), axis=1)[:, : max(0, most)].sum(axis=1)
        stays = self.gaps + losses > 0
        stays[-1] = True
        return replace(self, gains=self.gains[stays], gaps=self.gaps[stays])


def state_votes(program: Program, truth: Mapping[int, bool], fixed: Collection[int] = ()) -> VoteState:
    """See `find_fewest_vote_flips`."""
    rules, n_classes = program.class_arrays, len(program.classes)
    lengths, n_rules = np.diff(rules.vote_offsets), len(program.class_rules)
    has_literal = np.diff(rules.offsets) > 0
    literals, of_literal = np.unique(rules.literals, return_inverse=True)
    place = np.full(n_rules, len(literals))  # the last is for what is always added
    place[has_literal] = of_literal
    cells = n_classes * np.repeat(place, lengths) + rules.vote_classes
    sums = np.bincount(cells, rules.vote_weights, n_classes * (len(literals) + 1))  # exact, as weights are whole
    adds = sums.astype(np.int64).reshape(-1, n_classes)
    is_true = np.array([holds(literal, truth) for literal in literals.tolist()], np.bool_)
    points = np.array(program.full_base).astype(np.int64) + adds[-1] + adds[:-1][is_true].sum(axis=0)
    of_atom = np.array([atom_of(literal) for literal in literals.tolist()], np.int64)
    atoms = sorted(set(of_atom.tolist()).difference(fixed))
    is_free = np.isin(of_atom, atoms)
    places, signs = np.searchsorted(atoms, of_atom[is_free]), np.where(is_true, -1, 1)[is_free]  # of flips
    changes, firing = np.zeros((len(atoms), n_classes), np.int64), np.zeros(len(atoms), np.int64)
    np.add.at(changes, places, signs[:, None] * adds[:-1][is_free])
    np.add.at(firing, places, signs)
    n_firing = int((~has_literal).sum() + is_true.sum())
    return VoteState(points, tuple(atoms), np.ascontiguousarray(changes.T), n_firing, firing)


def _state_cover(state: VoteState, target: int) -> _Cover:
    points, changes = state.points, state.changes
    rivals = np.flatnonzero(np.arange(len(points)) != target)
    gaps = points[rivals] - points[target] + (rivals < target)  # of equals the first is answered
    gains = changes[target] - changes[rivals]
    mixed_gains, mixed_gap = _mix(gains, gaps)
    order = np.argsort(-mixed_gains, kind="stable")
    return _Cover(
        tuple(state.atoms[place] for place in order),
        np.concatenate([gains, mixed_gains[None]])[:, order],
        np.append(gaps, mixed_gap),
        state.n_firing,
        tuple(state.firing[order].tolist()),
    )


def _mix(gains: _Integers, gaps: _Integers) -> tuple[_Integers, int]:
    """Gains and gap of the sum of all constraints, by factors of which those are raised that others leave unmet."""
    factors, columns = (gaps > 0).astype(np.int64), np.ascontiguousarray(gains.T)
    best: tuple[int, int, _Integers, int] | None = None
    seen: set[bytes] = set()
    for _ in range(_N_MIXTURES):
        if factors.tobytes() in seen:
            break  # what follows has been tried
        seen.add(factors.tobytes())
        used = np.flatnonzero(factors)  # few of many
        mixed, gap = factors[used] @ gains[used], int(factors @ gaps)
        needed = _count_needed(mixed.tolist(), gap)
        n = len(mixed) + 1 if needed is None else needed
        largest = np.argsort(-mixed, kind="stable")[: max(0, n - 1)]
        short = gap - int(mixed[largest].clip(0).sum())  # what one flip fewer leaves open
        sums = (0, 0) if best is None else (int(best[2].sum()), int(factors.sum()))
        if best is None or n > best[0] or (n == best[0] and short * sums[0] > best[1] * sums[1]):
            best = n, short, factors, gap
        if needed is None:
            break
        left = gaps - columns[largest].sum(axis=0)
        scale = max(1, int(np.abs(left).max(initial=0)))
        factors = (16 * factors + 16 * left // scale).clip(0)
        factors = -(-1000 * factors // max(1, int(factors.max(initial=0))))
    if best is None or not best[2].any():
        return np.zeros(gains.shape[1], np.int64), 0
    return best[2] @ gains, best[3]


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


def _find_silence(program: Program, truth: Mapping[int, bool], fixed: Collection[int]) -> tuple[int, ...] | None:
    """The atoms to flip so that no rule fires, ascending; None where some rule always does."""
    literals = {rule.body[:1] for rule in program.class_rules}
    if () in literals or any((~literal[0],) in literals for literal in literals):
        return None
    firing = sorted(atom_of(literal) for (literal,) in literals if holds(literal, truth))
    return None if any(atom in fixed for atom in firing) else tuple(firing)


class _Search:
    """Look for sets of given sizes."""

    def __init__(self, cover: _Cover, most_nodes: int) -> None:
        self._cover, self._most_nodes = cover, most_nodes
        self._columns = np.ascontiguousarray(cover.gains.T)
        self._reach = np.zeros((0, 0, 0), np.int64)
        self.n_nodes = 0
        self.is_over = False  # whether the last search stopped before its end

    def find(self, size: int) -> tuple[int, ...] | None:
        """The first set of at most so many flips that is enough; None if there is none, or the search is over."""
        self.is_over = self._columns.size * size > MOST_REACH
        if self.is_over:
            return None
        self._reach = self._measure_reach(size)
        places = self._extend((), 0, size, self._cover.gaps, self._cover.n_firing)
        self.is_over = self.n_nodes > self._most_nodes
        return None if places is None else tuple(self._cover.atoms[place] for place in places)

    def _measure_reach(self, size: int) -> _Integers:
        """int64 `[n_atoms + 1, size + 1, n_gaps]`: the sum of the `k` largest positive gains from a place on."""
        n_atoms, n_gaps = self._columns.shape
        reach = np.zeros((n_atoms + 1, size + 1, n_gaps), np.int64)
        top = np.zeros((size, n_gaps), np.int64)  # the largest, in descending order
        for place in reversed(range(n_atoms)):
            gain = self._columns[place]
            top[1:] = np.maximum(top[1:], np.minimum(top[:-1], gain))
            np.maximum(top[:1], gain, out=top[:1])
            np.cumsum(top, axis=0, out=reach[place, 1:])
        return reach

    def _extend(
        self, chosen: tuple[int, ...], first: int, n_more: int, gaps: _Integers, n_firing: int
    ) -> tuple[int, ...] | None:
        """Add flips of atoms from place `first` on to those chosen."""
        self.n_nodes += 1
        if n_firing > 0 and (gaps[:-1] <= 0).all():
            return chosen
        if not n_more:
            return None
        for place in range(first, len(self._columns)):
            if self.n_nodes > self._most_nodes:
                return None
            if (gaps > self._reach[place, n_more]).any():
                return None  # nor can what follows
            left = gaps - self._columns[place]
            found = self._extend((*chosen, place), place + 1, n_more - 1, left, n_firing + self._cover.firing[place])
            if found is not None:
                return found
        return None
