"""Counters of all outputs to the class with the highest, where every class rule is counted."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.counters import MOST_SUM, Counted, DecisionArrays
from eric_fast.compile.nodes import Diagram, make_node
from eric_fast.jit import cached_njit


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
