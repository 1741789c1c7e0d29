"""Decision lists on a few rows: the answers of packed bits, from every form that is taken, and None for the others."""

import datetime
import random

import numpy as np
import pyarrow as pa
import pytest

from eric_fast.errors import DataError
from eric_fast.frontends.rules.asp import from_asp
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table.model import RuleModel
from tests.optional import import_optional

pandas, polars = import_optional("pandas"), import_optional("polars")

RULES = """
kind(X,'big') :- size(X,N0), N0>3.5, not ab1(X).
kind(X,'red') :- colour(X,'dark_red'), not ab2(X).
kind(X,'small') :- not colour(X,'blue'), size(X,N1), N1=<2, not size(X,0).
kind(X,'none') :- colour(X,null).
kind(X,'none') :- size(X,null).
kind(X,'odd') :- flag(X,'1'), not ab3(X).
kind(X,'mixed') :- both(X,'a').
kind(X,'mixed') :- both(X,N4), N4\\=7, N4>=-1e300.
ab1(X) :- colour(X,'blue'), not ab3(X).
ab1(X) :- size(X,N2), N2>1e300.
ab2(X) :- flag(X,'f').
ab2(X) :- size(X,2), not ab1(X).
ab3(X) :- flag(X,'true').
"""
VALUES = {
    "size": [
        "3.5",
        "3.500000001",
        "4",
        "2",
        "+2",
        "-0.0",
        "0",
        "inf",
        "-inf",
        "nan",
        "1e-400",
        "1e3",
        ".5",
        "7.",
        None,
    ],
    "colour": ["dark_red", "Dark Red", "DARK RED", "blue", "BLUE", "Blue ", "", "1", "grün", None],
    "flag": ["1", "true", "True", "f", "F", "0", "", None],
    "both": ["a", "A", "b", "7", "7.0", "7_0", "ü", "-1e301", "", None],
}
OTHERS = {
    "size": [3, 2, 0, -0.0, 2.0, 3.5, np.inf, np.nan, True, False, np.int64(4), np.float32(0.1), 2**60],
    "flag": [1, 0, True, False, np.True_],
    "both": [7, 7.0, -1e301, True],
}


def make_columns(n_rows, seed, *, odd=False):
    lot = random.Random(seed)
    values = {name: texts + (OTHERS.get(name, []) if odd else []) for name, texts in VALUES.items()}
    return {name: [lot.choice(some) for _ in range(n_rows)] for name, some in values.items()}


@pytest.fixture(scope="module")
def model():
    return from_asp(RULES, columns=["spare", *VALUES])


def check(model, data, *, taken=True):
    found = model.row_rules.find_classes(data)
    assert (found is not None) == taken
    wanted = RuleModel(model.program, engine="reference", named=model.named)
    assert wanted.row_rules is None
    answers = wanted.predict(data)
    assert model.predict(data).tolist() == answers.tolist()
    return answers.tolist()


@pytest.mark.parametrize("n_rows", [1, 2, 31, 33, 64, 300])
def test_every_form_is_answered_as_packed_rows_are(model, n_rows):
    columns = make_columns(n_rows, n_rows)
    table = pa.table(columns, pa.schema([(name, pa.string()) for name in columns]))
    frame = table.to_pandas()
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    with_spare = [[None, *row.values()] for row in rows]
    wanted = check(model, table)
    assert n_rows < 64 or len(set(wanted)) > 4
    forms = [frame, frame.astype(object), frame[frame.columns[::-1]], columns, rows, with_spare, tuple(with_spare)]
    forms += [
        table.to_batches()[0],
        np.array(with_spare, object),
        polars.from_arrow(table),
        table.take(list(range(n_rows))),
    ]
    for number, data in enumerate(forms):
        assert check(model, data, taken=number not in (6, 9)) == wanted
    assert [check(model, row) for row in rows[:5]] == [[answer] for answer in wanted[:5]]


def test_values_of_any_type():
    model = from_asp(RULES)
    n_taken = 0
    for seed in range(100):
        columns = make_columns(2, seed, odd=True)
        frame = pandas.DataFrame({name: pandas.Series(values, dtype=object) for name, values in columns.items()})
        n_taken += model.row_rules.find_classes(frame) is not None
        wanted = RuleModel(model.program, engine="reference").predict(frame).tolist()
        for data in (frame, columns, frame.iloc[:1]):
            assert model.predict(data).tolist() == wanted[: len(data) if data is not columns else None]
    assert n_taken > 20


def test_numbers_in_a_matrix():
    model = from_asp("a(X,'x') :- b(X,N0), N0>0.1. a(X,'y') :- c(X,N1), N1=<0.5, not ab1(X). ab1(X) :- b(X,N2), N2<0.")
    values = np.array([-np.inf, -1.0, -0.0, 0.0, 0.1, np.float32(0.1), 0.5, np.inf, np.nan])
    rows = np.array(np.meshgrid(values, values)).reshape(2, -1).T[:32]
    for data in (rows, rows.astype(np.float32), np.round(np.nan_to_num(rows, posinf=3, neginf=-3)).astype(np.int8)):
        check(model, data)
        check(model, pandas.DataFrame(data, columns=["b", "c"]))
        check(model, pa.table({"b": data[:, 0], "c": data[:, 1]}))
        check(model, data[:1])
    check(model, rows == 0)
    check(model, np.tile(rows, (2, 1)))
    check(model, np.tile(rows, (5, 1)), taken=False)  # so many are packed
    check(model, np.tile(rows, (5, 1)).tolist())


@pytest.mark.parametrize("column", [[1.5], [[1]], [datetime.date(2020, 1, 1)], [{"a": 1}]])
def test_other_values_are_left_to_the_code_that_explains_them(model, column):
    columns = {"size": [1.0], "colour": column, "flag": ["1"], "both": ["a"]}
    assert model.row_rules.find_classes(columns) is None
    if column != [1.5]:
        with pytest.raises(DataError, match="column 'colour'"):
            model.predict(columns)


def test_a_text_where_a_number_is_compared_is_warned_of(caplog):
    model = from_asp("a(X,'x') :- b(X,N0), N0>0.1. a(X,'y') :- b(X,N0), N0=<0.1.")
    assert check(model, {"b": ["0.2", "?", ""]}) == ["x", None, None]
    assert caplog.messages == []
    assert check(model, {"b": ["0.2", "much"]}, taken=False) == ["x", None]
    assert "row 1, column 'b': 'much' is not a number" in caplog.messages[0]


def test_columns_are_bound_anew_when_they_change(model):
    columns = make_columns(40, 1)
    table = pa.table(columns)
    wanted = check(model, table)
    turned = table.select(table.column_names[::-1])
    for _ in range(2):
        assert check(model, table) == check(model, turned) == check(model, turned.to_pandas()) == wanted
        renamed = turned.rename_columns([name.upper() for name in turned.column_names])
        mapping = dict(zip(renamed.column_names, renamed.to_pydict().values(), strict=True))
        for data in (renamed, renamed.to_pandas(), mapping):
            assert check(model, data) == wanted
        for data in (table.drop_columns("flag"), table.drop_columns("flag").to_pandas(), {"colour": "blue", "size": 3}):
            with pytest.raises(DataError, match="no column 'flag'"):
                model.predict(data)
        with pytest.raises(DataError, match="expected a table of 5 columns, got 4"):
            model.predict([list(columns)])
    twice = pandas.concat([turned.to_pandas(), turned.to_pandas()[["flag"]]], axis=1)
    for data in (twice, twice.iloc[:1]):
        with pytest.raises(DataError, match="column 'flag' could be"):
            model.predict(data)


def test_threads_ask_by_their_own_columns(model, monkeypatch):
    of_others = ([], model.row_rules._by_place)  # as if another thread always came in between
    monkeypatch.setattr(type(model.row_rules), "_by_key", property(lambda _: of_others, lambda *_: None), raising=False)
    assert model.predict([{"size": 2, "colour": "green", "flag": "f", "both": None}]).tolist() == ["small"]


def test_rows_as_mappings(model):
    row = {"size": 2, "colour": "green", "flag": "f", "both": None}
    other = {**row, "size": 4.0}
    assert model.predict(row).tolist() == ["small"]
    assert model.predict([row, other]).tolist() == ["small", "big"]
    assert model.predict([row, dict(reversed(other.items()))]).tolist() == ["small", "big"]
    assert RuleModel(model.program, engine="reference").predict([row, other]).tolist() == ["small", "big"]
    with pytest.raises(DataError, match=r"row 1 and row 0 don't both have a column 'flag'"):
        model.predict([row, {"size": 4, "colour": "green", "both": None}])


def test_what_is_kept_of_values_has_an_end(model):
    model.predict({name: [f"{name}{i}" for i in range(300)] for name in VALUES} | {"size": [1.0] * 300})
    most = 0
    for first in range(0, 9000, 300):
        model.predict(
            [{"size": i, "colour": f"c{i}", "flag": "1", "both": "x" * 200} for i in range(first, first + 300)]
        )
        most = max(most, *(len(column.codes) for column in model.row_rules.columns))
    model.predict([{"size": np.str_("1" * 200), "colour": np.str_("c" * 200), "flag": "1", "both": "x"}])
    assert 4096 - 300 < most <= 4096
    assert not any(len(str(value)) > 100 for column in model.row_rules.columns for value in column.codes)


def test_numbers_in_place_of_texts_are_refused_though_no_rule_asks_for_them():
    atoms = (TableAtom(0, "a", "in", ("x",)), TableAtom(1, "b", "in", ("u", "v"), missing=True))
    quantiser = TableQuantiser(atoms, (Column("a", "text"), Column("b", "text")))
    rules = (ClassRule(0, (0,)), ClassRule(1, (1, ~2)), ClassRule(0, ()))
    program = Program(quantiser, ("p", "q"), rules, (Rule(2, (0, 1)), Rule(2, (~1,))), negated=(2,), derived=("d",))
    model = RuleModel(program)
    check(model, {"a": ["x", "y", "y", None], "b": ["u", "v", "w", None]})
    check(model, [["x", "u"], ["y", "v"], ["y", "w"], ["y", None]])
    for missing in (None, np.nan, np.float32("nan")):
        rows = [["x", missing], ["y", missing], ["y", "w"]]
        assert check(model, rows) == check(model, [["x", "u"], ["y", "u"], ["y", "w"]])
    for data in ({"a": "x", "b": 1}, [["x", 1]], [{"a": "x", "b": 1}] * 200):
        with pytest.raises(DataError, match="column 'b' holds numbers"):
            model.predict(data)


def test_exceptions_that_share_exceptions_are_not_followed_again_and_again():
    n = 40  # two ways to each: 2 ** 40 in all
    rules = "".join(f"ab{i}(X) :- not ab{i + 1}(X), {b}(X,'1'). " for i in range(n) for b in "bc")
    model = from_asp(f"a(X,'x') :- not ab0(X). {rules} ab{n}(X) :- d(X,'2').")
    few = from_asp("a(X,'x') :- not ab0(X). ab0(X) :- b(X,'1'). ab0(X) :- c(X,'1').")
    for some, are_single in ((model, False), (few, True)):
        asked = []
        find_classes = some.row_rules._by_place.find_classes
        some.row_rules._by_place.find_classes = lambda rows, ask=find_classes, asked=asked: asked.append(1) or ask(rows)
        rows = [[b, c, d] if some is model else [b, c] for b in "12" for c in "12" for d in "12"]
        assert some.row_rules.find_classes(rows) is not None
        assert bool(asked) == are_single
        check(some, rows)
        check(some, [dict(zip("bcd", row, strict=False)) for row in rows])


def test_lists_of_other_lengths_are_refused(model):
    row = [None, 2, "green", "f", None]
    assert model.predict([row] * 2).tolist() == ["small", "small"]
    for rows, message in (
        ([row[:4]], "expected a table of 5 columns, got 4"),
        ([row, row[:4]], "rows must have the same length, but have 4 to 5 values"),
        ([row, "green"], "expected rows of values, got a str"),
    ):
        with pytest.raises(DataError, match=message):
            model.predict(rows)


def test_programs_that_are_not_answered_so(model):
    for decision in ("vote", "sum"):
        program = Program(model.program.quantiser, ("a", "b"), (ClassRule(0, (0,)),), decision=decision)
        assert RuleModel(program).row_rules is None
    assert RuleModel(model.program, values="finite").row_rules is None
    assert RuleModel(model.program, engine="gpu").row_rules is None
    texts = "".join(f"a(X,'x') :- b(X,'{i}')." for i in range(300))  # more than a byte tells apart
    assert from_asp(texts).row_rules is None
    deep = "".join(f"ab{i}(X) :- not ab{i + 1}(X), b(X,'1')." for i in range(1, 100))
    assert from_asp(f"a(X,'x') :- ab1(X). {deep} ab100(X) :- b(X,'2').").row_rules is None
    joined = "p(X) :- q(X,'a'). c(X,'x') :- p(X)."  # `p` may be a column, too
    assert from_asp(joined).row_rules is None
