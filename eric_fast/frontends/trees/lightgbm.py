"""LightGBM: Boosters, their scikit-learn wrappers, and model files in text; the package isn't needed.

Everything is float64 on both sides, and trees add up in one order, so that scores differ by rounding alone.
"""

import json
from typing import Any

import numpy as np

from eric_fast.errors import ModelError
from eric_fast.frontends.files import decode_text
from eric_fast.frontends.parts import Part, peek_file, read_bytes
from eric_fast.frontends.trees.forest import make_program
from eric_fast.frontends.trees.lightgbm_trees import Block, Names, read_blocks, read_tree
from eric_fast.frontends.trees.nodes import join_trees, number_leaves
from eric_fast.program import Decision
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel

# What a raw score becomes, by the first word of the objective; those that tell classes apart are below.
_LINKS = {
    "cross_entropy": "sigmoid",
    "cross_entropy_lambda": "softplus",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "exp"),
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "identity"),
    **dict.fromkeys(("lambdarank", "rank_xendcg", "custom", ""), "identity"),
}
_CLASS_LINKS = {"binary": "sigmoid", "multiclass": "softmax", "multiclassova": "sigmoids"}


def matches(source: Any) -> bool:
    """Whether it is a Booster, a wrapper of one, or a text file that LightGBM wrote."""
    return _is_object(source) or peek_file(source).replace(b"\r", b"").startswith(b"tree\nversion=")


def load_source(source: Any) -> RuleModel:
    """See `from_lightgbm`."""
    return from_lightgbm(source)


def from_lightgbm(source: Any) -> RuleModel:
    """A LightGBM model as a program, with the trees that the source's own `predict` uses.

    `predict` gives classes where the objective tells classes apart, whatever holds the model: the labels of an
    `LGBMClassifier`, 0 and up of a Booster or a file; `predict_proba` then gives what `Booster.predict` does. Of any
    other objective, and of an `LGBMRegressor` or `LGBMRanker`, `predict` gives what the source's own does.
    `apply` gives the leaves as `pred_leaf=True` does.

    Args:
        source: a Booster, an LGBMClassifier, LGBMRegressor or LGBMRanker; or the path of a model file in text.

    Raises:
        ModelError: linear trees, an objective that isn't known, categories of a data frame that can't be placed.
        ProgramError: a file that is wrong, and where.
    """
    if not _is_object(source):
        return read_lightgbm(read_bytes(source), str(source))
    name = type(source).__name__
    booster = source.booster_ if hasattr(source, "booster_") else source
    classifies = None if booster is source else hasattr(source, "classes_")
    labels = source.classes_ if classifies else None
    return _read_model(booster.model_to_string(), name, f"LightGBM {name}", classifies, labels)


def read_lightgbm(data: bytes, name: str) -> RuleModel:
    """The model in a file's bytes; see `from_lightgbm`. `name` is what errors call the file."""
    return _read_model(decode_text(data, name), name, "LightGBM model file")


def _is_object(source: Any) -> bool:
    kind = type(source)
    return kind.__module__.split(".")[0] == "lightgbm" and (
        kind.__name__ == "Booster" or kind.__name__.startswith("LGBM")
    )


def _read_model(text: str, name: str, source: str, classifies: bool | None = None, labels: Any = None) -> RuleModel:
    """The model in a text; `classifies`: whether it tells classes apart; None as its objective says."""
    header, blocks, tail = read_blocks(text, name)
    n_outputs = header.get_int("num_tree_per_iteration", 1, len(text))
    names = header.get_words("feature_names", header.get_int("max_feature_idx", 0, len(text)) + 1)
    categories = _read_categories(header, tail, names)
    columns = [Column(name, "text" if i in categories.texts else "float64") for i, name in enumerate(names)]
    trees = [read_tree(block, i % n_outputs, categories) for i, block in enumerate(blocks)]
    if len(trees) % n_outputs:
        raise header.fail(f"{len(trees)} trees are not {n_outputs} for each iteration")

    kind, *options = header.get("objective").split() or [""]
    settings = dict(option.partition(":")[::2] for option in options)
    wants = kind in _CLASS_LINKS if classifies is None else classifies and kind in _CLASS_LINKS
    link = "signed square" if "sqrt" in settings else {**_LINKS, **_CLASS_LINKS}.get(kind)
    if link is None:
        raise ModelError(f"{name}: objective '{kind}' is not one that is known")
    if kind in _CLASS_LINKS and (n_outputs == 1) != (kind == "binary"):
        raise header.fail(f"objective '{kind}' with {n_outputs} trees an iteration")
    divisor = max(1, len(trees) // n_outputs) if "average_output" in header.values else 1
    scale = Part(settings["sigmoid"], f"{name}: objective: sigmoid").as_float() if "sigmoid" in settings else 1.0
    if wants:
        n_classes = max(2, n_outputs)
        labels = np.arange(n_classes) if labels is None else labels
        if len(labels) != n_classes:
            raise ModelError(f"{name}: {len(labels)} classes for a model of {n_classes}")
        if n_outputs == 1:  # the one sum is the second class's, beside which the first has none
            trees = [tree.shift_output(1) for tree in trees]
    else:
        labels = None
    joined = join_trees(columns, trees, name)
    spelled = [str(label) for label in (range(n_outputs) if labels is None else np.asarray(labels).tolist())]
    return RuleModel(
        make_program(joined, spelled, decision=Decision.of_sums(classify=wants)),
        source,
        labels,
        link=link,
        divisor=divisor,
        scale=scale,
        named=any(name != f"Column_{i}" for i, name in enumerate(names)),
        leaves=number_leaves(joined, trees, "int32"),
    )


def _read_categories(header: Block, tail: str, names: list[str]) -> Names:
    """What the codes of categorical columns stand for, where the model was trained on a data frame."""
    found = [line for line in tail.splitlines() if line.startswith("pandas_categorical:")]
    try:
        lists = json.loads(found[-1].partition(":")[2]) if found else None
    except (ValueError, RecursionError) as error:
        raise header.fail(f"pandas_categorical is not JSON: {error}") from error
    if not lists:
        return Names({}, {})
    kinds = header.get_words("feature_infos", len(names))
    places = [i for i, kind in enumerate(kinds) if not kind.startswith("[") and kind != "none"]
    if len(places) != len(lists):  # a constant column is 'none', whether it is categorical or not
        raise ModelError(
            f"{header.place}: {len(lists)} columns of the data frame had categories, and {len(places)} of the model "
            "have: it can't be told which; train on codes"
        )
    texts: dict[int, list[str]] = {}
    numbers: dict[int, list[float]] = {}
    for place, values in zip(places, Part(lists, f"{header.place}: pandas_categorical").items(), strict=True):
        if all(isinstance(value.value, str) for value in values.items()):
            texts[place] = values.as_texts()
        else:
            numbers[place] = values.as_array(np.float64).tolist()
    return Names(texts, numbers)
