"""What each source answers, whatever is asked: `python -m tests.matrix` prints how many answers are the same.

Every wrapper class x every objective x (object, saved file, reloaded estimator) x (predict, predict_proba,
decision_function, apply). An answer is the source's own, or is refused with a reason; it never differs.
"""

import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import EricError
from eric_fast.frontends.registry import load
from tests.optional import import_optional

METHODS = ("predict", "predict_proba", "decision_function", "apply")
TOLERANCE = 1e-5  # sources that add up in float32 differ by their rounding
Ask = Callable[[NDArray[Any]], Any]


class Case(NamedTuple):
    """One model in one form: what to load, and what the source answers for each method that it has."""

    name: str
    form: str
    source: Any
    asks: dict[str, Ask]


class Outcome(NamedTuple):
    """What became of one cell: `equal`, `refused`, `absent` on both sides, or `differs`; and why."""

    cell: str
    status: str
    reason: str


@cache
def make_data() -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Rows, and a target for each kind of objective."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 4)).astype(np.float32)
    score = rows[:, 0] + 0.5 * rows[:, 1] + 0.3 * rng.normal(size=120)
    two = (score > 0).astype(int)
    return rows, {
        "two": two,
        "texts": np.array(["no", "yes"])[two],
        "three": np.digitize(score, [-0.5, 0.5]),
        "number": score,
        "positive": np.exp(score),
        "share": 1 / (1 + np.exp(-score)),
        "several": np.column_stack([score, -2 * score]),
        "labels": np.column_stack([two, (rows[:, 2] > 0).astype(int)]),
        "grade": np.digitize(score, [-0.5, 0.5]),
    }


def list_cases(folder: Path) -> Iterator[Case]:
    """Every model in every form."""
    for make in (make_sklearn, make_xgboost, make_lightgbm, make_catboost, make_treelite, make_onnx):
        yield from make(folder)


def ask_methods(model: Any, names: tuple[str, ...] = METHODS) -> dict[str, Ask]:
    return {name: getattr(model, name) for name in names if hasattr(model, name)}


def make_sklearn(folder: Path) -> Iterator[Case]:
    from sklearn import ensemble, tree

    rows, targets = make_data()
    small: dict[str, Any] = {"max_depth": 3, "random_state": 0}
    many: dict[str, Any] = {"n_estimators": 3, "random_state": 0}
    losses = ("squared_error", "absolute_error", "huber", "quantile")
    models: list[tuple[Any, tuple[str, ...]]] = [
        *(
            (kind(**small), ("two", "texts", "three", "labels"))
            for kind in (tree.DecisionTreeClassifier, tree.ExtraTreeClassifier)
        ),
        *((kind(**small), ("number", "several")) for kind in (tree.DecisionTreeRegressor, tree.ExtraTreeRegressor)),
        *(
            (kind(**many, max_depth=3), ("two", "texts", "three", "labels"))
            for kind in (ensemble.RandomForestClassifier, ensemble.ExtraTreesClassifier)
        ),
        *(
            (kind(**many, max_depth=3), ("number", "several"))
            for kind in (ensemble.RandomForestRegressor, ensemble.ExtraTreesRegressor)
        ),
        *(
            (kind(**many), ("two", "three", "texts"))
            for kind in (ensemble.BaggingClassifier, ensemble.AdaBoostClassifier)
        ),
        *((kind(**many), ("number",)) for kind in (ensemble.BaggingRegressor, ensemble.AdaBoostRegressor)),
        *((ensemble.GradientBoostingClassifier(**many, loss=loss), ("two",)) for loss in ("log_loss", "exponential")),
        (ensemble.GradientBoostingClassifier(**many), ("three", "texts")),
        *((ensemble.GradientBoostingRegressor(**many, loss=loss), ("number",)) for loss in losses),
        (ensemble.HistGradientBoostingClassifier(max_iter=3), ("two", "three", "texts")),
        *((ensemble.HistGradientBoostingRegressor(max_iter=3, loss=loss), ("number",)) for loss in losses[:2]),
        *(
            (ensemble.HistGradientBoostingRegressor(max_iter=3, loss=loss), ("positive",))
            for loss in ("poisson", "gamma")
        ),
        (ensemble.HistGradientBoostingRegressor(max_iter=3, loss="quantile", quantile=0.3), ("number",)),
        (ensemble.IsolationForest(**many), ("number",)),
    ]
    for model, wanted in models:
        for target in wanted:
            from sklearn.base import clone

            fitted = clone(model).fit(rows, targets[target])
            name = f"scikit-learn {type(model).__name__} {getattr(model, 'loss', '')} {target}"
            yield Case(name, "object", fitted, ask_methods(fitted))


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


def make_treelite(folder: Path) -> Iterator[Case]:
    """treelite's models of the other sources, as its own reference, gtil, answers; classes are the highest shares."""
    treelite = import_optional("treelite")
    from sklearn import ensemble

    import_optional("treelite.sklearn")
    xgboost, lightgbm = import_optional("xgboost"), import_optional("lightgbm")
    rows, targets = make_data()
    options: dict[str, Any] = {"n_estimators": 3, "random_state": 0, "n_jobs": 1}
    sources: list[tuple[Any, str, Any]] = [
        *(
            (xgboost.XGBClassifier(**options), name, lambda m: treelite.frontend.from_xgboost(m.get_booster()))
            for name in ("two", "three")
        ),
        (xgboost.XGBRegressor(**options), "number", lambda m: treelite.frontend.from_xgboost(m.get_booster())),
        *(
            (
                lightgbm.LGBMClassifier(**options, verbose=-1),
                name,
                lambda m: treelite.frontend.from_lightgbm(m.booster_),
            )
            for name in ("two", "three")
        ),
        (
            lightgbm.LGBMRegressor(**options, verbose=-1),
            "number",
            lambda m: treelite.frontend.from_lightgbm(m.booster_),
        ),
        *(
            (ensemble.RandomForestClassifier(**options), name, treelite.sklearn.import_model)
            for name in ("two", "three")
        ),
        (ensemble.RandomForestRegressor(**options), "number", treelite.sklearn.import_model),
    ]
    for number, (source, target, convert) in enumerate(sources):
        model = convert(source.fit(rows, targets[target]))
        asks = _ask_treelite(treelite, model, classifies=target != "number")
        name = f"treelite {type(source).__name__} {target}"
        yield Case(name, "object", model, asks)
        path = folder / f"treelite{number}.tl"
        model.serialize(path)
        yield Case(name, "file", path, asks)


def _ask_treelite(treelite: Any, model: Any, *, classifies: bool) -> dict[str, Ask]:
    def answer(rows: NDArray[Any]) -> NDArray[Any]:
        given: NDArray[Any] = treelite.gtil.predict(model, rows.astype(model.input_type), nthread=1)
        return given.reshape(len(rows), -1)

    def apply(rows: NDArray[Any]) -> Any:
        return treelite.gtil.predict_leaf(model, rows.astype(model.input_type), nthread=1)

    def share(rows: NDArray[Any]) -> NDArray[Any]:
        found = answer(rows)
        return np.column_stack([1 - found, found]) if found.shape[1] == 1 else found

    if not classifies:
        return {"predict": lambda rows: answer(rows)[:, 0], "apply": apply}
    return {"predict": lambda rows: share(rows).argmax(axis=1), "predict_proba": share, "apply": apply}


def make_onnx(folder: Path) -> Iterator[Case]:
    """What skl2onnx writes of scikit-learn's models, as onnxruntime answers."""
    import_optional("skl2onnx")
    from tests.onnx_runtime import write_graph

    rows, _ = make_data()
    for number, case in enumerate(make_sklearn(folder)):
        try:
            graph = write_graph(case.source, rows)
        except Exception:  # whatever this converter can't write
            continue
        path = folder / f"graph{number}.onnx"
        path.write_bytes(graph.SerializeToString())
        outputs = [value.name for value in graph.graph.output]
        asks: dict[str, Ask] = {"predict": partial(_run_graph, graph, 0)}
        if len(outputs) > 1 and hasattr(case.source, "predict_proba"):
            asks["predict_proba"] = partial(_run_graph, graph, 1)
        name = case.name.replace("scikit-learn", "ONNX")
        yield Case(name, "file", path, asks)
        yield Case(name, "object", graph, asks)


def _run_graph(graph: Any, output: int, rows: NDArray[Any]) -> Any:
    from tests.onnx_runtime import run

    answers = run(graph, rows)[output]
    return answers[:, 0] if answers.ndim == 2 and answers.shape[1] == 1 else answers


def check_case(case: Case) -> Iterator[Outcome]:
    """The cells of one model in one form."""
    rows, _ = make_data()
    cell = f"{case.name} | {case.form}"
    try:
        model = load(case.source)
    except EricError as error:
        yield from (Outcome(f"{cell} | {method}", "refused", str(error)) for method in METHODS)
        return
    for method in METHODS:
        if not hasattr(model, method):
            if method in case.asks:
                yield Outcome(f"{cell} | {method}", "refused", _find_reason(model, method))
            else:
                yield Outcome(f"{cell} | {method}", "absent", "")
            continue
        if method not in case.asks:  # more than the source has; there is nothing to compare it with
            yield Outcome(f"{cell} | {method}", "absent", "")
            continue
        try:
            got = getattr(model, method)(rows)
        except EricError as error:
            yield Outcome(f"{cell} | {method}", "refused", str(error))
            continue
        wanted = case.asks[method](rows)
        reason = compare(got, wanted)
        yield Outcome(f"{cell} | {method}", "differs" if reason else "equal", reason)


def _find_reason(model: Any, method: str) -> str:
    try:
        getattr(model, method)
    except AttributeError as error:
        return str(error)
    return ""


def compare(got: Any, wanted: Any) -> str:
    """What differs; empty if nothing does."""
    if isinstance(wanted, list):
        wanted_parts, got_parts = list(wanted), list(got)
        if len(wanted_parts) != len(got_parts):
            return f"{len(got_parts)} answers for {len(wanted_parts)}"
        return next((why for a, b in zip(got_parts, wanted_parts, strict=True) if (why := compare(a, b))), "")
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"shape {got.shape}, not {wanted.shape}"
    if wanted.dtype.kind in "fiub" and got.dtype.kind in "fiub":
        scale = max(1.0, float(np.abs(wanted.astype(float)).max(initial=0.0)))
        worst = float(np.abs(got.astype(float) - wanted.astype(float)).max(initial=0.0))
        return "" if worst <= TOLERANCE * scale else f"by {worst:.3g}"
    return "" if (got.astype(str) == wanted.astype(str)).all() else "labels differ"


def run_matrix() -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what sources say of their own settings
        return [outcome for case in list_cases(Path(folder)) for outcome in check_case(case)]


def main() -> None:
    import logging

    logging.disable()
    outcomes = run_matrix()
    for outcome in outcomes:
        if outcome.status == "differs" or (outcome.status == "refused" and not outcome.reason):
            print(f"{outcome.status}: {outcome.cell}: {outcome.reason}")
    for reason, number in Counter(o.reason for o in outcomes if o.status == "refused").most_common():
        print(f"{number:5,} refused: {reason}")
    counts = Counter(outcome.status for outcome in outcomes)
    print(f"{len(outcomes):,} cells: {', '.join(f'{number:,} {status}' for status, number in counts.most_common())}")


if __name__ == "__main__":
    main()
