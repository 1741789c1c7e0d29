"""Weight bodies: each becomes a row of the plan, true where counters made of adders reach its bound."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.compile.counters import add_planes
from eric_fast.compile.nodes import Diagram, make_node, reserve_nodes
from eric_fast.jit import cached_njit
from eric_fast.plan import Sums
from eric_fast.plan.jitted import is_negated, negate, negate_like, strip_negation
from eric_fast.plan.steps import MOST_PLANES
from eric_fast.program.rules import RuleArrays, count_offsets

NODES_PER_ADDER = 2


class SplitBodies(NamedTuple):
    """Bodies that are conjunctions, as in `Plan`, and the sums that some of them mention."""

    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sums: Sums


class _Digits(NamedTuple):
    """What a counter adds up: a start, and for each literal a number where it is true, and one where it is false.

    added, negated: int64 `[n_literals]`.
    """

    added: NDArray[np.int64]
    negated: NDArray[np.int64]
    start: int


def split_sums(rules: RuleArrays, literals: NDArray[np.int32], strata: NDArray[np.int64], n_rows: int) -> SplitBodies:
    """Take the weight bodies out of the bodies of rules: what is left is one literal, the row of the sum.

    Args:
        rules: all rules of a plan.
        literals: int32 `[n_literals]`: their bodies, in rows of the plan.
        strata: int64 `[n_strata + 1]`; see `Plan`.
        n_rows: rows of atoms; those of the sums follow.
    """
    numbers: dict[bytes, int] = {}  # what a sum is -> its number
    lengths = np.diff(rules.offsets)
    parts: list[tuple[NDArray[np.int32], NDArray[np.int32], int]] = []
    ends = [0]
    is_sum = rules.bounds > 0 if len(rules.bounds) else np.zeros(len(lengths), np.bool_)
    rows = np.zeros(len(lengths), np.int32)
    for first, last in pairwise([*strata.tolist(), len(lengths)]):
        for rule in (first + np.flatnonzero(is_sum[first:last])).tolist():
            body = slice(rules.offsets[rule], rules.offsets[rule + 1])
            order = np.argsort(literals[body])
            part = literals[body][order], rules.weights[body][order], int(rules.bounds[rule])
            key = part[0].tobytes() + part[1].tobytes() + rules.bounds[rule].tobytes()
            rows[rule] = n_rows + numbers.setdefault(key, len(numbers))
            if len(parts) < len(numbers):
                parts.append(part)
        ends.append(len(parts))
    left = np.where(is_sum, 1, lengths)
    conjunctions = np.empty(left.sum(), np.int32)
    conjunctions[np.repeat(~is_sum, left)] = literals[np.repeat(~is_sum, lengths)]
    conjunctions[np.repeat(is_sum, left)] = rows[is_sum]
    none = np.zeros(0, np.int32)
    sums = Sums(
        literals=torch.from_numpy(np.concatenate([none, *(part[0] for part in parts)])),
        weights=torch.from_numpy(np.concatenate([none, *(part[1] for part in parts)])),
        offsets=torch.from_numpy(count_offsets([len(part[0]) for part in parts])),
        bounds=torch.tensor([part[2] for part in parts], dtype=torch.int32),
        strata=torch.tensor(ends, dtype=torch.int64),
    )
    return SplitBodies(conjunctions, count_offsets(left), sums)


@cached_njit
def share_sums(
    first: int,
    last: int,
    first_row: int,
    literals: NDArray[np.int32],
    weights: NDArray[np.int32],
    offsets: NDArray[np.int64],
    bounds: NDArray[np.int32],
    values: NDArray[np.int32],
    diagram: Diagram,
) -> Any:
    """Write the values of the sums `first:last`, whose rows are `first_row + first` and so on.

    A counter for many samples at once: column `k` holds the literals whose weight has binary digit `k`, and that digit
    of `2**n_planes - bound`; so the sum reaches the bound where there is a one above these columns. As what they hold
    is less than `2**(n_planes + 1)`, there is one at most. A bound that any literal reaches, or only all of them, takes
    no counter.

    literals, weights, offsets, bounds: see `Sums`. values: int32 `[n_rows]`: the value of each row.

    Returns:
        The diagram, with more room where it needs it.
    """
    false = diagram.false
    for number in range(first, last):
        start, stop = offsets[number], offsets[number + 1]
        total, n_digits = np.int64(0), MOST_PLANES + 1  # those of the start, and of all weights
        for i in range(start, stop):
            total += weights[i]
            n_digits += _count_digits(weights[i])
        bound, n_planes = np.int64(bounds[number]), 0
        while (np.int64(1) << n_planes) < max(bound, total - bound + 1):
            n_planes += 1
        fill = (np.int64(1) << n_planes) - bound
        digits = _choose_digits(weights[start:stop], fill, n_planes)
        diagram = reserve_nodes(diagram, 3 * (stop - start) + NODES_PER_ADDER * (n_digits + n_planes + 1))
        queues = np.empty((n_planes + 2, 3 * n_digits + 8), np.int64)
        ends = np.zeros(n_planes + 2, np.int64)
        for j in range(n_planes):
            if (digits.start >> j) & 1:  # first: a value that a chain starts with may be a constant
                queues[j, 0] = false + 1
                ends[j] = 1
        needs_all = 1 < bound == total
        reached = np.int64(false + needs_all)
        for i in range(start, stop):
            literal = negate_like(values[strip_negation(literals[i])], literals[i])
            value = _make_literal(diagram, literal)
            if bound == 1:
                reached = make_node(diagram, value, false + 1, reached)
            elif needs_all:
                reached = make_node(diagram, value, reached, false)
            for amount, sign in ((digits.added[i - start], literal), (digits.negated[i - start], negate(literal))):
                for j in range(n_planes + 1):
                    if (amount >> j) & 1:
                        queues[j, ends[j]] = _make_literal(diagram, sign)
                        ends[j] += 1
        if 1 < bound < total:
            add_planes(queues, ends, n_planes, diagram)
            for k in range(ends[n_planes]):
                reached = make_node(diagram, queues[n_planes, k], false + 1, reached)
        values[first_row + number] = reached
    return diagram


@cached_njit
def _choose_digits(weights: NDArray[np.int32], start: int, n_planes: int) -> Any:
    """The `_Digits` of a sum, with weights int32 `[n_literals]`, that take the fewest adders.

    `7 a` is `8 a + (not a) - 1`: two digits in place of three. The heaviest literals come first, as long as the start
    is large enough; of their numbers, the best is kept.
    """
    added, negated = weights.astype(np.int64), np.zeros(len(weights), np.int64)
    columns = np.zeros(MOST_PLANES + 2, np.int64)
    for weight in added:
        _add_digits(columns, weight, 1)
    n_kept, fewest, best_start = 0, _count_adders(columns, start, n_planes), start
    order = np.argsort(-added, kind="mergesort")
    for k in range(len(order)):
        weight = added[order[k]]
        lowest = weight & -weight
        if lowest <= start and _count_digits(weight + lowest) < _count_digits(weight):
            added[order[k]], negated[order[k]] = weight + lowest, lowest
            start -= lowest
            for number, sign in ((weight, -1), (weight + lowest, 1), (lowest, 1)):
                _add_digits(columns, number, sign)
            n_adders = _count_adders(columns, start, n_planes)
            if n_adders < fewest:
                n_kept, fewest, best_start = k + 1, n_adders, start
    for i in order[n_kept:]:
        added[i], negated[i] = added[i] - negated[i], 0
    return _Digits(added, negated, best_start)


@cached_njit
def _add_digits(columns: NDArray[np.int64], number: int, sign: int) -> None:
    """Add the digits of a number, or take them away, in columns, int64 `[n_digits]`."""
    for j in range(len(columns)):
        columns[j] += sign * ((number >> j) & 1)


@cached_njit
def _count_adders(columns: NDArray[np.int64], start: int, n_planes: int) -> Any:
    """How many adders `add_planes` makes of columns of so many values, and of the digits of a constant."""
    n_adders = n_carries = 0
    for j in range(n_planes):
        n_carries = (columns[j] + ((start >> j) & 1) + n_carries) // 2
        n_adders += n_carries
    return n_adders


@cached_njit
def _make_literal(diagram: Diagram, literal: int) -> Any:
    """The value that a literal of values stands for."""
    value = np.int64(strip_negation(literal))
    return make_node(diagram, value, diagram.false, diagram.false + 1) if is_negated(literal) else value


@cached_njit
def _count_digits(number: int) -> Any:
    """The binary ones of a number from 0."""
    n = 0
    while number:
        n += number & 1
        number >>= 1
    return n
