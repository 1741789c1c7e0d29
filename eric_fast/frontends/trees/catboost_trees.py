"""Trees of a CatBoost model in JSON: oblivious (all nodes of a level compare the same), or nested nodes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, say_count
from eric_fast.frontends.fields import Field
from eric_fast.frontends.trees.nodes import StoredTree, list_nested

# Why splits of other types aren't read, and what to do
_REASONS = {
    "OneHotFeature": (
        "compare hashes of categories, which the file doesn't spell",
        "one-hot encode these columns as numbers, with scikit-learn's OneHotEncoder",
    ),
    "OnlineCtr": (
        "compare what the training data's targets were for a category",
        "encode categories as numbers, with scikit-learn's TargetEncoder or OneHotEncoder",
    ),
}
_OTHER_REASON = ("compare values that are not in the table", "encode texts and embeddings as columns of numbers")

Split = tuple[int, float, bool]  # column, border, where missing


class Features(NamedTuple):
    """The numeric features.

    Attributes:
        places: index in splits -> the column, and whether a missing value is above borders.
        borders: feature and border of each split index, which is all that CatBoost itself heeds.
    """

    places: dict[int, tuple[int, bool]]
    borders: list[tuple[int, float]]


def read_oblivious_tree(part: Field, features: Features, n_outputs: int, scale: float) -> StoredTree:
    """A complete tree: the root is split 0; bit `k` of a leaf's number tells whether split `k` holds."""
    splits = [_read_split(split, features) for split in part["splits"].items()]
    stored = part["leaf_values"]
    values = stored.as_array(np.float64)
    if len(splits) >= 31 or len(values) != n_outputs << len(splits):
        raise stored.fail(
            f"expected {say_count(n_outputs, 'value')} for each leaf of {say_count(len(splits), 'split')}, "
            f"got {len(values):,} in all"
        )
    n_inner = 2 ** len(splits) - 1
    n_nodes = 2 * n_inner + 1
    column, constant, missing = np.full(n_nodes, -1), np.zeros(n_nodes), np.zeros(n_nodes, bool)
    yes, no = np.full((2, n_nodes), -1)
    for level, (feature, border, on_missing) in enumerate(splits):
        nodes, below = 2**level - 1 + np.arange(2**level), 2 ** (level + 1) - 1 + np.arange(2**level)
        column[nodes], constant[nodes], missing[nodes] = feature, border, on_missing
        yes[nodes], no[nodes] = below + 2**level, below
    all_values = np.zeros((n_nodes, n_outputs))
    all_values[n_inner:] = values.reshape(-1, n_outputs) * scale
    numbers = np.arange(n_nodes) - n_inner
    return StoredTree(column, constant, yes, no, missing, _squeeze(all_values), ">", numbers=numbers)


def read_nested_tree(part: Field, features: Features, n_outputs: int, scale: float) -> StoredTree:
    """A tree of nested nodes, each either a value, or a split with children `left` (not above) and `right`."""
    place = f"{part.place}: a node"  # one that doesn't grow with its depth

    def get_children(node: Field) -> tuple[Field, Field] | None:
        if node.get("split") is None:
            return None
        return Field(node["left"].value, place), Field(node["right"].value, place)

    nodes, no, yes = list_nested(part, get_children)
    column, constant, missing = np.full(len(nodes), -1), np.zeros(len(nodes)), np.zeros(len(nodes), bool)
    values = np.zeros((len(nodes), n_outputs))
    for i, node in enumerate(nodes):
        split = node.get("split")
        if split is not None:
            column[i], constant[i], missing[i] = _read_split(split, features)
            continue
        stored = node["value"]
        value = stored.as_array(np.float64) if isinstance(stored.value, list) else [stored.as_float()]
        if len(value) != n_outputs:
            raise stored.fail(f"expected {n_outputs} values, got {len(value)}")
        values[i] = value
    return StoredTree(column, constant, yes, no, missing, _squeeze(values * scale), ">")


def _squeeze(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """`[n_nodes]` instead of `[n_nodes, 1]`."""
    return values[:, 0] if values.shape[1] == 1 else values


def _read_split(part: Field, features: Features) -> Split:
    """One split. Raises ModelError if it doesn't compare a number."""
    kind = part["split_type"].as_text()
    if kind != "FloatFeature":
        reason, remedy = _REASONS.get(kind, _OTHER_REASON)
        raise ModelError(f"{part.place}: splits of type {kind} {reason}; before training, {remedy}")
    index = part["float_feature_index"].as_int()
    if index not in features.places:
        raise part.fail(f"float feature {index} is not in features_info")
    column, missing = features.places[index]
    border, place = part["border"].as_float(), part["split_index"].as_int()
    if place >= len(features.borders) or features.borders[place] != (index, border):
        raise part.fail(f"border {border} of float feature {index} is not split {place} of features_info")
    with np.errstate(over="ignore"):
        return column, float(np.float32(border)), missing
