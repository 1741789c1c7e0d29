"""LightGBM: Boosters, their scikit-learn wrappers, and model files in text. The package isn't needed.

Both sides compute in float64 and add trees up in the same order.
"""

import json
import re
from typing import Any

import numpy as np

from eric_fast.errors import ModelError, say_count
from eric_fast.frontends.fields import Field, check_claim
from eric_fast.frontends.front_end import FrontEnd, is_from, peek_file
from eric_fast.frontends.trees.categories import Categories
from eric_fast.frontends.trees.lightgbm_trees import Block, read_blocks, read_lightgbm_tree
from eric_fast.frontends.trees.rounds import Rounds, choose_rounds
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.table.model import RuleModel
from eric_fast.text.files import decode_text, read_file

# Objective -> link function (see LINKS): of regressions, and of classifiers.
_LINKS = {
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "identity"),
    **dict.fromkeys(("lambdarank", "rank_xendcg", "custom", ""), "identity"),
}
_CLASS_LINKS = {"binary": "sigmoid", "multiclass": "softmax", "multiclassova": "sigmoids"}
_FIRST_LINES = re.compile(rb"(?:\xef\xbb\xbf)?tree\r?\nversion=")


def _matches(source: Any) -> bool:
    """Whether it is a Booster, a wrapper of one, or a text file that LightGBM wrote."""
    return _is_object(source) or _FIRST_LINES.match(peek_file(source, 64)) is not None


def from_lightgbm(source: Any, *, n_rounds: Rounds = None) -> RuleModel:
    """A LightGBM model as a program, with the trees that the source's own `predict` uses.

    For classification objectives `predict` gives classes: the labels of an `LGBMClassifier`, or 0, 1, ... for a Booster
    or a file; `predict_proba` gives what `Booster.predict` does. For other objectives, and for an `LGBMRegressor` or
    `LGBMRanker`, `predict` gives what the source's own does. Of a random forest, `decision_function` gives the average,
    where `raw_score=True` gives the sum. `apply` gives the leaves as `pred_leaf=True` does.

    Args:
        source: a Booster, an LGBMClassifier, LGBMRegressor or LGBMRanker; or the path of a model file in text.
        n_rounds: the number of boosting rounds to use, `best` or `all`; see `choose_rounds`. By default those that the
            source's own `predict` uses: up to the best one where the training stopped early. A file holds what was
            saved, by default up to the best one.

    Raises:
        ModelError: linear trees, an unknown objective, categories of a data frame whose columns are unclear.
        ProgramError: an invalid file; the error says where.

    Examples:
        >>> from sklearn.datasets import load_iris
        >>> rows, labels = load_iris(return_X_y=True)
        >>> from lightgbm import LGBMClassifier
        >>> source = LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1).fit(rows, labels)
        >>> bool((ef.from_lightgbm(source).predict(rows) == source.predict(rows)).all())
        True
    """
    if not _is_object(source):
        return read_lightgbm(read_file(source), str(source), n_rounds)
    name = type(source).__name__
    booster = source.booster_ if hasattr(source, "booster_") else source
    classifies = None if booster is source else hasattr(source, "classes_")
    labels = source.classes_ if classifies else None
    text = booster.model_to_string(num_iteration=-1)
    best = booster.best_iteration if booster.best_iteration > 0 else None
    return _read_model(text, name, f"LightGBM {name}", classifies, labels, n_rounds, best)


def read_lightgbm(data: bytes, name: str, n_rounds: Rounds = None) -> RuleModel:
    """The model in a file's bytes; see `from_lightgbm`. `name` is what errors call the file."""
    return _read_model(decode_text(data, name).removeprefix("\ufeff"), name, "LightGBM model file", n_rounds=n_rounds)


def _is_object(source: Any) -> bool:
    name = type(source).__name__
    return is_from(source, "lightgbm") and (name == "Booster" or name.startswith("LGBM"))


def _read_model(
    text: str,
    name: str,
    source: str,
    classifies: bool | None = None,
    labels: Any = None,
    n_rounds: Rounds = None,
    best: int | None = None,
) -> RuleModel:
    """The model in a text.

    Args:
        classifies: whether it predicts classes, if that is known.
        best: the number of rounds up to the best one, if that is known.
    """
    header, blocks, tail = read_blocks(text, name)
    n_outputs = header.get_int("num_tree_per_iteration", 1, 2**63 - 1)
    check_claim(n_outputs, len(text), "trees an iteration", name)
    names = header.get_words("feature_names", header.get_int("max_feature_idx", 0, len(text)) + 1)
    categories = _read_categories(header, tail, names)
    if len(blocks) % n_outputs:
        raise header.fail(f"expected {say_count(n_outputs, 'tree')} per iteration, got {len(blocks)} in all")
    n_used = choose_rounds(n_rounds, name, len(blocks) // n_outputs, best=best, stops_at_best=True) * n_outputs
    trees = [read_lightgbm_tree(block, i % n_outputs, categories) for i, block in enumerate(blocks[:n_used])]

    kind, *options = header.get("objective").split() or [""]
    settings = dict(option.partition(":")[::2] for option in options)
    if classifies and kind in _LINKS and kind != "cross_entropy":
        raise ModelError(f"{name}: objective '{kind}' of a classifier is not supported; give its booster_")
    wants = kind in _CLASS_LINKS if classifies is None else classifies
    link = "signed square" if "sqrt" in settings else {**_LINKS, **_CLASS_LINKS}.get(kind)
    if link is None:
        raise ModelError(f"{name}: objective '{kind}' is not supported")
    if kind in _CLASS_LINKS and (n_outputs == 1) != (kind == "binary"):
        raise header.fail(f"objective '{kind}' can't have {n_outputs} trees per iteration")
    divisor = max(1, len(trees) // n_outputs) if "average_output" in header.values else 1
    scale = Field(settings["sigmoid"], f"{name}: objective: sigmoid").as_float() if "sigmoid" in settings else 1.0
    if wants:
        n_classes = max(2, n_outputs)
        labels = np.arange(n_classes) if labels is None else labels
        if len(labels) != n_classes:
            raise ModelError(f"{name}: {len(labels)} classes for a model of {n_classes}")
    return make_tree_model(
        source,
        categories.make_columns(names, "float64"),
        trees,
        name,
        n_outputs=n_outputs,
        labels=labels if wants else None,
        leaf_dtype="int32",
        link=link,
        categories=categories.list_values(names),
        divisor=divisor,
        scale=scale,
        named=any(name != f"Column_{i}" for i, name in enumerate(names)),
    )


def _read_categories(header: Block, tail: str, names: list[str]) -> Categories:
    """What the codes of categorical columns stand for, if the model was trained on a data frame."""
    found = [line for line in tail.splitlines() if line.startswith("pandas_categorical:")]
    try:
        lists = json.loads(found[-1].partition(":")[2]) if found else None
    except (ValueError, RecursionError) as error:
        raise header.fail(f"pandas_categorical is not JSON: {error}") from error
    if not lists:
        return Categories()
    kinds = header.get_words("feature_infos", len(names))
    places = [i for i, kind in enumerate(kinds) if not kind.startswith("[") and kind != "none"]
    if len(places) != len(lists):  # a constant column is 'none', whether it is categorical or not
        raise ModelError(
            f"{header.place}: {len(lists)} columns of the data frame were categorical, but {len(places)} of the model "
            "are, so it is unclear which; train on codes"
        )
    texts: dict[int, list[str]] = {}
    numbers: dict[int, list[float]] = {}
    for place, values in zip(places, Field(lists, f"{header.place}: pandas_categorical").items(), strict=True):
        if all(isinstance(value.value, str) for value in values.items()):
            texts[place] = values.as_texts()
        else:
            numbers[place] = values.as_array(np.float64).tolist()
    return Categories(texts, numbers)


LIGHTGBM = FrontEnd("LightGBM", _matches, from_lightgbm, has_rounds=True)
