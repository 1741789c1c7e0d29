"""Objects say in one line what they are: below 200 characters, whatever they hold."""

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

import eric_fast as ef
from eric_fast.results.described import MOST_CHARACTERS, name_span
from eric_fast.runs import predict_activations
from tests.activations import make_activations


@pytest.fixture(scope="module")
def objects():
    activations = make_activations()
    program = ef.approximate_model(activations, layers="all")
    predictions = predict_activations(program, activations)
    features = np.random.default_rng(0).normal(size=(100, 4))
    forest = RandomForestClassifier(5, random_state=0).fit(features, features[:, 0] > 0)
    evaluator = ef.Evaluator(program)
    return [
        activations,
        program,
        predictions,
        evaluator,
        evaluator.plan,
        ef.evaluate_chains(program, activations)[0],
        ef.analyse_program(program, activations),
        ef.compare_programs(program, program, activations),
        ef.load(forest),
    ]


def test_each_fits_a_line(objects):
    for found in objects:
        line = repr(found)
        assert line.startswith(f"<{type(found).__name__}: ")
        assert line.endswith(">")
        assert "\n" not in line
        assert len(line) <= MOST_CHARACTERS
        assert found._repr_html_().count("<li>") == len(list(found.list_facts())) > 1


def test_long_names_are_cut_and_escaped():
    source = f"a <b>{'long' * 100}</b>"
    model = ef.RuleModel(ef.from_asp("a(X,b) :- c(X,1).").program, source)
    assert len(repr(model)) == MOST_CHARACTERS
    assert repr(model).endswith("...>")
    assert "<b>long" not in model._repr_html_()
    assert "&lt;b&gt;long" in model._repr_html_()


def test_spans_of_names():
    assert name_span((), "layer") == "no layer"
    assert name_span(("a",), "layer") == "layer a"
    assert name_span(("a", "b", "c"), "layer") == "3 layers (a to c)"
