"""XGBoost: Boosters, their scikit-learn wrappers, and model files in JSON and UBJSON. The package isn't needed.

Trees compare in float32, as in XGBoost. XGBoost adds leaves up in float32, this package in float64; so scores differ
by XGBoost's rounding, about 1e-7 of their sum for each tree.
"""

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from eric_fast.errors import ModelError, ProgramError
from eric_fast.frontends.fields import NUMBERS, Field, check_claim, parse_json
from eric_fast.frontends.front_end import FrontEnd, is_from, peek_file, peek_json_key
from eric_fast.frontends.trees.categories import Categories
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.rounds import Rounds, choose_rounds
from eric_fast.frontends.trees.tree_model import make_tree_model, name_columns
from eric_fast.frontends.trees.ubjson import parse_ubjson
from eric_fast.frontends.trees.xgboost_trees import read_xgboost_categories, read_xgboost_tree, take_as_missing
from eric_fast.table.model import RuleModel
from eric_fast.text.files import read_file

_UBJSON_STARTS = (b"{L\0\0\0\0\0\0\0\x07learner", b"{L\0\0\0\0\0\0\0\x07version", b"{i\x07learner", b"{i\x07version")


@dataclass(frozen=True, slots=True)
class _Objective:
    """How margins become what `Booster.predict` returns, and how the file's base score becomes a margin."""

    link: str = "identity"
    classes: int = 0  # 2, or -1 for as many as the file says; 0 for a regression
    base: str = "identity"


_LOG = _Objective("exp", base="log")
_OBJECTIVES = {
    "binary:logistic": _Objective("sigmoid", 2, "logit"),
    "binary:logitraw": _Objective("margin", 2),
    "binary:hinge": _Objective("margin", 2),
    "multi:softprob": _Objective("softmax", -1),
    "multi:softmax": _Objective("softmax", -1),
    "reg:logistic": _Objective("sigmoid", base="logit"),
    **dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "survival:aft", "survival:cox"), _LOG),
    **dict.fromkeys(
        (
            *("reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror"),
            *("reg:quantileerror", "reg:expectileerror", "rank:pairwise", "rank:ndcg", "rank:map"),
        ),
        _Objective(),
    ),
}


def _matches(source: Any) -> bool:
    """Whether it is a Booster, a wrapper of one, or a file that XGBoost wrote."""
    if _is_object(source):
        return True
    if peek_json_key(source) in ("learner", "version"):
        return b'"learner"' in peek_file(source, 256)
    return peek_file(source, 64).startswith(_UBJSON_STARTS)


def from_xgboost(source: Any, *, n_rounds: Rounds = None) -> RuleModel:
    """An XGBoost model as a program.

    For classification objectives `predict` gives classes, also for a Booster or a file; `predict_proba` gives what
    `Booster.predict` does, and `decision_function` its margins. For other objectives, and for an `XGBRegressor` or
    `XGBRanker`, `predict` gives what the source's own does. Several targets of `binary:logistic` are labels: 1 or 0 for
    each. `apply` gives the source's leaves.

    Args:
        source: a Booster, an XGBClassifier, XGBRegressor, XGBRanker or XGBRF of either; or the path of a model file in
            JSON or UBJSON. An estimator's `missing` is heeded.
        n_rounds: the number of boosting rounds to use, `best` or `all`; see `choose_rounds`. By default those that the
            source's own `predict` uses: of an estimator that stopped early, and of a file that it saved, those up to
            the best one; else all.

    Raises:
        ModelError: a linear booster, an unknown objective, several targets of another objective than logistic ones.
        ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from xgboost import XGBClassifier
        >>> source = XGBClassifier(n_estimators=5, n_jobs=1).fit(rows, labels)
        >>> bool((ef.from_xgboost(source).predict(rows) == source.predict(rows)).all())
        True
    """
    if not _is_object(source):
        return read_xgboost(read_file(source), str(source), n_rounds)
    name = type(source).__name__
    estimator = hasattr(source, "get_booster")
    booster = source.get_booster() if estimator else source
    gap = float(np.float32(source.missing)) if estimator and source.missing is not None else math.nan
    raw = bytes(booster.save_raw("ubj"))
    wants = {"Classifier": True, "Booster": None}.get(name.removeprefix("XGB").removeprefix("RF"), False)
    return _read_model(parse_ubjson(raw, name), len(raw), f"XGBoost {name}", n_rounds, wants, estimator, gap)


def read_xgboost(data: bytes, name: str, n_rounds: Rounds = None) -> RuleModel:
    """The model in a file's bytes; see `from_xgboost`. `name` is what errors call the file."""
    root = parse_ubjson(data, name) if data[:2] in (b"{L", b"{i") else parse_json(data, name)
    return _read_model(root, len(data), "XGBoost model file", n_rounds)


def _is_object(source: Any) -> bool:
    return is_from(source, "xgboost") and (hasattr(source, "get_booster") or hasattr(source, "save_raw"))


def _read_model(
    root: Field,
    size: int,
    source: str,
    n_rounds: Rounds = None,
    classifies: bool | None = None,
    is_estimator: bool = False,
    gap: float = math.nan,
) -> RuleModel:
    """The model in a parsed file of `size` bytes.

    Args:
        classifies: whether it predicts classes, if that is known.
        is_estimator: whether it is of a scikit-learn wrapper; of a file, the file says so.
        gap: the number that stands for a missing value, beside NaN.
    """
    learner = root["learner"]
    numbers = learner["learner_model_param"]
    objective_name = learner["objective"]["name"].as_text()
    objective = _OBJECTIVES.get(objective_name)
    if objective is None:
        raise ModelError(f"{root.place}: objective '{objective_name}' is not supported")
    booster = learner["gradient_booster"]
    kind = booster["name"].as_text()
    if kind not in ("gbtree", "dart"):
        raise ModelError(f"{root.place}: booster '{kind}' has no trees; use 'gbtree' or 'dart'")
    if objective_name == "binary:logitraw" and root["version"].items()[0].as_int() < 2:
        raise ModelError(f"{root.place}: the base score of binary:logitraw changed in XGBoost 2; save the model again")
    forest = booster["gbtree"]["model"] if kind == "dart" else booster["model"]

    n_features = numbers["num_feature"].as_int()
    names = learner.get("feature_names")
    columns = name_columns(names.as_texts() if names else [], n_features, size, root.place, prefix="f")
    categories = read_xgboost_categories(forest, n_features)

    n_classes, n_targets = numbers["num_class"].as_int(), (numbers.get("num_target") or Field("1", "")).as_int()
    n_outputs = max(n_classes, 1) * max(n_targets, 1)
    check_claim(n_outputs, size, "outputs", numbers.place)
    n_trees = _count_trees(forest, learner, n_rounds, is_estimator)
    trees = _read_trees(forest, booster, size, n_outputs, n_trees, categories)
    if not math.isnan(gap):
        trees = [take_as_missing(tree, gap) for tree in trees]
    base = _read_base(numbers["base_score"], objective.base, n_outputs)

    wants = objective.classes != 0 if classifies is None else classifies
    has_labels = wants and n_targets > 1 and objective_name == "binary:logistic"
    wants = wants and not has_labels
    if wants and (objective.classes == 0 or n_targets > 1 or (n_outputs == 1) != (objective.classes == 2)):
        raise ModelError(f"{root.place}: {objective_name} with {n_outputs} outputs can't predict classes")
    return make_tree_model(
        source,
        categories.make_columns(columns, "float32"),
        trees,
        root.place,
        n_outputs=n_outputs,
        labels=np.arange(max(2, n_outputs)) if wants else None,
        base=base,
        threshold=0.5 if objective_name == "binary:logitraw" else 0.0,  # so XGBClassifier.predict has it
        leaf_dtype="float32",
        link="sigmoids" if has_labels else objective.link,
        has_labels=has_labels,
        categories=categories.list_values(columns),
        named=names is not None and len(names.as_texts()) > 0,
    )


def _read_trees(
    forest: Field, booster: Field, size: int, n_outputs: int, n_trees: int, categories: Categories
) -> list[StoredTree]:
    """The first `n_trees` trees, their values multiplied by their DART weights."""
    parts = forest["trees"].items()
    output_of_tree = forest["tree_info"].as_array(np.int64, len(parts))
    if len(parts) and not 0 <= output_of_tree.min() <= output_of_tree.max() < n_outputs:
        raise ProgramError(f"{forest.place}.tree_info: an output is out of range: there are {n_outputs}")
    weights = booster.get("weight_drop")
    weight_of_tree = weights.as_array(np.float32, len(parts)) if weights else np.ones(len(parts), np.float32)
    trees = []
    n_numbers = 0
    for part, output, weight in zip(parts[:n_trees], output_of_tree.tolist(), weight_of_tree, strict=False):
        trees.append(read_xgboost_tree(part, size, int(output), n_outputs, weight, categories))
        n_numbers += trees[-1].values.size
        check_claim(n_numbers, size, "values of leaves", forest.place, NUMBERS)
    return trees


def _count_trees(forest: Field, learner: Field, n_rounds: Rounds, is_estimator: bool) -> int:
    """The number of trees in the rounds that are used."""
    n_trees = len(forest["trees"].items())
    indptr = forest.get("iteration_indptr")
    if indptr:
        ends = indptr.as_array(np.int64)
        if len(ends) == 0 or ends[0] != 0 or ends[-1] != n_trees or (np.diff(ends) < 0).any():
            raise indptr.fail(f"the ends of rounds must ascend from 0 to the {n_trees:,} trees")
    else:
        parallel = forest["gbtree_model_param"]["num_parallel_tree"].as_int(0)
        n_groups = forest["tree_info"].as_array(np.int64).max(initial=0) + 1  # 1 with vector leaves
        ends = np.arange(0, n_trees + 1, max(parallel, 1) * n_groups)
    attributes = learner.get("attributes")
    best = attributes.get("best_iteration") if attributes else None
    is_estimator |= attributes is not None and attributes.get("scikit_learn") is not None
    n_used = choose_rounds(
        n_rounds,
        forest.place.partition(":")[0],
        max(len(ends) - 1, 0),
        best=None if best is None else best.as_int() + 1,
        stops_at_best=is_estimator,
    )
    return min(n_trees, int(ends[n_used])) if len(ends) else n_trees


def _read_base(part: Field, kind: str, n_outputs: int) -> list[float]:
    """Where each margin starts: the base score, one for all outputs or one for each, as a margin."""
    text = part.value
    if isinstance(text, str) and text.lstrip().startswith("["):
        try:
            part = Field(json.loads(text), part.place)
        except ValueError as error:
            raise part.fail(f"expected a list of numbers, got {text[:60]!r}") from error
        scores = part.as_array(np.float32)
    else:
        scores = np.array([part.as_float()], np.float32)
    if len(scores) not in (1, n_outputs):
        raise part.fail(f"expected 1 or {n_outputs} numbers, got {len(scores)}")
    one = np.float32(1)
    with np.errstate(divide="ignore", invalid="ignore"):
        if kind == "logit":
            edge = np.float32(1e-6)  # XGBoost clips it so
            scores = -np.log(one / np.clip(scores, edge, one - edge) - one)
        elif kind == "log":
            scores = np.log(scores)
    if not np.isfinite(scores).all():
        raise part.fail("the base score has no finite margin under this objective")
    return [float(score) for score in np.broadcast_to(scores, n_outputs)]


XGBOOST = FrontEnd("XGBoost", _matches, from_xgboost, has_rounds=True)
