"""treelite's models, of every library that it takes, against treelite's own answers; its checkpoints."""

import struct

import numpy as np
import pytest
from sklearn import ensemble

from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.treelite import TREELITE, from_treelite
from tests.boosters import CODES, add_edges, check_close, load_data, make_categories
from tests.optional import import_optional

treelite = import_optional("treelite")
gtil = import_optional("treelite.gtil")
import_sklearn = import_optional("treelite.sklearn").import_model
xgboost = import_optional("xgboost")
lightgbm = import_optional("lightgbm")


def answer(model, rows):
    """What `treelite.gtil.predict` gives: probabilities, scores or values; of two classes by one score the second's."""
    if model.program.decision == "sum":
        return model.predict(rows)
    answers = model.predict_proba(rows) if hasattr(model, "predict_proba") else model.decision_function(rows)
    return answers[:, 1] if answers.ndim == 2 and model.link_function.margin else answers


def check(source, features, *, codes=(), tolerance=1e-6):
    model = from_treelite(source)
    rows = add_edges(model, features, codes=codes)
    wanted = gtil.predict(source, rows, nthread=1)
    check_close(answer(model, rows), wanted.reshape(len(rows), -1).squeeze(), tolerance)
    np.testing.assert_array_equal(model.apply(rows), gtil.predict_leaf(source, rows, nthread=1))
    return model, rows


SKLEARN = {
    "forest": (ensemble.RandomForestClassifier, "digits", {"max_depth": 5}),
    "forest of two classes": (ensemble.ExtraTreesClassifier, "cancer", {"max_depth": 5}),
    "boosting": (ensemble.GradientBoostingClassifier, "cancer", {}),
    "boosting of ten classes": (ensemble.GradientBoostingClassifier, "digits", {"n_estimators": 2}),
    "histograms": (ensemble.HistGradientBoostingClassifier, "cancer", {}),
    "forest of numbers": (ensemble.RandomForestRegressor, "diabetes", {"max_depth": 5}),
    "histograms of numbers": (ensemble.HistGradientBoostingRegressor, "diabetes", {}),
    "isolation": (ensemble.IsolationForest, "cancer", {}),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_models_of_scikit_learn(name):
    kind, data, options = SKLEARN[name]
    features, target = load_data(data)
    size = {"max_iter": 4} if "Hist" in kind.__name__ else {"n_estimators": 4}
    source = kind(random_state=0, **{**size, **options}).fit(features, target)
    model, rows = check(import_sklearn(source), features, tolerance=1e-7 if "Isolation" not in kind.__name__ else 1e-6)
    if hasattr(source, "classes_"):
        finite = rows[np.isfinite(rows.astype(np.float32)).all(axis=1)].astype(np.float32)  # as it casts them
        np.testing.assert_array_equal(model.predict(finite), source.predict(finite))


def test_forests_of_several_targets():
    features, target = load_data("digits")
    check(import_sklearn(ensemble.RandomForestRegressor(3, max_depth=4).fit(features, features[:, 20:23])), features)
    several = ensemble.RandomForestClassifier(2, max_depth=3).fit(features, np.column_stack([target, target % 2]))
    with pytest.raises(ModelError, match="2 targets that are classes"):
        from_treelite(import_sklearn(several))


@pytest.mark.parametrize(
    "objective", ["binary:logistic", "binary:logitraw", "count:poisson", "reg:squarederror", "rank:pairwise", "several"]
)
def test_models_of_xgboost(objective):
    features, target = load_data("digits" if objective == "several" else "cancer", holes=True)
    several = {"objective": "multi:softprob", "num_class": 10}
    params = several if objective == "several" else {"objective": objective}
    booster = xgboost.train({"max_depth": 3, "nthread": 1, **params}, xgboost.DMatrix(features, target), 4)
    model, rows = check(treelite.frontend.from_xgboost(booster), features)
    np.testing.assert_array_equal(from_treelite(booster).predict(rows), model.predict(rows))


@pytest.mark.parametrize("objective", ["binary", "regression", "poisson", "cross_entropy_lambda", "several", "ova"])
def test_models_of_lightgbm(objective):
    several = {"several": "multiclass", "ova": "multiclassova"}
    features, target = load_data("digits" if objective in several else "cancer", holes=True)
    params = {"objective": several.get(objective, objective), "num_leaves": 6, "verbose": -1, "num_threads": 1}
    params |= {"num_class": 10} if objective in several else {"sigmoid": 0.8} if objective == "binary" else {}
    booster = lightgbm.train(params, lightgbm.Dataset(features, target), 4)
    check(treelite.frontend.from_lightgbm(booster), features)


def test_categories():
    features, target = make_categories()
    data = lightgbm.Dataset(features, target, categorical_feature=[0, 1, 2])
    params = {"verbose": -1, "num_threads": 1, "min_data_per_group": 1, "cat_smooth": 1}
    booster = lightgbm.train(params, data, 4)
    check(treelite.frontend.from_lightgbm(booster), features, codes=(*CODES, -1.0, 1e10))
    source = xgboost.XGBRegressor(
        n_estimators=4, n_jobs=1, feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True, max_cat_to_onehot=1
    ).fit(features, target)
    check(treelite.frontend.from_xgboost(source.get_booster()), features, codes=(*CODES, -1.0))


@pytest.fixture
def checkpoint(tmp_path):
    features, target = load_data("cancer")
    source = treelite.frontend.from_xgboost(
        xgboost.train({"max_depth": 2, "nthread": 1}, xgboost.DMatrix(features, target), 2)
    )
    path = tmp_path / "model.treelite"
    source.serialize(path)
    return path, from_treelite(source)


def test_a_checkpoint_holds_the_same_model(checkpoint):
    path, model = checkpoint
    assert TREELITE.matches(path)
    assert load(str(path)).program == model.program


def test_wrong_checkpoints_are_told_from_right_ones(checkpoint):
    path, _ = checkpoint
    data = path.read_bytes()
    for place, value, said in (
        (0, struct.pack("<i", 3), "a checkpoint of treelite 3"),
        (14, struct.pack("<Q", 2**63), "expected .* values, got|the file is cut short"),
        (22, struct.pack("<i", 2**31 - 1), "2,147,483,647 features are too many for a file"),
        (22, struct.pack("<i", 1), "compares a feature past the last of 1"),
        (26, b"\x09", "its task, is out of range"),
    ):
        path.write_bytes(data[:place] + value + data[place + len(value) :])
        with pytest.raises(EricError, match=said):
            from_treelite(path)
    for end in range(0, len(data), 7):
        path.write_bytes(data[:end])
        with pytest.raises(ProgramError, match="byte [0-9]+: the file is cut short"):
            from_treelite(path)


def test_what_treelite_does_not_take_is_refused():
    with pytest.raises(ModelError, match="treelite can't convert a builtins dict"):
        from_treelite({})
