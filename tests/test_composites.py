"""scikit-learn's pipelines, meta-estimators and isolation forests: what they answer with rules in place of trees."""

import pickle

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.datasets import load_iris
from sklearn.ensemble import (
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV, cross_val_score
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from eric_fast.errors import ModelError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.composites import FITTED_PARTS
from eric_fast.frontends.trees.isolation_forest import RuleIsolationForest
from eric_fast.frontends.trees.scikit_learn import from_sklearn
from eric_fast.table.model import RuleModel
from tests.boosters import make_frame
from tests.optional import import_optional

FEATURES, TARGET = load_iris(return_X_y=True)
BINARY = TARGET == 2
SEVERAL = np.column_stack([TARGET == 0, TARGET == 1]).astype(int)
ROWS = np.concatenate([FEATURES, FEATURES + np.random.default_rng(0).normal(size=FEATURES.shape)])
METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function", "transform")


def forest():
    return RandomForestClassifier(3, max_depth=3, random_state=0)


def regression():
    return RandomForestRegressor(3, max_depth=3, random_state=0)


def logistic():
    return LogisticRegression(max_iter=500)


CASES = {
    "pipeline": (make_pipeline(StandardScaler(), forest()), TARGET),
    "pipeline of pipelines": (make_pipeline(make_pipeline(StandardScaler()), make_pipeline(forest())), TARGET),
    "soft votes": (VotingClassifier([("a", forest()), ("b", logistic())], voting="soft"), TARGET),
    "hard votes": (VotingClassifier([("a", forest()), ("b", logistic())]), TARGET),
    "mean": (VotingRegressor([("a", regression()), ("b", regression())]), FEATURES[:, 0]),
    "stack": (StackingClassifier([("a", forest()), ("b", logistic())], forest(), cv=2), TARGET),
    "one against the rest": (OneVsRestClassifier(forest()), TARGET),
    "several labels": (OneVsRestClassifier(forest()), SEVERAL),
    "one against one": (OneVsOneClassifier(forest()), TARGET),
    "codes": (OutputCodeClassifier(forest(), random_state=0), TARGET),
    "several outputs": (MultiOutputClassifier(forest()), SEVERAL),
    "several numbers": (MultiOutputRegressor(regression()), FEATURES[:, :2]),
    "chain": (ClassifierChain(forest()), SEVERAL),
    "calibrated": (CalibratedClassifierCV(forest(), cv=2), BINARY),
    "calibrated classes": (CalibratedClassifierCV(forest(), cv=2, method="isotonic", ensemble=False), TARGET),
    "threshold": (FixedThresholdClassifier(forest(), threshold=0.3), BINARY),
    "search": (GridSearchCV(forest(), {"max_depth": [1, 2]}, cv=2), TARGET),
    "scaled target": (TransformedTargetRegressor(regression(), transformer=StandardScaler()), FEATURES[:, 0]),
    "calibrated pipeline": (CalibratedClassifierCV(make_pipeline(StandardScaler(), forest()), cv=2), BINARY),
}


@pytest.mark.parametrize("case", CASES)
def test_composites_answer_as_before(case):
    source, target = CASES[case]
    source = clone(source).fit(FEATURES, target)
    model = load(source)
    assert type(model) is type(source)
    methods = [method for method in METHODS if hasattr(source, method)]
    assert methods == [method for method in METHODS if hasattr(model, method)]
    for method in methods:
        with np.errstate(divide="ignore"):  # the logarithm of 0
            wanted, got = getattr(source, method)(ROWS), getattr(model, method)(ROWS)
        np.testing.assert_array_equal(np.asarray(got), np.asarray(wanted), err_msg=method)
    assert list_models(model)
    assert not list_models(source)


def test_by_name_a_composite_is_sent_to_load():
    with pytest.raises(ModelError, match="a Pipeline holds other models; give it to eric_fast.load"):
        from_sklearn(make_pipeline(forest()).fit(FEATURES, TARGET))


def list_models(value):
    """The `RuleModel`s in a composite."""
    if isinstance(value, RuleModel):
        return [value]
    if isinstance(value, list | tuple):
        return [model for part in value for model in list_models(part)]
    return [m for name in FITTED_PARTS.get(type(value).__name__, ()) for m in list_models(getattr(value, name))]


def test_steps_before_a_booster_stay_scikit_learns():
    frame, _ = make_frame()
    xgboost = import_optional("xgboost")
    frame = frame.assign(colour=frame["colour"].astype(object).fillna("none"), size=frame["size"].astype(float))
    encode = ColumnTransformer([("colour", OneHotEncoder(sparse_output=False), ["colour"])], remainder="passthrough")
    source = make_pipeline(encode, xgboost.XGBClassifier(n_estimators=3, n_jobs=1))
    source.fit(frame, frame["weight"] > 0)
    model = load(source)
    assert isinstance(model[-1], RuleModel)
    np.testing.assert_array_equal(model.predict(frame), source.predict(frame))
    np.testing.assert_allclose(model.predict_proba(frame), source.predict_proba(frame), rtol=0, atol=1e-6)


def test_a_model_is_an_estimator():
    model = load(forest().fit(FEATURES, TARGET))
    wanted = model.predict(ROWS)
    assert clone(model) is model
    assert model.fit(FEATURES, TARGET) is model
    pipeline = make_pipeline(StandardScaler(), model).fit(FEATURES, TARGET)
    assert pipeline.predict(FEATURES).shape == TARGET.shape
    scores = cross_val_score(model, FEATURES, TARGET, cv=3)
    frozen = FrozenEstimator(forest().fit(FEATURES, TARGET))
    np.testing.assert_array_equal(scores, cross_val_score(frozen, FEATURES, TARGET, cv=3))
    calibrated = CalibratedClassifierCV(FrozenEstimator(model)).fit(FEATURES, TARGET)
    assert calibrated.predict(ROWS).shape == wanted.shape
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(ROWS), wanted)
    for answer in Parallel(2, prefer="threads")(delayed(model.predict)(ROWS) for _ in range(2)):
        np.testing.assert_array_equal(answer, wanted)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 150])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_isolation_forests(n_samples, share):
    features = FEATURES[:n_samples]
    contamination = "auto" if n_samples < 3 else 0.1
    source = IsolationForest(n_estimators=5, max_features=share, contamination=contamination, random_state=0).fit(
        features
    )
    model = load(source)
    assert isinstance(model, RuleIsolationForest)
    rows = ROWS.copy()
    rows[::7, 1] = np.nan
    for method in ("score_samples", "decision_function", "predict"):
        np.testing.assert_array_equal(getattr(model, method)(rows), getattr(source, method)(rows))
