import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.utils.estimator_checks import parametrize_with_checks

from eric_fast import EricClassifier, parse_program, print_program
from eric_fast.errors import EricError


@parametrize_with_checks([EricClassifier(min_leaf=1, threshold="split")])
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


def test_it_works_in_a_search():
    features, labels = load_digits(return_X_y=True)
    search = GridSearchCV(EricClassifier(), {"threshold": ["mean", "split"], "max_rules": [2, 40]}, cv=3)
    search.fit(features, labels)
    assert search.best_params_ == {"max_rules": 40, "threshold": "split"}


@pytest.mark.parametrize("labels", [["", "a", "b"], ["", " (0)", "b"]])
def test_labels_that_read_alike_stay_apart(labels):
    model = EricClassifier("split", min_leaf=1).fit([[0.0], [1.0], [2.0]], labels)
    assert model.predict([[0.0]]) == [labels[0]]


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
