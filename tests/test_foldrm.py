"""FOLD-RM's fitted object answers as its own evaluator does, at exact thresholds and as its texts are spelt."""

import random
from importlib.util import find_spec
from types import SimpleNamespace

import numpy as np
import pytest

import eric_fast as ef
from bench.foldrm import to_foldrm
from eric_fast.errors import DataError, ModelError
from eric_fast.frontends.rules.foldrm import FOLDRM
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program

TEXTS = ("Low", "low", "very High", "?", "")


def holds(rule, row):
    """Whether FOLD-RM's rule holds on a row: texts and numbers are never compared with one another."""
    for column, operator, value in rule[1]:
        found = row[column]
        if isinstance(value, str):
            truth = (found == value) == (operator == "==")
        elif isinstance(found, str):
            truth = False
        else:
            truth = found <= value if operator == "<=" else found > value
        if not truth:
            return False
    return not any(holds(exception, row) for exception in rule[2])


def make_rule(rng, head, depth):
    tests = []
    for _ in range(rng.randint(2 if isinstance(head, tuple) else 1, 3)):
        column = rng.randrange(4)
        if column < 2:
            tests.append((column, rng.choice(("<=", ">")), rng.choice((rng.randint(-2, 2), rng.random(), 0.1 + 0.2))))
        elif column == 2:
            tests.append((column, rng.choice(("==", "!=")), rng.choice(TEXTS)))
        else:  # numbers, and a text for what is unknown
            tests.append((3, rng.choice(("==", "!=")), "?") if rng.random() < 0.5 else (3, ">", rng.random()))
    n_exceptions = rng.randint(0, 2) if depth else 0
    return head, tests, [make_rule(rng, -1, depth - 1) for _ in range(n_exceptions)], 0


@pytest.mark.parametrize("seed", range(8))
def test_a_fitted_object_answers_as_its_own_evaluator(seed):
    rng = random.Random(seed)
    labels = ("Yes", "no ", "Yes, Sir") if seed % 2 else (3, 1, 2)
    rules = [make_rule(rng, (-1, "==", rng.choice(labels)), 2) for _ in range(5)]
    fitted = SimpleNamespace(attrs=["Hours Per Week", "b", "c.1", "d", "Class"], label="Class", rules=rules)
    constants = [test[2] for test in list_tests(rules) if test[0] < 2] or [0.5]
    rows = []
    for _ in range(200):
        pair = (float(np.nextafter(rng.choice(constants), rng.choice((-9, 9)))), float(rng.choice(constants)))
        rows.append([*rng.sample(pair, 2), rng.choice(TEXTS), rng.choice(("?", rng.random(), 0.25))])
    expected = [next((rule[0][2] for rule in rules if holds(rule, row)), None) for row in rows]
    model = ef.from_foldrm(fitted)
    again = RuleModel.from_program(parse_program(print_program(model.program)))
    table = dict(zip(fitted.attrs, map(list, zip(*rows, strict=True)), strict=False))
    assert len(set(map(str, expected))) > 1
    for each in (model, again):
        assert each.predict(rows).tolist() == each.predict(table).tolist() == expected
    assert model.feature_names_in_.tolist() == fitted.attrs[:-1]


def list_tests(rules):
    return [test for rule in rules for test in (*rule[1], *list_tests(rule[2]))]


def test_the_package_itself():
    if not find_spec("foldrm"):
        pytest.skip("foldrm isn't installed")
    from foldrm import Classifier

    rng = random.Random(0)
    rows = []
    for _ in range(80):
        number, text = rng.random() * 2, rng.choice(("X", "y"))
        rows.append([number, text, "A" if number + (text == "X") > 1 else "b"])
    fitted = Classifier(["a", "b", "label"], ["a"], "label")
    fitted.fit([list(row) for row in rows])
    model = ef.load(fitted)
    assert model.source == "FOLD-RM"
    assert model.predict([row[:2] for row in rows]).tolist() == fitted.predict(rows)


def test_missing_values_are_empty_texts_and_numbers_no_texts():
    rules = [((-1, "==", "a"), [(0, ">", 0.1234567)], [], 0), ((-1, "==", "b"), [(1, "!=", "")], [], 0)]
    model = ef.from_foldrm(SimpleNamespace(attrs=["n", "t", "y"], label="y", rules=rules))
    table = {"n": [0.12345671, 0.1234567, np.nan, None], "t": ["", "", None, "X"]}
    assert model.predict(table).tolist() == ["a", None, None, "b"]
    with pytest.raises(DataError, match="column 't' holds numbers, but the model compares it with texts"):
        model.predict({"n": [1.0], "t": [3]})


def test_exceptions_stay_as_they_are():
    exception = (-1, [(1, "==", "X")], [(-1, [(0, ">", 0.5)], [], 0)], 0)
    rules = [((-1, "==", "a"), ((0, "<=", 0.75),), (exception,), 0), ((-1, "==", "b"), (), (exception,), 0)]
    fitted = SimpleNamespace(attrs=["n", "t"], label="y", rules=rules)
    program = ef.from_foldrm(fitted).program
    assert program.derived == ("ab1", "ab2")  # both rules have the same exceptions
    written = to_foldrm(program, ["n", "t"])
    assert [rule[0] for rule in written] == [rule[0] for rule in rules]
    assert written[0][2][0][1:3] == (((1, "==", "X"),), (((-1, "==", "ab2"), ((0, ">", 0.5),), (), 0),))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"rules": None}, "isn't fitted; call its fit first"),
        ({"rules": [1]}, r"FOLD-RM's rule 1: expected \(head, tests, exceptions, 0\), got 1"),
        ({"rules": [((-1, "==", "a"), [(7, ">", 1.0)], [], 0)]}, "column 7 is not one of the 1 that 'attrs' names"),
        ({"rules": [((-1, "==", "a"), [(0, ">", "x")], [], 0)]}, "'n' '>' 'x' is not a test of FOLD-RM's"),
        ({"rules": [((-1, "==", "a"), [(0, ">", float("nan"))], [], 0)]}, "'n' '>' nan is not a test"),
        ({"rules": [(-1, [], [], 0)]}, "expected a class such as"),
    ],
)
def test_what_is_refused(changed, message):
    with pytest.raises(ModelError, match=message):
        ef.from_foldrm(SimpleNamespace(**{"attrs": ["n", "y"], "label": "y", "rules": [], **changed}))
    with pytest.raises(ModelError, match="a int without 'attrs' is no model of FOLD-RM"):
        ef.from_foldrm(3)
    assert not FOLDRM.matches(SimpleNamespace())
