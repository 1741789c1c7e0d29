"""Trees of an XGBoost model file, and the categories that they ask for."""

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, say_count
from eric_fast.frontends.fields import NUMBERS, Field, check_claim
from eric_fast.frontends.trees.categories import Categories, cut_sets
from eric_fast.frontends.trees.nodes import Cases, StoredTree, list_runs


def read_xgboost_tree(
    part: Field, size: int, output: int, n_outputs: int, weight: np.float32, categories: Categories
) -> StoredTree:
    """The tree that adds to `output`, or to all outputs if its leaves hold a number for each.

    Args:
        size: of the file in bytes; it limits memory.

    Raises:
        ProgramError: arrays that don't fit together.
    """
    left = part["left_children"].as_array(np.int64)
    n_nodes = len(left)
    if n_nodes == 0:
        raise part.fail("the tree has no nodes")
    right = part["right_children"].as_array(np.int64, n_nodes)
    constants = part["split_conditions"].as_array(np.float32, n_nodes)
    sides = part["default_left"].as_array(np.int64, n_nodes)
    if ((sides != 0) & (sides != 1)).any():  # XGBoost looks at some of the bits
        raise part["default_left"].fail("expected 0 or 1 for each node")
    default_left = sides == 1
    column = np.where(left < 0, -1, part["split_indices"].as_array(np.int64, n_nodes) & 0x7FFFFFFF)
    values = _read_vectors(part, size, left, right, n_outputs)
    with np.errstate(over="ignore"):
        values = (constants if values is None else values) * weight
    yes, no, missing = left.copy(), right.copy(), default_left.copy()
    sets: dict[int, tuple[float | str, ...]] = {}
    cases: dict[int, Cases] = {}
    for node, codes in _read_sets(part, column).items():  # a category of the set goes right
        yes[node], no[node], missing[node] = right[node], left[node], not default_left[node]
        known = categories.name_codes(int(column[node]), codes, part.fail, most=2**24)
        if known is None:
            cases[node] = list_runs(codes, missing=bool(missing[node]))
        else:
            sets[node] = known
    return StoredTree(column, constants, yes, no, missing, values, "<", output, sets, cases=cases)


def take_as_missing(tree: StoredTree, gap: float) -> StoredTree:
    """The tree with a number taken as a missing value. Raises ModelError: it asks for categories."""
    if tree.sets or tree.cases:
        raise ModelError(f"missing={gap} beside categories is not supported; use NaN for missing values")
    cases: dict[int, Cases] = {}
    for node in np.flatnonzero(tree.column >= 0).tolist():
        below, missing = ("<", float(tree.constant[node])), bool(tree.missing[node])
        either = (((*below, True),), (("==", gap, True),))
        cases[node] = either if missing else (((*below, False), ("!=", gap, False)),)
    return replace(tree, cases=cases)


def _read_vectors(part: Field, size: int, left: Any, right: Any, n_outputs: int) -> NDArray[np.float32] | None:
    """The leaves' values, float32 `[n_nodes, n_outputs]`; None if each holds one number."""
    width = part["tree_param"].get("size_leaf_vector")
    if width is None or width.as_int() <= 1:
        return None
    if width.as_int() != n_outputs:
        raise width.fail(f"leaves hold {width.as_int()} numbers, but the model has {n_outputs} outputs")
    check_claim(len(left) * n_outputs, size, "values of leaves", part.place, NUMBERS)  # leaves may share them
    stored = part.get("leaf_weights")
    if stored is None:  # before 3.1 every node had its numbers
        return part["base_weights"].as_array(np.float32, len(left) * n_outputs).reshape(-1, n_outputs)
    vectors = stored.as_array(np.float32)
    if len(vectors) % n_outputs:
        raise stored.fail(f"expected {say_count(n_outputs, 'number')} for each leaf, got {len(vectors)} in all")
    vectors = vectors.reshape(-1, n_outputs)
    leaf = left < 0
    place = right[leaf]
    if leaf.any() and not 0 <= place.min() <= place.max() < len(vectors):
        raise stored.fail(f"a leaf's number is out of range: there are values for {len(vectors)} leaves")
    values = np.zeros((len(left), n_outputs), np.float32)
    values[leaf] = vectors[place]
    return values


def _read_sets(part: Field, column: NDArray[Any]) -> dict[int, list[int]]:
    """Node -> the codes of categories that it sends right, ascending, each once."""
    kinds = part.get("split_type")
    asks = kinds.as_array(np.int64, len(column)) == 1 if kinds else np.zeros(len(column), np.bool_)
    asks &= column >= 0
    if not asks.any():
        return {}
    nodes, starts, sizes, codes = (
        part[name].as_array(np.int64)
        for name in ("categories_nodes", "categories_segments", "categories_sizes", "categories")
    )
    if not len(nodes) == len(starts) == len(sizes):
        raise part.fail("'categories_nodes', 'categories_segments' and 'categories_sizes' differ in length")
    segments = []
    for node, start, size in zip(nodes.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        if not (0 <= node < len(column) and start >= 0 and 0 <= size <= len(codes) - start):
            raise part.fail(f"the categories of node {node} are not all in the file")
        if asks[node]:
            segments.append((node, start, start + size))
    sets = cut_sets(segments, codes, part.fail)
    if len(sets) < asks.sum():
        raise part.fail("a categorical node has no categories")
    return sets


def read_xgboost_categories(forest: Field, n_features: int) -> Categories:
    """What the codes stand for; XGBoost writes it from version 3.1 on, for models trained on data frames."""
    texts: dict[int, list[str]] = {}
    numbers: dict[int, list[float]] = {}
    cats = forest.get("cats")
    for feature, encoding in enumerate(cats.get_list("enc") if cats else []):
        if feature >= n_features:
            raise encoding.fail(f"categories of feature {feature}, but the model has only {n_features} features")
        offsets = encoding.get("offsets")
        values = encoding["values"].as_array(np.int64 if offsets else np.float64)
        if offsets is None:
            if len(values):
                numbers[feature] = np.asarray(values, np.float32).astype(np.float64).tolist()
            continue
        ends = offsets.as_array(np.int64)
        if len(ends) < 2:
            continue  # not categorical
        if ends[0] != 0 or ends[-1] != len(values) or (np.diff(ends) < 0).any():
            raise offsets.fail("the offsets must ascend from 0 to the number of values")
        if ((values < 0) | (values > 127)).any():  # XGBoost counts characters and cuts bytes
            raise encoding.fail(
                "XGBoost cuts categories that are not ASCII short when it saves them; train on others, or on codes"
            )
        text = values.astype(np.uint8).tobytes().decode("ascii")
        texts[feature] = [text[a:z] for a, z in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    return Categories(texts, numbers)
