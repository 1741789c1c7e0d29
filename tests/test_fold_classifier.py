"""`FoldClassifier`: against FOLD-RM in plain Python on tables, as a saved program, on data sets that others publish."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_iris, load_wine
from sklearn.model_selection import StratifiedKFold, cross_val_score

from eric_fast import FoldClassifier, load, parse_program, print_program, save_program
from eric_fast.errors import EricError
from tests.examples import try_examples
from tests.foldrm import fires, fold_list


def make_table(seed, n):
    """Numbers, few or many of them different, and texts; labels that follow from some of these."""
    rng = np.random.default_rng(seed)
    columns = {
        "size": rng.integers(-2, 6, n) / 2,
        "kind": rng.choice(["a", "b", "c"], n),
        "side": rng.choice(["left", "right"], n),
        "weight": rng.normal(0, 1, n),
    }
    rule = (columns["size"] <= 1) ^ (columns["kind"] == "b") & (columns["weight"] > 0.2)
    labels = np.where(rng.random(n) < 0.1, rng.integers(0, 3, n), np.where(rule, 1, 2 * (columns["side"] == "left")))
    return columns, labels


def to_plain(program, rule):
    """A class rule, or an exception, as (literals, exceptions)."""
    literals, exceptions = [], ()
    for literal in rule.body:
        number = literal if literal >= 0 else ~literal
        if number >= len(program.quantiser.atoms):
            exceptions = tuple(to_plain(program, each) for each in program.rules_of_atom[number])
            continue
        atom = program.atoms[number]
        value = atom.constant[0] if atom.operator == "in" else atom.constant
        pair = ("==", "!=") if atom.operator == "in" else ("<=", ">")
        literals.append((atom.column, pair[literal < 0], value))
    return tuple(literals), exceptions


@try_examples(25)
@given(st.integers(0, 2**32 - 1), st.integers(3, 60), st.sampled_from([0.2, 0.5, 1]))
def test_rules_on_tables_are_those_of_the_published_algorithm(seed, n, ratio):
    columns, labels = make_table(seed, n)
    if len(set(labels)) < 2:
        return
    model = FoldClassifier(ratio).fit(pd.DataFrame(columns), labels)
    found = [(rule.head, to_plain(model.program_, rule)) for rule in model.program_.class_rules]
    examples = list(zip(*(values.tolist() for values in columns.values()), strict=True))
    target = np.searchsorted(model.classes_, labels).tolist()
    assert found == fold_list(examples, target, len(model.classes_), ratio)
    first = [next((head for head, rule in found if fires(rule, example)), -1) for example in examples]
    expected = [model.program_.default if head < 0 else head for head in first]
    assert model.predict(pd.DataFrame(columns)).tolist() == model.classes_[expected].tolist()


def test_its_saved_program_is_a_table_program(tmp_path):
    columns, labels = make_table(1, 400)
    frame, names = pd.DataFrame(columns), np.array(["low", "middle", "high"])[labels]
    model = FoldClassifier(tail=0.01).fit(frame, names)
    assert model.score(frame, names) > 0.85
    save_program(model.program_, tmp_path / "rules.lp")
    loaded = load(tmp_path / "rules.lp")
    assert loaded.source == "FoldClassifier"
    expected = model.predict(frame)
    for rows in (frame, pl.from_pandas(frame), columns, frame[frame.columns[::-1]]):
        assert (loaded.predict(rows) == expected).all()
    assert parse_program(print_program(model.program_)) == model.program_
    assert clone(model).get_params()["tail"] == 0.01
    frame.loc[0, "kind"] = "never seen"
    assert set(model.predict(frame)) <= set(names)


def test_rules_are_read_with_their_exceptions():
    frame = pd.DataFrame(
        {"bird": [1, 1, 1, 1, 1, 0, 0], "penguin": [0, 0, 0, 1, 1, 0, 0], "jet": [0, 0, 0, 0, 1, 0, 0]}
    )
    model = FoldClassifier(ratio=1).fit(frame, ["flies", "flies", "flies", "walks", "flies", "walks", "walks"])
    assert [text.rpartition("\n")[0] for text in model.rules_] == [
        "flies  if  not bird <= 0.0 and not ab1\n"
        "    unless  not penguin <= 0.0 and not ab2  (ab1)\n"
        "        unless  not jet <= 0.0  (ab2)"
    ]
    assert model.predict(pd.DataFrame({"bird": [1], "penguin": [1], "jet": [1]})).tolist() == ["flies"]
    assert model.program_.default == 1


def test_probabilities_are_the_training_shares_of_the_rule():
    columns, labels = make_table(3, 300)
    frame = pd.DataFrame(columns)
    model = FoldClassifier(tail=0.02).fit(frame, labels)
    assert model.counts_[:-1].sum(axis=1).tolist() == [rule.covered for rule in model.program_.class_rules]
    assert model.counts_.sum() == 300
    found = model.predict_proba(frame)
    assert np.isclose(found.sum(axis=0), np.bincount(labels)).all()
    assert (model.classes_[found.argmax(axis=1)] == model.predict(frame)).all()


def test_columns_of_many_values_are_cut_at_quantiles():
    values = np.random.default_rng(0).permutation(10_000).astype(float)[:, None]
    labels = values[:, 0] >= 2700
    first = [FoldClassifier(max_thresholds=n).fit(values, labels).program_.atoms[0] for n in (10_000, 3)]
    assert [atom.name for atom in first] == ["x0 <= 2699.0", "x0 <= 2499.0"]  # a quarter of all rows


def test_categories_of_numbers_are_compared_by_equality():
    codes = np.array([[0, 1], [1, 0], [2, 1], [3, 0], [1, 1], [2, 0]] * 3)
    labels = codes[:, 0] == 1
    atoms = FoldClassifier(categorical_features=[0]).fit(codes, labels).program_.atoms
    assert [atom.name for atom in atoms] == ["x0 == 1.0"]
    frame = pd.DataFrame(codes, columns=["code", "other"])
    atoms = FoldClassifier(categorical_features=["code"]).fit(frame, labels).program_.atoms
    assert [atom.name for atom in atoms] == ["code == 1.0"]


@pytest.mark.parametrize(("read", "least"), [(load_iris, 0.93), (load_breast_cancer, 0.92), (load_wine, 0.92)])
def test_data_sets_that_others_publish(read, least):
    features, labels = read(return_X_y=True)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    assert cross_val_score(FoldClassifier(), features, labels, cv=folds).mean() > least


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"tail": 0.7}, "tail must be a share from 0 to 0.5"),
        ({"ratio": -1}, "ratio must be a number from 0 to 1"),
        ({"max_thresholds": 0}, "max thresholds must be"),
        ({"categorical_features": ["sise"]}, "did you mean 'size'"),
        ({"categorical_features": [4]}, "categorical feature 4 is no column"),
    ],
)
def test_parameters_without_meaning_are_refused(parameters, message):
    columns, labels = make_table(0, 30)
    with pytest.raises(EricError, match=message):
        FoldClassifier(**parameters).fit(pd.DataFrame(columns), labels)


def test_one_class_only_is_refused():
    with pytest.raises(EricError, match="at least two classes"):
        FoldClassifier().fit([[0.0], [1.0]], [3, 3])
