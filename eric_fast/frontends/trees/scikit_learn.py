"""scikit-learn's trees and what is made of them: each fitted object as a `RuleModel` that answers the same.

A value is compared as the source compares it, missing ones go where it sends them, and leaves are added up in its own
order in float64: with `n_jobs=None` sums are its sums to the bit, and so are probabilities. With threads of its own the
source adds in the order in which they end, and its own last digits depend on chance.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sklearn.utils import get_tags

from eric_fast.errors import ModelError
from eric_fast.frontends.trees import hist_boosting
from eric_fast.frontends.trees.forest import Forest, list_comparisons, make_program
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.answers import spell_labels
from eric_fast.table.leaves import Leaves
from eric_fast.table.model import RuleModel

JUST_BELOW_ZERO = -5e-324  # what class 0 scores where class 1 wins a tie at 0: the next float64 below
SINGLE_TREES = ("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor")


def matches(source: Any) -> bool:
    """Whether this is an object of scikit-learn's own; of a class derived from one it can't be said what it answers."""
    return type(source).__module__.partition(".")[0] == "sklearn"


def from_sklearn(source: Any) -> RuleModel:
    """The same answers from packed bits; see `RuleModel`.

    Of the tables that the source refuses those with infinite values are refused, too, and with missing values where it
    refuses those. `predict` takes no sparse matrix.

    Raises:
        ModelError: not fitted, nothing made of trees, or something that only the source itself can answer.
    """
    name = type(source).__name__
    if name not in _KINDS:
        raise ModelError(f"a {name} is nothing that can be converted{_say_remedy(source)}")
    if not hasattr(source, "n_features_in_"):
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    if getattr(source, "n_outputs_", 1) > 1 and hasattr(source, "classes_"):
        raise ModelError(f"the {name} has several outputs that are classes; fit a model for each")
    return _KINDS[name](source)


def load_source(source: Any) -> RuleModel:
    """See `from_sklearn`."""
    return from_sklearn(source)


def _say_remedy(source: Any) -> str:
    if hasattr(source, "steps"):
        return "; convert its last step, and give that what the steps before it make of a table"
    if hasattr(source, "best_estimator_"):
        return "; convert its best_estimator_"
    return f"; these can: {', '.join(sorted(_KINDS))}"


class _Tree(NamedTuple):
    """One of the trees of a model: scikit-learn's `Tree`, what its leaves add, and which columns its features are."""

    nodes: Any
    values: NDArray[np.float64]  # [n_nodes, n_outputs]
    features: NDArray[np.int64] | None = None


def list_columns(source: Any, kind: str) -> tuple[Column, ...]:
    """The source's features by name, or `x0`, `x1`, ... where it was given none."""
    names = getattr(source, "feature_names_in_", None)
    names = [f"x{i}" for i in range(source.n_features_in_)] if names is None else names.tolist()
    return tuple(Column(name, kind) for name in names)


def name_source(source: Any) -> str:
    """What the source is, for a person."""
    return f"scikit-learn {type(source).__name__}"


def round_down(thresholds: NDArray[np.float64]) -> NDArray[np.float32]:
    """The largest float32 that is not above each: `x <= threshold` means the same of every float32 x."""
    with np.errstate(over="ignore"):  # past the largest float32 it is infinite, and steps back to that
        rounded = thresholds.astype(np.float32)
        return np.where(rounded > thresholds, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def _join_trees(
    source: Any, trees: Sequence[_Tree], outputs: NDArray[np.int32] | None = None, missing: bool = False
) -> Forest:
    """One forest of all trees; `missing`: whether a value may be, and then goes where its node says."""
    sizes = [tree.nodes.node_count for tree in trees]
    roots = np.cumsum([0, *sizes[:-1]], dtype=np.int64)

    def join(parts: Sequence[NDArray[Any]]) -> NDArray[Any]:
        return np.concatenate(parts)

    shift = np.repeat(roots, sizes)
    yes = join([tree.nodes.children_left for tree in trees]).astype(np.int64)
    no = join([tree.nodes.children_right for tree in trees]).astype(np.int64)
    inner = yes >= 0
    features = join(
        [
            tree.nodes.feature if tree.features is None else tree.features[np.maximum(tree.nodes.feature, 0)]
            for tree in trees
        ]
    )
    thresholds = join([tree.nodes.threshold for tree in trees])[inner]
    go_left = join([tree.nodes.missing_go_to_left for tree in trees])[inner].astype(np.bool_) if missing else False
    columns = list_columns(source, "float32")
    atoms, atom_of_test = list_comparisons(columns, features[inner], "<=", round_down(thresholds), go_left)
    tests = np.zeros(len(yes), np.int32)
    tests[inner] = atom_of_test
    yes[inner] += shift[inner]
    no[inner] += shift[inner]
    return Forest(columns, atoms, roots, tests, yes, no, join([tree.values for tree in trees]), outputs)


def _make_model(
    source: Any,
    forest: Forest,
    *,
    labels: NDArray[Any] | None = None,
    base: Sequence[float] = (),
    missing: bool = False,
    leaves: tuple[tuple[int, ...], str] | None = None,
    **settings: Any,
) -> RuleModel:
    """A classifier of `labels`, a regression without; `leaves`: shape and dtype of what `apply` answers."""
    n_outputs = forest.values.shape[1]
    names = [f"y{i}" for i in range(n_outputs)] if n_outputs > 1 else ["y"]
    program = make_program(
        forest,
        names if labels is None else spell_labels(labels),
        decision=Decision.of_sums(classify=labels is not None),
        base=base,
    )
    numbers = None
    if leaves is not None:
        nodes = forest.leaves[0]
        trees = forest.find_trees(nodes)
        numbers = Leaves(nodes - forest.roots[trees], trees, *leaves)
    return RuleModel(
        program,
        name_source(source),
        labels,
        values="no infinity" if missing else "finite",
        named=hasattr(source, "feature_names_in_"),
        leaves=numbers,
        **settings,
    )


def _read_values(tree: Any) -> NDArray[np.float64]:
    """What each node of a classifier says of each class, of a regressor of each output: `[n_nodes, n]`."""
    values: NDArray[np.float64] = tree.value
    return values[:, 0, :] if values.shape[1] == 1 else values[:, :, 0]


def _allows_missing(source: Any) -> bool:
    return bool(get_tags(source).input_tags.allow_nan)


def _load_tree(source: Any) -> RuleModel:
    missing = _allows_missing(source)
    forest = _join_trees(source, [_Tree(source.tree_, _read_values(source.tree_))], missing=missing)
    labels = getattr(source, "classes_", None)
    link = "identity" if labels is None else "average"
    return _make_model(source, forest, labels=labels, link=link, missing=missing, leaves=((), "int64"))


def _load_forest(source: Any) -> RuleModel:
    trees = [_Tree(each.tree_, _read_values(each.tree_)) for each in source.estimators_]
    missing = _allows_missing(source.estimators_[0])
    forest = _join_trees(source, trees, missing=missing)
    labels = getattr(source, "classes_", None)
    return _make_model(
        source,
        forest,
        labels=labels,
        link="identity" if labels is None else "average",
        divisor=len(trees),
        missing=missing,
        leaves=((len(trees),), "int64"),
    )


def _load_bagging(source: Any) -> RuleModel:
    """Like a forest; a tree may know only some of the classes and some of the features."""
    labels = getattr(source, "classes_", None)
    trees = []
    for each, features in zip(source.estimators_, source.estimators_features_, strict=True):
        _check_part(source, each)
        values = _read_values(each.tree_)
        if labels is not None and len(each.classes_) < len(labels):
            known, values = values, np.zeros((len(values), len(labels)))
            values[:, each.classes_.astype(np.int64)] = known
        trees.append(_Tree(each.tree_, values, np.asarray(features, np.int64)))
    missing = _allows_missing(source.estimators_[0])
    forest = _join_trees(source, trees, missing=missing)
    link = "identity" if labels is None else "average"
    return _make_model(source, forest, labels=labels, link=link, divisor=len(trees), missing=missing)


def _check_part(source: Any, part: Any) -> None:
    if type(part).__name__ not in SINGLE_TREES:
        raise ModelError(
            f"a {type(source).__name__} of {type(part).__name__} can't be converted, only one of decision trees"
        )


def load_ada_boost(source: Any) -> RuleModel:
    """Each tree's class gets its weight, the others share the negative of it."""
    labels, n_classes = source.classes_, len(source.classes_)
    if n_classes < 2:
        raise ModelError("an AdaBoostClassifier of one class always answers it; there is nothing to convert")
    trees = []
    for each, weight in zip(source.estimators_, source.estimator_weights_, strict=False):
        _check_part(source, each)
        votes = each.classes_[_read_values(each.tree_).argmax(axis=1)]
        values = np.where(votes[:, None] == labels, weight, -1 / (n_classes - 1) * weight)
        trees.append(_Tree(each.tree_, values[:, 1:] if n_classes == 2 else values))
    total = float(source.estimator_weights_.sum())
    if n_classes > 2:
        forest = _join_trees(source, trees)
        return _make_model(source, forest, labels=labels, link="softmax", divisor=total, scale=1 / (n_classes - 1))
    # The source subtracts the sums of the two classes, of which one is the negative of the other.
    forest = _join_trees(source, trees, np.ones(len(trees), np.int32))
    return _make_model(source, forest, labels=labels, link="sigmoid", divisor=total / 2)


def _load_gradient_boosting(source: Any) -> RuleModel:
    labels = getattr(source, "classes_", None)
    n_stages, n_columns = source.estimators_.shape
    trees = [
        _Tree(each.tree_, source.learning_rate * _read_values(each.tree_)) for each in source.estimators_.reshape(-1)
    ]
    base = _read_base(source, n_columns)
    outputs = np.tile(np.arange(n_columns, dtype=np.int32), n_stages)
    shape: tuple[int, ...] = (n_stages,) if labels is None else (n_stages, n_columns)
    leaves = (shape, "float64")
    if labels is None:
        return _make_model(source, _join_trees(source, trees, outputs), base=base, leaves=leaves)
    if n_columns > 1:
        forest = _join_trees(source, trees, outputs)
        return _make_model(source, forest, labels=labels, base=base, link="softmax", leaves=leaves)
    forest = _join_trees(source, trees, outputs + 1)
    scale = 2.0 if source.loss == "exponential" else 1.0  # half of a logit
    base = (JUST_BELOW_ZERO, *base)
    return _make_model(source, forest, labels=labels, base=base, link="sigmoid", scale=scale, leaves=leaves)


def _read_base(source: Any, n_columns: int) -> tuple[float, ...]:
    """What the source starts from, by its own arithmetic: the same for every row, or it is refused."""
    init = source.init_
    if isinstance(init, str):  # "zero"
        return (0.0,) * n_columns
    if type(init).__name__ not in ("DummyClassifier", "DummyRegressor") or init.strategy in ("stratified", "uniform"):
        raise ModelError(
            f"the {type(source).__name__} starts from what its init, a {type(init).__name__}, predicts of each row; "
            "fit it with init='zero' to what that leaves over, or without init"
        )
    row = np.zeros((1, source.n_features_in_), np.float32)
    if not hasattr(source, "classes_"):
        return tuple(np.ravel(init.predict(row)).astype(np.float64).tolist())
    chances = init.predict_proba(row)
    chances = chances if n_columns > 1 else chances[:, 1]
    least = np.finfo(np.float64).eps
    return tuple(np.ravel(source._loss.link.link(np.clip(chances, least, 1 - least, dtype=np.float64))).tolist())


def _load_hist_boosting(source: Any) -> RuleModel:
    return hist_boosting.load_source(source, list_columns(source, "float64"), name_source(source))


_KINDS: dict[str, Callable[[Any], RuleModel]] = {
    **dict.fromkeys(SINGLE_TREES, _load_tree),
    "RandomForestClassifier": _load_forest,
    "RandomForestRegressor": _load_forest,
    "ExtraTreesClassifier": _load_forest,
    "ExtraTreesRegressor": _load_forest,
    "BaggingClassifier": _load_bagging,
    "BaggingRegressor": _load_bagging,
    "AdaBoostClassifier": load_ada_boost,
    "GradientBoostingClassifier": _load_gradient_boosting,
    "GradientBoostingRegressor": _load_gradient_boosting,
    "HistGradientBoostingClassifier": _load_hist_boosting,
    "HistGradientBoostingRegressor": _load_hist_boosting,
}
