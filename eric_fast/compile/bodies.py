"""Bodies of rules as they are taken apart, in Numba."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.nodes import Diagram, make_node
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import is_negated, negate, negate_like, strip_negation


class Bodies(NamedTuple):
    """The bodies of all rules as values, and what a search among them works in.

    Attributes:
        literals: int32 `[n_literals]`: what is left of each body, sorted by value; `~value` is a negation.
        whole: int32 `[n_literals]`: the same, before anything was taken out.
        offsets: int64 `[n_rules + 1]`: where each body starts in both.
        lengths: int64 `[n_rules]`: how many literals are left of a body; -1 where it can never be true.
        whole_lengths: int64 `[n_rules]`: the same, before anything was taken out.
        order: int64 `[n_rules]`: the rules, in the order of groups.
        counts: int32 `[n_values]` at least: how many bodies mention a value; zeros between uses.
        signs: int8 `[n_values]` at least: 1 where they mention it plain, 2 negated, 3 both; zeros between uses.
        n_reads: int64 `[1]`: literals read so far in search of what bodies share.
        has_twin: bool `[n_kernel_rules]`: see `find_twins`.
    """

    literals: NDArray[np.int32]
    whole: NDArray[np.int32]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    whole_lengths: NDArray[np.int64]
    order: NDArray[np.int64]
    counts: NDArray[np.int32]
    signs: NDArray[np.int8]
    n_reads: NDArray[np.int64]
    has_twin: NDArray[np.bool_]


class Pick(NamedTuple):
    """A value, and how many bodies mention it; -1 and 0 where there is none."""

    value: int
    n_bodies: int


class BodySplit(NamedTuple):
    """Where, of bodies that were split by a value, those that have it end, and those that have its negation."""

    high_end: int
    low_end: int


def start_bodies(n_literals: int, offsets: NDArray[np.int64], has_twin: NDArray[np.bool_]) -> Bodies:
    """Room for the bodies; `read_body` fills it, rule by rule, after `reserve_counts`."""
    n_rules = len(offsets) - 1
    return Bodies(
        literals=np.empty(n_literals, np.int32),
        whole=np.empty(n_literals, np.int32),
        offsets=offsets,
        lengths=np.zeros(n_rules, np.int64),
        whole_lengths=np.zeros(n_rules, np.int64),
        order=np.arange(n_rules),
        counts=np.zeros(0, np.int32),
        signs=np.zeros(0, np.int8),
        n_reads=np.zeros(1, np.int64),
        has_twin=has_twin,
    )


def reserve_counts(bodies: Bodies, n_values: int) -> Bodies:
    """The same bodies with room to count each value."""
    if n_values <= len(bodies.counts):
        return bodies
    return bodies._replace(counts=np.zeros(2 * n_values, np.int32), signs=np.zeros(2 * n_values, np.int8))


def find_twins(literals: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool `[n_rules]`: whether another rule has the same body, up to order; by a hash, so that "yes" is a guess."""
    mixed = literals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(32)))])
    _, body, times = np.unique(sums[offsets[1:]] - sums[offsets[:-1]], return_inverse=True, return_counts=True)
    return times[body] > 1


@cached_njit
def read_bodies(
    first: int, last: int, literals: NDArray[np.int32], values: NDArray[np.int32], false: int, bodies: Bodies
) -> None:
    """Fill in the bodies of the rules `first:last`: sorted, without repetitions and without what is always true.

    literals: int32 `[n_literals]`, of rows. values: int32 `[n_rows]`: the value of a row, `~value` for its negation.
    """
    work, whole, offsets = bodies.literals, bodies.whole, bodies.offsets
    lengths, whole_lengths = bodies.lengths, bodies.whole_lengths
    for rule in range(first, last):
        start, n = offsets[rule], 0
        for i in range(start, offsets[rule + 1]):
            literal = negate_like(values[strip_negation(literals[i])], literals[i])
            value = strip_negation(literal)
            if value == false or value == false + 1:
                if (value == false) != is_negated(literal):
                    n = -1
                    break
                continue
            work[start + n] = literal
            n += 1
        if n > 0:
            _sort(work, start, start + n)
            n = _drop_repetitions(work, start, start + n)
        for i in range(start, start + n):
            whole[i] = work[i]
        lengths[rule] = whole_lengths[rule] = n


@cached_njit
def _drop_repetitions(literals: NDArray[np.int32], first: int, last: int) -> Any:
    """How many different literals there are in `literals[first:last]`, which is sorted: they move to its front.

    -1 where a literal and its negation are among them.
    """
    kept = first + 1
    for i in range(first + 1, last):
        if literals[i] == literals[kept - 1]:
            continue
        if literals[i] == negate(literals[kept - 1]):
            return -1
        literals[kept] = literals[i]
        kept += 1
    return kept - first


@cached_njit
def _sort(literals: NDArray[np.int32], first: int, last: int) -> None:
    """Sort `literals[first:last]` by value, by insertion: bodies are short, or sorted but for a few.

    Compiling NumPy's own sort takes seconds.
    """
    for i in range(first + 1, last):
        literal, place = literals[i], i
        value = strip_negation(literal)
        while place > first and strip_negation(literals[place - 1]) > value:
            literals[place] = literals[place - 1]
            place -= 1
        literals[place] = literal


@cached_njit
def pick_value(first: int, last: int, bodies: Bodies) -> Any:
    """The value that most bodies of `order[first:last]` mention: a `Pick`.

    Of equals it is one that they all mention with one sign, then the lowest.
    """
    work, offsets, lengths, order = bodies.literals, bodies.offsets, bodies.lengths, bodies.order
    counts, signs, n_reads = bodies.counts, bodies.signs, bodies.n_reads
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            counts[strip_negation(work[i])] += 1
            signs[strip_negation(work[i])] |= 1 + is_negated(work[i])
        n_reads[0] += lengths[order[k]]
    best, most, best_sign = -1, 0, 0
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            value = strip_negation(work[i])
            count, mixed = counts[value], signs[value] == 3
            if count > 0 and (
                count > most or (count == most and (mixed < best_sign or (mixed == best_sign and value < best)))
            ):
                best, most, best_sign = value, count, mixed
            counts[value] = 0
            signs[value] = 0
    return Pick(best, most)


@cached_njit
def split_bodies(first: int, last: int, value: int, bodies: Bodies) -> Any:
    """Bring bodies with `value` to the front of `order[first:last]`, then those with its negation; take it out of both.

    Gives a `BodySplit`.
    """
    work, offsets, lengths, order = bodies.literals, bodies.offsets, bodies.lengths, bodies.order
    high_end = low_end = first
    for k in range(first, last):
        rule = order[k]
        start, stop = offsets[rule], offsets[rule] + lengths[rule]
        place = start
        while place < stop and strip_negation(work[place]) != value:
            place += 1
        if place == stop:
            continue
        negated = is_negated(work[place])
        for i in range(place, stop - 1):
            work[i] = work[i + 1]
        lengths[rule] -= 1
        order[k] = order[low_end]
        order[low_end] = rule
        if not negated:
            order[low_end] = order[high_end]
            order[high_end] = rule
            high_end += 1
        low_end += 1
    return BodySplit(high_end, low_end)


@cached_njit
def make_conjunction(rule: int, prefix: int, diagram: Diagram, bodies: Bodies) -> Any:
    """The value of `prefix` and what is left of a rule's body."""
    literals, start, false = bodies.literals, bodies.offsets[rule], diagram.false
    for i in range(start, start + bodies.lengths[rule]):
        high, low = (false, prefix) if is_negated(literals[i]) else (prefix, false)
        prefix = make_node(diagram, strip_negation(literals[i]), high, low)
    return prefix
