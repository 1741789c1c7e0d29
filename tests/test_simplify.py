"""Smaller programs: with the same answers everywhere, or with a bounded loss."""

import json
import os
import signal
from dataclasses import replace
from functools import partial
from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from eric_fast.bits import BitMatrix
from eric_fast.errors import SettingError
from eric_fast.extract import (
    GROWN_LITERALS,
    GROWN_RULES,
    ExtractOptions,
    TreeOptions,
    find_ends,
    grow_trees,
    list_leaves,
)
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.prune import choose_held_back, prune_program
from eric_fast.program.simplify import simplify_program
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate, approximate_model, evaluate_program, predict_bits
from eric_fast.text import load_program
from tests.activations import make_activations
from tests.examples import count_examples, try_examples
from tests.make_programs import programs
from tests.make_rules import make_shared_program

ATOMS = Quantiser(tuple(InputAtom("f", k, ">", 0.0) for k in range(4)))


def answer_everything(program, start=None):
    """The class of every input of a layer, and the truth of every atom."""
    atoms = [program.atoms[row] for row in program.quantiser.rows_of_layer[program.layer_to_start(start)]]
    inputs = torch.tensor(list(product((False, True), repeat=len(atoms))), dtype=torch.bool).view(
        -1 if atoms else 1, len(atoms)
    )
    bits = BitMatrix.from_bools(inputs, [atom.name for atom in atoms])
    predictions = predict_bits(program, bits, start=start, with_bits=True, with_scores=True, engine="reference")
    rows = predictions.bits.select_atoms([atom.name for atom in program.atoms])
    return predictions.classes, rows.words, predictions.scores


def assert_same_answers(program, other):
    for mine, theirs in zip(answer_everything(program), answer_everything(other), strict=True):
        assert torch.equal(mine, theirs)


@try_examples(150)
@given(programs(with_sums=True))
def test_any_program_answers_as_before(program):
    if program.layers:
        simple = simplify_program(program)
        assert_same_answers(simple, program)
        assert simple.n_literals <= program.n_literals
        assert simplify_program(simple) == simple


@pytest.mark.parametrize("seed", range(count_examples(30)))
def test_programs_of_many_rules_answer_as_before(seed):
    program = make_shared_program(seed)
    assert_same_answers(simplify_program(program), program)


def test_rules_that_never_matter_go():
    rules = [(0,), (0, 1), (2, ~2), (1, 1, 3), (0,), (3,), (1,)]
    heads = [0, 1, 0, 1, 1, 0, 1]
    program = Program(ATOMS, ("a", "b"), tuple(map(ClassRule, heads, rules)))
    simple = simplify_program(program)
    assert [(rule.head, rule.body) for rule in simple.class_rules] == [(0, (0,)), (1, (1, 3)), (0, (3,)), (1, (1,))]
    votes = simplify_program(replace(program, decision="vote"))
    assert [rule.body for rule in votes.class_rules] == [(0,), (0, 1), (1, 3), (0,), (3,), (1,)]


def test_a_kernel_keeps_its_weakest_rules_in_any_order():
    quantiser = Quantiser((*ATOMS.atoms, InputAtom("g", 0, ">", 0.0)))
    rules = tuple(Rule(4, body) for body in ((0, 1), (2, 3, 0), (0,), (2, 3), (3, 2), (1, ~1)))
    simple = simplify_program(Program(quantiser, (), (), rules))
    assert [rule.body for rule in simple.kernel_rules] == [(0,), (2, 3)]


def simplify_sum(weights, bound, decision="first", body=(0, 1, 2, 3)):
    """What becomes of a class rule with this weight body: body, weights and bound of each rule."""
    rule = ClassRule(0, body[: len(weights)], 5, 4, weights=weights, bound=bound)
    simple = simplify_program(Program(ATOMS, ("a",), (rule,), decision=decision))
    return [(rule.body, rule.weights, rule.bound) for rule in simple.class_rules]


@pytest.mark.parametrize("decision", ["first", "vote"])
def test_weight_bodies_get_the_smallest_numbers(decision):
    simplify = partial(simplify_sum, decision=decision)
    assert simplify((4, 2, 2, 2), 5) == [((0, 1, 2, 3), (2, 1, 1, 1), 3)]  # all even, so the bound is 6
    assert simplify((3, 3, 3, 2), 5) == [((0, 1, 2, 3), (1, 1, 1, 1), 2)]
    assert simplify((5, 5, 5, 1), 7) == [((0, 1, 2), (1, 1, 1), 2)]  # the last never matters
    assert simplify((2, 3), 5) == [((0, 1), (), 0)]
    assert simplify((4, 4, 1), 8) == [((0, 1), (), 0)]
    assert simplify((5, 2, 2), 6) == [((0, 1, 2), (2, 1, 1), 3)]
    assert simplify((3, 2, 2), 5, body=(0, ~0, 1)) == [((0, 1), (), 0)]  # 2 are certain: the others need 1 + 2
    assert simplify((3, 2), 2, body=(0, ~0)) == [((), (), 0)]
    assert simplify((3, 2), 4, body=(0, ~0)) == []


def test_literals_that_reach_the_bound_alone_become_rules_of_their_own():
    assert simplify_sum((9, 1, 1, 1), 2) == [((0,), (), 0), ((1, 2, 3), (1, 1, 1), 2)]
    assert simplify_sum((9, 1, 1), 2) == [((0,), (), 0), ((1, 2), (), 0)]
    assert simplify_sum((5, 7), 3) == [((0,), (), 0), ((1,), (), 0)]
    assert simplify_sum((9, 1, 1, 1), 2, decision="vote") == [((0, 1, 2, 3), (2, 1, 1, 1), 2)]  # it votes once
    rule = ClassRule(0, (0, 1), 5, 4, weights=(2, 2), bound=4)
    simple = simplify_program(Program(ATOMS, ("a",), (rule, replace(rule, bound=2))))
    assert [(rule.covered, rule.correct) for rule in simple.class_rules] == [(5, 4), (None, None), (None, None)]


def test_sums_are_not_compared_as_conjunctions():
    rules = [ClassRule(0, (0, 1, 2), weights=(1, 1, 1), bound=2), ClassRule(1, (0, 1, 2, 3))]
    rules += [ClassRule(1, (2, 1, 0), weights=(2, 2, 2), bound=3), ClassRule(1, (0, 1, 2), weights=(1, 1, 2), bound=3)]
    simple = simplify_program(Program(ATOMS, ("a", "b"), tuple(rules)))
    assert [rule.bound for rule in simple.class_rules] == [2, 0, 3]


@given(st.integers(0, 10_000), st.sampled_from(("entropy", "gini")), st.sampled_from((1, 3, 10)))
@try_examples(40)
def test_extracted_programs_answer_the_same_simplified(seed, criterion, min_leaf):
    activations = make_activations(n_images=120, n_kernels=(5, 4), seed=seed)
    options = TreeOptions(criterion=criterion, min_leaf=min_leaf)
    plain, simple = (
        approximate_model(activations, layers="all", options=options, all_kernels=True, simplify=simplify)
        for simplify in (False, True)
    )
    for mine, theirs in zip(answer_everything(simple), answer_everything(plain), strict=True):
        assert torch.equal(mine, theirs)
    assert simple.n_literals <= plain.n_literals
    grown = dict(simple.settings)
    assert int(grown[GROWN_LITERALS]) == plain.n_literals
    assert int(grown[GROWN_RULES]) == len(plain.class_rules) + len(plain.kernel_rules)


def test_support_counts_the_same_images():
    """Of merged leaves the sum; of a negated kernel the images on which it is false."""
    activations = make_activations(n_kernels=(5, 4))
    program = approximate_model(activations, layers="all", options=TreeOptions(min_leaf=5), all_kernels=True)
    truth = quantise_activations(activations, program.quantiser).to_bools()
    assert program.negated
    for rule in program.kernel_rules:
        fires = torch.stack([truth[:, lit] if lit >= 0 else ~truth[:, ~lit] for lit in rule.body]).all(dim=0)
        head = truth[:, rule.head] ^ (rule.head in program.negated)
        assert (rule.covered, rule.correct) == (int(fires.sum()), int((fires & head).sum()))
    assert sum(rule.covered for rule in program.class_rules) == activations.n_images


@pytest.mark.parametrize("criterion", ["entropy", "gini"])
@pytest.mark.parametrize("alpha", [0.0, 0.003, 0.01, 0.03, 0.2, 2.0])
def test_pruning_is_scikit_learns(criterion, alpha):
    generator = torch.Generator().manual_seed(3)
    columns = torch.rand(800, 7, generator=generator) < torch.linspace(0.2, 0.8, 7)
    target = (columns.long() @ torch.arange(7)).add(torch.randint(0, 6, (800,), generator=generator)) // 6 % 3
    options = TreeOptions(criterion=criterion, min_leaf=4, ccp_alpha=alpha)
    bits = BitMatrix.from_bools(columns, [f"f:{k}" for k in range(7)])
    forest = grow_trees(bits, target, options)
    leaves = list_leaves(forest, 0, find_ends(forest, options, merge=False))
    fitted = DecisionTreeClassifier(criterion=criterion, min_samples_leaf=4, ccp_alpha=alpha, random_state=0)
    tree = fitted.fit(columns.numpy(), target.numpy()).tree_
    assert sorted(leaf.covered for leaf in leaves) == sorted(tree.n_node_samples[tree.feature < 0].tolist())


def test_pruning_stays_within_its_bound_and_says_what_it_did():
    activations = make_activations(n_images=2000, n_kernels=(6, 5))
    options = TreeOptions(min_leaf=5)
    held = torch.from_numpy(choose_held_back(activations.ids, 0.2))
    held_back = activations.take(held.nonzero().flatten())
    sizes = []
    for max_loss in (0.0, 0.02, 0.1):
        pruned = approximate_model(activations, layers="all", options=options, max_loss=max_loss)
        plain = approximate_model(activations.take((~held).nonzero().flatten()), layers="all", options=options)
        assert pruned.quantiser == plain.quantiser  # thresholds don't see what is held back
        scores = [evaluate_program(program, held_back, start="f1").fidelity for program in (pruned, plain)]
        assert scores[0] >= scores[1] - max_loss
        assert dict(pruned.settings)["max_loss"] == str(max_loss)
        truth = quantise_activations(held_back, pruned.quantiser)
        for program, floor in ((pruned, max_loss), (plain, 0.0)):
            derived = predict_bits(program, truth, start="f0", with_bits=True).bits
            for atom in {rule.head for rule in pruned.kernel_rules}:
                name = program.atoms[atom].name
                right = derived.select_atoms([name]).to_bools() == truth.select_atoms([name]).to_bools()
                sizes.append((name, floor, right.float().mean().item()))
        assert pruned.n_literals < plain.n_literals
    rights = {(name, floor): right for name, floor, right in sizes}
    assert all(right >= rights[name, 0.0] - floor - 1e-6 for name, floor, right in sizes)


def test_pruning_ignores_the_order_of_images():
    activations = make_activations(n_images=500, n_kernels=(6, 5))
    order = torch.randperm(500, generator=torch.Generator().manual_seed(0))
    settings = {"layers": "all", "options": TreeOptions(min_leaf=5), "max_loss": 0.01}
    assert approximate_model(activations.take(order), **settings) == approximate_model(activations, **settings)


def test_nothing_is_dropped_that_costs_more():
    program = Program(ATOMS, ("a", "b"), (ClassRule(0, (0, 1)), ClassRule(1, (~0,)), ClassRule(1, (0, ~1))))
    inputs = torch.tensor(list(product((False, True), repeat=4)))
    bits = BitMatrix.from_bools(inputs, [atom.name for atom in ATOMS.atoms])
    target = torch.where(inputs[:, 0] & inputs[:, 1], 0, 1)
    pruned = prune_program(program, bits, target, 0.0)
    assert [(rule.head, rule.body) for rule in pruned.class_rules] == [(0, (0, 1))]
    assert pruned.default == 1
    assert prune_program(program, bits, target, 0.25).class_rules == ()


def test_literals_leave_sums_as_if_false_or_as_if_true():
    rule = ClassRule(0, (0, 1, 2), 8, 8, weights=(2, 1, 1), bound=2)
    program = Program(ATOMS, ("a", "b"), (rule,), default=1)
    inputs = torch.tensor(list(product((False, True), repeat=4)))
    bits = BitMatrix.from_bools(inputs, [atom.name for atom in ATOMS.atoms])

    def prune(target, max_loss=0.0):
        return prune_program(program, bits, torch.where(target, 0, 1), max_loss).class_rules

    whole = inputs[:, 0] | (inputs[:, 1] & inputs[:, 2])
    assert prune(whole) == (rule,)
    (false,) = prune(inputs[:, 0])  # better without the others
    assert (false.body, false.weights, false.bound, false.covered) == ((0,), (2,), 2, None)
    (true,) = prune(inputs[:, 0] | inputs[:, 1])
    assert (true.body, true.weights, true.bound) == ((0, 1), (2, 1), 1)
    (half,) = prune(whole, 0.13)  # of 16 images 2 may be wrong
    assert (half.body, half.weights, half.bound) == ((0,), (2,), 2)


def test_what_makes_no_sense_is_refused():
    program = Program(ATOMS, ("a",), (ClassRule(0, ()),))
    bits = BitMatrix.from_bools(torch.ones(3, 4, dtype=torch.bool), [atom.name for atom in ATOMS.atoms])
    for bad in (-0.1, 1.0, float("nan"), True):
        with pytest.raises(SettingError, match="max loss"):
            ExtractOptions(max_loss=bad)
    with pytest.raises(SettingError, match="first"):
        prune_program(replace(program, decision="vote"), bits, torch.zeros(3, dtype=torch.int64), 0.1)
    for bad in (0.0, 1.0, -1, float("nan")):
        with pytest.raises(SettingError, match="hold back"):
            ExtractOptions(hold_back=bad)


def test_the_command_reports_both_sizes(eric, made, tmp_path):
    figures = {}
    for flag in ("--simplify", "--no-simplify"):
        json_file = tmp_path / f"figures{flag}.json"
        program = tmp_path / f"{flag}.lp"
        code, out, _ = eric("extract", made / "train", "--layers", "all", "-o", program, flag, "--json", json_file)
        assert code == 0
        assert "as grown: " in out
        figures[flag] = json.loads(json_file.read_text())
    simple, plain = figures.values()
    assert simple["literals_as_grown"] <= plain["literals_as_grown"] == plain["n_literals"]
    assert simple["n_literals"] < plain["n_literals"]


def test_a_time_limit_keeps_what_is_finished(eric, made, tmp_path):
    arguments = ("extract", made / "train", "--layers", "all", "-o", tmp_path / "p.lp")
    code, out, err = eric(*arguments, "--time-limit", "1e-9")
    assert code == 0
    assert "and 0 kernel rules" in out
    assert "stopped before all trees" in err
    assert len(load_program(tmp_path / "p.lp").layers) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_keeps_what_is_finished_the_second_ends_at_once(eric, made, tmp_path, monkeypatch, number):
    plain = approximate.extract_program

    def interrupted(*arguments, n_signals, **settings):
        for _ in range(n_signals):
            os.kill(os.getpid(), number)
        return plain(*arguments, **settings)

    arguments = ("extract", made / "train", "--layers", "all", "-o", tmp_path / "p.lp")
    monkeypatch.setattr(approximate, "extract_program", partial(interrupted, n_signals=1))
    code, out, err = eric(*arguments)
    assert code == 128 + number
    assert "wrote" in out
    assert "stopping once the work in hand is done" in err
    assert len(load_program(tmp_path / "p.lp").layers) == 1
    (tmp_path / "p.lp").unlink()
    monkeypatch.setattr(approximate, "extract_program", partial(interrupted, n_signals=2))
    code, _, err = eric(*arguments)
    assert code == 128 + number
    assert "interrupted; what was not complete is not written" in err
    assert not (tmp_path / "p.lp").exists()
