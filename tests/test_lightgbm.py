"""LightGBM's models against LightGBM itself: every row, edges of every threshold, kinds of missing, files."""

import numpy as np
import pytest

from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.lightgbm import LIGHTGBM, from_lightgbm
from tests.boosters import CODES, add_edges, check_close, list_frames, load_data, make_categories, make_frame
from tests.optional import import_optional

lightgbm = import_optional("lightgbm")

TOLERANCE = 1e-13
OBJECTIVES = {
    "regression": {},
    "regression_l1": {},
    "huber": {},
    "quantile": {"alpha": 0.7},
    "mape": {},
    "poisson": {},
    "gamma": {},
    "tweedie": {},
    "regression sqrt": {"reg_sqrt": True},
    "regression rf": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "regression dart": {"boosting": "dart"},
    "cross_entropy": {},
    "cross_entropy_lambda": {},
    "lambdarank": {},
    "binary": {"sigmoid": 0.7},
    "binary rf": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
}


def train(features, target, n_rounds=8, categorical="auto", group=None, **params):
    params = {"num_leaves": 8, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, **params}
    data = lightgbm.Dataset(features, target, categorical_feature=categorical, group=group)
    return lightgbm.train(params, data, n_rounds)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    features, target = load_data("diabetes", holes=True)
    objective = name.split()[0]
    if objective in ("binary", "cross_entropy", "cross_entropy_lambda", "lambdarank"):
        target = target > 140
    group = [len(target)] if objective == "lambdarank" else None
    booster = train(features, target.astype(float), group=group, objective=objective, **OBJECTIVES[name])
    model = from_lightgbm(booster)
    rows = add_edges(model, features)
    answers = model.predict_proba(rows)[:, 1] if objective == "binary" else model.predict(rows)
    check_close(answers, booster.predict(rows), TOLERANCE)
    np.testing.assert_array_equal(model.apply(rows), booster.predict(rows, pred_leaf=True))
    if objective == "binary":
        np.testing.assert_array_equal(model.predict(rows), booster.predict(rows) > 0.5)


@pytest.mark.parametrize("options", [{}, {"objective": "multiclassova"}, {"boosting_type": "rf", "subsample": 0.5}])
def test_classifiers_of_ten_classes(options):
    features, target = load_data("digits", holes=True)
    labels = np.array([f"digit {i}" for i in range(10)])[target]
    source = lightgbm.LGBMClassifier(
        n_estimators=3, num_leaves=12, subsample_freq=1, verbose=-1, n_jobs=1, **options
    ).fit(features, labels)
    model = load(source)
    rows = add_edges(model, features)
    check_close(model.predict_proba(rows), source.predict_proba(rows), TOLERANCE)
    answers = model.predict(rows)
    np.testing.assert_array_equal(answers, source.predict(rows))
    assert answers.dtype == source.predict(rows).dtype
    np.testing.assert_array_equal(model.classes_, source.classes_)


def test_labels_of_two_classes():
    features, target = load_data("cancer")
    for labels in (np.array([3, 7]), np.array(["no", "yes"]), np.array([False, True])):
        source = lightgbm.LGBMClassifier(n_estimators=3, num_leaves=4, verbose=-1, n_jobs=1)
        source.fit(features, labels[target])
        model = from_lightgbm(source)
        np.testing.assert_array_equal(model.predict(features), source.predict(features))
        assert model.predict(features).dtype == labels.dtype
    source = lightgbm.LGBMRegressor(objective="binary", n_estimators=3, verbose=-1, n_jobs=1).fit(features, target)
    check_close(from_lightgbm(source).predict(features), source.predict(features), TOLERANCE)


@pytest.mark.parametrize("missing", ["None", "Zero", "NaN"])
def test_kinds_of_missing(missing):
    """Zeros and what is near them, NaN, and both defaults of each."""
    features, target = load_data("diabetes", holes=missing == "NaN")
    features = np.where(np.random.default_rng(1).random(features.shape) < 0.3, 0.0, features)
    booster = train(features, target, zero_as_missing=missing == "Zero", use_missing=missing != "None")
    model = from_lightgbm(booster)
    tiny = float(np.float32(1e-35))
    near = [tiny, -tiny, np.nextafter(tiny, 1), -np.nextafter(tiny, 1), 1e-36, np.nan, 0.0, -0.0]
    rows = add_edges(model, features)
    rng = np.random.default_rng(2)
    rows = np.concatenate([rows, np.where(rng.random(rows.shape) < 0.4, rng.choice(near, rows.shape), rows)])
    check_close(model.predict(rows), booster.predict(rows), TOLERANCE)
    assert bool(model.program.derived) == (missing == "Zero")


def test_categories_by_codes():
    features, target = make_categories()
    booster = train(features, target, categorical=[0, 1, 2], min_data_per_group=1, cat_smooth=1)
    model = from_lightgbm(booster)
    assert model.program.derived
    rows = add_edges(model, features, codes=(*CODES, -0.999, -1.0, -7.0, 1e9))
    check_close(model.predict(rows), booster.predict(rows), TOLERANCE)


def test_categories_of_a_data_frame():
    frame, target = make_frame()
    source = lightgbm.LGBMRegressor(
        n_estimators=4, num_leaves=6, min_data_per_group=1, cat_smooth=1, verbose=-1, n_jobs=1
    ).fit(frame, target)
    model = from_lightgbm(source)
    assert [column.kind for column in model.program.quantiser.columns] == ["text", "float64", "float64"]
    assert {atom.feature for atom in model.program.quantiser.atoms if atom.operator == "in"} == {"colour", "size"}
    for rows in list_frames(frame):
        check_close(model.predict(rows), source.predict(rows), TOLERANCE)


def test_best_iteration_is_used():
    features, target = load_data("cancer")
    booster = train(features, target, 6, objective="binary")
    booster.best_iteration = 3  # as early stopping sets it
    check_close(from_lightgbm(booster).predict_proba(features)[:, 1], booster.predict(features), TOLERANCE)
    assert from_lightgbm(booster).apply(features).shape[1] == 3
    for asked, n_used in (("best", 3), ("all", 6), (2, 2), (0, 0)):
        model = from_lightgbm(booster, n_rounds=asked)
        wanted = booster.predict(features, num_iteration=n_used or 6)
        check_close(model.predict_proba(features)[:, 1], wanted if n_used else np.full(len(features), 0.5), TOLERANCE)


def test_a_file_of_version_2_ends_where_importances_begin(tmp_path):
    features, target = load_data("cancer")
    booster = train(features, target, 3, objective="binary")
    text = booster.model_to_string().replace("version=v4", "version=v2").replace("end of trees\n\n", "")
    lines = [line for line in text.split("\nparameters:")[0].split("\n") if not line.startswith("tree_sizes=")]
    for title in ("feature_importances:", "feature importances:"):
        path = tmp_path / "old.txt"
        path.write_text("\n".join(lines).replace("feature_importances:", title) + "\n")
        check_close(load(path).predict_proba(features)[:, 1], booster.predict(features), TOLERANCE)
    check_close(lightgbm.Booster(model_file=path).predict(features), booster.predict(features), TOLERANCE)
    path.write_text("\n".join(lines).split("feature_importances:")[0])
    with pytest.raises(ProgramError, match="cut short"):
        load(path)


def test_a_file_holds_the_same_model(tmp_path):
    features, target = load_data("digits")
    booster = train(features, target, 2, objective="multiclass", num_class=10)
    model = from_lightgbm(booster)
    path = tmp_path / "model.txt"
    booster.save_model(path)
    assert LIGHTGBM.matches(path)
    found = load(str(path))
    assert found.program == model.program.with_settings(found.program.settings)
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert load(path).program == found.program


def change_model(tmp_path, old, new):
    features, target = load_data("diabetes")
    text = train(features, target, 1).model_to_string()
    assert old in text
    path = tmp_path / "model.txt"
    path.write_text(text.replace(old, new, 1))
    return path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("num_leaves=8", "num_leaves=2000000000", "tree 0: expected 2,000,000,000 values of 'leaf_value'"),
        ("num_leaves=8", "num_leaves=-1", "tree 0: 'num_leaves' must be from 1"),
        ("left_child=", "left_child=7 ", "tree 0: expected 7 values of 'left_child', got 8"),
        ("right_child=", "no_child=", "tree 0: expected 7 values of 'right_child', got 0"),
        ("leaf_value=", "leaf_value=x", "tree 0: 'leaf_value': \"could not convert"),
        ("leaf_value=", "leaf_value=1_", "tree 0: 'leaf_value'.*is not a number"),
        ("split_feature=", "split_feature=\t", r"'split_feature': .*\\t\d' is not a number"),  # LightGBM reads 0
        ("\nshrinkage=", "\nshrinkage.", r"expected key=value, got .*shrinkage\.1"),
        ("feature_infos=", "feature_infos=\0", "holds a zero byte"),
        ("tree_sizes=", "tree_sizes=5 ", "'tree_sizes' is of 2 trees, but there are 1"),
        ("is_linear=0", "is_linear=1", "train without linear_tree"),
        ("objective=regression", "objective=mine", "objective 'mine' is not supported"),
        ("objective=regression", "objective=binary sigmoid:x", "objective: sigmoid: expected a number"),
        ("max_feature_idx=9", "max_feature_idx=1000000000", "'max_feature_idx' must be from 0"),
        ("split_feature=", "split_feature=1e3 ", "expected 7 values of 'split_feature'"),
        ("end of trees", "", "'end of trees' is missing"),
        ("pandas_categorical:null", "pandas_categorical:[[", "pandas_categorical is not JSON"),
        ("pandas_categorical:null", 'pandas_categorical:[["a"]]', "it is unclear which"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=2", "expected 2 trees per iteration, got 1 in all"),
    ],
)
def test_wrong_files_are_told_from_right_ones(tmp_path, old, new, said):
    with pytest.raises(EricError, match=said):
        load(change_model(tmp_path, old, new))


def test_linear_trees_are_refused():
    features, target = load_data("diabetes")
    with pytest.raises(ModelError, match="linear models"):
        from_lightgbm(train(features, target, 2, linear_tree=True))
