"""One tree of an XGBoost model file."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.parts import Part
from eric_fast.frontends.trees.nodes import Cases, Tree, list_runs
from eric_fast.frontends.trees.xgboost_cats import Categories


def read_tree(part: Part, output: int, n_outputs: int, weight: np.float32, categories: Categories) -> Tree:
    """The tree that adds to `output`, or to all outputs where its leaves hold a number for each.

    Raises:
        ProgramError: arrays that don't belong together.
    """
    no_split = -1
    left = part["left_children"].as_array(np.int64)
    n_nodes = len(left)
    if n_nodes == 0:
        raise part.fail("a tree needs a node")
    right = part["right_children"].as_array(np.int64, n_nodes)
    constants = part["split_conditions"].as_array(np.float32, n_nodes)
    default_left = part["default_left"].as_array(np.int64, n_nodes) != 0
    column = np.where(left < 0, no_split, part["split_indices"].as_array(np.int64, n_nodes) & 0x7FFFFFFF)
    values = _read_vectors(part, left, right, n_outputs)
    with np.errstate(over="ignore"):
        values = (constants if values is None else values) * weight
    yes, no, missing = left.copy(), right.copy(), default_left.copy()
    sets: dict[int, tuple[float | str, ...]] = {}
    cases: dict[int, Cases] = {}
    for node, codes in _read_sets(part, column).items():  # a category of the set goes right
        yes[node], no[node], missing[node] = right[node], left[node], not default_left[node]
        known = categories.name_codes(int(column[node]), codes, part)
        if known is None:
            cases[node] = list_runs(codes, missing=bool(missing[node]))
        else:
            sets[node] = known
    return Tree(column, constants, yes, no, missing, values, "<", output, sets, cases)


def _read_vectors(part: Part, left: Any, right: Any, n_outputs: int) -> NDArray[np.float32] | None:
    """float32 `[n_nodes, n_outputs]`, what the leaves hold where they hold several numbers."""
    size = part["tree_param"].get("size_leaf_vector")
    if size is None or size.as_int() <= 1:
        return None
    if size.as_int() != n_outputs:
        raise size.fail(f"leaves of {size.as_int()} numbers for {n_outputs} outputs")
    stored = part.get("leaf_weights")
    if stored is None:  # before 3.1 every node had its numbers
        return part["base_weights"].as_array(np.float32, len(left) * n_outputs).reshape(-1, n_outputs)
    vectors = stored.as_array(np.float32)
    if len(vectors) % n_outputs:
        raise stored.fail(f"{len(vectors)} numbers are not {n_outputs} for each leaf")
    vectors = vectors.reshape(-1, n_outputs)
    leaf = left < 0
    place = right[leaf]
    if leaf.any() and not 0 <= place.min() <= place.max() < len(vectors):
        raise stored.fail(f"a leaf that is none of the {len(vectors)}")
    values = np.zeros((len(left), n_outputs), np.float32)
    values[leaf] = vectors[place]
    return values


def _read_sets(part: Part, column: NDArray[Any]) -> dict[int, list[int]]:
    """Node -> the codes of categories that it sends right, ascending, each once."""
    kinds = part.get("split_type")
    asks = kinds.as_array(np.int64, len(column)) == 1 if kinds else np.zeros(len(column), np.bool_)
    asks &= column >= 0
    if not asks.any():
        return {}
    nodes, starts, sizes, codes = (
        part[name].as_array(np.int64).tolist()
        for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    )
    sets: dict[int, list[int]] = {}
    n_codes = 0
    if not len(nodes) == len(starts) == len(sizes):
        raise part.fail("'categories_nodes', 'categories_segments' and 'categories_sizes' differ in length")
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if not (0 <= node < len(column) and start >= 0 and 0 <= size <= len(codes) - start):
            raise part.fail(f"the categories of node {node} are not all in the file")
        if asks[node]:
            if node in sets:
                raise part.fail(f"node {node} has two sets of categories")
            n_codes += size
            if n_codes > len(codes):  # else a small file would make many large sets
                raise part.fail("the sets of several nodes overlap")
            sets[node] = sorted(set(codes[start : start + size]))
    if len(sets) < asks.sum():
        raise part.fail("a node that asks for categories has none")
    return sets
