"""What shares too little to pay: conjunctions that are OR-ed into a value, one after another, in Numba.

A term is written as pairs, a value that must be true and one that must be false: so that an engine needn't keep the
negations of all values near. A literal that finds no place among those of its sign takes one among the others, as the
negation of its value; the lowest values do, so that the negations that there are stay few.

*Pending* terms, of the section at hand: target, source (a rule, or `~value`) and how many. The *lists* of all sections
that are done: terms, segments and batches as in `Steps`, and how many of each there are.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.compile.nodes import make_node, reserve_nodes


@njit(nogil=True, cache=True)
def start_pending(room: Any) -> Any:
    return np.empty(room, np.int64), np.empty(room, np.int64), np.zeros(1, np.int64)


@njit(nogil=True, cache=True)
def start_lists() -> Any:
    return np.empty(64, np.int32), np.empty((16, 2), np.int32), np.empty((16, 4), np.int64), np.zeros(3, np.int64)


@njit(nogil=True, cache=True)
def add_term(target: Any, source: Any, pending: Any) -> None:
    targets, sources, n_pending = pending
    targets[n_pending[0]] = target
    sources[n_pending[0]] = source
    n_pending[0] += 1


@njit(nogil=True, cache=True)
def write_batches(maker: Any, bodies: Any, pending: Any, lists: Any) -> Any:
    """The pending terms, those of one length together, and among them targets with as many terms: a processor that
    guesses where a loop ends, over a term's values and over a target's terms, is then seldom wrong.

    Returns:
        The maker and the lists, with more room where they need it.
    """
    first_lengths = bodies[4]
    targets, sources, n_pending = pending
    n, n_values = n_pending[0], 0
    widths = np.empty(n, np.int64)
    for k in range(n):
        widths[k] = 2 if sources[k] < 0 else max(2, first_lengths[sources[k]] + (first_lengths[sources[k]] & 1))
        n_values += widths[k]
    maker, lists = reserve_nodes(maker, n_values), _reserve_lists(lists, n_values, n)
    terms, segments, batches, sizes = lists
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
            batches[sizes[2]] = (width, sizes[1], sizes[1], sizes[0])
            sizes[2] += 1
        previous = width
        segments[sizes[1], 0], segments[sizes[1], 1] = targets[terms_of_group[0]], len(terms_of_group)
        sizes[1] += 1
        batches[sizes[2] - 1, 2] = sizes[1]
        for k in terms_of_group:
            _write_pairs(maker, sources[k], bodies, terms[sizes[0] : sizes[0] + width])
            sizes[0] += width
    n_pending[0] = 0
    return maker, lists


@njit(nogil=True, cache=True)
def _write_pairs(maker: Any, source: Any, bodies: Any, pairs: Any) -> None:
    """The literals of a rule (or of the value `~source`); pairs: int32 `[width]`, written."""
    whole, offsets, first_lengths = bodies[1], bodies[2], bodies[4]
    false, n_pairs = maker[3], len(pairs) // 2
    for i in range(n_pairs):
        pairs[2 * i], pairs[2 * i + 1] = false + 1, false
    if source < 0:
        pairs[0] = ~source
        return
    literals = whole[offsets[source] : offsets[source] + first_lengths[source]]
    n_negative = 0
    for literal in literals:
        n_negative += literal & 1
    commoner = np.int64(2 * n_negative > len(literals))
    n_surplus = (n_negative if commoner else len(literals) - n_negative) - n_pairs
    ends = np.zeros(2, np.int64)
    for literal in literals:
        value, place = literal >> 1, literal & 1
        if place == commoner and n_surplus > 0:
            value, place = make_node(maker, value, false, false + 1), 1 - place
            n_surplus -= 1
        pairs[2 * ends[place] + place] = value
        ends[place] += 1


@njit(nogil=True, cache=True)
def _reserve_lists(lists: Any, n_values: Any, n_terms: Any) -> Any:
    terms, segments, batches, sizes = lists
    if sizes[0] + n_values > len(terms):
        terms = np.empty(max(sizes[0] + n_values, 2 * len(terms)), np.int32)
        terms[: sizes[0]] = lists[0][: sizes[0]]
    if sizes[1] + n_terms > len(segments):
        segments = np.empty((max(sizes[1] + n_terms, 2 * len(segments)), 2), np.int32)
        segments[: sizes[1]] = lists[1][: sizes[1]]
    if sizes[2] + n_terms > len(batches):
        batches = np.empty((max(sizes[2] + n_terms, 2 * len(batches)), 4), np.int64)
        batches[: sizes[2]] = lists[2][: sizes[2]]
    return terms, segments, batches, sizes
