"""Explanations of rows: proofs, contributions and counterfactuals, beside brute force and the models themselves."""

import io
import json
from itertools import permutations, product

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from rich.console import Console
from sklearn.datasets import load_iris
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor, RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from eric_fast import FoldClassifier, explain_row, from_asp, load
from eric_fast.errors import DataError, ModelError
from eric_fast.show.row_proof import render_row_explanation
from eric_fast.table.explain import changes
from eric_fast.table.explain.conditions import RowCondition, list_conditions, spell_value
from eric_fast.table.explain.content import describe_row_explanation

NURSERY = """class(X,'not_recom') :- health(X,'not_recom').
class(X,'priority') :- finance(X,'inconv'), children(X,N), N>2, not ab1(X).
class(X,'recommend') :- not health(X,'not_recom').
ab1(X) :- parents(X,'usual'), not ab2(X).
ab2(X) :- children(X,N), N>=5.
"""


def make_nursery():
    table = pd.DataFrame(
        {
            "health": ["not_recom", "ok", "ok", "priority", None, "ok"],
            "finance": ["inconv", "inconv", "convenient", "inconv", "inconv", "convenient"],
            "children": [1, 3, 4, 6, 3, np.nan],
            "parents": ["usual", "usual", "great", "usual", "great", "usual"],
        }
    )
    return from_asp(NURSERY), table


def render(explanation, **options):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(render_row_explanation(explanation, **options))
    return console.export_text()


def test_a_list_of_rules_is_proved_in_words_of_tables():
    model, table = make_nursery()
    answers = model.predict(table)
    explanations = [explain_row(model, table.iloc[i], data=table, name=f"row {i}") for i in range(len(table))]
    assert [one.answer for one in explanations] == answers.tolist()
    first = render(explanations[0])
    assert "row 0: answer set program answers not_recom" in first
    assert "health is not_recom  (it is not_recom)" in first
    assert "priority: 3 columns" not in first
    fourth = render(explanations[3], depth=None, earlier=True)
    assert "class rule 2 fires" in fourth
    assert "finance is inconv  (it is inconv)" in fourth
    assert "children > 2  (it is 6)" in fourth
    assert "needs health is not_recom" in fourth
    assert "ab2" in fourth  # the exception to the exception
    assert "kernel" not in first + fourth
    assert "finance is missing" not in render(explanations[5])
    assert "parents is usual" in render(explanations[1], depth=None, earlier=True)
    html = explanations[3]._repr_html_()
    assert "the answer is priority" in html
    assert len(repr(explanations[3])) < 200


def test_counterfactuals_of_rules_are_the_nearest_of_all_rows():
    """Every row that can be made of the values seen is answered by the model: none is nearer."""
    model, table = make_nursery()
    seen = [sorted({v for v in table[name] if v == v and v is not None}, key=str) for name in table]
    seen[2] = [float(n) for n in range(1, 7)]  # whole numbers between the least and the highest
    for i in range(len(table)):
        own = table.iloc[i]
        explanation = explain_row(model, own, data=table)
        choices = [values if value in values else [*values, value] for values, value in zip(seen, own, strict=True)]
        rows = pd.DataFrame(product(*choices), columns=table.columns)
        classes = model.predict(rows)
        cells = rows.to_numpy(object)
        differs = np.array([[a is not b and a != b for a, b in zip(row, own, strict=True)] for row in cells])
        differs &= ~(rows.isna() & own.isna()).to_numpy()
        spans = np.where(differs[:, 2], np.abs(rows["children"].to_numpy(float) - float(own["children"])) / 5, 0)
        spans = np.nan_to_num(spans, nan=1.0) + differs[:, [0, 1, 3]].sum(axis=1)
        assert len(explanation.counterfactuals) == 2
        for one in explanation.counterfactuals:
            wanted = (classes == model.program.classes[one.target]) & (explanation.answer != classes)
            n_least = differs[wanted].sum(axis=1).min()
            assert one.is_least
            assert one.n_least == len(one.changes) == n_least
            changed = own.copy()
            for change in one.changes:
                changed[change.column] = change.after
            assert model.predict(pd.DataFrame([changed]))[0] == model.program.classes[one.target]
            cost = sum(
                1 if change.column != "children" or change.before is None else abs(change.after - change.before) / 5
                for change in one.changes
            )
            assert cost == pytest.approx(spans[wanted][differs[wanted].sum(axis=1) == n_least].min())


def make_forest():
    features, labels = load_iris(return_X_y=True, as_frame=True)
    return RandomForestClassifier(7, max_depth=3, random_state=0).fit(features, labels), features


def test_contributions_are_shapley_values():
    """Against the definition: all orders of the columns, of the model's own sums."""
    forest, features = make_forest()
    model, rows = load(forest), features.iloc[::50]
    own = features.iloc[75]
    found = explain_row(model, own, data=rows).contributions
    assert found.n_background == len(rows) == 3
    expected = np.zeros((4, 3))
    for other in rows.to_numpy():
        for order in permutations(range(4)):
            steps = [other]
            for column in order:
                steps.append(np.where(np.arange(4) == column, own, steps[-1]))
            shares = forest.predict_proba(pd.DataFrame(steps, columns=features.columns))
            expected[list(order)] += np.diff(shares, axis=0)
    expected /= 3 * 24
    assert np.allclose(found.values, expected[list(found.columns)], atol=1e-12)
    assert np.allclose(found.start + found.values.sum(axis=0), found.sums, atol=1e-12)
    assert np.allclose(found.sums, forest.predict_proba(own.to_frame().T)[0])
    assert np.allclose(found.start, forest.predict_proba(rows).mean(axis=0))


def test_a_tree_is_explained_by_its_path_and_its_nearest_leaf():
    features, labels = load_iris(return_X_y=True)
    tree = DecisionTreeClassifier(random_state=0).fit(features, labels)
    explanation = explain_row(load(tree), features[70], data=features)
    (rule,) = explanation.fired
    assert all(str(condition).startswith("x") for condition in rule.conditions)
    assert len({condition.column for condition in rule.conditions}) == len(rule.conditions) > 1
    values = np.unique(np.concatenate([features[:, 3], [np.nextafter(np.float32(1.75), np.float32(0))]]))
    for one in explanation.counterfactuals:
        assert one.is_least
        assert len(one.changes) == 1
        row = features[70].copy()
        row[int(one.changes[0].column[1:])] = one.changes[0].after
        assert tree.predict([row])[0] == one.target
    assert values.size


def test_forests_are_climbed_where_there_are_too_many_changes(monkeypatch):
    forest, features = make_forest()
    model, own = load(forest), features.iloc[120]
    full = explain_row(model, own, data=features)
    monkeypatch.setattr(changes, "MOST_CHANGED", 0)
    climbed = explain_row(model, own, data=features)
    for exact, found in zip(full.counterfactuals, sorted(climbed.counterfactuals, key=lambda c: c.target), strict=True):
        assert exact.is_least
        assert found.changes is not None
        assert len(found.changes) >= len(full.counterfactuals[0].changes)
        row = own.copy()
        for change in found.changes:
            assert features[change.column].min() <= change.after <= features[change.column].max()
            row[change.column] = change.after
        assert forest.predict(row.to_frame().T)[0] == found.target


def test_a_regression_tells_how_far_each_column_reaches():
    features, _ = load_iris(return_X_y=True, as_frame=True)
    target = features["petal width (cm)"] * features["sepal width (cm)"]
    inputs = features.drop(columns="petal width (cm)")
    model = GradientBoostingRegressor(n_estimators=5, random_state=0).fit(inputs, target)
    explanation = explain_row(load(model), inputs.iloc[3], data=inputs)
    assert explanation.counterfactuals == ()
    widest = explanation.reaches[0]
    rows = pd.DataFrame([inputs.iloc[3]] * 4000)
    span = inputs[widest.column]
    rows[widest.column] = np.linspace(span.min(), span.max(), 4000)
    answers = model.predict(rows)
    assert (widest.lowest, widest.highest) == (pytest.approx(answers.min()), pytest.approx(answers.max()))
    text = render(explanation)
    assert "a change of one column, within the values seen in 150 rows" in text
    assert "over 100 rows of the table" in text


@pytest.mark.parametrize(
    "make", [dict, pd.Series, lambda row: pd.DataFrame([row]), lambda row: pa.table({k: [v] for k, v in row.items()})]
)
def test_rows_come_in_any_form_and_without_a_table(make):
    model, _ = make_nursery()
    row = {"health": "ok", "finance": "inconv", "children": 3, "parents": "usual"}
    explanation = explain_row(model, make(row))
    assert (explanation.answer, explanation.contributions) == ("recommend", None)
    assert dict(explanation.values) == row
    found = {model.program.classes[one.target]: one.changes for one in explanation.counterfactuals}
    assert [(change.column, change.after) for change in found["not_recom"]] == [("health", "not_recom")]
    assert len(found["priority"]) == 1
    assert "within the ranges that the rules distinguish" in render(explanation)
    assert explain_row(model, list(row.values())).answer == "recommend"


def test_programs_and_estimators_are_taken_and_others_refused():
    model, table = make_nursery()
    assert explain_row(model.program, table.iloc[0]).answer == "not_recom"
    features, labels = load_iris(return_X_y=True, as_frame=True)
    fold = FoldClassifier().fit(features, labels)
    explanation = explain_row(fold, features.iloc[0], data=features)
    assert explanation.answer == fold.predict(features.iloc[:1])[0]
    assert explanation.proof is not None
    with pytest.raises(ModelError, match=r"load it first: explain_row\(load\(model\), row\)"):
        explain_row(DecisionTreeClassifier(), table.iloc[0])
    with pytest.raises(DataError, match="expected one row to explain, got a table of 6"):
        explain_row(model, table)
    with pytest.raises(DataError, match="the table has no column 'children'"):
        explain_row(model, {"health": "ok", "finance": "inconv", "parents": "x"})


def test_sums_in_rules_and_rules_with_exceptions_in_votes():
    text = "c(X,a) :- 4 <= #sum { 3,1 : p(X); 2,2 : q(X); 2,3 : not ab1(X) }. c(X,b). ab1(X) :- n(X,N), N>3."
    explanation = explain_row(from_asp(text), {"p": 0, "q": 1, "n": 2})
    assert explanation.answer == "a"
    shown = render(explanation, depth=None)
    assert "+2  q" in shown
    assert "n > 3" not in shown
    assert {len(one.changes) for one in explanation.counterfactuals} == {1}


def test_the_command_writes_what_python_finds(eric, refuse, tmp_path):
    model, table = make_nursery()
    (tmp_path / "rules.lp").write_text(NURSERY)
    table = table.astype(object).where(table.notna(), "")
    table.to_csv(tmp_path / "t.csv", index=False)
    code, out, err = eric(
        "explain", tmp_path / "rules.lp", "--row", "3", "--data", tmp_path / "t.csv", "--json", tmp_path / "e.json"
    )
    assert code == 0, err
    assert "priority, because class rule 2 fires" in out
    assert "the fewest columns that would have to change, within the values seen in 6 rows" in out
    content = json.loads((tmp_path / "e.json").read_text())
    explanation = explain_row(model, pd.read_csv(tmp_path / "t.csv", dtype=str, keep_default_na=False).iloc[3])
    assert content["answer"] == explanation.answer == "priority"
    assert content["fired"] == describe_row_explanation(explanation)["fired"]
    assert content["fired"][0]["conditions"][0] == {"column": "finance", "text": "finance is inconv", "value": "inconv"}
    good = ["explain", tmp_path / "rules.lp", "--data", tmp_path / "t.csv"]
    assert "has no row 6, only 0 to 5" in refuse(*good, "--row", "6")
    assert "give both --row NUMBER and --data TABLE" in refuse(*good)
    table[:0].to_csv(tmp_path / "none.csv", index=False)
    assert "none.csv has no rows" in refuse(*good[:-1], tmp_path / "none.csv", "--row", "0")
    long = "a " * 150 + "z"
    (tmp_path / "long.lp").write_text(f"class(X,'{long}') :- health(X,'not_recom').\nclass(X,'b') :- health(X,'ok').")
    code, out, err = eric("explain", tmp_path / "long.lp", "--row", "0", "--data", tmp_path / "t.csv")
    assert code == 0, err
    assert out.count("z, because class rule 1 fires") == 1
    code, out, err = eric("explain", tmp_path / "long.lp", "--row", "1", "--data", tmp_path / "t.csv")
    assert "z: 1 column: health ok -> not_recom" in " ".join(out.split())  # wrapped, not cut off
    assert "--program has no meaning" in refuse(*good, "--row", "1", "--program", tmp_path / "rules.lp")
    assert "to explain an image, give --program FILE and --model NETWORK" in refuse("explain", "digits/test:3")


def test_conditions_merge_bounds_and_name_missing_values():
    model = from_asp("c(X,a) :- n(X,N), N>3, N>=5, N<9, N<=9, not n(X,7).")
    explanation = explain_row(model, {"n": 6})
    assert [condition.text for condition in explanation.fired[0].conditions] == ["5 <= n < 9 and n != 7"]
    program = model.program
    assert list_conditions(program, [~0, 1], [None])[0].text == "n is missing"


def test_what_cannot_be_explained_is_refused_in_words():
    x, y = load_iris(return_X_y=True, as_frame=True)
    model = load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(x, y))
    row = x.iloc[70]
    with pytest.raises(DataError, match="data has no rows to compare with; leave it out, or give some"):
        explain_row(model, row, data=x[:0])
    with pytest.raises(DataError, match="the table has no column 'petal"):
        explain_row(model, row, data=x.iloc[:, :2])
    with pytest.raises(DataError, match=r"column 'petal width \(cm\)' occurs twice in the row; rename one"):
        explain_row(model, pd.concat([row, row[-1:]]))
    with pytest.raises(ModelError, match="this FoldClassifier isn't fitted yet; call fit first"):
        explain_row(FoldClassifier(), row)


def test_where_nothing_can_change_it_is_said():
    x, y = load_iris(return_X_y=True, as_frame=True)
    tree = load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(x, y))
    assert render(explain_row(tree, x.iloc[70], data=x[70:71])).count(": no change leads to it") == 2
    forest = RandomForestClassifier(2, random_state=0).fit(x, np.full(len(x), "a b"))
    shown = render(explain_row(load(forest), x.iloc[0], data=x))
    assert "rule 1 adds +1 to a b, whatever the row\n" in shown
    assert "on average, and this row's values change nothing\n" in shown
    alone = load(DecisionTreeClassifier().fit(x, np.zeros(len(x), int)))
    assert explain_row(alone, x.iloc[0]).counterfactuals == ()


def test_the_rules_that_lead_most_to_the_answer_come_first():
    x, y = load_iris(return_X_y=True)
    boosted = GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=0).fit(x[50:, :2], y[50:])
    weights = [one.rule.weight for one in explain_row(load(boosted), x[50, :2]).fired]  # all for the second class
    assert boosted.predict(x[50:51, :2]) == [2]
    assert weights == sorted(weights, reverse=True)
    weights = [one.rule.weight for one in explain_row(load(boosted), x[53, :2]).fired]
    assert boosted.predict(x[53:54, :2]) == [1]
    assert weights == sorted(weights)
    assert len(set(weights)) > 1


def test_numbers_are_told_apart():
    model = load(DecisionTreeClassifier().fit([[1.6999998], [1.7]], [0, 1]))
    explanation = explain_row(model, {"x0": 1.7})
    assert str(explanation.fired[0].conditions[0]) == "x0 > 1.69999993 (it is 1.7)"
    assert "x0 1.7 -> 1.69999993" in render(explanation)
    assert spell_value(16.7950001, 16.795) == "16.7950001"
    assert spell_value(5.000000001, 5.0) == "5.0000000010000001"
    assert str(RowCondition("x", "x > 16.795", 16.7950001)) == "x > 16.795 (it is 16.7950001)"
    assert str(RowCondition("x", "x <= 16.795", 16.795)) == "x <= 16.795 (it is 16.795)"


def test_texts_in_columns_of_numbers_are_refused_and_gaps_are_missing():
    x, y = load_iris(return_X_y=True, as_frame=True)
    model = load(DecisionTreeClassifier(max_depth=2, random_state=0).fit(x, y))
    with pytest.raises(DataError, match=r"column 'petal width \(cm\)': 'abc' is not a number"):
        explain_row(model, {**x.iloc[70], x.columns[3]: "abc"})
    for gap in (" ", "NA"):
        shown = render(explain_row(model, {**x.iloc[70], x.columns[3]: gap}))
        assert "petal width (cm) is missing\n" in shown
