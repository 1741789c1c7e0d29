"""Models of XGBoost, LightGBM and CatBoost for the matrix: every class and objective, in every form."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.matrix_cases import METHODS, Ask, Case, ask_methods, make_data
from tests.optional import import_optional


def make_xgboost(folder: Path) -> Iterator[Case]:
    xgboost = import_optional("xgboost")
    rows, targets = make_data()
    classify = {"binary:logistic": "two", "binary:logitraw": "two", "binary:hinge": "two"}
    classify |= {"multi:softprob": "three", "multi:softmax": "three"}
    regress = dict.fromkeys(("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"), "number")
    regress |= dict.fromkeys(("count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"), "positive")
    regress |= {"reg:logistic": "share", "binary:logistic": "two", "reg:quantileerror": "number"}
    several = {"reg:squarederror": "several"}
    rank = dict.fromkeys(("rank:pairwise", "rank:ndcg"), "grade")
    plan = [
        *(("XGBClassifier", *item) for item in (*classify.items(), ("binary:logistic", "labels"))),
        *(("XGBRFClassifier", *item) for item in classify.items()),
        *(("XGBRegressor", *item) for item in (*regress.items(), *several.items())),
        *(("XGBRFRegressor", *item) for item in regress.items()),
        *(("XGBRanker", *item) for item in rank.items()),
    ]
    for number, (kind, objective, target) in enumerate(plan):
        options = {"n_estimators": 3, "max_depth": 3, "n_jobs": 1, "objective": objective, "random_state": 0}
        options |= {"quantile_alpha": 0.3} if "quantile" in objective else {}
        groups = {"group": [60, 60]} if kind == "XGBRanker" else {}
        for missing in (np.nan, 0.0) if (kind, objective) == ("XGBClassifier", "binary:logistic") else (np.nan,):
            name = f"XGBoost {kind} {objective} {target}" + ("" if np.isnan(missing) else f" missing={missing}")
            model = getattr(xgboost, kind)(**options, missing=missing).fit(rows, targets[target], **groups)
            yield Case(name, "object", model, ask_methods(model, (*METHODS[:2], "apply")))
            for suffix in ("json", "ubj"):
                path = folder / f"xgboost{number}.{suffix}"
                model.save_model(path)
                again = getattr(xgboost, kind)()
                again.load_model(path)
                yield Case(name, f"reloaded {suffix}", again, ask_methods(again, (*METHODS[:2], "apply")))
                if np.isnan(missing):  # a file doesn't say what is missing
                    yield Case(
                        name, f"file {suffix}", path, _ask_booster(xgboost, model.get_booster(), objective, target)
                    )
        yield Case(name, "Booster", model.get_booster(), _ask_booster(xgboost, model.get_booster(), objective, target))


def _ask_booster(xgboost: Any, booster: Any, objective: str, target: str) -> dict[str, Ask]:
    """A Booster's `predict` gives probabilities, or margins; here `predict` gives classes or labels for them."""

    def ask(**options: Any) -> Ask:
        return lambda rows: booster.predict(xgboost.DMatrix(rows), **options)

    def find_classes(rows: NDArray[Any]) -> Any:
        margins = booster.predict(xgboost.DMatrix(rows), output_margin=True)
        if target == "labels":
            return (margins > 0).astype(int)
        return (
            margins.argmax(axis=1) if margins.ndim > 1 else (margins > (objective == "binary:logitraw") / 2).astype(int)
        )

    asks = {"apply": ask(pred_leaf=True)}
    if objective.startswith(("binary", "multi")):
        asks["predict"] = find_classes
        asks["decision_function"] = ask(output_margin=True)
    else:
        asks["predict"] = ask()
    if objective == "multi:softprob" or target == "labels":
        asks["predict_proba"] = ask()
    elif objective == "binary:logistic":
        asks["predict_proba"] = lambda rows: np.column_stack([1 - ask()(rows), ask()(rows)])
    return asks


def make_lightgbm(folder: Path) -> Iterator[Case]:
    lightgbm = import_optional("lightgbm")
    rows, targets = make_data()
    plan = [
        *(("LGBMClassifier", objective, target) for objective, target in (("binary", "two"), ("cross_entropy", "two"))),
        *(("LGBMClassifier", objective, "three") for objective in ("multiclass", "multiclassova")),
        ("LGBMClassifier", "binary", "texts"),
        *(
            ("LGBMRegressor", objective, "number")
            for objective in ("regression", "regression_l1", "huber", "fair", "quantile")
        ),
        *(("LGBMRegressor", objective, "positive") for objective in ("poisson", "gamma", "tweedie", "mape")),
        *(("LGBMRegressor", objective, "share") for objective in ("cross_entropy", "cross_entropy_lambda")),
        *(("LGBMRanker", objective, "grade") for objective in ("lambdarank", "rank_xendcg")),
    ]
    boostings: tuple[dict[str, Any], ...] = (
        {},
        {"boosting_type": "dart"},
        {"boosting_type": "rf", "bagging_freq": 1, "bagging_fraction": 0.6},
    )
    for number, (kind, objective, target) in enumerate(plan):
        for extra in boostings if target in ("two", "number") else boostings[:1]:
            options = {"n_estimators": 3, "num_leaves": 5, "n_jobs": 1, "verbose": -1, "objective": objective, **extra}
            groups = {"group": [60, 60]} if kind == "LGBMRanker" else {}
            model = getattr(lightgbm, kind)(**options).fit(rows, targets[target], **groups)
            name = f"LightGBM {kind} {objective} {target} {extra.get('boosting_type', '')}"
            asks = {"predict": model.predict} | ({"predict_proba": model.predict_proba} if "Classifier" in kind else {})
            asks["apply"] = partial(model.predict, pred_leaf=True)
            yield Case(name, "object", model, asks)
            path = folder / f"lightgbm{number}.txt"
            model.booster_.save_model(path)
            for form, source in (
                ("file", path),
                ("reloaded", lightgbm.Booster(model_file=path)),
                ("Booster", model.booster_),
            ):
                yield Case(name, form, source, _ask_lightgbm(lightgbm.Booster(model_file=path), objective, extra))


def _ask_lightgbm(booster: Any, objective: str, extra: dict[str, Any]) -> dict[str, Ask]:
    raw = {"decision_function": lambda rows: booster.predict(rows, raw_score=True)}  # of a random forest, not averaged
    raw = {} if extra.get("boosting_type") == "rf" else raw
    raw = {**raw, "apply": partial(booster.predict, pred_leaf=True)}
    if objective == "binary":
        return {
            "predict": lambda rows: (booster.predict(rows) > 0.5).astype(int),
            "predict_proba": lambda rows: np.column_stack([1 - booster.predict(rows), booster.predict(rows)]),
            **raw,
        }
    if objective.startswith("multiclass"):
        return {
            "predict": lambda rows: booster.predict(rows).argmax(axis=1),
            "predict_proba": booster.predict,
            **raw,
        }
    return {"predict": booster.predict, "apply": raw["apply"]}


def make_catboost(folder: Path) -> Iterator[Case]:
    catboost = import_optional("catboost")
    rows, targets = make_data()
    plan = [
        *(("CatBoostClassifier", loss, "two") for loss in ("Logloss", "CrossEntropy")),
        *(("CatBoostClassifier", loss, "three") for loss in ("MultiClass", "MultiClassOneVsAll")),
        *(("CatBoostClassifier", loss, "labels") for loss in ("MultiLogloss", "MultiCrossEntropy")),
        ("CatBoostClassifier", "Logloss", "texts"),
        *(
            ("CatBoostRegressor", loss, "number")
            for loss in ("RMSE", "MAE", "Quantile", "Expectile:alpha=0.3", "LogCosh", "Huber:delta=1")
        ),
        *(("CatBoostRegressor", loss, "positive") for loss in ("Poisson", "Tweedie:variance_power=1.5", "MAPE")),
        ("CatBoostRegressor", "MultiRMSE", "several"),
        *(
            ("CatBoost", loss, target)
            for loss, target in (("RMSE", "number"), ("Poisson", "positive"), ("Logloss", "two"))
        ),
    ]
    for number, (kind, loss, target) in enumerate(plan):
        options: dict[str, Any] = {
            "iterations": 3,
            "depth": 3,
            "thread_count": 1,
            "verbose": 0,
            "allow_writing_files": False,
        }
        options |= {"loss_function": loss}
        model = catboost.CatBoost(options) if kind == "CatBoost" else getattr(catboost, kind)(**options)
        model.fit(rows, targets[target])
        name = f"CatBoost {kind} {loss} {target}"
        yield Case(name, "object", model, _ask_catboost(model, kind, loss))
        path = folder / f"catboost{number}.json"
        model.save_model(str(path), format="json")
        again = getattr(catboost, kind)().load_model(str(path), format="json")
        yield Case(name, "reloaded", again, _ask_catboost(again, kind, loss))
        if kind != "CatBoost":
            yield Case(name, "file", path, _ask_catboost(again, kind, loss))


def _ask_catboost(model: Any, kind: str, loss: str) -> dict[str, Ask]:
    """`predict` gives classes `[n_rows]`; a plain CatBoost of classes does so here, too."""
    classes = loss in (
        "Logloss",
        "CrossEntropy",
        "MultiClass",
        "MultiClassOneVsAll",
        "MultiLogloss",
        "MultiCrossEntropy",
    )
    asks: dict[str, Ask] = {"apply": model.calc_leaf_indexes}
    if not classes:
        return {**asks, "predict": model.predict}

    def predict(rows: NDArray[Any]) -> Any:
        found = np.asarray(model.predict(rows, prediction_type="Class"))
        return found[:, 0] if found.ndim == 2 and found.shape[1] == 1 else found

    return {
        **asks,
        "predict": predict,
        "predict_proba": lambda rows: model.predict(rows, prediction_type="Probability"),
        "decision_function": lambda rows: model.predict(rows, prediction_type="RawFormulaVal"),
    }
