"""Models of scikit-learn for the matrix, and what treelite and skl2onnx make of such models."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.matrix_cases import Ask, Case, ask_methods, make_data
from tests.optional import import_optional


def make_sklearn(folder: Path) -> Iterator[Case]:
    from sklearn import ensemble, tree
    from sklearn.base import clone

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
            fitted = clone(model).fit(rows, targets[target])
            name = f"scikit-learn {type(model).__name__} {getattr(model, 'loss', '')} {target}"
            yield Case(name, "object", fitted, ask_methods(fitted))


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
