"""Files of boosted trees to damage: small models of every kind that the formats can hold."""

import random
import tempfile
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from eric_fast.frontends.trees.catboost import read_catboost
from eric_fast.frontends.trees.lightgbm import read_lightgbm
from eric_fast.frontends.trees.onnx import read_onnx
from eric_fast.frontends.trees.treelite import read_treelite
from eric_fast.frontends.trees.xgboost import read_xgboost
from eric_fast.table.model import RuleModel
from tests.boosters import load_data, make_categories
from tests.optional import import_optional


def make(samples: Callable[[], list[bytes]], rng: random.Random) -> bytes:
    return rng.choice(samples())


def read_model(reader: Callable[[bytes, str], RuleModel], content: bytes) -> RuleModel:
    """The model, which has answered a few rows: one that is read can be used."""
    model = reader(content, "fuzz")
    model.predict(np.zeros((3, model.n_features_in_)))
    return model


@cache
def train_xgboost() -> list[Any]:
    """Boosters: two classes, ten classes with leaves of ten numbers, categories, DART."""
    xgboost = import_optional("xgboost")
    options = {"max_depth": 3, "nthread": 1, "verbosity": 0}
    cancer = xgboost.DMatrix(*load_data("cancer"))
    digits = xgboost.DMatrix(*load_data("digits"))
    codes = xgboost.DMatrix(*make_categories(), feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True)
    several = {"objective": "multi:softprob", "num_class": 10, "multi_strategy": "multi_output_tree"}
    return [
        xgboost.train({**options, "objective": "binary:logistic"}, cancer, 2),
        xgboost.train({**options, **several}, digits, 1),
        xgboost.train({**options, "max_cat_to_onehot": 1}, codes, 2),
        xgboost.train({**options, "booster": "dart", "rate_drop": 0.5}, cancer, 3),
    ]


@cache
def train_lightgbm() -> list[Any]:
    """Boosters: two classes, ten classes, categories, zeros that are missing."""
    lightgbm = import_optional("lightgbm")
    options = {"num_leaves": 5, "num_threads": 1, "verbose": -1, "min_data_per_group": 1, "cat_smooth": 1}
    several = {"objective": "multiclass", "num_class": 10}
    diabetes, target = load_data("diabetes")
    holes = np.where(np.random.default_rng(0).random(diabetes.shape) < 0.3, 0, diabetes)
    return [
        lightgbm.train({**options, "objective": "binary"}, lightgbm.Dataset(*load_data("cancer")), 2),
        lightgbm.train({**options, **several}, lightgbm.Dataset(*load_data("digits")), 1),
        lightgbm.train(options, lightgbm.Dataset(*make_categories(), categorical_feature=[0, 1, 2]), 2),
        lightgbm.train({**options, "zero_as_missing": True}, lightgbm.Dataset(holes, target), 2),
    ]


@cache
def train_catboost(file_format: str = "json") -> list[bytes]:
    """Files: oblivious trees and others, two classes and ten."""
    catboost = import_optional("catboost")
    files = []
    options = {"iterations": 2, "depth": 3, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    for shape, data in (("SymmetricTree", "cancer"), ("Depthwise", "cancer"), ("SymmetricTree", "digits")):
        if file_format == "onnx" and shape != "SymmetricTree":
            continue
        source = catboost.CatBoostClassifier(**options, grow_policy=shape).fit(*load_data(data))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            source.save_model(str(path), format=file_format)
            files.append(path.read_bytes())
    return files


@cache
def make_onnx() -> list[bytes]:
    """Files: what CatBoost writes, and ensembles of both operators."""
    from tests.make_onnx import make_new, make_old

    return [*train_catboost("onnx"), *(graph.SerializeToString() for graph in (make_old(), make_new(), make_new(11)))]


@cache
def make_checkpoints() -> list[bytes]:
    frontend = import_optional("treelite").frontend
    return [
        *(frontend.from_xgboost(booster).serialize_bytes() for booster in train_xgboost()[:3]),
        *(frontend.from_lightgbm(booster).serialize_bytes() for booster in train_lightgbm()[:3]),
    ]


@cache
def save_xgboost(file_format: str) -> list[bytes]:
    return [bytes(booster.save_raw(file_format)) for booster in train_xgboost()]


@cache
def save_lightgbm() -> list[bytes]:
    return [booster.model_to_string().encode() for booster in train_lightgbm()]


BOOSTERS = {
    "xgboost json": (partial(make, partial(save_xgboost, "json")), partial(read_model, read_xgboost), "xgboost"),
    "xgboost ubjson": (partial(make, partial(save_xgboost, "ubj")), partial(read_model, read_xgboost), "xgboost"),
    "lightgbm": (partial(make, save_lightgbm), partial(read_model, read_lightgbm), "lightgbm"),
    "catboost": (partial(make, train_catboost), partial(read_model, read_catboost), "catboost"),
    "onnx": (partial(make, make_onnx), partial(read_model, read_onnx), "onnxruntime"),
    "treelite": (partial(make, make_checkpoints), partial(read_model, read_treelite), "treelite"),
}
