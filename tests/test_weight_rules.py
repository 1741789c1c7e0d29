"""Weight rules: sums tallied by every engine, simpler bodies with the same answers, heads learned from counts."""

from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import approximate_model, evaluate_chains, kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import EricError, SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.extract import ExtractOptions, TreeOptions, WeightOptions, extract_program
from eric_fast.extract.heads import find_bounds, learn_heads, list_bodies
from eric_fast.extract.layer import Growth
from eric_fast.kernels import WeightedBodies
from eric_fast.processes import keep
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.weight_bodies import simplify_weight_body
from tests.activations import make_activations
from tests.engines import DEVICE, needs_triton
from tests.examples import try_examples
from tests.ranks import run_ranks


def tally_plainly(bits, goals, signed):
    """[n_bodies, 2, most + 1] of sums in which a negative weight counts where its atom is false."""
    most = int(np.abs(signed).sum(axis=0).max(initial=0))
    sums = bits @ signed - np.minimum(signed, 0).sum(axis=0)
    out = np.zeros((signed.shape[1], 2, most + 1), np.int64)
    for body in range(signed.shape[1]):
        np.add.at(out[body], (goals[:, body].astype(int), sums[:, body]), 1)
    return out


@try_examples(25)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0, 1, 31, 33, 63, 1000, 2049]),
    st.sampled_from([1, 5, 70]),
    st.sampled_from([0, 1, 9]),
)
def test_reference_and_cpu_tally(seed, n_samples, n_atoms, n_bodies):
    rng = np.random.default_rng(seed)
    bits, goals = (rng.random((n_samples, n)) < 0.5 for n in (n_atoms, n_bodies))
    signed = rng.integers(-9, 10, (n_atoms, n_bodies)) * (rng.random((n_atoms, n_bodies)) < 0.3)
    expected = tally_plainly(bits.astype(int), goals, signed)
    words, targets = (pack_bits(torch.from_numpy(part)) for part in (bits, goals))
    for engine in ("reference", "cpu"):
        found = kernels.tally_sums(words, targets, n_samples, list_bodies(signed), engine=engine)
        assert torch.equal(found, torch.from_numpy(expected)), engine


@needs_triton
def test_gpu_tallies():
    rng = np.random.default_rng(0)
    bits, goals = rng.random((100, 5)) < 0.5, rng.random((100, 2)) < 0.5
    signed = rng.integers(-3, 4, (5, 2))
    words, targets = (pack_bits(torch.from_numpy(part)).to(DEVICE) for part in (bits, goals))
    tally = kernels.engines.find_operation("gpu", "tally_sums")
    found = tally(words, targets, 100, list_bodies(signed))
    assert (found.cpu().numpy() == tally_plainly(bits.astype(int), goals, signed)).all()


def test_bodies_that_cannot_be_tallied_are_refused():
    words = pack_bits(torch.ones(10, 2, dtype=torch.bool))

    def tally(literals, weights, n_targets=1):
        bodies = WeightedBodies(np.array(literals, np.int32), np.array(weights, np.int32), np.array([0, len(literals)]))
        return kernels.tally_sums(words, words[:n_targets], 10, bodies)

    assert tally([0], [3]).tolist() == [[[0, 0, 0, 0], [0, 0, 0, 10]]]
    for arguments, message in (
        (([2], [1]), "mentions atom 2, but there are only 2"),
        (([0], [0]), "weights must be from 1"),
        (([0], [2**24]), "sum to 16,777,216"),
        (([0], [1], 2), "1 bodies need as many targets, not 2"),
    ):
        with pytest.raises(EricError, match=message):
            tally(*arguments)


@pytest.mark.parametrize("weights", [(1,), (2, 4), (1, 1, 1), (3, 5, 7), (2, 2, 7), (1, 2, 4, 8), (6, 10, 15, 1)])
def test_simpler_bodies_are_true_on_the_same_inputs(weights):
    literals = tuple(range(len(weights)))
    for bound in range(-1, sum(weights) + 2):
        simple = simplify_weight_body(literals, weights, bound)
        for values in product((False, True), repeat=len(weights)):
            expected = sum(w for w, value in zip(weights, values, strict=True) if value) >= bound
            found = any(
                sum(w for literal, w in zip(body.literals, body.weights, strict=True) if values[literal]) >= body.bound
                if body.weights
                else all(values[literal] for literal in body.literals)
                for body in simple
            )
            assert found == expected, (bound, values, simple)
        for body in simple:
            if body.weights:
                assert np.gcd.reduce(body.weights) == 1
                assert max(body.weights) <= body.bound < sum(body.weights)


def test_bodies_become_as_simple_as_they_are():
    assert simplify_weight_body((0, 1), (2, 4), 5) == [((0, 1), (), 0)]  # both are needed
    assert simplify_weight_body((0, ~1), (2, 4), 1) == [((0,), (), 0), ((~1,), (), 0)]  # one is enough
    assert simplify_weight_body((0, 1, 2), (2, 4, 6), 5) == [((0, 1, 2), (1, 2, 3), 3)]
    assert simplify_weight_body((0, 1, 2), (1, 1, 9), 2) == [((0, 1, 2), (1, 1, 2), 2)]
    assert simplify_weight_body((0,), (1,), 0) == [((), (), 0)]
    assert simplify_weight_body((0,), (1,), 2) == []


def to_matrix(bits, name):
    return BitMatrix.from_bools(torch.from_numpy(bits), [f"{name}:{i}" for i in range(bits.shape[1])])


def test_bounds_are_right_on_the_most_images():
    tally = np.array([[[3, 2, 0], [0, 1, 9]], [[0, 0, 4], [0, 0, 0]], [[0, 0, 0], [4, 0, 0]]])
    assert find_bounds(tally).tolist() == [2, 3, 0]


def learn(bits, goals, options=None, combine=keep, **settings):
    growth = Growth(TreeOptions(weight_options=options or WeightOptions()), combine=combine, **settings)
    heads = range(bits.shape[1], bits.shape[1] + goals.shape[1])
    return learn_heads(heads, to_matrix(goals, "g"), [to_matrix(bits, "f")], 0, growth)


def apply(rules, bits, head):
    """The truth of a head, from rules over columns."""
    answer = np.zeros(len(bits), bool)
    for rule in rules:
        if rule.head == head:
            values = [bits[:, literal] if literal >= 0 else ~bits[:, ~literal] for literal in rule.body]
            if rule.weights:
                answer |= sum(w * value for w, value in zip(rule.weights, values, strict=True)) >= rule.bound
            else:
                answer |= np.all(values, axis=0) if values else True
    return answer


def test_a_planted_sum_is_found_again():
    rng = np.random.default_rng(3)
    bits = rng.random((4000, 12)) < 0.5
    planted = bits[:, [0, 3, 5, 7, 8]] @ np.array([3, 2, -2, 1, 1]) >= 2
    found = learn(bits, planted[:, None], WeightOptions(5, 3))
    (rule,) = found.rules
    assert sorted(rule.body) == [~5, 0, 3, 7, 8]
    answer = apply([rule], bits, 12)
    assert (answer == planted).mean() > 0.97
    assert (rule.covered, rule.correct) == (answer.sum(), (answer & planted).sum())
    assert found.sizes_grown == [(1, 5)]
    assert len(learn(bits, planted[:, None], WeightOptions(2)).rules[0].body) <= 2


def test_parts_of_the_images_give_the_heads_of_all():
    rng = np.random.default_rng(4)
    bits = rng.random((1000, 20)) < rng.random(20)
    goals = np.stack([bits[:, :5].sum(1) > 2, bits[:, 3] | bits[:, 9], rng.random(1000) < 0.3], axis=1)
    whole = learn(bits, goals, WeightOptions(6))
    parts = [slice(0, 333), slice(333, None)]
    found = run_ranks(2, lambda rank, add: learn(bits[parts[rank]], goals[parts[rank]], WeightOptions(6), add))
    assert [part.rules for part in found] == [whole.rules] * 2


@pytest.mark.parametrize(
    ("bits", "goals"),
    [
        (np.zeros((40, 3), bool), np.arange(40)[:, None] % 2 == 0),  # constant bits
        (np.ones((40, 3), bool), np.zeros((40, 1), bool)),
        (np.repeat(np.arange(40)[:, None] % 2 == 0, 4, axis=1), np.arange(40)[:, None] % 2 == 0),  # duplicates
        (np.arange(40)[:, None] % 2 == 0, np.ones((40, 1), bool)),  # always true
        (np.arange(40)[:, None] % 2 == 0, np.zeros((40, 1), bool)),  # never
        (np.ones((1, 2), bool), np.ones((1, 1), bool)),  # one image
        (np.zeros((40, 0), bool), np.ones((40, 1), bool)),  # no atom
    ],
)
@pytest.mark.parametrize("simplify", [True, False])
def test_edges_give_defined_rules(bits, goals, simplify):
    found = learn(bits, goals, WeightOptions(1000), simplify=simplify)
    right = (apply(found.rules, bits, bits.shape[1]) == goals[:, 0]).sum()
    assert right >= max(goals.sum(), len(goals) - goals.sum())  # never worse than the commoner value
    for rule in found.rules:
        assert not rule.weights or 1 <= rule.bound <= sum(rule.weights)


def test_a_chain_of_weight_rules_is_valid_and_beats_guessing():
    train, test = make_activations(2000), make_activations(500, seed=1)
    program = approximate_model(train, layers="all", rules="weights", all_kernels=True, n_votes=5)
    assert {rule.head for rule in program.kernel_rules} <= set(range(6, 15))
    assert any(rule.weights for rule in program.kernel_rules)
    assert program.decision == "vote"
    settings = dict(program.settings)
    assert (settings["rules"], settings["literals"], settings["max_weight"]) == ("weights", "16", "7")
    found = [score.fidelity for score in evaluate_chains(program, test)]
    assert np.all(np.array(found) > (0.4, 0.5, 0.8))
    trees = approximate_model(train, layers="all", rules="weights", class_rules="trees", min_leaf=20)
    assert trees.decision == "first"
    assert any(rule.weights for rule in trees.kernel_rules)
    votes = approximate_model(train, layers="all", kernel_rules="trees", class_rules="weights", votes="single")
    assert not any(rule.weights for rule in votes.kernel_rules)
    assert votes.decision == "vote"


def test_simplifying_changes_no_answer():
    rng = np.random.default_rng(5)
    bits = rng.random((3000, 8)) < 0.5
    target = torch.from_numpy((bits[:, :4].sum(1) > 2).astype(np.int64))
    goals = np.stack([bits[:, 0] & bits[:, 1], bits[:, 2] | bits[:, 3], bits[:, 4:].sum(1) > 1], axis=1)
    quantiser = Quantiser(
        tuple(InputAtom(layer, i, ">", 0.0) for layer, n in (("a", 8), ("b", 3)) for i in range(n)), "l1"
    )
    both = BitMatrix.from_bools(torch.from_numpy(np.hstack([bits, goals])), [atom.name for atom in quantiser.atoms])
    options = ExtractOptions(rules="weights", weight_options=WeightOptions(3))
    answers = []
    for simplify in (True, False):
        program = extract_program(both, quantiser, target, ["x", "y"], options, all_kernels=True, simplify=simplify)
        answers.append(Evaluator(program, "a").truth(both, [atom.name for atom in quantiser.atoms[8:]]).to_bools())
    assert torch.equal(*answers)
    assert torch.equal(answers[0][:, :2], torch.from_numpy(goals[:, :2]))


def test_wrong_options_are_refused():
    for changes, message in (
        ({"rules": "rulers"}, "rules 'rulers' is not one of trees, weights, fold"),
        ({"kernel_rules": "x"}, "kernel rules 'x' is not one of"),
        ({"rules": "weights", "max_depth": 3}, "max depth is an option of trees; leave it out with rules 'weights'"),
        ({"votes": "rows", "class_rules": "trees"}, "leave out class rules 'trees'"),
        ({"rules": "weights", "max_loss": 0.1}, "lower the number of literals"),
    ):
        with pytest.raises(SettingError, match=message):
            ExtractOptions(**changes)
    for values, message in (((0, 7), "number of literals must be a whole number"), ((4, 0), "max weight must be")):
        with pytest.raises(SettingError, match=message):
            WeightOptions(*values)
