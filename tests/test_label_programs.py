"""Programs that answer with several labels: every engine, text and export says what a plain interpreter does."""

from dataclasses import replace

import clingo
import pytest
import torch
from hypothesis import given

from eric_fast.bits import BitMatrix
from eric_fast.errors import ModelError, ProgramError
from eric_fast.evaluator import Evaluator
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.printers.names import name_predicates
from eric_fast.table.explain.explain_row import explain_row
from eric_fast.table.model import RuleModel
from eric_fast.text import parse_program, print_program
from tests.examples import try_examples
from tests.make_programs import count_inputs, programs_with_bits
from tests.oracles import interpret

ATOMS = tuple(InputAtom("f", column, ">", 0.5) for column in range(3))
PETS = Program(
    Quantiser(ATOMS),
    ("cat", "dog", "bird"),
    (
        ClassRule(0, (0, ~1), 9, 7),
        ClassRule(0, (2,), 8, 4),
        ClassRule(1, (1,), weight=-1),
        ClassRule(2, (0, 1, 2), weights=(2, 1, 1), bound=3),
    ),
    decision="labels",
    base=(0, 1, 0),
)
BITS = BitMatrix.from_bools(
    torch.tensor([[a, b, c] for a in (False, True) for b in (False, True) for c in (False, True)]),
    [atom.name for atom in ATOMS],
)


def make_labels(program):
    """The program with its class rules as those of labels; None if it has no classes."""
    if not program.classes:
        return None
    return replace(program, decision=Decision.LABELS, default=None)


def list_sums(program, given):
    _, fired, _ = interpret(program, given)
    sums = list(program.base or [0.0] * len(program.classes))
    for rule in (program.class_rules[number - 1] for number in fired):
        for output, weight in ((rule.head, rule.weight), *rule.also):
            sums[output] += weight
    return sums


def ask_clingo(program, samples):
    predicates = name_predicates(program)
    facts = [f'image("{i}").' for i in range(len(samples))]
    facts += [f'{predicates[atom]}("{i}").' for i, given in enumerate(samples) for atom in given]
    control = clingo.Control(["0"], logger=lambda code, text: None)
    control.add("base", [], print_program(program) + "\n".join(facts))
    control.ground([("base", [])])
    models = []
    control.solve(on_model=lambda model: models.append(model.symbols(atoms=True)))
    (model,) = models
    return {(int(symbol.arguments[0].string), symbol.arguments[1].string) for symbol in model if symbol.name == "holds"}


@try_examples(30)
@given(programs_with_bits(with_sums=True))
def test_engines_texts_and_clingo_agree(case):
    program, bits = case
    program = make_labels(program.select_start())
    if program is None:
        return
    assert parse_program(print_program(program)) == program
    assert "format(2)." in print_program(program)
    names = [atom.name for atom in program.atoms[: count_inputs(program)]]
    words = BitMatrix.from_bools(bits, names)
    samples = [set(row.nonzero().flatten().tolist()) for row in bits]
    expected = [[total > 0 for total in list_sums(program, given)] for given in samples]
    for engine in ("reference", "cpu"):
        found = Evaluator(program, engine=engine).predict(words)
        assert found.labels.tolist() == expected
        assert (found.classes >= 0).all()
    if program.has_integer_weights:
        wanted = {(i, program.classes[c]) for i, row in enumerate(expected) for c, true in enumerate(row) if true}
        assert ask_clingo(program, samples[:8]) == {pair for pair in wanted if pair[0] < 8}
    for index, label in enumerate(program.classes):
        one = Evaluator(program.select_label(label)).predict(words).classes
        assert one.tolist() == [int(row[index]) for row in expected]


def test_a_label_is_true_where_its_sum_is_above_0():
    labels = Evaluator(PETS).labels(BITS).tolist()
    truth = BITS.to_bools().tolist()
    assert labels == [[(a and not b) or c, not b, 2 * a + b + c >= 3] for a, b, c in truth]


def test_python_and_prolog_say_the_same():
    names = {}
    exec(PETS.to_python(), names)
    rows = BITS.to_bools().double()
    found = [names["predict"](row) for row in rows.tolist()]
    assert found == Evaluator(PETS).labels(BITS).tolist()
    assert "holds(X, Label) :- score(X, Label, Sum), Sum > 0." in PETS.to_prolog()
    assert "sums[1] = 1.0;" in PETS.to_c()


def test_one_label_keeps_the_support_of_its_own_rules_and_its_base():
    cat, dog = PETS.select_label("cat"), PETS.select_label("dog")
    assert (cat.classes, cat.base, cat.default) == (("not cat", "cat"), (), 0)
    assert [(rule.head, rule.covered, rule.correct) for rule in cat.class_rules] == [(1, 9, 7), (1, 8, 4)]
    assert (dog.base, dog.default) == ((), 1)  # a dog, unless the rule says not
    assert [(rule.head, rule.weight) for rule in dog.class_rules] == [(0, 1)]


def test_rules_that_say_where_a_label_is_false_vote_against_it():
    """They keep their support, which counts images on which it is false; beside rules for the label they lose it."""
    against, for_it = ClassRule(0, (0,), 9, 7, -2.0), ClassRule(0, (1,), 8, 4)
    program = replace(PETS, class_rules=(against, for_it), base=(1, 0, 0))
    mixed, alone = program.select_label("cat"), replace(program, class_rules=(against,)).select_label("cat")
    assert [(rule.head, rule.weight, rule.covered, rule.correct) for rule in alone.class_rules] == [(0, 2, 9, 7)]
    assert [(rule.head, rule.weight, rule.correct) for rule in mixed.class_rules] == [(1, -2, None), (1, 1, 4)]
    for one, whole in ((mixed, program), (alone, replace(program, class_rules=(against,)))):
        assert Evaluator(one).classes(BITS).tolist() == Evaluator(whole).labels(BITS)[:, 0].int().tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PETS.select_label("cats"), "'cats' is not a label of this program; did you mean 'cat'"),
        (lambda: replace(PETS, decision="sum").select_label("cat"), "decision is 'sum' has no labels"),
        (lambda: replace(PETS, default=0), "'labels' can't have a default; set its base instead"),
        (lambda: PETS.expect_class("a report"), "a report needs .* 'labels'; take one label of it, with --label"),
        (lambda: Evaluator(replace(PETS, decision="sum")).labels(BITS), "has no labels"),
    ],
)
def test_what_labels_cannot_do_is_said(make, message):
    with pytest.raises(ProgramError, match=message):
        make()


def test_rules_over_tables_answer_with_labels_too():
    text = """format(2). column(0,"age","float32"). compare(c_age_1,0,">","30"). compare(c_age_2,0,">","60").
    classes(0,"adult"). classes(1,"young"). decision("labels"). base("young",1). base("adult",0).
    rule(1,"adult",1). fires(X,1) :- image(X), c_age_1(X). rule(2,"young",-1). fires(X,2) :- image(X), c_age_2(X)."""
    rules = "\n".join(
        line for line in print_program(PETS).splitlines() if line.startswith(("weight(", "score(", "holds("))
    )
    model = RuleModel.from_program(parse_program(text + rules))
    assert model.predict([[20.0], [40.0], [70.0]]).tolist() == [[0, 1], [1, 1], [1, 0]]
    assert model.n_outputs_ == 2
    with pytest.raises(ModelError, match="explain one, with program.select_label"):
        explain_row(model, [20.0])
    one = RuleModel.from_program(model.program.select_label("young"))
    assert one.predict([[20.0], [70.0]]).tolist() == ["young", "not young"]


def test_labels_follow_from_a_start_above_the_lowest_layer():
    chain = Program(
        Quantiser((*ATOMS, InputAtom("g", 0, ">", 0.5))),
        ("cat", "dog"),
        (ClassRule(0, (3,)), ClassRule(1, (~3,))),
        (Rule(3, (0, 1)),),
        decision="labels",
    )
    high = BitMatrix.from_bools(torch.tensor([[True], [False]]), ["g:0"])
    assert Evaluator(chain, "g").labels(high).tolist() == [[True, False], [False, True]]
