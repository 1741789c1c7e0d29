"""The leaf of a decision tree that samples are in, as a number in binary; see `indexes`, in Numba."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.indexes import Numbers, copy_number, index_list, start_items, start_numbers, write_leaf
from eric_fast.compile.nodes import Diagram
from eric_fast.compile.trees import LACKING, TREE_START, TREE_STOP, Paths, Tree, follow_paths
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import is_negated, strip_negation


@cached_njit
def index_trees(
    trees: NDArray[np.int64],
    paths: Paths,
    n_digits: int,
    answers: NDArray[np.int64],
    values: NDArray[np.int32],
    tree: Tree,
    numbers: Numbers,
    codes: NDArray[np.int64],
    diagram: Diagram,
) -> Any:
    """The number of the leaf, or the digits of the answer, of each of `trees`, rows of `FoundTrees.trees`.

    values: int32 `[n_rows]`. codes, answers: int64 `[n_class_rules]`, in path order. numbers: `N_LEVELS` of them.
    """
    found = start_numbers(len(trees))
    for t in range(len(trees)):
        first, last = trees[t, TREE_START], trees[t, TREE_STOP]
        n_nodes = follow_paths(first, last, paths.order, paths.literals, paths.offsets, tree).n_nodes
        leaves = codes[first - paths.first : last - paths.first]
        leaves[:] = 0
        of_tree = answers[first - paths.first : last - paths.first]
        _index_tree(n_nodes, n_digits, of_tree, values, tree, numbers, leaves, diagram)
        copy_number(numbers, 0, found, t)
    return found


@cached_njit
def _index_tree(
    n_nodes: int,
    n_digits: int,
    answers: NDArray[np.int64],
    values: NDArray[np.int32],
    tree: Tree,
    numbers: Numbers,
    codes: NDArray[np.int64],
    diagram: Diagram,
) -> None:
    """Write the number of the leaf that each sample is in to row 0 of `numbers`.

    answers: int64 `[n_leaves]`: where `n_digits` isn't 0 the planes are the digits of the leaf's answer; those of no
    leaf are 0. values: int32 `[n_rows]`. codes: int64 `[n_leaves]`, zeros that become the leaves' numbers.
    """
    literals, children, false = tree.literals, tree.children, diagram.false
    if n_nodes == 0:
        write_leaf(-1, n_digits, answers, numbers, 0, false)
        return
    weight, n_below = np.ones(n_nodes, np.int64), np.zeros(n_nodes, np.int64)  # leaves, with those missing, and without
    first_leaf = np.empty(n_nodes, np.int64)
    is_head = np.zeros(n_nodes, np.bool_)  # of a way down
    is_head[0] = True
    for node in range(n_nodes - 1, -1, -1):
        weight[node] = 0
        for side in range(2):
            below = children[node, side]
            weight[node] += weight[below] if below >= 0 else 1
            n_below[node] += n_below[below] if below >= 0 else below != LACKING
        heavy = _find_heavy(node, children, weight)
        if children[node, 1 - heavy] >= 0:
            is_head[children[node, 1 - heavy]] = True
    first_leaf[0] = 0
    for node in range(n_nodes):
        leaf = first_leaf[node]
        for side in range(2):
            below = children[node, side]
            if below >= 0:
                first_leaf[below] = leaf
            leaf += n_below[below] if below >= 0 else below != LACKING
    found = start_numbers(n_nodes)
    items = start_items(n_nodes + 1)
    conditions, negated, leaf_numbers, weights = items.conditions, items.negated, items.numbers, items.weights
    starts, stops = items.leaf_starts, items.leaf_stops
    for head in np.arange(n_nodes - 1, -1, -1):
        if not is_head[head]:
            continue
        n, below, heavy, light = 0, head, head, head
        while below >= 0:
            heavy = _find_heavy(below, children, weight)
            light = np.int64(children[below, 1 - heavy])
            literal = literals[below]
            value = values[strip_negation(literal)]
            conditions[n] = strip_negation(value)
            negated[n] = (is_negated(literal) != is_negated(value)) != (heavy == 0)
            starts[n], stops[n] = first_leaf[below], first_leaf[below] + n_below[below]
            weights[n + 1] = weights[n] + (weight[light] if light >= 0 else 1)
            if light >= 0:
                copy_number(found, light, leaf_numbers, n)
            else:
                write_leaf(light, n_digits, answers, leaf_numbers, n, false)
            n += 1
            below = children[below, heavy]
        # The leaf where the way ends; after it nothing is left.
        conditions[n], negated[n] = false + 1, False
        weights[n + 1] = weights[n] + 1
        starts[n] = starts[n - 1] + (0 if heavy == 0 or light == LACKING else n_below[light] if light >= 0 else 1)
        stops[n] = starts[n] + (below != LACKING)
        starts[n + 1] = stops[n + 1] = starts[n]
        write_leaf(below, n_digits, answers, leaf_numbers, n, false)
        index_list(n + 1, False, n_digits, items, numbers, codes, diagram)
        copy_number(numbers, 0, found, head)


@cached_njit
def _find_heavy(node: int, children: NDArray[np.int32], weight: NDArray[np.int64]) -> Any:
    """The side with more leaves. children: see `Tree`. weight: int64 `[n_nodes]`: leaves below each node."""
    high, low = children[node]
    return np.int64((weight[low] if low >= 0 else 1) > (weight[high] if high >= 0 else 1))
