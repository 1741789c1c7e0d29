from dataclasses import replace

import pytest
import torch

from eric_fast.bits import BitMatrix
from eric_fast.compile.program import compile_program
from eric_fast.errors import ProgramError
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Column, Decision, Program, Rule, TableAtom, TableQuantiser
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.text import parse_program, print_program

ATOMS = (
    InputAtom("f", 0, ">", 1.0),
    InputAtom("f", 1, ">", 1.0),
    InputAtom("g", 0, ">", 1.0),
    InputAtom("g", 7, ">", 1.0),
)
F0, F1, G0, G7 = range(4)


def make(class_rules=(), kernel_rules=(), classes=("a", "b"), atoms=ATOMS, **settings):
    return Program(Quantiser(tuple(atoms)), tuple(classes), tuple(class_rules), tuple(kernel_rules), **settings)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kernel_rules": [Rule(G0, (G7,)), Rule(G7, (F0, ~G0))]}, "recursion: g:0 <- g:7 <- g:0"),
        ({"kernel_rules": [Rule(G0, (~G0,))]}, "recursion: g:0 <- g:0"),
        ({"kernel_rules": [Rule(F0, (F1,))]}, "f:0 can't have a rule: it is in the lowest layer, whose bits are given"),
        ({"kernel_rules": [Rule(4, ())]}, "a rule is for atom 4, but the program has only 4 atoms"),
        ({"negated": (4,)}, "negated mentions atom 4, but the program has only 4 atoms"),
        ({"negated": (G0, F1)}, "f:1 can't be negated: it is in the lowest layer"),
        ({"negated": (G7, G0, G7)}, "negated mentions g:7 twice"),
        ({"kernel_rules": [Rule(G0, (G7,)), Rule(G7, (G0,))], "negated": (G0, G7)}, "recursion: g:0 <- g:7 <- g:0"),
        ({"class_rules": [ClassRule(2, ())]}, "class rule 1 is for class 2, but the program has only 2 classes"),
        ({"class_rules": [ClassRule(0, (4,))]}, "class rule 1 has literal 4, but the program has only 4 atoms"),
        ({"class_rules": [ClassRule(0, (), 3, 4)]}, "4 correct of 3 covered"),
        ({"class_rules": [ClassRule(0, (), 3)]}, "give both covered and correct, or neither"),
        ({"class_rules": [ClassRule(0, (), 30, 4)], "n_images": 20}, "30 covered of 20"),
        ({"classes": ("a", "a")}, "two of the class names are 'a'"),
        ({"classes": ("a", "")}, "empty name"),
        ({"classes": ("a", "b\0")}, "can't hold"),
        ({"classes": ("a", "\ud800")}, "can't hold"),
        ({"default": 2}, "the default is class 2, but"),
        ({"decision": "last"}, "not one of first, vote"),
        ({"base": (1, 2)}, "base needs decision 'vote'"),
        ({"base": (1,), "decision": "vote"}, "one number for each of the 2 classes"),
        ({"class_rules": [ClassRule(0, (), weight=float("nan"))]}, "finite"),
        ({"class_rules": [ClassRule(0, (), also=((0, 1),))]}, "'also'"),
        (
            {"class_rules": [ClassRule(0, (), also=((2, 1),))]},
            "class rule 1 adds to class 2, but the program has only 2",
        ),
        ({"labels": ((4, "wheel"),)}, "label 'wheel' is for atom 4, but the program has only 4 atoms"),
        ({"labels": ((0, "wheel"), (0, "tyre"))}, "two labels have the same key"),
        ({"atoms": (ATOMS[0], ATOMS[0])}, "kernel 0 of layer 'f' occurs twice"),
        ({"atoms": (ATOMS[0], ATOMS[2], ATOMS[1])}, "must stand together"),
        ({"atoms": (InputAtom("f", 0, ">", float("nan")),)}, "not a finite"),
        ({"atoms": (InputAtom("f", 0, ">", 1e300),)}, "not a finite"),
        ({"atoms": (InputAtom("f", 0, "~", 0),)}, "operator '~'"),
        ({"atoms": (InputAtom("f", -1, ">", 0),)}, "-1 is not a kernel number"),
    ],
)
def test_what_has_no_meaning_is_refused(arguments, message):
    with pytest.raises(ProgramError, match=message):
        make(**arguments)


@pytest.mark.parametrize(
    "rules", [[ClassRule(0, (), weight=2**31)], [ClassRule(0, (), 1, 1, 2**30), ClassRule(0, (F0,), 1, 1, 2**30)]]
)
def test_whole_weights_that_clingo_would_wrap_are_printed_as_reals(rules):
    program = make(rules, decision="vote")
    assert not program.has_integer_weights
    assert make(rules[1:] or [ClassRule(0, (), weight=2**31 - 1)], decision="vote").has_integer_weights
    text = print_program(program)
    assert f'rule(1,"a","{float(rules[0].weight)}").' in text
    assert "#sum" not in text
    assert parse_program(text) == program


def test_thresholds_are_rounded_to_float32():
    assert InputAtom("f", 0, ">", 0.1) == InputAtom("f", 0, ">", 0.10000000149011612)


def test_strata_follow_what_rules_mention():
    rules = [Rule(G0, (F0,)), Rule(G7, (G0, ~F1)), Rule(G7, ())]
    assert make(kernel_rules=rules).strata == ((G0,), (G7,))


def test_negated_atoms_are_sorted_and_ordered_like_others():
    rules = [Rule(G7, (~G0,)), Rule(G0, (F0,))]
    program = make(kernel_rules=rules, negated=[G7, G0])
    assert program.negated == (G0, G7)
    assert program.strata == ((G0,), (G7,))
    assert make(negated=(G0,)).strata == ()
    assert program != make(kernel_rules=rules, negated=(G0,))


def test_starting_higher_keeps_the_negated_atoms_above():
    h = [InputAtom("h", k, ">", 1.0) for k in range(2)]
    program = make(kernel_rules=[Rule(5, (G7,))], atoms=[*ATOMS, *h], negated=(5, G0))
    assert program.start_at("f").negated == (G0, 5)
    assert program.start_at("g").negated == (3,)
    assert program.start_at("h").negated == ()


def test_a_deep_chain_needs_no_recursion():
    n = 5000
    atoms = [InputAtom("f", k, ">", 0.0) for k in range(1)] + [InputAtom("g", k, ">", 0.0) for k in range(n)]
    program = make(kernel_rules=[Rule(k + 1, (~k,)) for k in range(n)], atoms=atoms)
    assert len(program.strata) == n


def test_size_counts_literals_of_all_rules():
    assert make([ClassRule(0, (G0, ~G7))], [Rule(G0, (F0, F1, F0))]).n_literals == 5


def test_starting_higher_leaves_the_rules_below_out():
    program = make([ClassRule(0, (G0, ~G7))], [Rule(G0, (F0,))], labels=((0, "low"), (2, "high")), n_images=9)
    part = program.start_at("g")
    assert part.layers == ("g",)
    assert part.class_rules == (ClassRule(0, (0, ~1)),)
    assert part.kernel_rules == ()
    assert part.labels == ((0, "high"),)
    assert part.n_images == 9
    assert program.start_at("f") is program
    assert compile_program(program, "g").atoms.tolist() == [G0, G7]


def test_a_rule_that_reaches_below_the_start_is_refused():
    program = make([ClassRule(0, (G0,)), ClassRule(1, (~F1,))])
    with pytest.raises(ProgramError, match=r"can't start at 'g': class rule 2 mentions f:1.*start at 'f'"):
        program.start_at("g")


def test_unknown_start_layer_is_answered_with_the_nearest():
    with pytest.raises(ProgramError, match="no layer 'ff'; did you mean 'f'"):
        make().start_at("ff")


@pytest.mark.parametrize("name", ["g:7", "g_7", "k_g_7", "wheel"])
def test_atoms_are_found_by_every_name(name):
    assert make(labels=((G7, "wheel"),)).atom_named(name) == G7


def test_ambiguous_and_unknown_names_of_atoms():
    twins = make(atoms=[InputAtom("a.b", 0, ">", 0.0), InputAtom("a_b", 0, ">", 0.0)])
    with pytest.raises(ProgramError, match=r"could be 'a\.b:0' or 'a_b:0'"):
        twins.atom_named("k_a_b_0")
    with pytest.raises(ProgramError, match="did you mean 'g:7'"):
        make().atom_named("gg:7")


@pytest.mark.parametrize("name", ["first", "vote", "sum", "labels", "bits"])
def test_a_decision_is_taken_by_its_name_and_equals_it(name):
    program = make(classes=() if name == "bits" else ("a", "b"), decision=name)
    assert program.decision is Decision(name)
    assert program.decision == name
    assert f'decision("{name}").' in print_program(program)
    kinds = (program.decision.gives_class, program.decision.gives_sums, program.decision.gives_bits)
    assert kinds == (name in ("first", "vote"), name == "sum", name == "bits")
    if not program.decision.gives_class:
        with pytest.raises(ProgramError, match=f"a proof needs .* decision is '{name}'"):
            program.expect_class("a proof")


def test_tables_and_networks_are_told_apart_by_type():
    table = TableQuantiser((TableAtom(0, "age", ">", 1.0),), (Column("age"),))
    program = Program(table, ("a",), (ClassRule(0, (0,)),))
    assert program.table_quantiser is table
    with pytest.raises(ProgramError, match="over the columns of a table"):
        _ = program.network_quantiser
    assert make().network_quantiser.atoms == ATOMS
    with pytest.raises(ProgramError, match="over the kernels of a network"):
        _ = make().table_quantiser


def test_a_program_that_compares_nothing_is_of_neither_kind():
    program = Program(TableQuantiser((), ()), ("a",), (ClassRule(0, ()),))
    assert program.quantiser == Quantiser(())
    assert program.table_quantiser == TableQuantiser((), ())
    assert parse_program(print_program(program)) == program


def make_started_program():
    """Two layers, votes of their own from each, and one for both."""
    atoms = tuple(InputAtom(layer, k, ">", 0.0) for layer in "fg" for k in range(2))
    rules = (ClassRule(0, (2,), weight=2, start=0), ClassRule(1, (2,), weight=3, start=1), ClassRule(0, (3,)))
    kernels = (Rule(2, (0,)), Rule(3, (1,)))
    starts = {"starts": (("f",), ("g",)), "start_bases": ((0, 1), (5, 0))}
    return Program(Quantiser(atoms), ("a", "b"), rules, kernels, decision="vote", **starts)


def test_a_start_has_its_own_class_rules_and_base():
    program = make_started_program()
    bits = BitMatrix.from_bools(torch.tensor([[True, False], [True, True], [False, False]]), ["f:0", "f:1"])
    below = Evaluator(program).predict(bits, with_scores=True)
    assert below.scores.tolist() == [[2, 1], [3, 1], [0, 1]]
    assert below.rules.tolist() == [0, 0, -1]
    given = Evaluator(program).truth(bits, ["g:0", "g:1"])
    above = Evaluator(program, "g").predict(given, with_scores=True)
    assert above.scores.tolist() == [[5, 3], [6, 3], [5, 0]]
    part = program.start_at("g")
    assert (len(part.class_rules), part.base, part.starts, part.layers) == (2, (5, 0), (), ("g",))
    assert torch.equal(Evaluator(part).predict(given).classes, above.classes)
    assert Evaluator(program).counts(bits).tolist() == [2, 1, 2, 0, 1]  # the rule of the other start doesn't run


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"starts": (("g",),), "start_bases": ()}, "class rule 2 is for start 1, but the program has 1"),
        ({"starts": (("g",), ("g",))}, "a start stands twice"),
        ({"starts": (("g",), ("h",))}, "a start must be layers of the program, not 'h'"),
        ({"starts": (("f", "g"), ("g",))}, "write the start 'f,g' as 'g': list its layers in order, without any"),
        ({"start_bases": ((1, 2),)}, "start bases need decision"),
        ({"start_bases": ((1,), (2,))}, "start bases need one number for each of the 2 classes"),
        ({"base": (1, 1)}, "start bases need decision 'vote', 'sum' or 'labels', one for each start, and no other"),
    ],
)
def test_starts_that_mean_nothing_are_refused(changes, message):
    with pytest.raises(ProgramError, match=message):
        replace(make_started_program(), **changes)


def test_a_start_without_class_rules_is_refused():
    program = replace(
        make_started_program(), starts=(("f",),), start_bases=(), class_rules=(ClassRule(0, (2,), start=0),)
    )
    with pytest.raises(ProgramError, match=r"no class rules for start 'g', only for 'f'"):
        Evaluator(program, "g")


@pytest.mark.parametrize(
    ("weights", "bound", "message"),
    [
        ((2, 0), 1, "weights must be whole numbers from 1; give a negative one to the negation"),
        ((2, -1), 1, "weights must be whole numbers from 1; give a negative one to the negation"),
        ((2, 1.5), 1, "must be whole numbers"),
        ((2, 1), 4, "its bound is more than its weights sum to"),
        ((2, 1), -1, "its bound must be at least 1"),
        ((2,), 1, "needs a weight for each literal, but one has 1 for 2"),
        ((2**31 - 1, 1), 1, "its weights sum to more than 2,147,483,647"),
        ((2**31, 1), 1, r"larger than 2\^31 - 1"),
    ],
)
def test_weight_bodies_that_mean_nothing_are_refused(weights, bound, message):
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(2))
    with pytest.raises(ProgramError, match=message):
        Program(Quantiser(atoms), ("a",), (ClassRule(0, (0, ~1), weights=weights, bound=bound),))


def test_a_weight_body_has_each_literal_once():
    atoms = (InputAtom("f", 0, ">", 0.0),)
    with pytest.raises(ProgramError, match="class rule 2 has a weight body, but it has the same literal twice"):
        Program(Quantiser(atoms), ("a",), (ClassRule(0, ()), ClassRule(0, (0, 0), weights=(1, 2), bound=3)))
