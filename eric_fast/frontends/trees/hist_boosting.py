"""scikit-learn's HistGradientBoosting: float64 thresholds, missing values, sets of categories."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.trees.categories import list_bits
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

LINK_OF_LOSS = {
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
    "poisson": "exp",
    "gamma": "exp",
}
LARGEST_EXACT = 2**53  # two larger integers may be one float64


def load_hist_boosting(source: Any, columns: Sequence[Column]) -> RuleModel:
    """See `from_sklearn`; `columns` are the source's features, as float64.

    Raises:
        ModelError: an unknown loss, one class, categories that are neither texts nor numbers.
    """
    name = type(source).__name__
    labels = getattr(source, "classes_", None)
    if labels is None and source.loss not in LINK_OF_LOSS:
        raise ModelError(f"the loss {source.loss!r} of a {name} is not supported")
    if labels is not None and len(labels) < 2:
        raise ModelError(f"a {name} of one class can't be converted")
    n_outputs = source.n_trees_per_iteration_
    features, categories = _find_features(source)
    columns = [
        Column(column.name, "text" if i in categories and type(categories[i][0]) is str else "float64")
        for i, column in enumerate(columns)
    ]
    trees = [
        _read_tree(predictor, output, features, categories)
        for iteration in source._predictors
        for output, predictor in enumerate(iteration)
    ]
    return make_tree_model(
        f"scikit-learn {name}",
        columns,
        trees,
        name,
        n_outputs=n_outputs,
        outputs=["y"],
        labels=labels,
        base=np.ravel(source._baseline_prediction).astype(np.float64).tolist(),
        most_depth=math.inf,  # it is no file of someone else's
        link=LINK_OF_LOSS[source.loss] if labels is None else "sigmoid" if n_outputs == 1 else "softmax",
        named=hasattr(source, "feature_names_in_"),
    )


def _read_tree(
    predictor: Any, output: int, features: NDArray[np.int64], categories: dict[int, list[Any]]
) -> StoredTree:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    column = np.where(inner, features[np.where(inner, nodes["feature_idx"], 0)], -1)
    go_left = nodes["missing_go_to_left"].astype(np.bool_)
    is_set = inner & (nodes["is_categorical"] != 0)
    sets = {}
    for node in np.flatnonzero(is_set).tolist():
        # Missing and unknown values are in no set, so the set is that of the side where they don't go.
        bits = predictor.raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        sets[node] = _list_members(bits, categories[int(column[node])], go_left[node])
    return StoredTree(
        column,
        nodes["num_threshold"],
        nodes["left"].astype(np.int64),
        nodes["right"].astype(np.int64),
        go_left & ~is_set,
        nodes["value"].astype(np.float64),
        output=output,
        sets=sets,
        excludes=np.flatnonzero(is_set & go_left).tolist(),
    )


def _list_members(bits: NDArray[np.uint32], categories: Sequence[Any], outside: bool) -> tuple[Any, ...]:
    """The categories in a set of codes, or those outside of it."""
    members = set(list_bits(bits))
    return tuple(category for code, category in enumerate(categories) if (code in members) != outside)


def _find_features(source: Any) -> tuple[NDArray[np.int64], dict[int, list[Any]]]:
    """The column of each feature of the trees; and column -> its categories, by their codes."""
    if source.is_categorical_ is None:
        return np.arange(source.n_features_in_), {}
    chosen = np.flatnonzero(source.is_categorical_)  # the source's encoder puts them first
    features = np.concatenate([chosen, np.flatnonzero(~source.is_categorical_)])
    encoder = source._preprocessor.named_transformers_["encoder"]
    return features, {
        column: _read_categories(column, found)
        for column, found in zip(chosen.tolist(), encoder.categories_, strict=True)
    }


def _read_categories(column: int, found: NDArray[Any]) -> list[Any]:
    """All texts or all floats; missing ones, which are last, are left out."""
    values = [value for value in found.tolist() if value is not None and value == value]
    if found.dtype.kind not in "OUTbiuf":
        raise ModelError(f"the categories of feature {column} are {found.dtype}, neither texts nor numbers")
    if all(isinstance(value, str) for value in values):
        return values
    if all(isinstance(value, int | float) for value in values):
        if any(abs(value) > LARGEST_EXACT for value in values if isinstance(value, int)):
            raise ModelError(
                f"the categories of feature {column} are integers above 2^53; convert them to texts and fit again"
            )
        return [float(value) for value in values]
    raise ModelError(f"the categories of feature {column} are neither all texts nor all numbers, such as {values[:3]}")
