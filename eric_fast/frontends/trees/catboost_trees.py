"""One tree of a CatBoost model in JSON: oblivious (every node of a level compares the same), or any other."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.parts import Part
from eric_fast.frontends.trees.nodes import Tree

Features = dict[int, tuple[int, bool]]  # index in splits -> the column, and whether a missing value is above borders
Split = tuple[int, float, bool]  # column, border, where missing


def read_oblivious_tree(part: Part, features: Features, n_outputs: int, scale: float) -> Tree:
    """A complete tree: the root is split 0, and leaf `i` is where split `k` is as bit `k` of `i`."""
    splits = [_read_split(split, features) for split in part["splits"].items()]
    stored = part["leaf_values"]
    values = stored.as_array(np.float64)
    if len(splits) >= 31 or len(values) != n_outputs << len(splits):
        raise stored.fail(f"{len(values):,} values are not {n_outputs} for each leaf of {len(splits)} splits")
    n_inner = 2 ** len(splits) - 1
    column, constant, missing = np.full(2 * n_inner + 1, -1), np.zeros(2 * n_inner + 1), np.zeros(2 * n_inner + 1, bool)
    yes, no = np.full((2, 2 * n_inner + 1), -1)
    for level, (feature, border, on_missing) in enumerate(splits):
        nodes, below = 2**level - 1 + np.arange(2**level), 2 ** (level + 1) - 1 + np.arange(2**level)
        column[nodes], constant[nodes], missing[nodes] = feature, border, on_missing
        yes[nodes], no[nodes] = below + 2**level, below
    numbers = np.arange(2 * n_inner + 1) - n_inner
    all_values = np.zeros((2 * n_inner + 1, n_outputs))
    all_values[n_inner:] = values.reshape(-1, n_outputs) * scale
    return _make_tree(column, constant, yes, no, missing, all_values, numbers)


def read_tree(part: Part, features: Features, n_outputs: int, scale: float) -> Tree:
    """A tree of nested nodes, each either a split with `left` (not above) and `right`, or a value; level by level."""
    column, constant, missing = [], [], []
    children: list[tuple[int, int]] = []
    values: list[Any] = []
    queue = [part]
    for node in queue:  # it grows meanwhile
        split = node.get("split")
        if split is None:
            stored = node["value"]
            value = stored.as_array(np.float64, n_outputs) if isinstance(stored.value, list) else [stored.as_float()]
            if len(value) != n_outputs:
                raise stored.fail(f"{n_outputs} values are needed")
            column.append(-1)
            constant.append(0.0)
            missing.append(False)
            children.append((-1, -1))
            values.append(value)
            continue
        feature, border, on_missing = _read_split(split, features)
        column.append(feature)
        constant.append(border)
        missing.append(on_missing)
        values.append([0.0] * n_outputs)
        children.append((len(queue) + 1, len(queue)))
        queue += [_drop_place(node["left"], part), _drop_place(node["right"], part)]
    yes, no = np.array(children, np.int64).T
    array = np.array(values, np.float64).reshape(-1, n_outputs) * scale
    return _make_tree(np.array(column), np.array(constant), yes, no, np.array(missing), array)


def _drop_place(node: Part, tree: Part) -> Part:
    """The node with a place that doesn't grow with its depth."""
    return Part(node.value, f"{tree.place}: a node")


def _make_tree(
    column: NDArray[Any],
    constant: NDArray[Any],
    yes: NDArray[Any],
    no: NDArray[Any],
    missing: NDArray[Any],
    values: NDArray[Any],
    numbers: NDArray[Any] | None = None,
) -> Tree:
    if values.shape[1] == 1:
        values = values[:, 0]
    return Tree(column, constant, yes, no, missing, values, ">", numbers=numbers)


def _read_split(part: Part, features: Features) -> Split:
    """What is compared. Raises ModelError for what is no comparison of a number."""
    kind = part["split_type"].as_text()
    if kind != "FloatFeature":
        remedy = "encode categories as numbers before training, and texts and embeddings as features"
        raise ModelError(f"{part.place}: a split of type {kind}, which compares what isn't in the table: {remedy}")
    index = part["float_feature_index"].as_int()
    if index not in features:
        raise part.fail(f"float feature {index} is not listed")
    column, missing = features[index]
    with np.errstate(over="ignore"):
        return column, float(np.float32(part["border"].as_float())), missing
