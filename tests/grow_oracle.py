"""What a tree must be, by brute force: the gain of every atom at every node, exact for gini; trees as nested tuples."""

from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from math import log2
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels import Forest

Nested = tuple[int, Any, Any, Any, Any]  # feature, counts, weights, false branch, true branch


def list_trees(forest: Forest) -> list[Nested]:
    """Each tree as nested (feature, counts, weights, false branch, true branch); a leaf's branches are None."""

    def nest(node: int, first: int) -> Nested:
        i = first + node
        row = (forest.counts[i].tolist(), forest.weights[i].tolist())
        if forest.feature[i] < 0:
            assert forest.left[i] == forest.right[i] == -1
            return (-1, *row, None, None)
        return (int(forest.feature[i]), *row, nest(int(forest.left[i]), first), nest(int(forest.right[i]), first))

    return [nest(0, int(first)) for first in forest.offsets[:-1]]


def nest_sklearn(fitted: Any, counts_of: Callable[[int], tuple[Any, Any]], node: int = 0) -> Nested:
    """scikit-learn's tree likewise; `counts_of(node)` gives samples and weights by value."""
    tree = fitted.tree_
    if tree.children_left[node] < 0:
        return (-1, *counts_of(node), None, None)
    left, right = (nest_sklearn(fitted, counts_of, c[node]) for c in (tree.children_left, tree.children_right))
    return (int(tree.feature[node]), *counts_of(node), left, right)


def impurity(weights: Sequence[int], criterion: str) -> Fraction | float:
    """Total weight times impurity: a Fraction for gini, a float for entropy."""
    total = sum(weights)
    if criterion == "gini":
        return total - Fraction(sum(w * w for w in weights), total)
    return sum(-w * log2(w / total) for w in weights if w)


def list_gains(
    bits: NDArray[np.bool_],
    target: NDArray[Any],
    weights: NDArray[Any],
    n_values: int,
    min_leaf: int,
    criterion: str,
) -> dict[int, Fraction | float]:
    """By atom: what splitting these samples gains; atoms that leave too few on a side are missing."""
    gains = {}
    for atom in range(bits.shape[1]):
        true = bits[:, atom]
        if min(true.sum(), (~true).sum()) < max(min_leaf, 1):
            continue
        parts = [[int(weights[m & (target == v)].sum()) for v in range(n_values)] for m in (true | ~true, ~true, true)]
        whole, left, right = (impurity(part, criterion) for part in parts)
        gains[atom] = whole - left - right
    return gains


def walk_nodes(
    tree: Nested, bits: NDArray[np.bool_], target: NDArray[Any], weights: NDArray[Any]
) -> Iterator[tuple[Nested, NDArray[np.int64], int]]:
    """(node, its samples' numbers, depth) for every node; checks the counts on the way."""
    pending = [(tree, np.flatnonzero(weights > 0), 0)]
    while pending:
        node, inside, depth = pending.pop()
        feature, counts, weighed, left, right = node
        for v, (count, weight) in enumerate(zip(counts, weighed, strict=True)):
            mine = inside[target[inside] == v]
            assert (count, weight) == (len(mine), weights[mine].sum())
        yield node, inside, depth
        if feature >= 0:
            true = bits[inside, feature]
            pending += [(left, inside[~true], depth + 1), (right, inside[true], depth + 1)]
