import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from eric_fast import EricClassifier, FoldClassifier, load, parse_program, print_program, save_program
from eric_fast.errors import EricError


@parametrize_with_checks([EricClassifier(min_leaf=1, threshold="split"), FoldClassifier()])
def test_it_is_an_estimator(estimator, check):
    check(estimator)


def test_it_learns_and_is_a_program():
    features, labels = load_digits(return_X_y=True)
    names = np.array(["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"])[labels]
    train, test, y_train, y_test = train_test_split(features, names, random_state=0, stratify=names)
    model = EricClassifier("split", min_leaf=3).fit(train, y_train)
    assert model.score(test, y_test) > 0.75
    assert model.program_.classes == tuple(model.classes_) == tuple(sorted(set(names)))
    assert parse_program(print_program(model.program_)) == model.program_
    assert clone(model).get_params()["min_leaf"] == 3


def test_its_saved_program_is_a_table_program(tmp_path):
    table, labels = load_iris(return_X_y=True, as_frame=True)
    model = EricClassifier("split", min_leaf=5).fit(table, labels)
    save_program(model.program_, tmp_path / "iris.lp")
    loaded = load(tmp_path / "iris.lp")
    assert loaded.source == "EricClassifier"
    assert loaded.feature_names_in_.tolist() == list(table.columns)
    expected = model.predict(table)
    for rows in (table, table.to_numpy(), table[table.columns[::-1]]):
        assert (loaded.predict(rows) == expected).all()
    assert loaded.predict(table).dtype == labels.dtype
    assert len(set(expected)) == 3
    unnamed = load(print_program(EricClassifier("split", min_leaf=5).fit(table.to_numpy(), labels).program_))
    assert unnamed.program.atoms[0].name.startswith("x0 > ")
    assert (unnamed.predict(table) == expected).all()


def test_its_rules_are_read_by_column_name():
    rows, labels = load_iris(return_X_y=True, as_frame=True)
    model = EricClassifier("split", max_rules=2).fit(rows, np.array(["setosa", "versicolor", "virginica"])[labels])
    (first, second), (atom,) = model.rules_, {rule.body[0] for rule in model.program_.class_rules if rule.body[0] >= 0}
    name = model.program_.atoms[atom].name
    assert name.startswith("petal ")
    assert first.split("\n")[0].endswith(f"  if  {name}")
    assert second.split("\n")[0] == f"setosa  if  not {name}"


def test_probabilities_are_the_training_shares_of_the_rule():
    features, labels = load_digits(return_X_y=True)
    train, test, y_train, _ = train_test_split(features, labels, random_state=0)
    model = EricClassifier("split", min_leaf=20).fit(train, y_train)
    rules = model.program_.class_rules
    assert model.counts_.sum(axis=1).tolist() == [rule.covered for rule in rules]
    assert [row[rule.head] for row, rule in zip(model.counts_, rules, strict=True)] == [r.correct for r in rules]
    found = model.predict_proba(test)
    assert found.shape == (len(test), 10)
    assert np.allclose(found.sum(axis=1), 1)
    assert (model.classes_[found.argmax(axis=1)] == model.predict(test)).all()
    shares = model.predict_proba(train)
    assert np.isclose(shares.sum(axis=0), np.bincount(y_train)).all()  # each rule's samples, by its own shares


def test_it_works_in_a_search():
    features, labels = load_digits(return_X_y=True)
    search = GridSearchCV(EricClassifier(), {"threshold": ["mean", "split"], "max_rules": [2, 40]}, cv=3)
    search.fit(features, labels)
    assert search.best_params_ == {"max_rules": 40, "threshold": "split"}


@pytest.mark.parametrize("labels", [["", "a", "b"], ["", " (0)", "b"]])
def test_labels_that_read_alike_stay_apart(labels):
    model = EricClassifier("split", min_leaf=1).fit([[0.0], [1.0], [2.0]], labels)
    assert model.predict([[0.0]]) == [labels[0]]


@pytest.mark.slow
@pytest.mark.parametrize("parameters", [{"min_leaf": np.int64(1)}, {"threshold": 0.5}, {"max_rules": np.int32(4)}])
def test_numbers_of_every_kind_are_taken(parameters):
    EricClassifier(**parameters).fit([[0.0], [1.0]], [0, 1])


@pytest.mark.parametrize(
    "parameters", [{"min_leaf": "0.1"}, {"max_depth": "3"}, {"max_rules": True}, {"min_leaf": True}]
)
def test_what_is_no_number_is_refused(parameters):
    with pytest.raises(EricError, match="must be a whole number"):
        EricClassifier(**parameters).fit([[0.0], [1.0]], [0, 1])


def test_one_class_only_is_refused():
    with pytest.raises(EricError, match="at least two classes"):
        EricClassifier().fit([[0.0], [1.0]], [3, 3])
