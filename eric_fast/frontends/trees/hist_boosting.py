"""scikit-learn's HistGradientBoosting: float64 thresholds, missing values, sets of categories."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.trees.forest import Forest, list_comparisons, make_program
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column, TableAtom
from eric_fast.table.answers import spell_labels
from eric_fast.table.model import RuleModel

LINK_OF_LOSS = {
    "squared_error": "identity",
    "absolute_error": "identity",
    "quantile": "identity",
    "poisson": "exp",
    "gamma": "exp",
}
LARGEST_EXACT = 2**53  # from there on two integers may be one float64


def load_source(source: Any, columns: Sequence[Column], name: str) -> RuleModel:
    """As `scikit_learn.load_source`; `columns` are the source's features, as float64.

    Raises:
        ModelError: a loss of the user's own, one class, categories that are neither texts nor numbers.
    """
    labels = getattr(source, "classes_", None)
    if labels is None and source.loss not in LINK_OF_LOSS:
        raise ModelError(f"the loss {source.loss!r} of a {type(source).__name__} is not known")
    if labels is not None and len(labels) < 2:
        raise ModelError(f"a {type(source).__name__} of one class can't be converted")
    n_columns = source.n_trees_per_iteration_
    is_margin = labels is not None and n_columns == 1
    forest = _join_trees(source, columns, n_columns, int(is_margin))
    base = np.ravel(source._baseline_prediction).astype(np.float64).tolist()
    program = make_program(
        forest,
        ["y"] if labels is None else spell_labels(labels),
        decision=Decision.of_sums(classify=labels is not None),
        base=[0.0, *base] if is_margin else base,
    )
    link = LINK_OF_LOSS[source.loss] if labels is None else "sigmoid" if is_margin else "softmax"
    return RuleModel(program, name, labels, link=link, named=hasattr(source, "feature_names_in_"))


def _join_trees(source: Any, columns: Sequence[Column], n_columns: int, first_output: int) -> Forest:
    """One forest: the trees of each iteration in turn, one for each column of the scores."""
    predictors = [predictor for iteration in source._predictors for predictor in iteration]
    sizes = [len(predictor.nodes) for predictor in predictors]
    roots = np.cumsum([0, *sizes[:-1]], dtype=np.int64)
    shift = np.repeat(roots, sizes)
    nodes = np.concatenate([predictor.nodes for predictor in predictors])
    inner = nodes["is_leaf"] == 0
    features, categories = _find_features(source)
    feature_of_node = features[np.where(inner, nodes["feature_idx"], 0)]
    go_left = nodes["missing_go_to_left"].astype(np.bool_)
    is_set = inner & (nodes["is_categorical"] != 0)
    numeric = inner & ~is_set
    columns = [
        Column(column.name, "text" if i in categories and type(categories[i][0]) is str else "float64")
        for i, column in enumerate(columns)
    ]
    atoms, atom_of_test = list_comparisons(
        columns, feature_of_node[numeric], "<=", nodes["num_threshold"][numeric], go_left[numeric]
    )
    tests = np.zeros(len(nodes), np.int32)
    tests[numeric] = atom_of_test
    index_of_set: dict[TableAtom, int] = {}
    tree_of_node = np.repeat(np.arange(len(predictors)), sizes)
    for node in np.flatnonzero(is_set).tolist():
        column = int(feature_of_node[node])
        bits = predictors[tree_of_node[node]].raw_left_cat_bitsets[nodes["bitset_idx"][node]]
        # What is missing or unknown is in no set, so the set is that of the side where such values don't go.
        names = _list_members(bits, categories[column], go_left[node])
        atom = TableAtom(column, columns[column].name, "in", names)
        index = len(atoms) + index_of_set.setdefault(atom, len(index_of_set))
        tests[node] = ~index if go_left[node] else index
    return Forest(
        tuple(columns),
        (*atoms, *index_of_set),
        roots,
        tests,
        np.where(inner, nodes["left"].astype(np.int64) + shift, -1),
        np.where(inner, nodes["right"].astype(np.int64) + shift, -1),
        nodes["value"].astype(np.float64)[:, None],
        np.tile(np.arange(n_columns, dtype=np.int32) + first_output, len(source._predictors)).astype(np.int32),
    )


def _list_members(bits: NDArray[np.uint32], categories: Sequence[Any], outside: bool) -> tuple[Any, ...]:
    """The categories in a set of codes, or those that are outside of it."""
    members = np.unpackbits(bits.astype("<u4").view(np.uint8), bitorder="little")[: len(categories)]
    return tuple(category for category, member in zip(categories, members, strict=False) if bool(member) != outside)


def _find_features(source: Any) -> tuple[NDArray[np.int64], dict[int, list[Any]]]:
    """Which column each feature of the trees is, and the categories of each column that has some, by their codes."""
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
    """Texts, or floats; without the missing ones, which are last."""
    values = [value for value in found.tolist() if value is not None and value == value]
    if found.dtype.kind not in "OUTbiuf":
        raise ModelError(f"the categories of feature {column} are {found.dtype}, neither texts nor numbers")
    if all(isinstance(value, str) for value in values):
        return values
    if all(isinstance(value, int | float) for value in values):
        if any(abs(value) > LARGEST_EXACT for value in values if isinstance(value, int)):
            raise ModelError(
                f"the categories of feature {column} are integers past 2^53; make them texts and fit again"
            )
        return [float(value) for value in values]
    raise ModelError(f"the categories of feature {column} are neither all texts nor all numbers, as {values[:3]}")
