"""What a column of categories may hold, source by source: values, codes, unseen ones, missing ones, other types."""

import numpy as np
import pyarrow as pa
import pytest

from eric_fast.errors import DataError, ModelError, ProgramError
from eric_fast.frontends.registry import load
from eric_fast.frontends.rules.asp import from_asp
from eric_fast.program import Program
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.boosters import check_close, make_frame
from tests.optional import import_optional

pandas, polars = import_optional("pandas"), import_optional("polars")
TOLERANCE = 1e-6


def train_lightgbm(frame, target):
    lightgbm = import_optional("lightgbm")
    options = {"num_leaves": 6, "min_data_per_group": 1, "cat_smooth": 1, "verbose": -1, "n_jobs": 1}
    return lightgbm.LGBMRegressor(n_estimators=4, **options).fit(frame, target)


def train_xgboost(frame, target):
    xgboost = import_optional("xgboost")
    return xgboost.XGBRegressor(n_jobs=1, n_estimators=4, enable_categorical=True).fit(frame, target)


def to_codes(frame):
    """The frame as an array: the codes of categories, -1 for missing ones."""
    return np.column_stack([frame["colour"].cat.codes, frame["size"].cat.codes, frame["weight"]]).astype(float)


@pytest.fixture(scope="module", params=[train_lightgbm, train_xgboost], ids=["lightgbm", "xgboost"])
def trained(request):
    frame, target = make_frame()
    source = request.param(frame, target)
    return source, load(source), frame


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_an_array_holds_codes(trained):
    source, model, frame = trained
    codes = to_codes(frame)
    holes = np.where(codes == -1, np.nan, codes)
    unseen = codes.copy()
    unseen[::3, :2] = 1000.0
    for rows in (codes, holes, unseen):
        check_close(model.predict(rows), source.predict(rows), TOLERANCE)
    nameless = pandas.DataFrame(codes)
    check_close(model.predict(nameless), source.predict(codes), TOLERANCE)
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    np.testing.assert_array_equal(again.predict(holes), model.predict(holes))


def test_a_frame_holds_values(trained):
    source, model, frame = trained
    wanted = source.predict(frame)
    objects = frame.astype({"colour": object, "size": float})
    texts = pa.Table.from_pandas(frame)
    for rows in (frame, objects, texts, polars.from_arrow(texts), dict(objects)):
        check_close(model.predict(rows), wanted, TOLERANCE)
    unseen = frame.assign(colour="purple", size=5)
    known = frame.assign(colour=pandas.Categorical(["purple"] * len(frame)), size=pandas.Categorical([5] * len(frame)))
    if type(source).__name__.startswith("LGBM"):  # XGBoost refuses unseen values of a frame
        check_close(model.predict(unseen), source.predict(known), TOLERANCE)


@pytest.mark.parametrize("dtype", [np.int64, np.float32, bool])
def test_numbers_in_place_of_texts_are_refused(trained, dtype):
    _, model, frame = trained
    rows = frame.assign(colour=frame["colour"].cat.codes.astype(dtype))
    with pytest.raises(DataError, match=r"column 'colour' holds numbers, .*\('blue', 'green', 'grey', \.\.\.\)"):
        model.predict(rows)


def test_a_code_that_is_not_whole_is_refused(trained):
    _, model, frame = trained
    rows = to_codes(frame)
    rows[3, 1] = 0.5
    with pytest.raises(DataError, match=r"column 'size': 0\.5 is not the code of a category"):
        model.predict(rows)


@pytest.mark.parametrize("text", ["[", "[1]", '{"a": 1}', '{"a": [1, "b"]}', '{"a": [true]}'])
def test_a_setting_that_holds_no_categories_is_refused(trained, text):
    program: Program = trained[1].program
    wrong = tuple((key, text if key == "categories" else value) for key, value in program.settings)
    with pytest.raises(ProgramError, match="setting 'categories'"):
        RuleModel.from_program(program.with_settings(wrong))


MISSING_IS_NOT_1 = "label(X,a) :- has(X,'1').\nlabel(X,b) :- not has(X,'1').\n"
COLUMNS = {
    "floats": np.array([1.0, np.nan, 0.0]),
    "float32": np.array([1, np.nan, 0], np.float32),
    "float16": np.array([1, np.nan, 0], np.float16),
    "masked": np.ma.MaskedArray([1, 1, 0], [False, True, False]),
    "objects": np.array([1, None, 0], object),
    "texts": ["1", None, "0"],
    "truths": [True, None, False],
    "nullable": pandas.array([1, None, 0], dtype="Int64"),
    "nullable floats": pandas.array([1.0, None, 0.0], dtype="Float64"),
    "categories": pandas.Categorical(["1", None, "0"]),
    "categories of numbers": pandas.Categorical([1.0, None, 0.0]),
    "arrow": pa.array([1, None, 0]),
    "arrow dictionary": pa.array(["1", None, "0"]).dictionary_encode(),
    "arrow dictionary of numbers": pa.array([1.0, None, 0.0]).dictionary_encode(),
    "polars": polars.Series([1.0, None, 0.0]),
    "polars categories": polars.Series(["1", None, "0"], dtype=polars.Categorical),
}


@pytest.mark.parametrize("kind", COLUMNS)
@pytest.mark.parametrize("engine", ["auto", "reference"])
def test_a_missing_value_is_missing_where_a_text_is_compared(kind, engine):
    model = from_asp(MISSING_IS_NOT_1)
    model = RuleModel(model.program, engine=engine)
    assert model.predict({"has": COLUMNS[kind]}).tolist() == ["a", "b", "b"]


def test_rounds_are_chosen(tmp_path, caplog):
    xgboost = import_optional("xgboost")
    rng = np.random.default_rng(0)
    features, others = rng.normal(size=(300, 4)), rng.normal(size=(200, 4))
    target = features[:, 0] + rng.normal(size=300) > 0
    source = xgboost.XGBClassifier(n_estimators=60, early_stopping_rounds=3, learning_rate=1.0, n_jobs=1)
    source.fit(features, target, eval_set=[(others, others[:, 0] > 0)], verbose=False)
    n_held, best = source.get_booster().num_boosted_rounds(), source.best_iteration + 1
    assert best < n_held
    source.save_model(path := tmp_path / "estimator.json")
    source.get_booster().save_model(plain := tmp_path / "booster.json")
    wanted = {number: source.predict_proba(others, iteration_range=(0, number)) for number in (best, n_held, 1)}
    caplog.clear()
    for model, number in (
        (source, best),
        (path, best),
        (source.get_booster(), n_held),
        (plain, n_held),
    ):
        check_close(load(model).predict_proba(others), wanted[number], TOLERANCE)
        for asked, expected in (("best", best), ("all", n_held), (1, 1), (1000, n_held)):
            check_close(load(model, n_rounds=asked).predict_proba(others), wanted[expected], TOLERANCE)
    said = [record.message for record in caplog.records]
    first = f"holds {n_held} rounds: the first {best} are used, as the best; --rounds all, or n_rounds, changes this"
    every = f"holds {n_held} rounds: all are used, though the first {best} did best; "
    every += "--rounds best, or n_rounds, changes this"
    assert said == [f"XGBClassifier {first}", f"{path} {first}", f"Booster {every}", f"{plain} {every}"]
    source = xgboost.XGBClassifier(n_estimators=3, n_jobs=1).fit(features, target)
    with pytest.raises(ModelError, match="no best round is known"):
        load(source, n_rounds="best")
    with pytest.raises(ModelError, match="has no boosting rounds"):
        load(MISSING_IS_NOT_1, n_rounds=3)
