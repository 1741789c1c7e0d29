"""What shares too little to pay: conjunctions that are OR-ed into a value, one after another, in Numba.

A term is written as pairs, a value that must be true and one that must be false: so that an engine needn't keep the
negations of all values near. A literal that finds no place among those of its sign takes one among the others, as the
negation of its value; the lowest values do, so that the negations that there are stay few.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.bodies import Bodies
from eric_fast.compile.nodes import Diagram, make_node, reserve_nodes
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import is_negated, negate, strip_negation
from eric_fast.plan.steps import BATCH, SEGMENT

N_VALUES, N_SEGMENTS, N_BATCHES = range(3)


class PendingTerms(NamedTuple):
    """The terms of the section at hand, which `write_batches` is to write.

    Attributes:
        targets: int64 `[capacity]`: the value that a term is OR-ed into.
        sources: int64 `[capacity]`: the rule whose body it is, or `~value` for a term of one value.
        n_terms: int64 `[1]`: how many there are.
    """

    targets: NDArray[np.int64]
    sources: NDArray[np.int64]
    n_terms: NDArray[np.int64]


class TermLists(NamedTuple):
    """The terms of the sections that are done.

    Attributes:
        terms: int32 `[capacity]`, segments: int32 `[capacity, 2]`, batches: int64 `[capacity, 4]`: see `Steps`.
        sizes: int64 `[3]`: how many of each there are: `N_VALUES`, `N_SEGMENTS`, `N_BATCHES`.
    """

    terms: NDArray[np.int32]
    segments: NDArray[np.int32]
    batches: NDArray[np.int64]
    sizes: NDArray[np.int64]


class Written(NamedTuple):
    """What `write_batches` wrote to."""

    diagram: Diagram
    lists: TermLists


@cached_njit
def start_pending(room: int) -> Any:
    return PendingTerms(np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64))


@cached_njit
def start_lists() -> Any:
    return TermLists(
        np.empty(64, np.int32), np.empty((16, 2), np.int32), np.empty((16, 4), np.int64), np.zeros(3, np.int64)
    )


@cached_njit
def add_term(target: int, source: int, pending: PendingTerms) -> None:
    targets, sources, n_terms = pending.targets, pending.sources, pending.n_terms
    targets[n_terms[0]] = target
    sources[n_terms[0]] = source
    n_terms[0] += 1


@cached_njit
def write_batches(diagram: Diagram, bodies: Bodies, pending: PendingTerms, lists: TermLists) -> Any:
    """Write the pending terms: those of one length together, and among them targets with as many terms.

    A processor that guesses where a loop ends, over a term's values and over a target's terms, is then seldom wrong.

    Returns:
        A `Written`: the diagram and the lists, with more room where they need it.
    """
    whole, offsets, whole_lengths = bodies.whole, bodies.offsets, bodies.whole_lengths
    targets, sources = pending.targets, pending.sources
    n, n_values = pending.n_terms[0], 0
    widths = np.empty(n, np.int64)
    for k in range(n):
        length = 1 if is_negated(sources[k]) else whole_lengths[sources[k]]
        widths[k] = max(2, length + (length & 1))
        n_values += widths[k]
    diagram, lists = reserve_nodes(diagram, n_values), _reserve_lists(lists, n_values, n)
    terms, segments, batches, sizes = lists.terms, lists.segments, lists.batches, lists.sizes
    order = np.argsort(widths, kind="mergesort")
    starts = np.empty(n + 1, np.int64)  # in that order: of each target's terms of one length
    n_groups = 0
    for i in range(n):
        if i == 0 or widths[order[i]] != widths[order[i - 1]] or targets[order[i]] != targets[order[i - 1]]:
            starts[n_groups] = i
            n_groups += 1
    starts[n_groups] = n
    lengths = np.diff(starts[: n_groups + 1])
    previous = -1
    for group in np.argsort(widths[order[starts[:n_groups]]] * (n + 1) + lengths, kind="mergesort"):
        terms_of_group = order[starts[group] : starts[group + 1]]
        width = widths[terms_of_group[0]]
        if width != previous:
            batches[sizes[N_BATCHES]] = (width, sizes[N_SEGMENTS], sizes[N_SEGMENTS], sizes[N_VALUES])
            sizes[N_BATCHES] += 1
        previous = width
        segment = segments[sizes[N_SEGMENTS]]
        segment[SEGMENT.target], segment[SEGMENT.n_terms] = targets[terms_of_group[0]], len(terms_of_group)
        sizes[N_SEGMENTS] += 1
        batches[sizes[N_BATCHES] - 1, BATCH.segment_stop] = sizes[N_SEGMENTS]
        for k in terms_of_group:
            pairs, source = terms[sizes[N_VALUES] : sizes[N_VALUES] + width], sources[k]
            if is_negated(source):
                pairs[0], pairs[1] = negate(source), diagram.false
            else:
                start = offsets[source]
                _write_pairs(diagram, whole[start : start + whole_lengths[source]], pairs)
            sizes[N_VALUES] += width
    pending.n_terms[0] = 0
    return Written(diagram, lists)


@cached_njit
def _write_pairs(diagram: Diagram, literals: NDArray[np.int32], pairs: NDArray[np.int32]) -> None:
    """Write literals, int32 `[n_literals]`, as pairs of values, int32 `[width]`."""
    false, n_pairs = diagram.false, len(pairs) // 2
    for i in range(n_pairs):
        pairs[2 * i], pairs[2 * i + 1] = false + 1, false
    n_negative = 0
    for literal in literals:
        n_negative += is_negated(literal)
    commoner = np.int64(2 * n_negative > len(literals))
    n_surplus = (n_negative if commoner else len(literals) - n_negative) - n_pairs
    ends = np.zeros(2, np.int64)
    for literal in literals:
        value, place = strip_negation(literal), np.int64(is_negated(literal))
        if place == commoner and n_surplus > 0:
            value, place = make_node(diagram, value, false, false + 1), 1 - place
            n_surplus -= 1
        pairs[2 * ends[place] + place] = value
        ends[place] += 1


@cached_njit
def _reserve_lists(lists: TermLists, n_values: int, n_terms: int) -> Any:
    """The same lists with room for so many more values, segments and batches."""
    terms, segments, batches, sizes = lists.terms, lists.segments, lists.batches, lists.sizes
    if sizes[N_VALUES] + n_values > len(terms):
        terms = np.empty(max(sizes[N_VALUES] + n_values, 2 * len(terms)), np.int32)
        terms[: sizes[N_VALUES]] = lists.terms[: sizes[N_VALUES]]
    if sizes[N_SEGMENTS] + n_terms > len(segments):
        segments = np.empty((max(sizes[N_SEGMENTS] + n_terms, 2 * len(segments)), 2), np.int32)
        segments[: sizes[N_SEGMENTS]] = lists.segments[: sizes[N_SEGMENTS]]
    if sizes[N_BATCHES] + n_terms > len(batches):
        batches = np.empty((max(sizes[N_BATCHES] + n_terms, 2 * len(batches)), 4), np.int64)
        batches[: sizes[N_BATCHES]] = lists.batches[: sizes[N_BATCHES]]
    return TermLists(terms, segments, batches, sizes)
