"""Class rules with whole weights, counted by adders made of nodes, many samples at a time.

Sums of whole numbers don't depend on their order, as long as float64 holds them exactly; so rules that add only to
outputs where every weight is a small multiple of one power of two may be counted, and no other. Where every class rule
is counted, the class with the highest counter is found among the nodes, too.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.nodes import Diagram, make_adder, make_node
from eric_fast.jit import cached_njit
from eric_fast.plan.steps import MOST_PLANES

MOST_ONES = 4  # binary ones of a weight, on average: each goes through an adder
MOST_SUM = 2**24  # of an output's weights, in units
LONGEST_CHAIN = 8  # adders that add to one sum, one after another: engines keep it in a register and run them at once


class DecisionArrays(NamedTuple):
    """How class rules decide; see `Plan`."""

    votes: bool
    n_classes: int
    default: int
    base: NDArray[np.float64]
    vote_offsets: NDArray[np.int64]
    vote_classes: NDArray[np.int32]
    vote_weights: NDArray[np.float64]


class Counted(NamedTuple):
    """Which class rules are counted, and how.

    Attributes:
        is_counted: bool `[n_class_rules]`.
        weights: int64 `[n_votes]`, in units.
        units: float64 `[n_classes]`.
        is_positive: bool `[n_classes]`: nothing that is counted is taken away, so the count says whether a rule fired.
    """

    is_counted: NDArray[np.bool_]
    weights: NDArray[np.int64]
    units: NDArray[np.float64]
    is_positive: NDArray[np.bool_]


def find_counted(decision: DecisionArrays, is_free: NDArray[np.bool_]) -> Counted:
    """Which of the class rules that are `is_free`, of no tree, can be counted."""
    n_rules, n_classes = len(is_free), decision.n_classes
    outputs, weights = decision.vote_classes, decision.vote_weights
    lowest = np.full(n_classes, 1023)
    np.minimum.at(lowest, outputs, _find_lowest_ones(weights))
    lowest = np.minimum(lowest, _find_lowest_ones(decision.base))
    units = np.ldexp(1.0, np.where(lowest == 1023, 0, lowest))
    with np.errstate(over="ignore"):  # what is past the largest number is not small
        in_units = np.abs(weights) / units[outputs]
        sums = np.bincount(outputs, in_units, n_classes) + np.abs(decision.base) / units
    n_votes = np.bincount(outputs, minlength=n_classes)
    is_small = sums <= MOST_SUM
    whole = np.rint(np.where(is_small[outputs], weights, 0) / units[outputs]).astype(np.int64)
    n_ones = np.bincount(outputs, count_set_bits(whole), n_classes)
    is_exact = is_small & (n_ones <= MOST_ONES * n_votes)
    rules = np.repeat(np.arange(n_rules), np.diff(decision.vote_offsets))
    is_counted = is_free & decision.votes
    is_counted[rules[~is_exact[outputs]]] = False
    is_positive = np.ones(n_classes, np.bool_)
    is_positive[outputs[is_counted[rules] & (whole <= 0)]] = False
    return Counted(is_counted, whole, units, is_positive)


def count_set_bits(weights: NDArray[np.int64]) -> NDArray[np.uint8]:
    """How many binary ones each has, whatever its sign."""
    return np.bitwise_count(np.abs(weights))


def _find_lowest_ones(numbers: NDArray[np.float64]) -> NDArray[np.int64]:
    """The exponent of the lowest binary one of each; 1023 where there is none."""
    fractions, exponents = np.frexp(numbers)
    digits = np.ldexp(fractions, 53).astype(np.int64)
    lowest = np.bitwise_count((digits & -digits) - 1).astype(np.int64)
    return np.where(digits == 0, 1023, exponents - 53 + lowest)


@cached_njit
def count_rules(
    first: int,
    last: int,
    fires: NDArray[np.int32],
    decision: DecisionArrays,
    counted: Counted,
    sums: NDArray[np.int64],
    offsets: NDArray[np.int64],
    diagram: Diagram,
) -> None:
    """Add the class rules `first:last` that are counted to `sums`.

    fires: int32 `[n_class_rules]`. sums: int64 `[n_classes, MOST_PLANES + 1]`: the count of each output as planes.
    offsets: int64 `[n_classes]`: what is to be added to it: a rule that takes away counts where it doesn't fire.
    """
    vote_offsets, vote_classes = decision.vote_offsets, decision.vote_classes
    is_counted, weights = counted.is_counted, counted.weights
    false = diagram.false
    votes = np.empty(vote_offsets[last] - vote_offsets[first], np.int64)
    rules = np.empty(len(votes), np.int64)
    n = 0
    for rule in range(first, last):
        for vote in range(vote_offsets[rule], vote_offsets[rule + 1]):
            if is_counted[rule] and weights[vote]:
                votes[n], rules[n] = vote, rule
                n += 1
    order = np.argsort(vote_classes[votes[:n]], kind="mergesort")
    queues = np.empty((MOST_PLANES + 2, 3 * n + 8), np.int64)
    ends = np.zeros(MOST_PLANES + 2, np.int64)
    begin = 0
    for k in range(1, n + 1):
        if k < n and vote_classes[votes[order[k]]] == vote_classes[votes[order[begin]]]:
            continue
        output = vote_classes[votes[order[begin]]]
        for j in range(MOST_PLANES + 1):
            queues[j, 0] = sums[output, j]
            ends[j] = sums[output, j] != false
        for i in range(begin, k):
            vote = votes[order[i]]
            value, weight = np.int64(fires[rules[order[i]]]), weights[vote]
            if weight < 0:
                value = make_node(diagram, value, false, false + 1)
                offsets[output] += weight
            for j in range(MOST_PLANES):
                if (abs(weight) >> j) & 1:
                    queues[j, ends[j]] = value
                    ends[j] += 1
        add_planes(queues, ends, MOST_PLANES, diagram)
        for j in range(MOST_PLANES):
            sums[output, j] = queues[j, 0] if ends[j] else false
        ends[:] = 0
        begin = k


@cached_njit
def add_planes(queues: NDArray[np.int64], ends: NDArray[np.int64], n_planes: int, diagram: Diagram) -> None:
    """Add what stands in the first queues, in each until one is left; carries go to the next.

    Carries are added first, in the order in which they were made, but for those of adders that add carries themselves:
    so an engine may run the rest of a chain together with the beginning of the next queue's.

    queues: int64 `[n_planes + 1 or more, capacity]`: values of one power of two each.
    ends: int64 `[n_planes + 1 or more]`: how many values each holds.
    """
    false, carries, n_carries = diagram.false, np.empty(queues.shape[1], np.int64), 0
    for j in range(n_planes):
        queue = queues[j]
        n_first = n_carries // 2 if ends[j] else 0  # adders that add two carries each
        begin = min(ends[j], 1)
        end = ends[j] + n_carries
        for i in range(ends[j] - 1, begin - 1, -1):
            queue[i + n_carries] = queue[i]
        queue[begin : begin + n_carries] = carries[:n_carries]
        at, n_adders, n_carries = 0, 0, 0
        while end - at > 1:
            stop = min(end, at + 1 + 2 * LONGEST_CHAIN)
            total = queue[at]
            for i in range(at + 1, stop, 2):
                added = make_adder(diagram, total, queue[i], queue[i + 1] if i + 1 < stop else false)
                total = added.sum
                if added.carry != false and n_adders < n_first:
                    queues[j + 1, ends[j + 1]] = added.carry
                    ends[j + 1] += 1
                elif added.carry != false:
                    carries[n_carries] = added.carry
                    n_carries += 1
                n_adders += 1
            queue[end] = total
            at, end = stop, end + 1
        if end:
            queue[0] = queue[at]
        ends[j] = end > 0
    queues[n_planes, ends[n_planes] : ends[n_planes] + n_carries] = carries[:n_carries]
    ends[n_planes] += n_carries


class Aligned(NamedTuple):
    """Counts that can be compared.

    Attributes:
        counted: what is counted, in one unit for all outputs.
        starts: int64 `[n_classes]`, from 0: what each counter begins with; the highest counter is then the highest sum.
    """

    counted: Counted
    starts: NDArray[np.int64]


def align_counts(decision: DecisionArrays, counted: Counted) -> Aligned | None:
    """The same counts in one unit, or None where some class rule isn't counted, or sums are too large in one unit."""
    outputs, n_classes = decision.vote_classes, decision.n_classes
    if not len(counted.is_counted) or not counted.is_counted.all():
        return None
    is_used = (np.bincount(outputs, minlength=n_classes) > 0) | (decision.base != 0)
    unit = counted.units[is_used].min(initial=np.inf)
    weights = counted.weights * (counted.units[outputs] / unit)
    base = decision.base / unit
    if (np.bincount(outputs, np.abs(weights), n_classes) + np.abs(base) > MOST_SUM).any():
        return None
    lowest = base + np.bincount(outputs, np.minimum(weights, 0), n_classes)
    starts = (lowest - lowest.min()).astype(np.int64)
    is_positive = counted.is_positive & (starts == 0)
    whole = Counted(counted.is_counted, weights.astype(np.int64), np.full(n_classes, unit), is_positive)
    return Aligned(whole, starts)


@cached_njit
def choose_highest(planes: NDArray[np.int64], n_digits: int, diagram: Diagram) -> Any:
    """The values of the digits of the output whose number is highest, the lowest of equals: int64 `[n_digits]`.

    planes: int64 `[n_classes, n_planes]`: the values of each output's digits, the lowest first. It takes up to
    `4 * n_planes + n_digits` nodes for each output but the first.
    """
    false, true = diagram.false, diagram.false + 1
    best, digits = planes[0].copy(), np.full(n_digits, false, np.int64)
    for output in range(1, len(planes)):
        is_more = np.int64(false)
        for j in range(len(best)):
            other = np.int64(planes[output, j])
            differs = make_node(diagram, other, make_node(diagram, best[j], false, true), best[j])
            is_more = make_node(diagram, differs, other, is_more)
        for j in range(len(best)):
            best[j] = make_node(diagram, is_more, np.int64(planes[output, j]), best[j])
        for j in range(n_digits):
            digits[j] = make_node(diagram, is_more, false + ((output >> j) & 1), digits[j])
    return digits
