"""What `docs/reference/values.md` says of values, line by line: each line of its tables is a test here."""

import re
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier

from eric_fast.errors import DataError, EricError
from eric_fast.frontends.gates.circuit import from_circuit
from eric_fast.frontends.registry import load
from eric_fast.frontends.rules.foldrm import from_foldrm
from tests.boosters import make_categories, make_frame
from tests.make_onnx import make_new
from tests.optional import import_optional

PAGE = (Path(__file__).parents[1] / "docs" / "reference" / "values.md").read_text(encoding="utf-8")
RULES = "label(X,'a') :- age(X,N), N =< 40.\nlabel(X,'b') :- job(X,'clerk').\nlabel(X,'c')."
ADDER = b"aag 3 2 0 1 1\n2\n4\n6\n6 2 4\n"
SINGLE = float(np.float32(0.1))


def train(holes=False):
    """(rows, target) that a threshold of column 0 tells apart."""
    rows = np.random.default_rng(0).normal(size=(120, 2))
    target = (rows[:, 0] > 0.1).astype(int)
    if holes:
        rows[::5, 0] = np.nan
    return rows, target


def check_missing_everywhere():
    model = load(RULES)
    for missing in (np.nan, None, pd.NA):
        frame = pd.DataFrame({"age": pd.array([missing], "Float64"), "job": pd.Series([missing], dtype=object)})
        assert model.predict(frame).tolist() == ["c"]


def check_missing_text():
    assert load(RULES).predict(pd.DataFrame({"age": [50.0, 50.0], "job": [None, "clerk"]})).tolist() == ["c", "b"]


def check_texts_for_numbers():
    rows, target = train()
    model = load(RandomForestClassifier(2, random_state=0).fit(rows, target))
    frame = pd.DataFrame({"x0": ["0.5", "NA", ""], "x1": ["1", "?", " nan"]})
    numbers = np.array([[0.5, 1], [np.nan, np.nan], [np.nan, np.nan]])
    np.testing.assert_array_equal(model.predict_proba(frame), model.predict_proba(numbers))
    with pytest.raises(DataError, match=r"row 1, column 'x0': 'old' is not a number; write one, or leave the value"):
        model.predict(frame.assign(x0=["0.5", "old", ""]))


def check_other_numbers_for_bits():
    with pytest.raises(DataError):
        from_circuit(ADDER).predict(np.array([[0.5, 1.0]]))


def check_other_types():
    rows, target = train()
    forest = load(RandomForestClassifier(2, random_state=0).fit(rows, target))
    rules, day = load(RULES), date(2020, 1, 1)
    with pytest.raises(DataError, match="column 'x1' holds .*, neither numbers nor texts"):
        forest.predict(pd.DataFrame({"x0": [0.5], "x1": [day]}))
    for data in ({"age": 50.0, "job": day}, [{"age": 50.0, "job": day}], pd.DataFrame({"age": [50.0], "job": [day]})):
        with pytest.raises(DataError, match="column 'job' holds .*, neither numbers nor texts"):
            rules.predict(data)
    assert rules.predict([{"age": 30.0, "job": day}]).tolist() == ["a"]  # which asks for no job


def check_lacking_column():
    with pytest.raises(DataError, match="age"):
        load(RULES).predict(pd.DataFrame({"agee": [1.0], "job": ["clerk"]}))


def check_sklearn():
    rows, target = train()
    source = RandomForestClassifier(3, random_state=0).fit(rows, target)
    model = load(source)
    near = rows + 1e-12  # the same in float32
    np.testing.assert_array_equal(model.predict(near), source.predict(near))
    with pytest.raises(ValueError, match="infinity"):
        source.predict([[np.inf, 0]])
    with pytest.raises(DataError):
        model.predict(np.array([[np.inf, 0]]))
    missing = np.array([[np.nan, 0.0]])
    np.testing.assert_array_equal(model.predict(missing), source.predict(missing))


def check_hist_boosting():
    rows, target = train(holes=True)
    frame = pd.DataFrame({"a": rows[:, 0], "b": pd.Categorical(np.where(target == 1, "x", "y"))})
    source = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5, categorical_features=[1]).fit(frame, target)
    model = load(source)
    unseen = pd.DataFrame({"a": [0.0, np.nan] * 3, "b": pd.Categorical(["z", None, "x", "y", None, "z"])})
    got = model.predict_proba(unseen)
    np.testing.assert_array_equal(got[0], model.predict_proba(unseen.assign(b=None))[0])
    np.testing.assert_allclose(got, source.predict_proba(unseen), atol=1e-12)


def check_xgboost():
    xgboost = import_optional("xgboost")
    rows, target = train(holes=True)
    source = xgboost.XGBClassifier(n_estimators=3, missing=0.0, n_jobs=1).fit(np.nan_to_num(rows), target)
    asked = np.array([[np.nan, 1], [0.0, 1], [SINGLE, 1], [0.1, 1]])
    np.testing.assert_allclose(load(source).predict_proba(asked), source.predict_proba(asked), atol=1e-6)
    features, wanted = make_categories()
    matrix = xgboost.DMatrix(features, wanted, feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True)
    coded = xgboost.train({"max_depth": 4, "nthread": 1}, matrix, 3)
    unseen = np.array([[40.0, 1, 2, 0, 0], [np.nan, 1, 2, 0, 0], [3, 11, 2, 0, 0]])
    given = xgboost.DMatrix(unseen, feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True)
    np.testing.assert_allclose(load(coded).predict(unseen), coded.predict(given), rtol=1e-5)


def check_lightgbm():
    lightgbm = import_optional("lightgbm")
    frame, target = make_frame()
    source = lightgbm.LGBMRegressor(n_estimators=3, min_child_samples=5, n_jobs=1, verbose=-1).fit(frame, target)
    unseen = frame.head(6).assign(colour=pd.Categorical(["pink", "red", None, "blue", "green", "grey"]))
    np.testing.assert_allclose(load(source).predict(unseen), source.predict(unseen), rtol=1e-12)


def check_catboost():
    catboost = import_optional("catboost")
    rows, target = train(holes=True)
    options = {"iterations": 3, "depth": 2, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
    source = catboost.CatBoostClassifier(**options).fit(rows, target)
    asked = np.array([[np.nan, 1.0], [0.1, 1], [SINGLE, 1]])
    np.testing.assert_allclose(load(source).predict_proba(asked), source.predict_proba(asked), atol=1e-12)
    texts = pd.DataFrame({"a": np.where(target == 1, "x", "y"), "b": rows[:, 1]})
    with pytest.raises(EricError, match="compare hashes of categories"):
        load(catboost.CatBoostClassifier(**options).fit(texts, target, cat_features=["a"]))


def check_treelite():
    treelite, xgboost = import_optional("treelite"), import_optional("xgboost")
    features, wanted = make_categories()
    matrix = xgboost.DMatrix(features, wanted, feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True)
    booster = xgboost.train({"max_depth": 4, "nthread": 1}, matrix, 3)
    model = treelite.frontend.from_xgboost(booster)
    unseen = np.array([[40.0, 1, 2, 0, 0], [np.nan, 1, 2, 0, 0], [3, 11, 2, np.nan, 0]], np.float32)
    np.testing.assert_allclose(load(model).predict(unseen), treelite.gtil.predict(model, unseen).ravel(), rtol=1e-5)


def check_onnx():
    from tests.onnx_runtime import run

    graph = make_new()
    rows = np.array([[0.5, 1], [0.1, 3], [0.1, 4], [np.nan, 1], [0.1, np.nan], [5, 0]])
    np.testing.assert_allclose(load(graph).predict(rows), np.ravel(run(graph, rows)[0]))


def check_rules(caplog):
    model = load(RULES)
    frame = pd.DataFrame({"age": ["30", "old", None], "job": ["clerk", "Clerk", "baker"]})
    assert model.predict(frame).tolist() == ["a", "b", "c"]
    assert caplog.messages == ["row 1, column 'age': 'old' is not a number; 1 of 3 values satisfy no comparison"]
    assert model.predict(pd.DataFrame({"age": [50.0], "job": ["unheard of"]})).tolist() == ["c"]


def check_foldrm():
    rules = [((-1, "==", "yes"), [(0, "<=", 0.1), (1, "==", "x")], [], 0)]
    model = from_foldrm(SimpleNamespace(attrs=["n", "t", "y"], label="y", rules=rules))
    assert model.predict(pd.DataFrame({"n": [0.1, np.nan, 0.1], "t": ["x", "x", "z"]})).tolist() == ["yes", None, None]
    with pytest.raises(DataError):
        model.predict(pd.DataFrame({"n": [0.1], "t": [3]}))


def check_circuits():
    circuit = from_circuit(ADDER)
    assert circuit.predict(np.array([[1, 1], [1, 0]])).ravel().tolist() == [True, False]
    for wrong in (2.0, np.nan):
        with pytest.raises(DataError):
            circuit.predict(np.array([[wrong, 1.0]]))


LINES = {
    "NaN, `None`, a null of pandas, polars or Arrow": check_missing_everywhere,
    "missing, where a text is compared": check_missing_text,
    "a text in a column of numbers": check_texts_for_numbers,
    "a number that isn't 0 or 1 in a circuit's column": check_other_numbers_for_bits,
    "a value that is neither a number nor a text, such as a date": check_other_types,
    "a column that the table lacks": check_lacking_column,
    "scikit-learn trees and forests": check_sklearn,
    "HistGradientBoosting": check_hist_boosting,
    "XGBoost": check_xgboost,
    "LightGBM": check_lightgbm,
    "CatBoost": check_catboost,
    "treelite": check_treelite,
    "ONNX": check_onnx,
    "rules (ASP, Prolog, FOLD-RM)": check_rules,
    "FOLD-RM's object": check_foldrm,
    "circuits": check_circuits,
}


def test_each_line_of_the_page_has_a_test():
    lines = [line.split("|")[1].strip() for line in PAGE.splitlines() if re.match(r"\| (?!-|value|source)", line)]
    assert lines == list(LINES)


@pytest.mark.parametrize("line", LINES)
def test_line(line, caplog):
    check = LINES[line]
    check(caplog) if check is check_rules else check()
