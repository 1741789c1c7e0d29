"""CatBoost: its estimators, and its own JSON export of a model (`save_model(path, format="json")`).

Features compare in float32 and leaves add up in float64, as CatBoost does it. What it does with categories can't be
taken over: it compares hashes, and counts targets of the training data.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.parts import Part, parse_json, peek_json_key, read_bytes
from eric_fast.frontends.trees.catboost_trees import Features, read_oblivious_tree, read_tree
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.nodes import join_trees, number_leaves
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.answers import spell_labels
from eric_fast.table.model import RuleModel

_KEYS = ("ctr_data", "features_info", "model_info", "oblivious_trees", "scale_and_bias", "trees")
_CLASS_LINKS = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "Focal": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoids",
}
_EXP = ("Poisson", "Tweedie")
_IDENTITY = (
    *(
        "RMSE",
        "MAE",
        "Quantile",
        "MultiQuantile",
        "GroupQuantile",
        "LogLinQuantile",
        "Expectile",
        "MAPE",
        "Lq",
        "Huber",
    ),
    *("LogCosh", "MultiRMSE", "MultiRMSEWithMissingValues", "Cox", "YetiRank", "YetiRankPairwise", "PairLogit"),
    *("PairLogitPairwise", "QueryRMSE", "QuerySoftMax", "QueryCrossEntropy", "StochasticRank", "StochasticFilter"),
    "LambdaMart",
)


def matches(source: Any) -> bool:
    """Whether it is an estimator of CatBoost, or a JSON file that it wrote."""
    return _is_object(source) or peek_json_key(source) in _KEYS


def load_source(source: Any) -> RuleModel:
    """See `from_catboost`."""
    return from_catboost(source)


def from_catboost(source: Any) -> RuleModel:
    """A CatBoost model as a program.

    `predict` gives classes where the loss tells classes apart, `[n_rows]` even where CatBoost's own has a second
    dimension of one; `decision_function` gives its raw values; of other losses `predict` gives what CatBoost's does.
    `apply` gives the leaves of oblivious trees as `calc_leaf_indexes` does; others lose those numbers in the export.

    Args:
        source: a CatBoostClassifier, CatBoostRegressor, CatBoostRanker or CatBoost that is fitted; or the path of a
            model file in JSON.

    Raises:
        ModelError: trees that ask for categories, texts or embeddings; a loss that isn't known.
        ProgramError: a file that is wrong, and where.
    """
    if not _is_object(source):
        return read_catboost(read_bytes(source), str(source))
    name = type(source).__name__
    if not source.is_fitted():
        raise ModelError(f"the {name} isn't fitted; call its fit first")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        source.save_model(str(path), format="json")
        data = path.read_bytes()
    return _read_model(parse_json(data, name), len(data), f"CatBoost {name}")


def read_catboost(data: bytes, name: str) -> RuleModel:
    """The model in a file's bytes; see `from_catboost`. `name` is what errors call the file."""
    return _read_model(parse_json(data, name), len(data), "CatBoost model file")


def _is_object(source: Any) -> bool:
    kind = type(source)
    return kind.__module__.split(".")[0] == "catboost" and kind.__name__.startswith("CatBoost")


def _read_model(root: Part, size: int, source: str) -> RuleModel:
    features, columns, named = _read_features(root, size)
    oblivious = root.get("oblivious_trees")
    parts = (oblivious or root["trees"]).items()
    info = root["model_info"]
    loss = _read_loss(info)
    scale, bias = _read_bias(root["scale_and_bias"])
    read = read_oblivious_tree if oblivious else read_tree
    trees = [read(part, features, len(bias), scale) for part in parts]
    is_binary = len(bias) == 1 and loss in _CLASS_LINKS
    if is_binary:  # the one sum is the second class's, beside which the first has none, or the threshold
        trees = [tree.shift_output(1) for tree in trees]
        bias = [_read_threshold(info), *bias]
    labels = _read_labels(info, len(bias)) if loss in _CLASS_LINKS else None
    joined = join_trees(columns, trees, root.place)
    names = [str(i) for i in range(len(bias))] if labels is None else spell_labels(labels)
    return RuleModel(
        make_program(joined, names, decision=Decision.of_sums(classify=labels is not None), base=bias),
        source,
        labels,
        link=_CLASS_LINKS.get(loss, "exp" if loss in _EXP else "identity"),
        named=named,
        leaves=number_leaves(joined, trees, "uint32") if oblivious else None,
    )


def _read_features(root: Part, size: int) -> tuple[Features, list[Column], bool]:
    """The numeric features by their index in splits, all columns of the table, and whether they have names."""
    info = root["features_info"]
    found: dict[int, Column] = {}
    features: dict[int, tuple[int, bool]] = {}
    named = False
    for kind in ("float_features", "categorical_features", "text_features", "embedding_features"):
        listed = info.get(kind)
        for part in listed.items() if listed else []:
            place = part["flat_feature_index"].as_int(0, size)
            if place in found:
                raise part.fail(f"two features of column {place}")
            name = part["feature_id"].as_text() if part.get("feature_id") else ""
            named |= name != ""
            found[place] = Column(name or f"x{place}", "float32" if kind == "float_features" else "text")
            if kind == "float_features":
                missing = part["nan_value_treatment"].as_text()
                if missing not in ("AsIs", "AsFalse", "AsTrue"):
                    raise part.fail(f"nan_value_treatment '{missing}' is not one that is known")
                features[part["feature_index"].as_int(0, size)] = place, missing == "AsTrue"
    if sorted(found) != list(range(len(found))):
        raise info.fail(f"the {len(found)} features are not those of columns 0 to {len(found) - 1}")
    return features, [found[place] for place in range(len(found))], named


def _read_loss(info: Part) -> str:
    loss = info["params"]["loss_function"]["type"].as_text()
    if loss not in (*_CLASS_LINKS, *_EXP, *_IDENTITY):
        raise ModelError(f"{info.place}: loss '{loss}' is not one that is known")
    return loss


def _read_bias(part: Part) -> tuple[float, list[float]]:
    """What sums are multiplied by, and where they start."""
    values = part.items()
    if len(values) != 2:
        raise part.fail("a scale and a bias are needed")
    bias = values[1].as_array(np.float64).tolist() if isinstance(values[1].value, list) else [values[1].as_float()]
    if not bias or not np.isfinite(bias).all():
        raise part.fail("the bias must be finite numbers")
    return values[0].as_float(), bias


def _read_threshold(info: Part) -> float:
    """The score past which the second class is the answer."""
    part = info.get("binclass_probability_threshold")
    if part is None:
        return 0.0
    probability = part.as_float()
    if not 0 < probability < 1:
        raise part.fail("a probability between 0 and 1 is needed")
    return float(logit(probability))


def _read_labels(info: Part, n_classes: int) -> NDArray[Any]:
    """The labels `[n_classes]` as `CatBoostClassifier.classes_` has them."""
    params = info.get("class_params")
    if params is None:
        return np.arange(n_classes)
    kind = params["class_label_type"].as_text()
    dtypes = {"Integer": np.int64, "Float": np.float64, "Boolean": np.bool_, "String": object}
    if kind not in dtypes:
        raise params.fail(f"class_label_type '{kind}' is not one that is known")
    names = params.get("class_names") or params["class_to_label"]
    if not names.items():
        names = params["class_to_label"]
        kind = "Integer" if kind == "String" else kind
    wanted = {"Integer": (int,), "Float": (int, float), "Boolean": (bool,), "String": (str,)}[kind]
    values = [part.value for part in names.items()]
    if len(values) != n_classes or not all(type(value) in wanted for value in values):
        raise ProgramError(f"{names.place}: {n_classes} labels are needed, each of kind {kind}")
    try:
        return np.array(values, dtypes[kind])
    except OverflowError as error:
        raise names.fail(f"a label is too large: {error}") from error
