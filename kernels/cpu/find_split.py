"""The best split of one node, decided in integers: the highest gain, the lowest atom of equals.

float64 only tells which atoms can't be the best. For target value v with weight w_v in a node of weight w, of which t_v
and t lie on the true side of an atom, let d_v = t_v * w - t * w_v, and chi = sum_v d_v**2 / w_v / (t * (w - t)). Then

- entropy falls by w * log2(1 + chi / w) bits at most (a divergence is at most the logarithm of 1 + chi-square);
- gini falls by sum_v d_v**2 / (t * (w - t)) / w exactly.

So one pass of plain arithmetic over all atoms leaves a few, whose gains are taken from the table or as exact fractions.

Functions take what `find_split` takes, under the same names. A row of scores is float64 `[n_atoms]`; `top` is its most.
"""

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from eric_fast.jit import cached_njit
from eric_fast.kernels.fixed_point import SCALE_BITS
from eric_fast.kernels.growth import ENTROPY, Limits

NO_SPLIT = -1


class AtomSplit(NamedTuple):
    """An atom, or `NO_SPLIT`, and its gain: weight times impurity, less the same of both sides, in units of 2**-30."""

    atom: Any
    gain: Any


@intrinsic
def _product_is_more(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """a * b > c * d for int64 of at least 0, in 128 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b, c, d = (builder.zext(argument, ir.IntType(128)) for argument in arguments)
        return builder.icmp_unsigned(">", builder.mul(a, b), builder.mul(c, d))

    return types.boolean(types.int64, types.int64, types.int64, types.int64), generate


@cached_njit
def sum_counts(counts: Any) -> Any:
    """The sum, int64, of int32 counts: NumPy's takes longer to compile."""
    total = np.int64(0)
    for count in counts:
        total += count
    return total


@cached_njit
def find_split(
    counts: Any, weights: Any, node_counts: Any, node_weights: Any, limits: Limits, table: Any, scores: Any
) -> Any:
    """The `AtomSplit` that lowers impurity most; none where no atom leaves `min_leaf` samples on both sides.

    Args:
        counts, weights: int32 `[n_values, n_atoms]`, samples of the node with the atom true, and what they weigh.
        node_counts, node_weights: int32 `[n_values]`, all samples of the node.
        limits: `Limits`. table: `fixed_point.make_entropy_table`. scores: float64 `[3, n_atoms]` to write on.
    """
    entropy = limits.criterion == ENTROPY
    top = _score_atoms(counts, weights, node_counts, node_weights, limits.min_leaf, entropy, scores)
    if top < 0:
        return AtomSplit(NO_SPLIT, np.int64(0))
    if entropy:
        return _find_least_entropy(weights, node_weights, scores[0], top, table)
    return _find_least_gini(weights, node_weights, scores[0], top)


@cached_njit(error_model="numpy")
def _score_atoms(
    counts: Any, weights: Any, node_counts: Any, node_weights: Any, min_leaf: int, entropy: bool, scores: Any
) -> Any:
    """scores[0] = chi, or what gini falls by times w; -1 where a side would be too small. The highest.

    Each is off by n_values + 8 roundings at most: d_v is an exact integer, all else is a sum of what isn't negative.
    """
    n_values, n_atoms = weights.shape
    score, sizes, trues = scores[0], scores[1].view(np.int64), scores[2].view(np.int64)
    weight = sum_counts(node_weights)
    n = sum_counts(node_counts)
    for a in range(n_atoms):
        score[a] = 0.0
        sizes[a] = 0
        trues[a] = 0
    for v in range(n_values):
        for a in range(n_atoms):
            sizes[a] += counts[v, a]
            trues[a] += weights[v, a]
    for v in range(n_values):
        w = np.int64(node_weights[v])
        scale = 1.0 / w if entropy else 1.0
        if w:
            for a in range(n_atoms):
                d = np.float64(weights[v, a] * weight - trues[a] * w)
                score[a] += d * d * scale
    for a in range(n_atoms):
        inside = (sizes[a] >= min_leaf) & (n - sizes[a] >= min_leaf)
        fall = score[a] / np.float64(trues[a] * (weight - trues[a]))
        score[a] = fall if inside else -1.0
    # Of float64 that aren't negative the integers of the same bits have the same order, and a loop over them is quick.
    order, top = score.view(np.int64), np.int64(-1)
    for a in range(n_atoms):
        top = max(top, order[a])
    return -1.0 if top < 0 else np.int64(top).view(np.float64)


@cached_njit
def _gain_entropy(weights: Any, node_weights: Any, atom: int, table: Any) -> Any:
    """Less a constant of the node."""
    w_true, weight, gain = np.int64(0), np.int64(0), np.int64(0)
    for v in range(len(node_weights)):
        t, w = weights[v, atom], node_weights[v]
        w_true += t
        weight += w
        gain += table[t] + table[w - t]
    return gain - table[w_true] - table[weight - w_true]


@cached_njit
def _find_least_entropy(weights: Any, node_weights: Any, scores: Any, top: Any, table: Any) -> Any:
    n_values, n_atoms = weights.shape
    weight = sum_counts(node_weights)
    impurity = table[weight]
    for w in node_weights:
        impurity -= table[w]
    # What rounding may add to a gain that is read from the table, and take from one that is computed.
    slack = 3 * (n_values + 1)
    best = 0
    while scores[best] != top:
        best += 1
    most = _gain_entropy(weights, node_weights, best, table)
    floor = _floor_of(most + impurity - slack, weight)
    for a in range(n_atoms):
        if scores[a] >= floor:
            gain = _gain_entropy(weights, node_weights, a, table)
            if gain > most or (gain == most and a < best):
                if gain > most:
                    floor = _floor_of(gain + impurity - slack, weight)
                best, most = a, gain
    return AtomSplit(best, most + impurity)


@cached_njit
def _floor_of(gain: Any, weight: Any) -> Any:
    """A chi that every atom of at least this gain has: w * (2**(gain / w) - 1), and a little less."""
    bits = max(gain, 0) * 2.0**-SCALE_BITS / weight
    return weight * (2.0**bits - 1) * (1 - 1e-9) - 1e-9


@cached_njit
def _find_least_gini(weights: Any, node_weights: Any, scores: Any, top: Any) -> Any:
    """Of (sum of squares) / weight, both sides added, the most: as whole + part / of, exactly."""
    n_values, n_atoms = weights.shape
    floor = top * (1 - (n_values + 9) * 2.0**-51)
    best, most_whole, most_part, most_of = NO_SPLIT, np.int64(-1), np.int64(0), np.int64(1)
    gain = np.int64(0)
    for a in range(n_atoms):
        if scores[a] < floor:
            continue
        left, right, w_left, w_right = _sum_squares(weights, node_weights, a)
        whole = left // w_left + right // w_right
        part, of = left % w_left * w_right + right % w_right * w_left, w_left * w_right
        if part >= of:
            whole, part = whole + 1, part - of
        if whole > most_whole or (whole == most_whole and _product_is_more(part, most_of, most_part, of)):
            best, most_whole, most_part, most_of = a, whole, part, of
            gain = _divide(left, w_left) + _divide(right, w_right)
    squares, weight = np.int64(0), np.int64(0)
    for w in node_weights:
        squares += np.int64(w) * np.int64(w)
        weight += np.int64(w)
    return AtomSplit(best, gain - _divide(squares, weight))


@cached_njit
def _sum_squares(weights: Any, node_weights: Any, atom: int) -> Any:
    """Sums of squares by value where the atom is false and where it is true, and the weights of both sides: int64."""
    left, right, w_left, w_right = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    for v in range(len(node_weights)):
        t = np.int64(weights[v, atom])
        f = np.int64(node_weights[v]) - t
        left += f * f
        right += t * t
        w_left += f
        w_right += t
    return left, right, w_left, w_right


@cached_njit
def _divide(number: int, by: int) -> Any:
    """number / by in units of 2**-30, rounded down."""
    return (number // by << SCALE_BITS) + (number % by << SCALE_BITS) // by
