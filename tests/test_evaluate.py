"""What a program means: every engine against clingo and a plain interpreter, and answers that must hang together."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, EricError
from eric_fast.evaluator import Predictions
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.runs import predict_bits
from eric_fast.score import score_predictions
from tests.check_programs import check_program
from tests.examples import try_examples
from tests.make_programs import programs, programs_with_bits

CHAIN = Program(  # f -> g -> classes
    quantiser=Quantiser(tuple(InputAtom(layer, k, ">", 0.0) for layer in "fg" for k in range(3))),
    classes=("a", "b", "c"),
    class_rules=(ClassRule(0, (3, ~4), 9, 9), ClassRule(1, (~5,), 9, 9), ClassRule(0, (5,), 9, 9)),
    kernel_rules=(Rule(3, (0,)), Rule(3, (~1, 2)), Rule(4, (1,)), Rule(5, ())),
)


def give_bits(program, n_samples=200, seed=0, start=None):
    atoms = [program.atoms[row] for row in program.quantiser.rows_of_layer[program.layer_to_start(start)]]
    bits = torch.rand(n_samples, len(atoms), generator=torch.Generator().manual_seed(seed)) < 0.5
    return BitMatrix.from_bools(bits, [atom.name for atom in atoms])


@try_examples(120)
@given(programs_with_bits(with_sums=True))
def test_engines_agree_with_clingo_and_the_interpreter(case):
    check_program(*case)


@pytest.mark.parametrize(
    "program",
    [
        Program(Quantiser(()), (), ()),
        Program(Quantiser(()), ("a",), (ClassRule(0, ()),)),
        Program(Quantiser((InputAtom("f", 0, ">", 0.0),)), ("a",), (), default=0),
        Program(Quantiser((InputAtom("f", 0, ">", 0.0),)), ("a", "b"), (ClassRule(0, (0, ~0)), ClassRule(1, (0, 0)))),
        CHAIN,
        replace(CHAIN, decision="vote", base=(0, 1, 0)),
    ],
    ids=["empty", "only an empty body", "no rules", "contradictory literals", "chain", "vote"],
)
@pytest.mark.parametrize("n_samples", [0, 1, 31, 32, 33, 63, 1000])
def test_special_programs(program, n_samples):
    n_inputs = len(program.quantiser.atoms_of_layer(program.layers[0])) if program.layers else 0
    for value in (False, True):
        check_program(program, torch.full((n_samples, n_inputs), value))


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_permuted_samples_give_permuted_predictions(engine):
    bits = give_bits(CHAIN).to_bools()
    order = torch.randperm(len(bits), generator=torch.Generator().manual_seed(1))
    names = [atom.name for atom in CHAIN.atoms[:3]]
    plain = predict_bits(CHAIN, BitMatrix.from_bools(bits, names), engine=engine)
    permuted = predict_bits(CHAIN, BitMatrix.from_bools(bits[order], names), engine=engine)
    assert torch.equal(permuted.classes, plain.classes[order])
    assert torch.equal(permuted.rules, plain.rules[order])


@given(programs())
@try_examples(50)
def test_under_first_a_duplicated_rule_changes_nothing(program):
    program = replace(program, decision="first", base=(), outputs=())
    if not program.layers or not program.class_rules:
        return
    bits = give_bits(program)
    twice = replace(program, class_rules=(*program.class_rules, *program.class_rules))
    assert torch.equal(predict_bits(twice, bits).rules, predict_bits(program, bits).rules)


@given(programs())
@try_examples(50)
def test_one_more_layer_equals_two_programs_in_turn(program):
    for below, above in zip(program.layers, program.layers[1:], strict=False):
        bits = give_bits(program, start=below)
        try:
            whole = predict_bits(program, bits, start=below, with_bits=True)
            in_turn = predict_bits(program, whole.bits, start=above)
        except EricError as error:
            if "can't start at" not in str(error):
                raise
            continue  # a rule reaches further down
        assert torch.equal(in_turn.classes, whole.classes)
        assert torch.equal(in_turn.rules, whole.rules)


@pytest.mark.parametrize("decision", ["first", "vote"])
def test_where_nothing_fires_the_default_answers(decision):
    program = Program(CHAIN.quantiser, ("a", "b"), (ClassRule(0, (0, 1)),), decision=decision)
    bits = give_bits(program)
    fires = bits.to_bools()[:, :2].all(dim=1)
    assert predict_bits(program, bits).classes.tolist() == [0 if f else -1 for f in fires]
    with_default = replace(program, default=1)
    assert predict_bits(with_default, bits).classes.tolist() == [0 if f else 1 for f in fires]
    assert predict_bits(with_default, bits).rules.tolist() == [0 if f else -1 for f in fires]


def test_a_tie_of_votes_goes_to_the_lowest_class():
    program = Program(CHAIN.quantiser, ("a", "b", "c"), (ClassRule(2, ()), ClassRule(1, ())), decision="vote")
    predictions = predict_bits(program, give_bits(program, 3), with_scores=True)
    assert predictions.classes.tolist() == [1, 1, 1]
    assert predictions.scores.tolist() == [[0, 1, 1]] * 3


def test_bits_that_lack_an_atom_are_refused():
    bits = BitMatrix.from_bools(torch.ones(5, 2, dtype=torch.bool), ("f:0", "f:1"))
    with pytest.raises(EricError, match="no bits of 'f:2'"):
        predict_bits(CHAIN, bits)


def test_scores_by_hand():
    answers = Predictions(torch.tensor([0, 1, 2, -1, 1]).int(), torch.tensor([0, 1, 2, -1, -1]).int())
    model = torch.tensor([0, 1, 1, 1, 1])
    labels = torch.tensor([0, 2, 0, -1, -1])
    score = score_predictions(CHAIN, None, answers, model, labels)
    assert score.start_layer == "f"
    assert score.n_images == 5
    assert score.fidelity == 3 / 5
    assert score.accuracy == 1 / 3
    assert score.model_accuracy == 1 / 3
    assert score.coverage == 3 / 5
    assert (score.n_rules, score.n_literals) == (7, 8)
    assert score.confusion.tolist() == [[1, 0, 0, 0], [0, 2, 1, 1], [0, 0, 0, 0]]
    assert score.label_confusion.tolist() == [[1, 0, 1, 0], [0, 0, 0, 0], [0, 1, 0, 0]]
    higher = score_predictions(CHAIN, "g", answers, model, torch.full((5,), -1))
    assert (higher.n_rules, higher.n_literals) == (3, 4)
    assert higher.accuracy is higher.model_accuracy is higher.label_confusion is None


def test_nothing_can_be_scored_on_no_images():
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(CaptureError, match="no images"):
        score_predictions(CHAIN, None, Predictions(none.int(), none.int()), none, none)
