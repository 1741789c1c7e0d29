"""CatBoost: its estimators, and its own JSON export of a model (`save_model(path, format="json")`).

Features compare in float32 and leaves add up in float64, as in CatBoost. Categorical features are not supported:
CatBoost compares their hashes, and counts targets of the training data.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.fields import Field, parse_json
from eric_fast.frontends.front_end import FrontEnd, is_from, peek_json_key
from eric_fast.frontends.trees.catboost_trees import Features, read_nested_tree, read_oblivious_tree
from eric_fast.frontends.trees.rounds import Rounds, choose_rounds
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file

_KEYS = ("ctr_data", "features_info", "model_info", "oblivious_trees", "scale_and_bias", "trees")
_CLASS_LINKS = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "Focal": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoids",
}
_LABEL_LOSSES = ("MultiLogloss", "MultiCrossEntropy")  # several labels, each true or not
_LINKS = {
    **_CLASS_LINKS,
    **dict.fromkeys(_LABEL_LOSSES, "sigmoids"),
    **dict.fromkeys(("Poisson", "Tweedie"), "exp"),
    **dict.fromkeys(
        (
            *("RMSE", "MAE", "Quantile", "MultiQuantile", "GroupQuantile", "LogLinQuantile", "Expectile", "MAPE"),
            *("Lq", "Huber", "LogCosh", "MultiRMSE", "MultiRMSEWithMissingValues", "Cox", "YetiRank"),
            *("YetiRankPairwise", "PairLogit", "PairLogitPairwise", "QueryRMSE", "QuerySoftMax", "QueryCrossEntropy"),
            *("StochasticRank", "StochasticFilter", "LambdaMart"),
        ),
        "identity",
    ),
}


def _matches(source: Any) -> bool:
    """Whether it is an estimator of CatBoost, or a JSON file that it wrote."""
    return _is_object(source) or peek_json_key(source) in _KEYS


def from_catboost(source: Any, *, n_rounds: Rounds = None) -> RuleModel:
    """A CatBoost model as a program.

    For classification losses `predict` gives classes, `[n_rows]` even if CatBoost returns `[n_rows, 1]`; with several
    labels it gives 1 or 0 for each. `decision_function` gives raw values. For other losses `predict` gives what the
    source's own does; of Poisson and Tweedie a CatBoostRegressor answers exponents, as a file does here, and a plain
    CatBoost raw values. `apply` gives the leaves of oblivious trees as `calc_leaf_indexes` does; the export doesn't
    hold the numbers of other leaves.

    Args:
        source: a CatBoostClassifier, CatBoostRegressor, CatBoostRanker or CatBoost that is fitted; or the path of a
            model file in JSON.
        n_rounds: the number of boosting rounds to use, `best` or `all` (by default); see `choose_rounds`.

    Raises:
        ModelError: splits on categories, texts or embeddings; an unknown loss.
        ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from catboost import CatBoostClassifier
        >>> source = CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1)
        >>> _ = source.fit(rows, labels)
        >>> bool((ef.from_catboost(source).predict(rows) == source.predict(rows).ravel()).all())
        True
    """
    if not _is_object(source):
        return read_catboost(read_file(source), str(source), n_rounds)
    name = type(source).__name__
    if not source.is_fitted():
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        source.save_model(str(path), format="json")
        data = path.read_bytes()
    best = None if source.best_iteration_ is None else source.best_iteration_ + 1
    return _read_model(parse_json(data, name), len(data), f"CatBoost {name}", n_rounds, best, is_raw=name == "CatBoost")


def read_catboost(data: bytes, name: str, n_rounds: Rounds = None) -> RuleModel:
    """The model in a file's bytes; see `from_catboost`. `name` is what errors call the file."""
    return _read_model(parse_json(data, name), len(data), "CatBoost model file", n_rounds)


def _is_object(source: Any) -> bool:
    return is_from(source, "catboost") and type(source).__name__.startswith("CatBoost")


def _read_model(
    root: Field,
    size: int,
    source: str,
    n_rounds: Rounds = None,
    best: int | None = None,
    *,
    is_raw: bool = False,
) -> RuleModel:
    """The model in a parsed file of `size` bytes.

    Args:
        best: the number of rounds up to the best one, if that is known.
        is_raw: whether a regression answers raw values, whatever its loss.
    """
    features, columns, named = _read_features(root, size)
    oblivious = root.get("oblivious_trees")
    parts = (oblivious or root["trees"]).items()
    info = root["model_info"]
    loss = _read_loss(info)
    scale, bias = _read_bias(root["scale_and_bias"])
    read = read_oblivious_tree if oblivious else read_nested_tree
    n_used = choose_rounds(n_rounds, source, len(parts), best=best, stops_at_best=False)
    trees = [read(part, features, len(bias), scale) for part in parts[:n_used]]
    is_binary = len(bias) == 1 and loss in _CLASS_LINKS
    return make_tree_model(
        source,
        columns,
        trees,
        root.place,
        n_outputs=len(bias),
        labels=_read_labels(info, 2 if is_binary else len(bias)) if loss in _CLASS_LINKS else None,
        base=bias,
        threshold=_read_threshold(info) if is_binary else 0.0,
        leaf_dtype="uint32" if oblivious else None,
        has_labels=loss in _LABEL_LOSSES,
        link="identity" if is_raw and loss not in (*_CLASS_LINKS, *_LABEL_LOSSES) else _LINKS[loss],
        named=named,
    )


def _read_features(root: Field, size: int) -> tuple[Features, list[Column], bool]:
    """The numeric features by their index in splits, the columns of the table, and whether they have names."""
    info = root["features_info"]
    found: dict[int, Column] = {}
    features = Features({}, [])
    named = False
    for kind in ("float_features", "categorical_features", "text_features", "embedding_features"):
        for part in info.get_list(kind):
            place = part["flat_feature_index"].as_int(0, size)
            if place in found:
                raise part.fail(f"column {place} has two features")
            name = part["feature_id"].as_text() if part.get("feature_id") else ""
            named |= name != ""
            found[place] = Column(name or f"x{place}", "float32" if kind == "float_features" else "text")
            if kind == "float_features":
                missing = part["nan_value_treatment"].as_text()
                if missing not in ("AsIs", "AsFalse", "AsTrue"):
                    raise part.fail(f"nan_value_treatment '{missing}' is not supported")
                index = part["feature_index"].as_int(0, size)
                features.places[index] = place, missing == "AsTrue"
                features.borders.extend((index, border.as_float()) for border in part.get_list("borders"))
    if sorted(found) != list(range(len(found))):
        raise info.fail(f"expected the {len(found)} features to be of columns 0 to {len(found) - 1}")
    return features, [found[place] for place in range(len(found))], named


def _read_loss(info: Field) -> str:
    loss = info["params"]["loss_function"]["type"].as_text()
    if loss not in _LINKS:
        raise ModelError(f"{info.place}: loss '{loss}' is not supported")
    return loss


def _read_bias(part: Field) -> tuple[float, list[float]]:
    """The factor of leaf values, and where sums start."""
    values = part.items()
    if len(values) != 2:
        raise part.fail("expected a scale and a bias")
    bias = values[1].as_array(np.float64).tolist() if isinstance(values[1].value, list) else [values[1].as_float()]
    if not bias or not np.isfinite(bias).all():
        raise part.fail("the bias must be finite")
    return values[0].as_float(), bias


def _read_threshold(info: Field) -> float:
    """The score above which the second class is predicted."""
    part = info.get("binclass_probability_threshold")
    if part is None:
        return 0.0
    probability = part.as_float()
    if not 0 < probability < 1:
        raise part.fail("expected a probability between 0 and 1")
    from scipy.special import logit  # loads when it is needed

    return float(logit(probability))


def _read_labels(info: Field, n_classes: int) -> NDArray[Any]:
    """The labels `[n_classes]` as `CatBoostClassifier.classes_` has them."""
    params = info.get("class_params")
    if params is None:
        return np.arange(n_classes)
    kind = params["class_label_type"].as_text()
    dtypes = {"Integer": np.int64, "Float": np.float64, "Boolean": np.bool_, "String": object}
    if kind not in dtypes:
        raise params.fail(f"class_label_type '{kind}' is not supported")
    names = params.get("class_names") or params["class_to_label"]
    order = params.get("class_to_label")
    if names.items() and order is not None and [part.value for part in order.items()] != list(range(n_classes)):
        raise order.fail("the classes are not in the order of 'class_names', which is not supported")
    if not names.items():
        names = params["class_to_label"]
        kind = "Integer" if kind == "String" else kind
    wanted = {"Integer": (int,), "Float": (int, float), "Boolean": (bool,), "String": (str,)}[kind]
    values = [part.value for part in names.items()]
    if len(values) != n_classes or not all(type(value) in wanted for value in values):
        raise ProgramError(f"{names.place}: expected {n_classes} labels, each of type {kind}")
    try:
        return np.array(values, dtypes[kind])
    except OverflowError as error:
        raise names.fail(f"a label is too large: {error}") from error


CATBOOST = FrontEnd("CatBoost", _matches, from_catboost, has_rounds=True)
