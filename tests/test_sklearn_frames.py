"""scikit-learn's models that were fitted on frames: names of columns, and categories of any type."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.tree import DecisionTreeClassifier
from threadpoolctl import threadpool_limits

from eric_fast.errors import DataError, ModelError
from eric_fast.frontends.registry import load
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.optional import import_optional

pandas = import_optional("pandas")
polars = import_optional("polars")


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    """Threads of histogram boosting wait for each other by spinning, which counts where others run beside."""
    with threadpool_limits(1):
        yield


def read_iris():
    found = load_iris(as_frame=True)
    return found.data, found.target_names[found.target.to_numpy()]


SOURCES = (
    DecisionTreeClassifier(max_depth=3),
    RandomForestClassifier(3, max_depth=3, random_state=0),
    GradientBoostingClassifier(n_estimators=2),
    HistGradientBoostingClassifier(max_iter=2),
    BaggingClassifier(n_estimators=3, random_state=0),
)


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: type(source).__name__)
def test_columns_are_found_by_name(source):
    frame, labels = read_iris()
    model = load(source.fit(frame, labels))
    assert model.feature_names_in_.tolist() == source.feature_names_in_.tolist()
    assert model.feature_names_in_.dtype == source.feature_names_in_.dtype
    expected = source.predict_proba(frame)
    mixed = frame[frame.columns[::-1]].assign(another="text")
    for data in (frame, frame.to_numpy(), mixed, polars.from_pandas(frame), polars.from_pandas(mixed)):
        assert (model.predict_proba(data) == expected).all()
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    assert (again.predict(mixed) == source.predict(frame)).all()
    assert again.feature_names_in_.tolist() == source.feature_names_in_.tolist()
    with pytest.raises(DataError, match=r"no column 'petal width \(cm\)'; did you mean 'sepal width"):
        model.predict(frame.drop(columns="petal width (cm)"))


def test_names_that_the_source_was_not_given_mean_nothing():
    frame, labels = read_iris()
    source = DecisionTreeClassifier(max_depth=3).fit(frame.to_numpy(), labels)
    shuffled = frame.set_axis(["x3", "x2", "x1", "x0"], axis=1)
    for model in (load(source), RuleModel.from_program(parse_program(print_program(load(source).program)))):
        for data in (frame, shuffled, polars.from_pandas(shuffled)):
            assert (model.predict(data) == source.predict(frame.to_numpy())).all()


@pytest.mark.parametrize(("value", "what"), [(np.inf, "infinite"), (None, "missing")])
def test_a_value_that_is_refused_is_named(value, what):
    frame, labels = read_iris()
    model = load(GradientBoostingClassifier(n_estimators=1).fit(frame, labels))
    frame.iloc[3, 2] = value
    for data in (frame, polars.from_pandas(frame)):
        with pytest.raises(DataError, match=rf"row 3, column 'petal length \(cm\)': the value is {what}"):
            model.predict(data)


def make_frame(n_rows, rng, *, unknown=False):
    """Categories of every type among numbers, in columns that the source's encoder puts elsewhere."""
    colours = ["red", "green", "blue", "é 1", "1"] + (["pink", "RED"] if unknown else [])
    sizes = [3, 7, 8, 12] + ([5, -3] if unknown else [])
    rates = [0.5, 1.5, -2.0] + ([9.25] if unknown else [])
    frame = pandas.DataFrame(
        {
            "age": rng.normal(size=n_rows).round(1),
            "colour": rng.choice(np.array([*colours, None], object), n_rows),
            "size": rng.choice(sizes, n_rows),
            "wide": rng.integers(0, 5, n_rows),
            "old": rng.choice([True, False], n_rows),
            "rate": rng.choice([*rates, np.nan], n_rows),
        }
    )
    return frame.astype(dict.fromkeys(("colour", "size", "old", "rate"), "category"))


@pytest.mark.parametrize("seed", range(3))
def test_categories_of_every_type(seed):
    rng = np.random.default_rng(seed)
    frame = make_frame(400, rng)
    target = (
        frame["age"]
        + 2 * frame["colour"].isin(["red", "1"])
        - 3 * frame["colour"].isna()
        + frame["size"].isin([3, 12]) * frame["wide"]
        + frame["old"].astype(float)
        - 2 * frame["rate"].isin([0.5])
        + frame["rate"].isna()
    ).to_numpy()
    unknown = make_frame(400, rng, unknown=True)
    for source, truth in (
        (HistGradientBoostingRegressor(max_iter=15, categorical_features="from_dtype"), target),
        (HistGradientBoostingClassifier(max_iter=8, min_samples_leaf=5), target > np.median(target)),
        (
            HistGradientBoostingClassifier(max_iter=3, categorical_features=["colour", "size"]),
            np.digitize(target, [0, 2]),
        ),
    ):
        model = load(source.fit(frame, truth))
        sets = [atom for atom in model.program.atoms if atom.operator == "in"]
        assert {"colour", "size"} <= {atom.feature for atom in sets}
        again = RuleModel.from_program(parse_program(print_program(model.program)))
        for data in (frame, unknown):
            expected = source.predict(data)
            np.testing.assert_array_equal(model.predict(data), expected)
            np.testing.assert_array_equal(again.predict(data), expected)
        strings = unknown.astype({"colour": object, "size": int, "rate": float, "old": bool})
        np.testing.assert_array_equal(model.predict(polars.from_pandas(strings)), source.predict(unknown))


def test_categories_of_an_array_of_objects():
    rng = np.random.default_rng(0)
    table, truth = load_diabetes(return_X_y=True)
    letters = rng.choice(["a", "b", "c", "d"], len(table))
    table = np.column_stack([table[:, :3].astype(object), letters.astype(object)])
    source = HistGradientBoostingRegressor(categorical_features=[3], max_iter=8).fit(
        table, truth + 90 * (letters == "c")
    )
    model = load(source)
    table[::5, 3] = "z"
    table[::7, 3] = None
    np.testing.assert_array_equal(model.predict(table), source.predict(table))


@pytest.mark.parametrize("unit", ["us", "ns"])
def test_categories_that_are_times_are_refused(unit):
    days = pandas.Series(np.array(["2020-01-01", "2021-01-01"] * 30, f"M8[{unit}]")).astype("category")
    frame = pandas.DataFrame({"a": days, "b": np.arange(60.0)})
    source = HistGradientBoostingRegressor(max_iter=1).fit(frame, np.arange(60.0))
    with pytest.raises(
        ModelError, match=rf"categories of feature 0 are datetime64\[{unit}\], neither texts nor numbers"
    ):
        load(source)


def test_categories_that_are_one_as_floats_are_refused():
    frame = pandas.DataFrame({"a": np.array([2**60, 2**60 + 1] * 30), "b": np.arange(60.0)}).astype({"a": "category"})
    source = HistGradientBoostingRegressor(max_iter=1).fit(frame, np.arange(60.0))
    with pytest.raises(ModelError, match=r"integers above 2\^53; convert them to texts"):
        load(source)
