"""XGBoost's models against XGBoost itself: every row, edges of every threshold, objectives, files."""

import json

import numpy as np
import pytest

from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.xgboost import XGBOOST, from_xgboost, read_xgboost
from tests.boosters import (
    CODES,
    add_edges,
    check_classes,
    check_close,
    list_frames,
    load_data,
    make_categories,
    make_frame,
)
from tests.optional import import_optional

xgboost = import_optional("xgboost")

TOLERANCE = 1e-6  # XGBoost adds in float32
CLASSES = ("binary:logistic", "binary:logitraw", "binary:hinge")
REGRESSIONS = {
    "reg:squarederror": {},
    "reg:squaredlogerror": {},
    "reg:pseudohubererror": {},
    "reg:absoluteerror": {},
    "reg:quantileerror": {"quantile_alpha": [0.1, 0.5, 0.9]},
    "reg:logistic": {},
    "count:poisson": {},
    "reg:gamma": {},
    "reg:tweedie": {},
    "rank:pairwise": {},
    "rank:ndcg": {},
    "survival:cox": {},
}


def train(objective, features, target, n_rounds=8, **params):
    params = {"objective": objective, "max_depth": 3, "verbosity": 0, "nthread": 1, **params}
    return xgboost.train(params, xgboost.DMatrix(features, target), n_rounds)


@pytest.fixture(scope="module")
def cancer():
    features, target = load_data("cancer", holes=True)
    return features.astype(np.float32), target


@pytest.mark.parametrize("objective", CLASSES)
def test_objectives_of_two_classes(cancer, objective):
    features, target = cancer
    booster = train(objective, features, target)
    model = from_xgboost(booster)
    rows = add_edges(model, features, infinite=False)
    data = xgboost.DMatrix(rows)
    margins = booster.predict(data, output_margin=True)
    check_close(model.decision_function(rows), margins, TOLERANCE)
    np.testing.assert_array_equal(model.apply(rows), booster.predict(data, pred_leaf=True))
    wanted = booster.predict(data)
    np.testing.assert_array_equal(model.predict(rows), wanted > 0.5)
    if objective == "binary:logistic":
        check_close(model.predict_proba(rows), np.column_stack([1 - wanted, wanted]), TOLERANCE)
    else:
        assert not hasattr(model, "predict_proba")


@pytest.mark.parametrize("objective", REGRESSIONS)
def test_objectives_of_regressions(cancer, objective):
    features, target = cancer
    target = target + 1 if objective in ("reg:gamma", "survival:cox") else target
    booster = train(objective, features, target, **REGRESSIONS[objective])
    model = from_xgboost(booster)
    rows = add_edges(model, features, infinite=False)
    check_close(model.predict(rows), booster.predict(xgboost.DMatrix(rows)), TOLERANCE)


@pytest.mark.parametrize("label", [0, 1])
def test_base_score_at_its_ends(cancer, label):
    features, _ = cancer
    booster = train("binary:logistic", features, np.full(len(features), label), 1)
    wanted = booster.predict(xgboost.DMatrix(features), output_margin=True)
    check_close(from_xgboost(booster).decision_function(features), wanted, TOLERANCE)


def test_base_score_of_the_user(cancer):
    features, target = cancer
    for base_score in (0.2, [0.2]):
        booster = train("binary:logistic", features, target, 3, base_score=base_score)
        wanted = booster.predict(xgboost.DMatrix(features), output_margin=True)
        check_close(from_xgboost(booster).decision_function(features), wanted, TOLERANCE)
    booster = train("multi:softprob", features, target, 3, num_class=2, base_score=[0.2, -0.4])
    check_close(from_xgboost(booster).predict_proba(features), booster.predict(xgboost.DMatrix(features)), TOLERANCE)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("XGBClassifier", {}),
        ("XGBRFClassifier", {}),
        ("XGBClassifier", {"objective": "multi:softmax", "num_parallel_tree": 2}),
        ("XGBClassifier", {"booster": "dart", "rate_drop": 0.5, "learning_rate": 0.5}),
        ("XGBClassifier", {"multi_strategy": "multi_output_tree"}),
        ("XGBClassifier", {"grow_policy": "lossguide", "max_leaves": 6, "gamma": 0.5, "tree_method": "exact"}),
    ],
)
def test_classifiers_of_ten_classes(name, options):
    features, target = load_data("digits", holes=True)
    source = getattr(xgboost, name)(n_jobs=1, n_estimators=3, **{"max_depth": 4, **options}).fit(features, target)
    model = load(source)
    rows = add_edges(model, features)
    probabilities = source.predict_proba(rows)
    check_close(model.predict_proba(rows), probabilities, TOLERANCE)
    check_classes(model.predict(rows), source.predict(rows), probabilities, TOLERANCE)
    finite = rows[~np.isinf(rows).any(axis=1)]  # its apply takes no others
    np.testing.assert_array_equal(model.apply(finite), source.apply(finite))
    np.testing.assert_array_equal(model.classes_, source.classes_)


def test_leaves_of_ten_numbers_without_the_ends_of_rounds():
    """Files before XGBoost 2 don't hold them; then there is a tree a round."""
    features, target = load_data("digits")
    options = {"num_class": 10, "multi_strategy": "multi_output_tree", "max_depth": 3, "nthread": 1}
    booster = train("multi:softprob", features, target, 2, **options)
    content = edit(booster, lambda learner, forest: forest.pop("iteration_indptr"))
    wanted = booster.predict(xgboost.DMatrix(features), output_margin=True)
    model = read_xgboost(json.dumps(content).encode(), "file")
    check_close(model.decision_function(features), wanted, TOLERANCE)


def test_a_side_of_missing_values_that_is_neither_is_refused():
    features, target = load_data("cancer")
    booster = xgboost.XGBClassifier(n_estimators=1, max_depth=2).fit(features, target).get_booster()
    content = edit(booster, lambda learner, forest: forest["trees"][0]["default_left"].__setitem__(0, 14))
    with pytest.raises(ProgramError, match="default_left.*expected 0 or 1 for each node"):
        read_xgboost(json.dumps(content).encode(), "file")


@pytest.mark.parametrize("ends", [[1], [], [0, 2, 1], [0, 99]])
def test_rounds_that_end_at_no_tree_are_refused(ends):
    """XGBoost itself leaves trees out, or reads past them."""
    features, target = load_data("cancer")
    booster = xgboost.XGBClassifier(n_estimators=2, max_depth=2).fit(features, target).get_booster()
    content = edit(booster, lambda learner, forest: forest.update(iteration_indptr=ends))
    with pytest.raises(ProgramError, match="the ends of rounds must ascend from 0 to the 2 trees"):
        read_xgboost(json.dumps(content).encode(), "file")


def test_early_stopping_uses_the_best_rounds():
    features, target = load_data("digits")
    source = xgboost.XGBClassifier(
        n_jobs=1, n_estimators=40, max_depth=2, early_stopping_rounds=1, eval_metric="mlogloss", learning_rate=1.5
    )
    source.fit(features[:300], target[:300], eval_set=[(features[300:], target[300:])], verbose=False)
    booster = source.get_booster()
    assert source.best_iteration + 1 < booster.num_boosted_rounds()
    check_close(from_xgboost(source).predict_proba(features), source.predict_proba(features), TOLERANCE)
    data = xgboost.DMatrix(features)
    check_close(from_xgboost(booster).predict_proba(features), booster.predict(data), TOLERANCE)
    two = booster.predict(data, iteration_range=(0, 2))
    check_close(from_xgboost(booster, n_rounds=2).predict_proba(features), two, TOLERANCE)


def test_regressors_of_several_targets():
    features, _ = load_data("digits", holes=True)
    target = load_data("digits")[0][:, 50:53]
    for strategy in ("one_output_per_tree", "multi_output_tree"):
        source = xgboost.XGBRegressor(n_jobs=1, n_estimators=3, max_depth=3, multi_strategy=strategy).fit(
            features, target
        )
        check_close(from_xgboost(source).predict(features), source.predict(features), TOLERANCE)


@pytest.mark.parametrize("most", [1, 100])
def test_categories_by_codes(most):
    features, target = make_categories()
    source = xgboost.XGBRegressor(
        n_jobs=1, n_estimators=4, feature_types=["c"] * 3 + ["q"] * 2, enable_categorical=True, max_cat_to_onehot=most
    ).fit(features, target)
    model = from_xgboost(source)
    assert model.program.derived
    rows = add_edges(model, features, codes=(*CODES, -1.0, 1e9))
    check_close(model.predict(rows), source.predict(rows), TOLERANCE)


@pytest.mark.parametrize("most", [1, 100])
def test_categories_of_a_data_frame(most):
    frame, target = make_frame()
    source = xgboost.XGBRegressor(n_jobs=1, n_estimators=4, enable_categorical=True, max_cat_to_onehot=most)
    source.fit(frame, target)
    model = from_xgboost(source)
    assert [column.kind for column in model.program.quantiser.columns] == ["text", "float32", "float32"]
    assert {atom.feature for atom in model.program.quantiser.atoms if atom.operator == "in"} == {"colour", "size"}
    for rows in list_frames(frame):
        check_close(model.predict(rows), source.predict(rows), TOLERANCE)


def test_categories_past_ascii_are_refused():
    frame, target = make_frame()
    frame["colour"] = frame["colour"].cat.rename_categories({"red": "rot", "grey": "blé"})
    source = xgboost.XGBRegressor(n_jobs=1, n_estimators=1, enable_categorical=True).fit(frame, target)
    with pytest.raises(ProgramError, match="categories that are not ASCII"):
        from_xgboost(source)


def test_files_hold_the_same_model(tmp_path, cancer):
    features, target = cancer
    booster = train("binary:logistic", features, target)
    booster.feature_names = [f"feature {i}" for i in range(features.shape[1])]
    model = from_xgboost(booster)
    assert model.feature_names_in_.tolist() == booster.feature_names
    for suffix in ("json", "ubj"):
        path = tmp_path / f"model.{suffix}"
        booster.save_model(path)
        assert XGBOOST.matches(path)
        assert load(str(path)).program == model.program.with_settings(load(path).program.settings)


def edit(booster, change):
    """The parsed model file, changed."""
    content = json.loads(booster.save_raw("json"))
    change(content["learner"], content["learner"]["gradient_booster"]["model"])
    return content


def set_child(learner, forest):
    forest["trees"][1]["left_children"][0] = 0


def set_far_child(learner, forest):
    forest["trees"][0]["right_children"][0] = 99


def set_column(learner, forest):
    forest["trees"][0]["split_indices"][0] = 30


def set_features(learner, forest):
    learner["learner_model_param"]["num_feature"] = "2000000000"


def set_classes(learner, forest):
    learner["learner_model_param"]["num_class"] = "2000000000"


def set_linear(learner, forest):
    learner["gradient_booster"]["name"] = "gblinear"


def set_objective(learner, forest):
    learner["objective"]["name"] = "mine"


def set_base(learner, forest):
    learner["learner_model_param"]["base_score"] = "[NaN]"


def set_leaf(learner, forest):
    tree = forest["trees"][0]
    tree["split_conditions"] = [float("inf")] * len(tree["split_conditions"])


def set_length(learner, forest):
    forest["trees"][0]["default_left"].append(0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (set_child, "model.json: the nodes don't make trees"),
        (set_far_child, "tree 0, node 0: its child is not a node"),
        (set_column, "tree 0, node 0: it compares a feature past the last of 30"),
        (set_features, "2,000,000,000 features are too many for a file"),
        (set_classes, "outputs are too many for a file"),
        (set_linear, "booster 'gblinear' has no trees"),
        (set_objective, "objective 'mine' is not supported"),
        (set_base, "learner.learner_model_param.base_score"),
        (set_leaf, "its value is not a finite number"),
        (set_length, r"trees\[0\].default_left: expected 16 numbers, got 15|expected [0-9]+ numbers"),
    ],
)
def test_wrong_files_are_told_from_right_ones(tmp_path, cancer, change, said):
    path = tmp_path / "model.json"
    path.write_text(json.dumps(edit(train("binary:logistic", *cancer, 2), change)))
    with pytest.raises(EricError, match=said):
        load(path)


def test_what_is_refused(tmp_path, cancer):
    features, target = cancer
    coded = xgboost.XGBRegressor(
        n_jobs=1, n_estimators=1, missing=0, enable_categorical=True, feature_types=["c", "q"], max_cat_to_onehot=1
    )
    codes = np.column_stack([np.arange(len(target)) % 5, features[:, 0]])
    with pytest.raises(ModelError, match=r"missing=0.0 beside categories is not supported"):
        from_xgboost(coded.fit(codes, np.isin(codes[:, 0], [1, 3])))
    with pytest.raises(ModelError, match="n_rounds must be at least 0"):
        from_xgboost(train("binary:logistic", features, target, 1), n_rounds=-1)
    several = xgboost.XGBClassifier(n_jobs=1, n_estimators=1, objective="binary:hinge")
    with pytest.raises(ModelError, match="can't predict classes"):
        from_xgboost(several.fit(features, np.column_stack([target, 1 - target])))
    path = tmp_path / "deep.json"
    path.write_text('{"learner":' + "[" * 200_000)
    with pytest.raises(ProgramError, match="nested too deeply|invalid JSON"):
        load(path)
    path.write_bytes(b"{L\0\0\0\0\0\0\0\x07learner" + b"[" * 200_000)
    with pytest.raises(ProgramError, match="byte 81: nested too deeply"):
        load(path)
    path.write_bytes(b"{L\0\0\0\0\0\0\0\x07learner[$l#L\x7f\0\0\0\0\0\0\0")
    with pytest.raises(ProgramError, match="the file is cut short"):
        load(path)


def test_several_labels(cancer):
    features, target = cancer
    source = xgboost.XGBClassifier(n_jobs=1, n_estimators=3, max_depth=3)
    source.fit(features, np.column_stack([target, features[:, 0] > 14, target]))
    model = load(source)
    rows = add_edges(model, features)
    shares = source.predict_proba(rows)
    check_close(model.predict_proba(rows), shares, TOLERANCE)
    clear = (np.abs(shares - 0.5) > TOLERANCE).all(axis=1)
    np.testing.assert_array_equal(model.predict(rows)[clear], source.predict(rows)[clear])
    assert model.predict(rows).dtype == np.int64
    assert model.decision_function(rows).shape == (len(rows), 3)
