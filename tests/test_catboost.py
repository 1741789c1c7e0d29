"""CatBoost's models against CatBoost itself: every row, edges of every border, losses, tree shapes, files."""

import json

import numpy as np
import pytest

from eric_fast.errors import EricError, ModelError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.catboost import CATBOOST, from_catboost
from tests.boosters import add_edges, check_close, load_data, make_categories
from tests.optional import import_optional

catboost = import_optional("catboost")

TOLERANCE = 1e-12
OPTIONS = {"iterations": 5, "depth": 4, "verbose": 0, "allow_writing_files": False, "thread_count": 1}
SHAPES = ("SymmetricTree", "Depthwise", "Lossguide")
LOSSES = (
    "RMSE",
    "MAE",
    "Quantile:alpha=0.3",
    "Poisson",
    "Tweedie:variance_power=1.5",
    "Huber:delta=1",
    "Cox",
    "MultiRMSE",
)


@pytest.mark.parametrize("loss", LOSSES)
def test_regressions(loss):
    features, target = load_data("diabetes", holes=True)
    target = np.column_stack([target, -target]) if loss.startswith("Multi") else target
    source = catboost.CatBoostRegressor(**OPTIONS, loss_function=loss).fit(features, target)
    model = from_catboost(source)
    rows = add_edges(model, features)
    check_close(model.predict(rows), source.predict(rows), TOLERANCE)
    np.testing.assert_array_equal(model.apply(rows), source.calc_leaf_indexes(rows))


@pytest.mark.parametrize("loss", ["Poisson", "Tweedie:variance_power=1.5", "RMSE"])
def test_a_plain_catboost_answers_raw_values(loss):
    features, target = load_data("diabetes")
    source = catboost.CatBoost({**OPTIONS, "loss_function": loss}).fit(features, target)
    check_close(from_catboost(source).predict(features), source.predict(features), TOLERANCE)
    wanted = source.predict(features, ntree_end=2)
    check_close(from_catboost(source, n_rounds=2).predict(features), wanted, TOLERANCE)
    with pytest.raises(ModelError, match="no best round is known"):
        from_catboost(source, n_rounds="best")


@pytest.mark.parametrize("loss", ["MultiClass", "MultiClassOneVsAll"])
@pytest.mark.parametrize("shape", SHAPES)
def test_ten_classes(shape, loss):
    features, target = load_data("digits", holes=True)
    labels = np.array([f"digit {i}" for i in range(10)])[target]
    source = catboost.CatBoostClassifier(
        **OPTIONS, loss_function=loss, grow_policy=shape, nan_mode="Max" if loss == "MultiClass" else "Min"
    ).fit(features[:600], labels[:600])
    model = load(source)
    rows = add_edges(model, features[:600])
    check_close(model.predict_proba(rows), source.predict_proba(rows), TOLERANCE)
    check_close(model.decision_function(rows), source.predict(rows, prediction_type="RawFormulaVal"), TOLERANCE)
    np.testing.assert_array_equal(model.predict(rows), source.predict(rows)[:, 0])
    assert hasattr(model, "apply") == (shape == "SymmetricTree")


@pytest.mark.parametrize("labels", [[3, 7], ["no", "yes"], [False, True], [0.5, 1.5]])
def test_labels_and_thresholds_of_two_classes(labels):
    features, target = load_data("cancer")
    source = catboost.CatBoostClassifier(**OPTIONS).fit(features, np.array(labels)[target])
    for threshold in (0.5, 0.2, 0.9):
        source.set_probability_threshold(threshold)
        model = from_catboost(source)
        rows = add_edges(model, features)
        check_close(model.predict_proba(rows), source.predict_proba(rows), TOLERANCE)
        answers = model.predict(rows)
        np.testing.assert_array_equal(answers, source.predict(rows))
        assert answers.dtype == source.predict(rows).dtype
        np.testing.assert_array_equal(model.classes_, source.classes_)


def test_probabilities_as_targets():
    features, target = load_data("cancer")
    source = catboost.CatBoostClassifier(**OPTIONS, loss_function="CrossEntropy").fit(features, 0.1 + 0.5 * target)
    check_close(from_catboost(source).predict_proba(features), source.predict_proba(features), TOLERANCE)


def test_focal_loss_tells_classes_apart():
    features, target = load_data("cancer")
    source = catboost.CatBoostClassifier(**OPTIONS, loss_function="Focal:focal_alpha=0.4;focal_gamma=2")
    model = from_catboost(source.fit(features, np.array(["no", "yes"])[target]))
    np.testing.assert_array_equal(model.predict(features), source.predict(features))
    check_close(model.predict_proba(features), source.predict_proba(features), TOLERANCE)


def test_rankings():
    features, target = load_data("diabetes")
    source = catboost.CatBoostRanker(**OPTIONS).fit(features, target, group_id=np.zeros(len(target), int))
    check_close(from_catboost(source).predict(features), source.predict(features), TOLERANCE)


def test_categories_in_splits_are_refused():
    features, _ = make_categories()
    frame = np.column_stack([np.nan_to_num(features[:, :1]).astype(int).astype(str), features[:, 3:]]).astype(object)
    reasons = {1: "OnlineCtr compare what the training data's targets were", 255: "OneHotFeature compare hashes of"}
    for most, reason in reasons.items():
        source = catboost.CatBoostRegressor(**OPTIONS, cat_features=[0], one_hot_max_size=most)
        source.fit(frame, np.isin(features[:, 0], [1, 5, 7]).astype(float))
        with pytest.raises(ModelError, match=f"splits of type {reason}.*; before training, .*OneHotEncoder"):
            from_catboost(source)


@pytest.mark.parametrize("shape", SHAPES)
def test_a_file_holds_the_same_model(tmp_path, shape):
    features, target = load_data("cancer")
    path = tmp_path / "model.json"
    source = catboost.CatBoostClassifier(**OPTIONS, grow_policy=shape).fit(features, target)
    source.save_model(str(path), format="json")
    assert CATBOOST.matches(path)
    found, model = load(str(path)), from_catboost(source)
    assert found.program == model.program.with_settings(found.program.settings)
    np.testing.assert_array_equal(found.predict(features), source.predict(features))


def cut_leaves(content):
    content["oblivious_trees"][0]["leaf_values"].pop()


def add_splits(content):
    tree = content["oblivious_trees"][0]
    tree["splits"] += tree["splits"] * 20


def set_feature(content):
    content["oblivious_trees"][0]["splits"][0]["float_feature_index"] = 99


def set_border(content):
    content["oblivious_trees"][0]["splits"][0]["border"] = 0.25


def set_column(content):
    content["features_info"]["float_features"][0]["flat_feature_index"] = 1


def set_bias(content):
    content["scale_and_bias"] = [1, [float("inf")]]


def set_loss(content):
    content["model_info"]["params"]["loss_function"]["type"] = "Mine"


def set_labels(content):
    content["model_info"]["class_params"]["class_names"] = ["a", "b"]


def set_order(content):
    content["model_info"]["class_params"]["class_to_label"] = [1, 0]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_order, "class_to_label: the classes are not in the order of 'class_names'"),
        (cut_leaves, r"oblivious_trees\[0\].leaf_values: expected 1 value for each leaf of 4 splits, got 15"),
        (add_splits, r"oblivious_trees\[0\].leaf_values: expected 1 value for each leaf of 84 splits, got 16"),
        (set_feature, r"oblivious_trees\[0\].splits\[0\]: float feature 99 is not in features_info"),
        (set_border, r"border 0.25 of float feature [0-9]+ is not split [0-9]+ of features_info"),
        (set_column, "features_info"),
        (set_bias, "the bias must be finite"),
        (set_loss, "loss 'Mine' is not supported"),
        (set_labels, "expected 2 labels, each of type Integer"),
    ],
)
def test_wrong_files_are_told_from_right_ones(tmp_path, change, said):
    path = tmp_path / "model.json"
    catboost.CatBoostClassifier(**{**OPTIONS, "iterations": 1}).fit(*load_data("cancer")).save_model(
        str(path), format="json"
    )
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    with pytest.raises(EricError, match=said):
        load(path)


def test_what_is_not_fitted_is_refused():
    with pytest.raises(ModelError, match="isn't fitted"):
        from_catboost(catboost.CatBoostClassifier())
