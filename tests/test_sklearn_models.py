"""scikit-learn's own models and what they become: the same answer to every row, edges of thresholds among them."""

import functools
import itertools
import platform

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    BaggingRegressor,
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor
from threadpoolctl import threadpool_limits

from eric_fast.errors import DataError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.trees.scikit_learn import round_down
from eric_fast.program import Program
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.examples import try_examples

N_PERTURBED = 10_000
LARGEST = float(np.finfo(np.float32).max)
READ = {
    "iris": load_iris,
    "wine": load_wine,
    "cancer": load_breast_cancer,
    "digits": load_digits,
    "diabetes": load_diabetes,
}
EXACT_SUMS = platform.machine() == "x86_64"  # elsewhere a compiler may fuse what gradient boosting multiplies and adds


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads of histogram boosting wait for each other by spinning, which counts where others run beside."""
    with threadpool_limits(1):
        yield


@functools.cache
def read_data(name):
    """The rows and labels of a set; `+nan` has a tenth of its values missing."""
    table, labels = READ[name.removesuffix("+nan")](return_X_y=True)
    if name.endswith("+nan"):
        table = np.where(np.random.default_rng(1).random(table.shape) < 0.1, np.nan, table)
    return table, labels


def list_thresholds(source):
    """(feature, threshold) of every numeric node, from the source itself."""
    if hasattr(source, "_predictors"):
        order = np.arange(source.n_features_in_)
        if source.is_categorical_ is not None:
            order = np.concatenate([np.flatnonzero(source.is_categorical_), np.flatnonzero(~source.is_categorical_)])
        nodes = np.concatenate([p.nodes for iteration in source._predictors for p in iteration])
        nodes = nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)]
        return order[nodes["feature_idx"]], nodes["num_threshold"]
    trees = np.ravel(source.estimators_) if hasattr(source, "estimators_") else [source]
    features, thresholds = [], []
    for number, tree in enumerate(trees):
        inner = tree.tree_.children_left >= 0
        own = tree.tree_.feature[inner]
        features.append(source.estimators_features_[number][own] if hasattr(source, "estimators_features_") else own)
        thresholds.append(tree.tree_.threshold[inner])
    return np.concatenate(features), np.concatenate(thresholds)


def perturb(source, table, *, missing, infinite, n_rows=N_PERTURBED, seed=0):
    """Rows of the table with every threshold's neighbours, in float64 and float32, and odd numbers put in."""
    rng = np.random.default_rng(seed)
    features, thresholds = list_thresholds(source)
    single = thresholds.astype(np.float32)
    edges = [thresholds, single]
    edges += [
        np.nextafter(values, values.dtype.type(end)) for values in (thresholds, single) for end in (-np.inf, np.inf)
    ]
    pairs = np.unique(np.stack([np.tile(features, 6), np.concatenate(edges)], axis=1), axis=0)
    pairs = pairs[infinite | (np.abs(pairs[:, 1]) <= LARGEST)]  # where only missing values part, it is infinite
    odd = [0.0, -0.0, 1e-46, -1e-46, LARGEST, -LARGEST, 1e-30, 1.0]
    odd += [np.nan] * 8 if missing else []
    odd += [np.inf, -np.inf] if infinite else []
    rows = table[rng.integers(len(table), size=n_rows)]
    for column in rng.integers(table.shape[1], size=(3, n_rows)):
        chosen = rng.random(n_rows) < 0.2
        rows[np.flatnonzero(chosen), column[chosen]] = rng.choice(odd, chosen.sum())
    order = rng.permutation(max(len(pairs), n_rows)) % len(pairs)
    for part in np.array_split(order, -(-len(order) // n_rows)):
        rows[np.arange(len(part)), pairs[part, 0].astype(int)] = pairs[part, 1]
    return np.concatenate([table, rows])


def check_same(source, model, table, *, exact=True):
    """Answers, their shapes and types; returns the names of methods that were compared."""
    compared = []
    for name in ("predict", "decision_function", "predict_proba", "predict_log_proba", "apply"):
        if not hasattr(source, name):
            assert name == "predict_log_proba" or not hasattr(model, name), name
            continue
        expected, found = ask(source, name, table), getattr(model, name)(table)
        assert found.shape == expected.shape, name
        assert found.dtype == expected.dtype, name
        exactly = {"decision_function": exact, "predict_proba": model.link == "average"}.get(
            name, name != "predict_log_proba"
        )
        if exactly:
            np.testing.assert_array_equal(found, expected, err_msg=name)
        else:
            np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-15, err_msg=name)
        compared.append(name)
    return compared


def ask(source, name, table):
    """What the source says, who warns where sums of large numbers overflow, and of logarithms of 0."""
    with np.errstate(all="ignore"):
        return getattr(source, name)(table)


def reload_text(model):
    return RuleModel.from_program(parse_program(print_program(model.program)))


def tree(depth=None, **options):
    return DecisionTreeClassifier(max_depth=depth, random_state=0, **options)


KINDS = {
    "tree": (tree(), ["iris", "digits", "cancer+nan"]),
    "pruned tree": (tree(ccp_alpha=0.01, class_weight="balanced"), ["wine", "digits", "cancer"]),
    "best-first tree": (tree(max_leaf_nodes=12), ["wine", "digits", "iris+nan"]),
    "extra tree": (ExtraTreeClassifier(random_state=0), ["iris", "digits", "cancer+nan"]),
    "forest": (RandomForestClassifier(7, max_depth=5, random_state=0), ["iris", "digits", "cancer+nan"]),
    "grown forest": (RandomForestClassifier(6, random_state=0), ["wine", "digits", "cancer"]),
    "extra trees": (ExtraTreesClassifier(7, min_samples_leaf=3, random_state=0), ["wine", "digits", "cancer+nan"]),
    "boosting": (GradientBoostingClassifier(n_estimators=6, random_state=0), ["iris", "wine", "cancer"]),
    "exponential": (
        GradientBoostingClassifier(loss="exponential", n_estimators=9, subsample=0.7, random_state=0),
        ["cancer"],
    ),
    "from zero": (GradientBoostingClassifier(init="zero", n_estimators=6, random_state=0), ["iris", "wine", "cancer"]),
    "hist": (HistGradientBoostingClassifier(max_iter=4, max_leaf_nodes=15), ["iris", "digits", "cancer", "cancer+nan"]),
    "ada": (AdaBoostClassifier(tree(2), n_estimators=8, random_state=0), ["iris", "digits", "cancer"]),
    "stumps": (AdaBoostClassifier(n_estimators=8, random_state=0), ["iris", "wine", "cancer"]),
    "bagging": (BaggingClassifier(max_features=0.5, n_estimators=7, random_state=0), ["iris", "wine", "cancer+nan"]),
    "few each": (BaggingClassifier(max_samples=4, n_estimators=9, random_state=0), ["iris", "wine", "digits"]),
}
LOSSES = ("squared_error", "absolute_error", "gamma", "poisson", "quantile")
REGRESSIONS = {
    "tree": DecisionTreeRegressor(random_state=0),
    "absolute tree": DecisionTreeRegressor(criterion="absolute_error", max_depth=4, random_state=0),
    "poisson tree": DecisionTreeRegressor(criterion="poisson", max_depth=6, random_state=0),
    "extra tree": ExtraTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(7, random_state=0),
    "shallow forest": RandomForestRegressor(20, max_depth=3, random_state=0),
    "leaves of seven": RandomForestRegressor(11, min_samples_leaf=7, random_state=0),
    "extra trees": ExtraTreesRegressor(7, max_depth=6, random_state=0),
    "bagging": BaggingRegressor(max_features=0.5, random_state=0),
    "from zero": GradientBoostingRegressor(init="zero", n_estimators=9, random_state=0),
    **{
        f"boosting by {loss}": GradientBoostingRegressor(loss=loss, n_estimators=15, random_state=0)
        for loss in ("squared_error", "absolute_error", "huber", "quantile")
    },
    **{
        f"hist by {loss}": HistGradientBoostingRegressor(
            loss=loss, quantile=0.3 if loss == "quantile" else None, max_iter=15, random_state=0
        )
        for loss in LOSSES
    },
}
CASES = [(kind, name) for kind, (_, names) in KINDS.items() for name in names]


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_classes_are_the_source_s_own(kind, name):
    table, labels = read_data(name)
    source = KINDS[kind][0].fit(table, labels)
    model = load(source)
    is_hist = isinstance(source, HistGradientBoostingClassifier)
    rows = perturb(source, table, missing=model.values != "finite", infinite=is_hist)
    exact = EXACT_SUMS or not isinstance(source, GradientBoostingClassifier)
    compared = check_same(source, model, rows, exact=exact)
    assert {"predict", "predict_proba"} <= set(compared)
    assert ("apply" in compared) == hasattr(source, "apply")
    assert model.score(table, labels) == source.score(table, labels)
    assert model.source == f"scikit-learn {type(source).__name__}"
    assert model.classes_.dtype == source.classes_.dtype
    assert (model.n_features_in_, model.n_outputs_) == (source.n_features_in_, 1)


@pytest.mark.parametrize("kind", REGRESSIONS)
def test_numbers_are_the_source_s_own(kind):
    source = REGRESSIONS[kind]
    is_hist = isinstance(source, HistGradientBoostingRegressor)
    table, truth = read_data("diabetes+nan" if is_hist or kind in ("tree", "forest", "extra trees") else "diabetes")
    model = load(source.fit(table, truth))
    rows = perturb(source, table, missing=model.values != "finite", infinite=is_hist)
    found, expected = model.predict(rows), ask(source, "predict", rows)
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    if EXACT_SUMS or not isinstance(source, GradientBoostingRegressor):
        np.testing.assert_array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert model.score(table, truth) == pytest.approx(source.score(table, truth), rel=1e-12)
    assert hasattr(model, "apply") == hasattr(source, "apply")
    if hasattr(source, "apply"):
        found, expected = model.apply(rows), ask(source, "apply", rows)
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    for name in ("predict_proba", "predict_log_proba", "decision_function", "classes_"):
        assert not hasattr(model, name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_text_is_the_same_classifier(kind):
    table, labels = read_data(KINDS[kind][1][0])
    model = load(KINDS[kind][0].fit(table, labels))
    again = reload_text(model)
    assert again.program.settings == model.program.settings
    rows = np.concatenate([table, table[::-1] * 1.01])
    for name in ("predict", "predict_proba", "decision_function"):
        assert hasattr(again, name) == hasattr(model, name)
        if hasattr(model, name):
            np.testing.assert_array_equal(getattr(again, name)(rows), getattr(model, name)(rows))
    assert again.predict(rows).dtype == model.predict(rows).dtype
    assert (again.source, again.values, again.named) == (model.source, model.values, model.named)
    with pytest.raises(AttributeError, match="has no leaf numbers"):
        _ = again.apply


@pytest.mark.parametrize("kind", ["poisson tree", "shallow forest", "boosting by huber", "hist by gamma"])
def test_a_loaded_text_is_the_same_regression(kind):
    table, truth = read_data("diabetes")
    model = load(REGRESSIONS[kind].fit(table, truth))
    np.testing.assert_array_equal(reload_text(model).predict(table), model.predict(table))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([3, -1, 2], np.int32),
        np.array([0, 1, 255], np.uint8),
        np.array([-2.0, 0, 2e9]),
        np.array([1, 2, 2**24], np.float32),
        np.array([True, False, True]),
        np.array(["a b", 'é "x"', "1"]),
        np.array(["a", "bc", "1"], object),
    ],
)
def test_labels_come_back_as_they_were(labels):
    table, classes = read_data("iris")
    labels = labels[classes]
    source = tree(3).fit(table, labels)
    for model in (load(source), reload_text(load(source))):
        found, expected = model.predict(table), source.predict(table)
        assert found.dtype.type is expected.dtype.type
        assert (found == expected).all()
        assert model.score(table, labels) == source.score(table, labels)


def test_a_raw_score_of_zero_is_of_the_class_that_the_source_says():
    """Gradient boosting says the second, histogram boosting the first."""
    table, labels = read_data("cancer")
    boosting = GradientBoostingClassifier(init="zero", n_estimators=1).fit(table, labels)
    values = boosting.estimators_[0, 0].tree_.value
    leaf = boosting.apply(table)[0, 0].astype(int)
    values[leaf] = 0.0
    hist = HistGradientBoostingClassifier(max_iter=1).fit(table, labels)
    hist._predictors[0][0].nodes["value"][0:] = 0.0
    hist._baseline_prediction[:] = 0.0
    for source in (boosting, hist):
        is_zero = source.decision_function(table) == 0
        assert is_zero.any()
        assert (source.predict(table[is_zero]) == (1 if source is boosting else 0)).all()
        for model in (load(source), reload_text(load(source))):
            assert (model.predict(table) == source.predict(table)).all()
            outcome = model.evaluate(table, classes=True)  # the program by itself
            assert (outcome.classes.numpy() == source.predict(table)).all()


def test_sums_whose_quotients_are_equal_tie():
    """Two sums that differ in the last digit, divided by three, are equal; then the first class wins."""
    table, labels = read_data("iris")
    low = 1.6
    while np.nextafter(low, 2) / 3 != low / 3:
        low = np.nextafter(low, 2)
    source = RandomForestClassifier(3, max_depth=1, random_state=0).fit(table, labels)
    for number, each in enumerate(source.estimators_):
        each.tree_.value[:] = [[[low, np.nextafter(low, 2), 0]]] if number == 0 else 0
    assert (source.predict(table) == 0).all()
    model = load(source)
    assert (model.evaluate(table, classes=True).classes == 1).all()
    assert (model.predict(table) == 0).all()
    assert (reload_text(model).predict(table) == 0).all()


def test_equal_sums_go_to_the_first_class():
    table, labels = read_data("iris")
    source = RandomForestClassifier(4, max_depth=1, random_state=0).fit(table, labels)
    for each in source.estimators_:
        each.tree_.value[:] = [[[0.25, 0.375, 0.375]]]
    assert (load(source).predict(table) == source.predict(table)).all()
    assert (source.predict(table) == 1).all()


@try_examples(100)
@given(st.floats(allow_nan=False), st.floats(width=32, allow_nan=False))
def test_a_threshold_rounded_down_parts_the_same_float32(threshold, value):
    rounded = round_down(np.array([threshold]))
    assert rounded.dtype == np.float32
    with np.errstate(over="ignore"):
        near = np.float32(threshold)
        neighbours = [np.nextafter(near, np.float32(end)) for end in (-np.inf, np.inf)]
    for x in (np.float32(value), near, *neighbours):
        if np.isfinite(x):
            assert (x <= rounded[0]) == (np.float64(x) <= threshold)


@try_examples(60)
@given(st.data())
def test_small_models_answer_the_same(data):
    """Few values in few columns, so that thresholds fall on values and trees end early; every row there can be."""
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    n_columns = data.draw(st.integers(1, 3))
    pool = data.draw(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=2, max_size=5))
    table = rng.choice(pool, size=(12, n_columns)).astype(np.float32)
    labels = rng.integers(0, 3, size=12)
    labels[:3] = [0, 1, 2]
    kinds = (
        tree(),
        tree(2),
        RandomForestClassifier(3, random_state=0),
        ExtraTreesClassifier(3, max_depth=2, random_state=0),
        DecisionTreeRegressor(random_state=0),
        RandomForestRegressor(3, random_state=0),
        GradientBoostingRegressor(n_estimators=2),
        GradientBoostingClassifier(n_estimators=1),
    )
    source = data.draw(st.sampled_from(kinds)).fit(table, labels)
    edges = np.array(pool, np.float32)
    edges = np.concatenate([edges, np.nextafter(edges, np.float32(0)), list_thresholds(source)[1].astype(np.float32)])
    edges = edges[np.isfinite(edges)]
    rows = np.array(list(itertools.islice(itertools.product(np.unique(edges), repeat=n_columns), 500)))
    check_same(source, load(source), np.concatenate([table, rows]))


def test_a_forest_of_regressions_with_large_whole_numbers():
    """Their sum passes what clingo adds, so the text holds them as reals."""
    table, truth = read_data("diabetes")
    source = RandomForestRegressor(5, random_state=0).fit(table, truth * 1e7)
    model = load(source)
    assert "#sum" not in print_program(model.program)
    np.testing.assert_array_equal(reload_text(model).predict(table), source.predict(table))


def test_several_outputs():
    table, truth = read_data("diabetes")
    truths = np.stack([truth, -truth, truth**2], axis=1)
    for source in (DecisionTreeRegressor(max_depth=5), RandomForestRegressor(5, max_depth=5), ExtraTreeRegressor()):
        model = load(source.fit(table, truths))
        assert model.n_outputs_ == source.n_outputs_ == 3
        np.testing.assert_array_equal(model.predict(table), source.predict(table))
        np.testing.assert_array_equal(reload_text(model).predict(table), source.predict(table))
        assert model.score(table, truths) == source.score(table, truths)
    classes = np.stack([truth > 100, truth > 200], axis=1)
    source = tree(2).fit(table, classes)
    model = load(source)
    np.testing.assert_array_equal(model.predict(table), source.predict(table))
    np.testing.assert_array_equal(model.predict_proba(table), source.predict_proba(table))
    with pytest.raises(ModelError, match="output 1 of the DecisionTreeClassifier has only one class; leave it out"):
        load(tree(2).fit(table, np.stack([truth > 100, truth > 0], axis=1)))


CONSTANT = DummyClassifier(strategy="constant", constant=1)


@pytest.mark.parametrize("strategy", ["prior", "most_frequent", CONSTANT])
def test_boosting_starts_from_a_constant(strategy):
    table, labels = read_data("cancer")
    init = DummyClassifier(strategy=strategy) if isinstance(strategy, str) else strategy
    source = GradientBoostingClassifier(init=init, n_estimators=2).fit(table, labels)
    check_same(source, load(source), table)


def fit_on_iris(source):
    return source.fit(*read_data("iris"))


class OwnForest(RandomForestClassifier):
    """Of somebody's own, who may have changed what it answers."""


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (RandomForestClassifier(), "RandomForestClassifier isn't fitted; call its fit first"),
        (make_pipeline(StandardScaler(), LogisticRegression()), "Pipeline holds no fitted model of trees"),
        (GridSearchCV(tree(), {"max_depth": [1]}, cv=2), "GridSearchCV isn't fitted; call its fit first"),
        (
            LogisticRegression(max_iter=1000),
            "LogisticRegression can't be converted; supported are AdaBoost",
        ),
        (BaggingClassifier(LogisticRegression(max_iter=1000), 2), "BaggingClassifier of LogisticRegression can't"),
        (
            GradientBoostingClassifier(init=tree(1), n_estimators=1),
            "starts from the predictions of its init, a DecisionTreeClass.*zero",
        ),
        (GradientBoostingClassifier(init=DummyClassifier(strategy="uniform"), n_estimators=1), "its init, a Dummy"),
        (OwnForest(2), "OwnForest is not a model or program that can be loaded"),
    ],
)
def test_what_cant_be_converted_says_what_to_do(source, message):
    with pytest.raises(ModelError, match=message):
        load(source if "fitted" in message else fit_on_iris(source))


@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39, np.nan])
def test_values_that_the_source_refuses_are_refused(value):
    table, labels = read_data("iris")
    wrong = table.copy()
    wrong[7, 2] = value
    sources = (
        tree(2),
        RandomForestClassifier(2),
        GradientBoostingClassifier(n_estimators=1),
        AdaBoostClassifier(tree(1)),
    )
    for source in sources:
        model = load(source.fit(table, labels))
        if np.isnan(value) and model.values == "no infinity":
            assert (model.predict(wrong) == source.predict(wrong)).all()
            continue
        with pytest.raises(ValueError, match="contains (NaN|infinity)"):
            ask(source, "predict", wrong)
        what = "missing" if np.isnan(value) else "infinite, or too large for float32"
        for data in (wrong, torch.from_numpy(wrong)):
            with pytest.raises(DataError, match=f"row 7, column 'x2': the value is {what}"):
                model.predict(data)
    assert load(fit_on_iris(HistGradientBoostingClassifier(max_iter=1))).predict(wrong).shape == (150,)


def test_values_whose_sum_is_too_large_are_fine():
    table, labels = read_data("iris")
    source = tree(2).fit(table, labels)
    large = np.full_like(table, LARGEST)
    assert (load(source).predict(large) == ask(source, "predict", large)).all()


def test_categories_known_and_unknown_and_missing():
    """Categories are numbers here, put first by the source's encoder, and any value may come later."""
    rng = np.random.default_rng(0)
    table, truth = read_data("diabetes")
    table = np.column_stack([table, rng.integers(0, 9, size=(len(table), 2)) * 2.5])
    truth = truth + 90 * np.isin(table[:, 10], (2.5, 7.5, 20.0)) - 60 * np.isin(table[:, 11], (0.0, 12.5))
    table[rng.random(len(table)) < 0.1, 10] = np.nan
    rows = np.concatenate([table, table])
    rows[len(table) :, 10:] = rng.choice([-1.0, 3, 7.5, 1e300, np.nan, 20, -0.0, 22.5], size=(len(table), 2))
    for source, target in (
        (HistGradientBoostingRegressor(categorical_features=[10, 11], max_iter=20), truth),
        (HistGradientBoostingClassifier(categorical_features=[10, 11], max_iter=10), truth > 150),
        (HistGradientBoostingClassifier(categorical_features=[11], max_iter=5), np.digitize(truth, [100, 200])),
    ):
        model = load(source.fit(table, target))
        assert any(atom.operator == "in" for atom in model.program.atoms)
        np.testing.assert_array_equal(model.predict(rows), source.predict(rows))
        np.testing.assert_array_equal(reload_text(model).predict(rows), source.predict(rows))


def test_tensors_lists_and_no_rows():
    table, labels = read_data("iris")
    for source in (tree(3), GradientBoostingClassifier(n_estimators=2), RandomForestClassifier(3, max_depth=2)):
        model = load(source.fit(table, labels))
        expected = source.predict_proba(table)
        for data in (
            torch.from_numpy(table),
            torch.from_numpy(table).float(),
            table.astype(np.float32),
            table.tolist(),
        ):
            assert (model.predict_proba(data) == expected).all()
        assert np.asfortranarray(table).flags.f_contiguous
        assert (model.predict_proba(np.asfortranarray(table)) == expected).all()
        none = model.predict(table[:0])
        assert (none.shape, none.dtype) == ((0,), labels.dtype)
        assert model.predict_proba(table[:0]).shape == (0, 3)
        assert model.apply(table[:0]).shape == (0, *source.apply(table[:1]).shape[1:])
        with pytest.raises(DataError, match="4 columns"):
            model.predict(table[:, :3])


@pytest.mark.parametrize("scorer", ["accuracy", "roc_auc", "neg_log_loss", "r2"])
def test_scorers_take_it_for_its_source(scorer):
    is_regression = scorer == "r2"
    table, truth = read_data("diabetes" if is_regression else "cancer")
    source = RandomForestRegressor(3) if is_regression else GradientBoostingClassifier(n_estimators=3)
    score = get_scorer(scorer)
    assert score(load(source.fit(table, truth)), table, truth) == pytest.approx(score(source, table, truth), rel=1e-12)


def test_trees_without_splits():
    table = np.zeros((6, 2))
    for source in (tree(), RandomForestClassifier(2), GradientBoostingClassifier(n_estimators=2)):
        check_same(source.fit(table, [0, 1, 1, 0, 1, 1]), load(source), np.eye(2))
    check_same(tree().fit(table, [3] * 6), load(tree().fit(table, [3] * 6)), np.eye(2))


def test_names_are_the_source_s():
    table, labels = read_data("iris")
    model = load(tree(2).fit(table, labels))
    assert [column.name for column in model.program.quantiser.columns] == ["x0", "x1", "x2", "x3"]
    assert not hasattr(model, "feature_names_in_")
    assert not hasattr(reload_text(model), "feature_names_in_")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"link": "logit"}, "setting 'link' is 'logit', not one of identity, average"),
        ({"divisor": "many"}, "setting 'divisor' is 'many', which is not a number"),
        ({"labels": "numbers"}, "setting 'labels' is 'numbers'"),
        ({"labels": "int64", "names": "x"}, "not all int64, as setting 'labels' requires"),
        ({"labels": "bool"}, "not all bool"),
        ({"named": "perhaps"}, "not one of yes, no"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    table, labels = read_data("iris")
    names = np.array(["a", "b", "c"])[labels]
    program = load(tree(2).fit(table, names)).program
    with pytest.raises(ProgramError, match=message):
        RuleModel.from_program(program.with_settings(settings.items()))


def test_a_model_checks_what_it_is_given():
    table, labels = read_data("iris")
    program = load(tree(2).fit(table, labels)).program
    assert isinstance(program, Program)
    assert RuleModel(program).classes_.tolist() == ["0", "1", "2"]
    with pytest.raises(ModelError, match="must spell the labels"):
        RuleModel(program, "x", [0, 1, 3])
    with pytest.raises(ModelError, match="must be strings, integers, floats or bools"):
        RuleModel(program, "x", [0, "1", None])
    for wrong in ({"link": "log"}, {"values": "some"}, {"divisor": 0.0}, {"scale": np.inf}):
        with pytest.raises(ModelError):
            RuleModel(program, "x", [0, 1, 2], **wrong)
