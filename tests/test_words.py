from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.words import describe_body, select_rules


def test_rules_of_a_negated_kernel_say_when_it_is_not():
    atoms = (InputAtom("f", 0, ">", 1.0), *(InputAtom("g", k, ">", 1.0) for k in range(3)))
    rules = (Rule(1, (0,)), Rule(2, (~0,), 8, 6))
    program = Program(Quantiser(atoms), (), (), rules, negated=(2, 3), n_images=10)
    assert select_rules(program, kernel="g:0") == ["g:0  if  f:0"]
    assert select_rules(program, kernel="g:1") == [
        "not g:1  if  not f:0\n    support 8, coverage 80.0 %, confidence 0.75"
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
