"""`Evaluator`: a compiled program answers by its own names, as the reference and clingo say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from sklearn.tree import DecisionTreeClassifier

from eric_fast import Evaluator, from_sklearn
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, EricError, ProgramError
from eric_fast.extract import TreeOptions
from eric_fast.kernels import expect
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model
from eric_fast.store import open_capture, save_activations
from tests.activations import make_activations
from tests.make_programs import programs_with_bits
from tests.oracles import interpret, run_clingo

SIZES = (0, 1, 31, 32, 33, 1000)
F0, F1, F2, G0, G7 = range(5)
CHAIN = Program(
    Quantiser((*(InputAtom("f", k, ">", 0.0) for k in range(3)), *(InputAtom("g", k, ">", 0.0) for k in (0, 7)))),
    ("sea lion", "é"),
    (ClassRule(0, (G0, ~G7)), ClassRule(1, (G7,)), ClassRule(0, (~G0,))),
    (Rule(G0, (F0, ~F1)), Rule(G7, (F2,)), Rule(G0, (F1, F2))),
    negated=(G7,),
    default=1,
)


def draw_inputs(program, n_samples, seed=0):
    """A row for each input of a program, in the order of its atoms."""
    names = [program.atoms[i].name for i in program.quantiser.rows_of_layer[program.layers[0]]]
    bools = torch.rand(n_samples, len(names), generator=torch.Generator().manual_seed(seed)) < 0.5
    return BitMatrix.from_bools(bools, names)


def interpret_rows(program, bits):
    """For each sample what `interpret` gives: class, numbers of class rules that fire, true atoms."""
    return [interpret(program, set(np.flatnonzero(row).tolist())) for row in bits.to_bools().numpy()]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("n_samples", SIZES)
def test_answers_are_those_of_the_interpreter(n_samples, engine):
    bits = draw_inputs(CHAIN, n_samples)
    evaluator, expected = Evaluator(CHAIN, engine=engine), interpret_rows(CHAIN, bits)
    predictions = evaluator.predict(bits)
    assert predictions.classes.tolist() == evaluator.classes(bits).tolist() == [answer for answer, _, _ in expected]
    assert predictions.rules.tolist() == [fired[0] - 1 if fired else -1 for _, fired, _ in expected]
    truth = evaluator.truth(bits)
    assert truth.atoms == evaluator.atoms == tuple(atom.name for atom in CHAIN.atoms)
    assert [set(np.flatnonzero(row).tolist()) for row in truth.to_bools().numpy()] == [true for _, _, true in expected]
    fires = evaluator.fires(bits)
    assert fires.atoms == ("rule 1", "rule 2", "rule 3")
    found = [(np.flatnonzero(row) + 1).tolist() for row in fires.to_bools().numpy()]
    assert found == [fired for _, fired, _ in expected]
    assert evaluator.counts(bits)[3:].tolist() == fires.to_bools().sum(dim=0).tolist()


@given(programs_with_bits(SIZES, with_sums=True))
def test_any_program_answers_as_clingo_does(made):
    program, bools = made
    bools = bools[:20]
    names = [atom.name for atom in program.atoms[: bools.shape[1]]]
    bits = BitMatrix.from_bools(bools, names)
    evaluator = Evaluator(program)
    true = evaluator.truth(bits).to_bools().numpy()
    fired = evaluator.fires(bits).to_bools().numpy()
    answers = run_clingo(program, [set(np.flatnonzero(row).tolist()) for row in bools.numpy()])
    for sample, (_, numbers, atoms) in enumerate(answers):
        assert set(np.flatnonzero(true[sample]).tolist()) == atoms
        assert (np.flatnonzero(fired[sample]) + 1).tolist() == numbers
    expected = [rule for numbers in (numbers for _, numbers, _ in answers) for rule in numbers]
    counts = evaluator.counts(bits)[len(program.kernel_rules) :]
    assert counts.tolist() == np.bincount(np.array(expected, int) - 1, minlength=len(program.class_rules)).tolist()


def test_counts_stand_in_the_programs_order_and_are_zero_for_what_does_not_run():
    bits = draw_inputs(CHAIN, 1000)
    f = bits.to_bools()
    bodies = [f[:, 0] & ~f[:, 1], f[:, 2], f[:, 1] & f[:, 2]]
    assert Evaluator(CHAIN).counts(bits)[:3].tolist() == [int(body.sum()) for body in bodies]
    above = Evaluator(CHAIN).truth(bits, ["g:0", "g:7"])
    counts = Evaluator(CHAIN, "g").counts(above)
    assert counts[:3].tolist() == [0, 0, 0]
    assert counts[3:].tolist() == Evaluator(CHAIN).counts(bits)[3:].tolist()


@pytest.mark.parametrize("decision", ["vote", "sum"])
def test_scores_are_the_sums_of_the_rules_that_fire(decision):
    rules = (ClassRule(0, (F0,), weight=2.5), ClassRule(1, (~F1,), weight=-1), ClassRule(0, (F2, F0), weight=4))
    program = replace(CHAIN, class_rules=rules, decision=decision, base=(0.5, 1.0), default=None)
    bits = draw_inputs(program, 33)
    fires = Evaluator(program).fires(bits).to_bools().double()
    adds = torch.tensor([[2.5, 0], [0, -1], [4, 0]], dtype=torch.float64)
    assert torch.equal(Evaluator(program).scores(bits), fires @ adds + torch.tensor([0.5, 1.0]))
    with pytest.raises(ProgramError, match="decision is 'first' has no scores"):
        Evaluator(CHAIN).scores(bits)


def test_rows_are_found_by_name_and_answers_follow_the_samples():
    bits = draw_inputs(CHAIN, 100)
    shuffled = bits.select_atoms(("f:2", "f:0", "f:1"))
    evaluator = Evaluator(CHAIN)
    assert torch.equal(evaluator.classes(shuffled), evaluator.classes(bits))
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))
    permuted = BitMatrix.from_bools(bits.to_bools()[order], bits.atoms)
    assert torch.equal(evaluator.predict(permuted).rules, evaluator.predict(bits).rules[order])


def test_asked_atoms_and_rules_come_in_the_order_asked():
    bits = draw_inputs(CHAIN, 50)
    evaluator = Evaluator(replace(CHAIN, labels=((G7, "fur"),)))
    truth, whole = evaluator.truth(bits, ["g:7", "f:0"]), evaluator.truth(bits)
    assert torch.equal(truth.words, whole.select_atoms(["g:7", "f:0"]).words)
    labelled = evaluator.truth(bits, ["fur", "g_0"])  # as a person calls them
    assert labelled.atoms == ("fur", "g_0")
    assert torch.equal(labelled.words, whole.select_atoms(["g:7", "g:0"]).words)
    fires = evaluator.fires(bits, [2, 0])
    assert fires.atoms == ("rule 3", "rule 1")
    assert torch.equal(fires.words, evaluator.fires(bits).select_atoms(fires.atoms).words)


def test_any_atoms_can_be_given():
    bits = draw_inputs(CHAIN, 200)
    whole = Evaluator(CHAIN)
    truth = whole.truth(bits)
    for names in (["g:7", "g:0"], ["g:0", "f:2"], ["f:1", "f:0", "g:7", "f:2"]):
        evaluator = Evaluator(CHAIN, given=names)
        assert evaluator.inputs == tuple(names)
        assert torch.equal(evaluator.predict(truth).rules, whole.predict(bits).rules)
        assert torch.equal(evaluator.fires(truth).words, whole.fires(bits).words)
    with pytest.raises(ProgramError, match="builds on f:0, which is not given"):
        Evaluator(CHAIN, given=["f:1", "g:7", "f:2"])


def test_errors_name_what_is_missing():
    bits = draw_inputs(CHAIN, 5)
    evaluator = Evaluator(CHAIN)
    with pytest.raises(EricError, match="no bits of 'f:1'"):
        evaluator.predict(bits.select_atoms(["f:0", "f:2"]))
    with pytest.raises(ProgramError, match="'g:8' is not an atom of this program; did you mean 'g:7'"):
        evaluator.truth(bits, ["g:0", "g:8"])
    with pytest.raises(ProgramError, match="no class rule with index 3; the program has 3"):
        evaluator.fires(bits, [0, 3])
    with pytest.raises(ProgramError, match="no class rule with index -1"):
        evaluator.fires(bits, [-1])
    above = Evaluator(CHAIN, "g")
    with pytest.raises(ProgramError, match=r"f:1 doesn't follow from .* begin with g:0"):
        above.truth(evaluator.truth(bits), ["g:0", "f:1"])
    with pytest.raises(ProgramError, match="no layer 'h'"):
        Evaluator(CHAIN, "h")
    with pytest.raises(EricError, match="was not asked for"):
        expect(None)


@pytest.fixture(scope="module")
def trained():
    activations = make_activations()
    return approximate_model(activations, layers=["all"], options=TreeOptions(min_leaf=20)), activations


@pytest.mark.parametrize("start", ["f0", "f1"])
def test_activations_and_captures_answer_as_their_bits_do(trained, start, tmp_path):
    program, activations = trained
    evaluator = Evaluator(program, start)
    bits = quantise_activations(activations, program.quantiser, [start])
    save_activations(activations, tmp_path / "capture")
    for source in (activations, open_capture(tmp_path / "capture")):
        assert torch.equal(evaluator.predict(source).rules, evaluator.predict(bits).rules)
        assert torch.equal(evaluator.classes(source), evaluator.classes(bits))
        assert torch.equal(evaluator.truth(source).words, evaluator.truth(bits).words)
        assert torch.equal(evaluator.fires(source).words, evaluator.fires(bits).words)
        assert torch.equal(evaluator.counts(source), evaluator.counts(bits))
    assert evaluator.classes(bits).unique().numel() > 1


def test_activations_that_do_not_fit_are_refused(trained):
    program, activations = trained
    with pytest.raises(CaptureError, match="another model"):
        Evaluator(replace(program, fingerprint="other")).predict(activations)
    with pytest.raises(CaptureError, match="lacks layer 'f0'"):
        Evaluator(program).classes(activations.select_layers(["f1", "f2"]))


def test_a_table_answers_as_the_model_made_of_it():
    table = np.random.default_rng(0).normal(size=(70, 3))
    tree = DecisionTreeClassifier(max_depth=3, random_state=0).fit(table, (table[:, 0] * table[:, 1] > 0).astype(int))
    model = from_sklearn(tree)
    packed = model.pack(table)
    assert (model.evaluator.classes(packed).numpy() == model.predict_indices(table)).all()
    assert model.evaluator.fires(packed).to_bools().sum(dim=1).tolist() == [1] * 70  # one leaf


def test_an_evaluator_is_frozen():
    with pytest.raises(AttributeError):
        Evaluator(CHAIN).engine = "gpu"
