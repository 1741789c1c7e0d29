"""The generated matrix of sources, forms and methods: nothing differs, and what is refused has a reason."""

from collections import Counter

import numpy as np
import pytest

from eric_fast.frontends.registry import load
from tests import matrix

SOURCES = {
    "scikit-learn": (matrix.make_sklearn, 80),
    "XGBoost": (matrix.make_xgboost, 330),
    "LightGBM": (matrix.make_lightgbm, 250),
    "CatBoost": (matrix.make_catboost, 140),
    "treelite": (matrix.make_treelite, 45),
    "ONNX": (matrix.make_onnx, 100),
}


@pytest.mark.filterwarnings("ignore")  # what sources say of their own settings
@pytest.mark.parametrize("name", SOURCES)
def test_no_answer_differs(name, tmp_path):
    make, least = SOURCES[name]
    outcomes = [outcome for case in make(tmp_path) for outcome in matrix.check_case(case)]
    assert [outcome for outcome in outcomes if outcome.status == "differs"] == []
    assert all(outcome.reason for outcome in outcomes if outcome.status == "refused")
    counts = Counter(outcome.status for outcome in outcomes)
    assert counts["equal"] >= least


def test_a_difference_is_seen():
    case = next(matrix.make_sklearn(None))
    wrong = case._replace(asks={**case.asks, "predict": lambda rows: 1 - case.source.predict(rows)})
    assert next(matrix.check_case(wrong)).status == "differs"
    assert matrix.compare(np.array(["a"]), np.array(["b"])) == "labels differ"
    assert matrix.compare([1.0, 2.0], [1.0]) == "2 answers for 1"


def test_a_number_for_missing_values():
    """XGBoost takes it, and NaN, as missing; a row with zeros goes where one with NaN goes."""
    xgboost = pytest.importorskip("xgboost")
    rng = np.random.default_rng(0)
    rows = rng.integers(-2, 3, (200, 3)).astype(np.float32)
    rows[rng.random(rows.shape) < 0.1] = np.nan
    source = xgboost.XGBRegressor(n_estimators=4, max_depth=4, missing=0.0, n_jobs=1).fit(
        rows, np.nan_to_num(rows, nan=5.0).sum(axis=1)
    )
    model = load(source)
    np.testing.assert_allclose(model.predict(rows), source.predict(rows), rtol=1e-5)
    zeros = np.where(np.isnan(rows), np.float32(0), rows)
    np.testing.assert_array_equal(model.predict(zeros), model.predict(rows))
