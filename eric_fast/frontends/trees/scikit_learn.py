"""scikit-learn's trees and their ensembles: each fitted object as a `RuleModel` with the same answers.

Values are compared as scikit-learn compares them, missing ones go where it sends them, and leaves are added up in its
order, in float64. With `n_jobs=None` sums and probabilities are the same to the bit; with several threads scikit-learn
adds in the order in which they end.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.front_end import FrontEnd, is_from
from eric_fast.frontends.trees.composites import FITTED_PARTS
from eric_fast.frontends.trees.hist_boosting import load_hist_boosting
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

JUST_BELOW_ZERO = -5e-324  # the threshold with which class 1 wins a tie at 0
SINGLE_TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")


def from_sklearn(source: Any) -> RuleModel:
    """A fitted model of scikit-learn with the same answers, from packed bits; see `RuleModel`.

    An `IsolationForest` is returned as a `RuleIsolationForest`, which is one, too; a classifier of several outputs as a
    `MultiOutputClassifier` of a `RuleModel` for each.

    Tables with infinite values are refused, as are missing values if the source refuses them. Sparse matrices are not
    supported.

    Raises:
        ModelError: a model that is not fitted, not made of trees, or that only scikit-learn itself can answer.

    Examples:
        >>> from sklearn.tree import DecisionTreeClassifier
        >>> model = ef.from_sklearn(DecisionTreeClassifier().fit([[0], [1], [2], [3]], ["a", "a", "b", "b"]))
        >>> model.predict([[0.5], [2.5]])
        array(['a', 'b'], dtype='<U1')
    """
    name = type(source).__name__
    if name in FITTED_PARTS:
        raise ModelError(f"a {name} holds other models; give it to eric_fast.load, which converts these")
    if name not in _KINDS:
        raise ModelError(f"a {name} can't be converted; supported are {', '.join(sorted(_KINDS))}")
    if not hasattr(source, "n_features_in_"):
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    if getattr(source, "n_outputs_", 1) > 1 and hasattr(source, "classes_"):
        several: RuleModel = _load_several(source)
        return several
    return _KINDS[name](source)


def _list_columns(source: Any, kind: str) -> tuple[Column, ...]:
    """The source's features by name, or `x0`, `x1` and so on if they have none."""
    names = getattr(source, "feature_names_in_", None)
    names = [f"x{i}" for i in range(source.n_features_in_)] if names is None else names.tolist()
    return tuple(Column(name, kind) for name in names)


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each: `x <= threshold` means the same of every float32 x."""
    with np.errstate(over="ignore"):  # past the largest float32 it is infinite, and steps back to that
        rounded = thresholds.astype(np.float32)
    above = rounded > thresholds
    rounded[above] = np.nextafter(rounded[above], np.float32(-np.inf))
    return rounded


def _read_tree(
    fitted: Any, values: NDArray[np.float64], output: int = 0, *, missing: bool = False, features: Any = None
) -> StoredTree:
    """One tree of scikit-learn.

    Args:
        fitted: a decision tree.
        values: what leaves add: float64 `[n_nodes]` to `output`, or `[n_nodes, n_outputs]`.
        missing: whether missing values are allowed, and go where the node says.
        features: the table's column of each feature of the tree; None if they are the same.
    """
    nodes = fitted.tree_
    is_leaf = nodes.children_left < 0
    column = nodes.feature if features is None else np.asarray(features)[np.maximum(nodes.feature, 0)]
    go_left = nodes.missing_go_to_left.astype(np.bool_) if missing else np.zeros(len(is_leaf), np.bool_)
    column, constant = np.where(is_leaf, -1, column), round_down(nodes.threshold)
    return StoredTree(column, constant, nodes.children_left, nodes.children_right, go_left, values, output=output)


def _make_model(source: Any, trees: Sequence[StoredTree], *, missing: bool = False, **settings: Any) -> RuleModel:
    """A classifier of the source's classes, or a regression; `settings`: see `make_tree_model`."""
    values = trees[0].values
    n_outputs = settings.pop("n_outputs", 1 if values.ndim == 1 else values.shape[1])
    return make_tree_model(
        f"scikit-learn {type(source).__name__}",
        _list_columns(source, "float32"),
        trees,
        type(source).__name__,
        n_outputs=n_outputs,
        outputs=[f"y{i}" for i in range(n_outputs)] if n_outputs > 1 else ["y"],
        labels=settings.pop("labels", getattr(source, "classes_", None)),
        most_depth=math.inf,  # it is no file of someone else's
        values="no infinity" if missing else "finite",
        named=hasattr(source, "feature_names_in_"),
        **settings,
    )


def _read_values(fitted: Any) -> NDArray[np.float64]:
    """The value of each class or output at each node of a decision tree: `[n_nodes, n]`."""
    values: NDArray[np.float64] = fitted.tree_.value
    return values[:, 0, :] if values.shape[1] == 1 else values[:, :, 0]


def _load_average(source: Any) -> RuleModel:
    """A tree, or the average of several; those of bagging may know only some of the classes and of the features."""
    is_single = hasattr(source, "tree_")
    estimators = [source] if is_single else source.estimators_
    features_of = getattr(source, "estimators_features_", None)
    labels = getattr(source, "classes_", None)
    from sklearn.utils import get_tags  # is loaded, as the source is of it

    missing = bool(get_tags(estimators[0]).input_tags.allow_nan)
    trees = []
    for each, features in zip(estimators, features_of or [None] * len(estimators), strict=True):
        _check_part(source, each)
        values = _read_values(each)
        if labels is not None and len(each.classes_) < len(labels):
            known, values = values, np.zeros((len(values), len(labels)))
            values[:, each.classes_.astype(np.int64)] = known
        trees.append(_read_tree(each, values, missing=missing, features=features))
    return _make_model(
        source,
        trees,
        missing=missing,
        link="identity" if labels is None else "average",
        divisor=len(trees),
        leaf_dtype="int64" if features_of is None else None,
        leaf_shape=() if is_single else None,
    )


def _load_several(source: Any) -> Any:
    """A tree or forest of several outputs that are classes; see `from_sklearn`."""
    from sklearn.multioutput import MultiOutputClassifier
    from sklearn.utils import get_tags  # is loaded, as the source is of it

    estimators = [source] if hasattr(source, "tree_") else source.estimators_
    if type(estimators[0]).__name__ not in SINGLE_TREES:
        raise ModelError(f"a {type(source).__name__} of several outputs can't be converted, only forests and trees")
    missing = bool(get_tags(estimators[0]).input_tags.allow_nan)
    model = MultiOutputClassifier(source)
    model.classes_ = list(source.classes_)
    model.estimators_ = []
    for output, labels in enumerate(source.classes_):
        if len(labels) < 2:
            raise ModelError(f"output {output} of the {type(source).__name__} has only one class; leave it out")
        trees = [_read_tree(each, each.tree_.value[:, output, : len(labels)], missing=missing) for each in estimators]
        part = _make_model(source, trees, missing=missing, labels=labels, link="average", divisor=len(trees))
        model.estimators_.append(part)
    model.n_features_in_ = source.n_features_in_
    if hasattr(source, "feature_names_in_"):
        model.feature_names_in_ = source.feature_names_in_
    return model


def _check_part(source: Any, part: Any) -> None:
    if type(part).__name__ not in SINGLE_TREES:
        raise ModelError(
            f"a {type(source).__name__} of {type(part).__name__} can't be converted, only one of decision trees"
        )


def load_ada_boost(source: Any) -> RuleModel:
    """Each tree adds its weight to the class it predicts, and subtracts a share of it from the others."""
    labels, n_classes = source.classes_, len(source.classes_)
    if n_classes < 2:
        raise ModelError("an AdaBoostClassifier of one class always predicts it; there is nothing to convert")
    trees = []
    for each, weight in zip(source.estimators_, source.estimator_weights_, strict=False):
        _check_part(source, each)
        votes = each.classes_[_read_values(each).argmax(axis=1)]
        values = np.where(votes[:, None] == labels, weight, -1 / (n_classes - 1) * weight)
        trees.append(_read_tree(each, values[:, 1] if n_classes == 2 else values))
    total = float(source.estimator_weights_.sum())
    if n_classes > 2:
        return _make_model(source, trees, link="softmax", divisor=total, scale=1 / (n_classes - 1))
    # scikit-learn subtracts the sums of the two classes, one of which is the negative of the other.
    return _make_model(source, trees, link="sigmoid", divisor=total / 2)


def _load_gradient_boosting(source: Any) -> RuleModel:
    n_stages, n_outputs = source.estimators_.shape
    trees = [
        _read_tree(each, source.learning_rate * _read_values(each)[:, 0], i % n_outputs)
        for i, each in enumerate(source.estimators_.reshape(-1))
    ]
    settings = {"n_outputs": n_outputs, "base": _read_base(source, n_outputs), "leaf_dtype": "float64"}
    if not hasattr(source, "classes_"):
        return _make_model(source, trees, **settings)
    settings["leaf_shape"] = (n_stages, n_outputs)
    if n_outputs > 1:
        return _make_model(source, trees, link="softmax", **settings)
    scale = 2.0 if source.loss == "exponential" else 1.0  # half of a logit
    return _make_model(source, trees, link="sigmoid", scale=scale, threshold=JUST_BELOW_ZERO, **settings)


def _read_base(source: Any, n_outputs: int) -> tuple[float, ...]:
    """Where sums start, by scikit-learn's own arithmetic. Raises ModelError if that differs between rows."""
    init = source.init_
    if isinstance(init, str):  # "zero"
        return (0.0,) * n_outputs
    if type(init).__name__ not in ("DummyClassifier", "DummyRegressor") or init.strategy in ("stratified", "uniform"):
        raise ModelError(
            f"the {type(source).__name__} starts from the predictions of its init, a {type(init).__name__}; "
            "fit it without init, or with init='zero' on the residuals"
        )
    row = np.zeros((1, source.n_features_in_), np.float32)
    if not hasattr(source, "classes_"):
        return tuple(np.ravel(init.predict(row)).astype(np.float64).tolist())
    chances = init.predict_proba(row)
    chances = chances if n_outputs > 1 else chances[:, 1]
    least = np.finfo(np.float64).eps
    return tuple(np.ravel(source._loss.link.link(np.clip(chances, least, 1 - least, dtype=np.float64))).tolist())


def _load_hist_boosting(source: Any) -> RuleModel:
    return load_hist_boosting(source, _list_columns(source, "float64"))


def _load_isolation_forest(source: Any) -> Any:
    # Loads when it is needed, and scikit-learn with it.
    from eric_fast.frontends.trees.isolation_forest import find_lengths, load_isolation_forest

    whole = source._max_features == source.n_features_in_
    trees = [
        _read_tree(each, find_lengths(each), missing=True, features=None if whole else features)
        for each, features in zip(source.estimators_, source.estimators_features_, strict=True)
    ]
    return load_isolation_forest(source, _list_columns(source, "float32"), trees)


_KINDS: dict[str, Callable[[Any], RuleModel]] = {
    **dict.fromkeys(
        (
            *SINGLE_TREES,
            *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
            *("BaggingClassifier", "BaggingRegressor"),
        ),
        _load_average,
    ),
    "AdaBoostClassifier": load_ada_boost,
    "GradientBoostingClassifier": _load_gradient_boosting,
    "GradientBoostingRegressor": _load_gradient_boosting,
    "HistGradientBoostingClassifier": _load_hist_boosting,
    "HistGradientBoostingRegressor": _load_hist_boosting,
    "IsolationForest": _load_isolation_forest,
}


def is_tree_model(source: Any) -> bool:
    """Whether this is an object of a class that `from_sklearn` takes."""
    return is_from(source, "sklearn") and type(source).__name__ in _KINDS


def _matches(source: Any) -> bool:
    """Whether this is an object of scikit-learn's own; a class derived from one may answer anything."""
    return is_from(source, "sklearn")


SCIKIT_LEARN = FrontEnd("scikit-learn", _matches, from_sklearn)
