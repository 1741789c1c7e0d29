"""imodels' rule sets, rule lists and sums of trees against imodels itself, on real data and at every constant."""

import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eric_fast.errors import EricError, ModelError
from eric_fast.frontends.registry import load
from eric_fast.frontends.rules.imodels import IMODELS, from_imodels
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.boosters import add_edges, check_close, load_data
from tests.examples import try_examples
from tests.optional import import_optional

imodels = import_optional("imodels")

TOLERANCE = 1e-12
# A penalty instead of one that cross-validation chooses, which takes seconds
RULE_FIT = {"include_linear": False, "n_estimators": 20, "cv": False, "alpha": 0.01, "random_state": 0}
CLASSIFIERS = {
    "RuleFitClassifier": RULE_FIT,
    "SkopeRulesClassifier": {"random_state": 0},
    "GreedyRuleListClassifier": {"max_depth": 5},
    "OneRClassifier": {},
    "FIGSClassifier": {"max_rules": 12},
    "BoostedRulesClassifier": {"n_estimators": 10, "random_state": 0},
    "SlipperClassifier": {"n_estimators": 4, "random_state": 0},
}
REGRESSORS = {
    "RuleFitRegressor": RULE_FIT,
    "FIGSRegressor": {"max_rules": 12},
}


def load_classes(data):
    """(features, classes 0 and 1) of one of scikit-learn's sets."""
    features, target = load_data(data)
    return features, {"digits": target < 5, "cancer": target, "diabetes": target > 140}[data].astype(int)


def fit(name, features, target, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what imodels calls
        return getattr(imodels, name)(**options).fit(features, target)


def ask(method, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.asarray(method(rows))


def add_finite_edges(model, features):
    """The rows, and others at each constant, just below and just above it; imodels refuses what isn't finite."""
    rows = add_edges(model, features, infinite=False)
    return rows[np.isfinite(rows).all(axis=1)]


def check_classifier(source, features):
    model = from_imodels(source)
    rows = add_finite_edges(model, features)
    assert len(rows) > len(features)
    np.testing.assert_array_equal(model.classes_, source.classes_)
    np.testing.assert_array_equal(model.predict(rows), ask(source.predict, rows))
    check_close(model.predict_proba(rows), ask(source.predict_proba, rows), TOLERANCE)
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    assert np.array_equal(np.asarray(again.predict(rows)).astype(str), model.predict(rows).astype(str))
    return model


@pytest.mark.parametrize("data", ["digits", "cancer", "diabetes"])
@pytest.mark.parametrize("name", [pytest.param("RuleFitClassifier", marks=pytest.mark.slow), *list(CLASSIFIERS)[1:]])
def test_classifiers(name, data):
    features, target = load_classes(data)
    n_fitted = 150 if name == "SlipperClassifier" else len(target)  # which takes minutes for more
    source = fit(name, features[:n_fitted], target[:n_fitted], **CLASSIFIERS[name])
    model = check_classifier(source, features)
    assert model.program.quantiser.atoms


@pytest.mark.parametrize("data", ["digits", "cancer", "diabetes"])
@pytest.mark.parametrize("name", [pytest.param("RuleFitRegressor", marks=pytest.mark.slow), "FIGSRegressor"])
def test_regressors(name, data):
    features, target = load_data(data)
    source = fit(name, features, target.astype(float), **REGRESSORS[name])
    model = from_imodels(source)
    rows = add_finite_edges(model, features)
    check_close(model.predict(rows), ask(source.predict, rows), TOLERANCE)


@pytest.mark.parametrize("data", ["digits", "cancer", "diabetes"])
def test_bayesian_lists_over_truths(data):
    features, target = load_classes(data)
    truths = (features > np.median(features, axis=0))[:, :12].astype(float)
    source = fit("BayesianRuleListClassifier", truths, target, max_iter=200, n_chains=1, random_state=0)
    check_classifier(source, truths)


def test_labels_and_names():
    features, target = load_classes("cancer")
    names = [f"feature {i}" for i in range(features.shape[1])]
    source = imodels.FIGSClassifier(max_rules=5)
    source = source.fit(features, np.array(["bad", "good"])[target], feature_names=names)
    model = check_classifier(source, features)
    assert {column.name for column in model.program.quantiser.columns} <= set(names)
    assert set(model.predict(features)) == {"bad", "good"}
    assert load(source).program == model.program


@try_examples(25)
@given(
    st.sampled_from(["FIGSClassifier", "GreedyRuleListClassifier", "SlipperClassifier", "SkopeRulesClassifier"]),
    st.integers(0, 2**31),
)
def test_any_small_table(name, seed):
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 4, (60, 3)) / 2
    target = ((features[:, 0] > 0.6) ^ (rng.random(60) < 0.2)).astype(int)
    source = fit(name, features, target, **({"random_state": 0} if name.startswith("S") else {}))
    check_classifier(source, features)


@pytest.mark.slow
def test_what_is_refused():
    features, target = load_classes("cancer")
    with pytest.raises(ModelError, match="isn't fitted"):
        from_imodels(imodels.FIGSClassifier())
    with pytest.raises(ModelError, match="include_linear=False"):
        from_imodels(fit("RuleFitClassifier", features, target, **{**RULE_FIT, "include_linear": True}))
    with pytest.raises(ModelError, match=r"must be 0, 1"):
        from_imodels(fit("SlipperClassifier", features[:99], target[:99] + 1, n_estimators=2))
    other = imodels.HSTreeClassifier()
    assert IMODELS.matches(other)
    with pytest.raises(ModelError, match="supported are BayesianRuleListClassifier"):
        from_imodels(other)
    model = from_imodels(fit("FIGSClassifier", features, target, max_rules=3))
    for bad in (np.nan, np.inf):
        rows = features[:2].copy()
        rows[1, 3] = bad
        with pytest.raises(EricError, match="finite|missing|infinite"):
            model.predict(rows)
