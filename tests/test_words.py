import io
from dataclasses import replace

from rich.console import Console

from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.words import describe_body, describe_class_rule, describe_program, select_rules
from eric_fast.show.sheet import list_sheets


def test_rules_of_a_negated_kernel_say_when_it_is_not():
    atoms = (InputAtom("f", 0, ">", 1.0), *(InputAtom("g", k, ">", 1.0) for k in range(3)))
    rules = (Rule(1, (0,)), Rule(2, (~0,), 8, 6))
    program = Program(Quantiser(atoms), (), (), rules, negated=(2, 3), n_images=10)
    assert select_rules(program, kernel="g:0") == ["g:0  if  f:0"]
    assert select_rules(program, kernel="g:1") == [
        "not g:1  if  not f:0\n    support 8, coverage 80.0 %, confidence 0.75 (0.41 at least)"
    ]
    assert select_rules(program, kernel="g:2") == ["g:2  if  always"]


def test_weight_rules_are_sums():
    atoms = tuple(InputAtom("f", k, ">", 1.0) for k in range(3))
    rules = (ClassRule(0, (0, ~1, 2), weights=(3, 2, 1), bound=4), ClassRule(0, (0, ~1, 2), weights=(1, 1, 1), bound=2))
    program = Program(Quantiser(atoms), ("a",), rules, labels=((2, "fur"),))
    assert [describe_body(program, rule) for rule in rules] == [
        "3 * f:0 + 2 * not f:1 + f:2 (fur) >= 4",
        "at least 2 of f:0, not f:1, f:2 (fur)",
    ]
    assert describe_class_rule(program, 1) == (
        "a  if at least 4 of 6 points:\n    3  f:0\n    2  not f:1\n    1  f:2 (fur)\n    rule 1: support unknown"
    )
    assert describe_program(program).startswith("2 class rules and 0 kernel rules with 6 literals, 4 integers;")


def make_votes(**changes):
    atoms = tuple(InputAtom(layer, k, ">", 1.0) for layer in "fg" for k in range(2))
    rules = (ClassRule(0, (2,), weight=3, also=((1, -2),)), ClassRule(1, (~3,), weight=7), ClassRule(0, (2,), weight=1))
    return Program(Quantiser(atoms), ("cat", "dog"), rules, decision="vote", **changes)


def print_sheets(program, limit=0):
    console = Console(width=100, record=True, file=io.StringIO())
    for sheet in list_sheets(program, limit):
        console.print(sheet)
    return [" ".join(line.replace("│", " ").split()) for line in console.export_text().splitlines()]


def test_votes_are_a_sheet_of_literals_by_classes():
    lines = print_sheets(make_votes(base=(0.5, 0.0)))
    assert lines[0] == "votes"
    assert [line for line in lines if "g:" in line or "always" in line] == [
        "always, before any rule +0.5 .",
        "not g:1 . +7",
        "g:0 +4 -2",
    ]
    assert any("and 1 more rows" in line for line in print_sheets(make_votes(), 1))
    assert describe_class_rule(make_votes(), 1).endswith("adds +3 cat, -2 dog")
    several = ClassRule(0, (0, 1))
    assert print_sheets(replace(make_votes(), class_rules=(several,))) == []
    assert print_sheets(replace(make_votes(), decision="first", class_rules=(ClassRule(0, (0,)),))) == []


def test_each_start_has_a_sheet_of_its_own():
    rules = (ClassRule(0, (0,), weight=3, start=0), ClassRule(1, (2,), weight=5, start=1), ClassRule(1, (3,), weight=2))
    program = replace(make_votes(starts=(("f",), ("g",))), class_rules=rules)
    assert describe_class_rule(program, 2).endswith("weight 5, from g alone")
    lines = print_sheets(program)
    assert [line for line in lines if ":" in line or "votes" in line] == [
        *("votes from f", "f:0 +3 .", "g:1 . +2"),
        *("votes from g", "g:0 . +5", "g:1 . +2"),
    ]


def test_a_start_of_several_layers_has_its_own_votes_in_its_sheet():
    edges = [("f", "g"), ("f", "h"), ("g", "h"), ("h", "")]
    atoms = tuple(InputAtom(layer, 0, ">", 1.0) for layer in "fgh")
    rules = tuple(ClassRule(0, (2,), weight=3 + start, start=start) for start in range(3))
    starts = (("f",), ("f", "g"), ("h",))
    program = Program(Quantiser(atoms), ("cat", "dog"), rules, decision="vote", edges=edges, starts=starts)
    assert describe_class_rule(program, 2).endswith("weight 4, from f,g alone")
    lines = print_sheets(program)
    assert [line for line in lines if ":" in line or "votes" in line] == [
        *("votes from f", "h:0 +3 ."),
        *("votes from f,g", "h:0 +4 ."),
        *("votes from h", "h:0 +5 ."),
    ]
