"""`eric-fast show` of what is no program's text, and of rules that are less sure of their class than of others."""

from typer.testing import CliRunner

from eric_fast.cli import app
from eric_fast.frontends.registry import load
from eric_fast.program.confidence import list_doubtful_rules
from eric_fast.text import print_program

RULES = (
    "label(X,'a') :- age(X,N), N =< 40. [confidence: 0.2]\n"
    "label(X,'b') :- age(X,N), N =< 60. [confidence: 0.9]\n"
    "label(X,'c'). [confidence: 0.5]\n"
)


def test_a_circuit_is_named_with_the_remedy(tmp_path):
    path = tmp_path / "and.aag"
    path.write_bytes(b"aag 3 2 0 1 1\n2\n4\n6\n6 2 4\n")
    done = CliRunner().invoke(app, ["show", str(path)])
    said = f"{path} is a file of AIGER and BLIF circuits, not a program's text; convert it first: eric-fast convert"
    assert said in str(done.exception)


def test_rules_that_are_less_sure_of_their_class_than_of_others_are_named(tmp_path):
    model = load(RULES)
    assert list_doubtful_rules(model.program) == [1]
    [shares] = model.predict_proba({"age": [30]})
    assert model.classes_[shares.argmax()] != model.predict({"age": [30]})[0] == "a"
    path = tmp_path / "rules.lp"
    path.write_text(print_program(model.program))
    done = CliRunner().invoke(app, ["show", str(path)])
    assert "rule 1: confidence below 1/3, so another class is more probable\n" in done.output
    assert list_doubtful_rules(load(RULES.splitlines()[0]).program) == []  # there is no other class
