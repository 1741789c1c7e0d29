"""Default rules with exceptions: against FOLD-RM in plain Python, as programs, over processes, at the edges."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import analyse_bits, approximate_model, parse_program, print_program
from eric_fast.analyse import list_links, measure_effects
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.explain.check import check_proof
from eric_fast.explain.counterfactual import find_counterfactuals
from eric_fast.explain.proof import prove_answers
from eric_fast.extract import ExtractOptions, TreeOptions, apply_preset, extract_program
from eric_fast.extract.fold import FoldLimits, learn_decision_list, learn_default_rules
from eric_fast.program import Rule
from eric_fast.program.confidence import find_interval
from eric_fast.program.simplify import drop_unmentioned
from eric_fast.quantise import fit_quantiser, quantise_activations
from tests.activations import make_activations
from tests.examples import try_examples
from tests.foldrm import fold, fold_list
from tests.oracles import interpret, run_clingo
from tests.ranks import run_ranks


def to_plain(rule):
    return rule.body, tuple(to_plain(exception) for exception in rule.exceptions)


def make_case(seed, n, n_atoms, n_values):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, n_atoms)) < rng.random(n_atoms)
    scores = rng.normal(0, rng.choice([0.1, 1.0]), (n, n_values))
    if n_atoms:
        scores += bits[:, rng.integers(0, n_atoms, n_values)] ^ bits[:, rng.integers(0, n_atoms, n_values)]
    return bits, torch.from_numpy(scores.argmax(1))


def to_matrix(bits):
    return BitMatrix.from_bools(torch.from_numpy(bits), [f"a{i}" for i in range(bits.shape[1])])


@try_examples(60)
@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 70),
    st.integers(0, 7),
    st.integers(2, 4),
    st.sampled_from([0, 0.3, 0.5, 1]),
    st.sampled_from(["entropy", "gini"]),
)
def test_rules_are_those_of_the_published_algorithm(seed, n, n_atoms, n_values, ratio, criterion):
    bits, target = make_case(seed, n, n_atoms, n_values)
    found = learn_decision_list(to_matrix(bits), target, n_values, FoldLimits(ratio, criterion=criterion))
    rules = [(answer, to_plain(rule)) for answer, rule in zip(found.answers, found.rules, strict=True)]
    examples = [tuple(map(bool, row)) for row in bits]
    assert rules == fold_list(examples, target.tolist(), n_values, ratio, criterion)
    positive = target == 0
    sides = [[e for e, is_positive in zip(examples, positive, strict=True) if is_positive == side] for side in (1, 0)]
    limits = FoldLimits(ratio, criterion=criterion)
    binary = learn_default_rules(to_matrix(bits), pack_bits(torch.stack([positive, ~positive], 1)), limits)
    assert list(map(to_plain, binary)) == fold(*sides, set(), ratio, criterion)


def test_it_is_independent_of_processes():
    bits, target = make_case(5, 3000, 40, 5)
    limits = FoldLimits(min_correct=3, confidence=0.2)
    expected = learn_decision_list(to_matrix(bits), target, 5, limits)
    assert len(expected.rules) > 5
    for cuts in ([0, 1100, 3000], [0, 0, 37, 3000]):

        def learn(rank, combine, cuts=cuts):
            part = slice(cuts[rank], cuts[rank + 1])
            return learn_decision_list(to_matrix(bits[part]), target[part], 5, limits, combine=combine)

        assert all(found == expected for found in run_ranks(len(cuts) - 1, learn))


def test_small_and_unsure_rules_are_dropped():
    bits, target = make_case(8, 2000, 12, 3)

    def list_all(rules):
        return [each for rule in rules for each in (rule, *list_all(rule.exceptions))]

    plain, small, sure = (
        learn_decision_list(to_matrix(bits), target, 3, limits)
        for limits in (FoldLimits(), FoldLimits(min_correct=40), FoldLimits(confidence=0.7))
    )
    assert min(rule.correct for rule in list_all(plain.rules)) < 40
    assert min(rule.correct for rule in list_all(small.rules)) >= 40
    assert min(find_interval(rule.correct, rule.covered).low for rule in list_all(plain.rules)) < 0.7
    assert 0 < len(sure.rules) < len(plain.rules)
    for rule in sure.rules:
        assert find_interval(rule.correct, rule.covered).low >= 0.7
        for exception in rule.exceptions:
            assert exception.covered < 2 * exception.correct
    few = learn_decision_list(to_matrix(bits), target, 3, FoldLimits(max_rules=2))
    assert (few.rules, few.answers) == (plain.rules[:2], plain.answers[:2])


@pytest.mark.parametrize(
    ("bits", "target", "rules", "default"),
    [
        (np.zeros((5, 0), bool), [1, 1, 1, 0, 0], [], 1),  # nothing to tell apart by
        (np.ones((5, 2), bool), [1, 1, 0, 0, 0], [], 0),
        (np.array([[1], [0], [1]], bool), [2, 1, 2], [(2, (0,))], 1),
        (np.array([[1], [0], [1]], bool), [1, 1, 1], [], 1),
    ],
)
def test_edges(bits, target, rules, default):
    found = learn_decision_list(to_matrix(bits), torch.tensor(target), 3, FoldLimits())
    assert [(answer, rule.body) for answer, rule in zip(found.answers, found.rules, strict=True)] == rules
    assert found.default == default


@pytest.mark.parametrize("grown_on", ["true", "predicted"])
def test_a_chain_of_default_rules_is_a_program(grown_on):
    activations = make_activations()
    options = ExtractOptions(layers="all", threshold="mean", rules="fold", min_leaf=2, grown_on=grown_on)
    program = approximate_model(activations, options)
    assert program.derived
    assert program.negated
    assert len(set(program.derived)) == len(program.derived)
    assert parse_program(print_program(program)) == program
    bits = quantise_activations(activations, program.network_quantiser)
    given_bits = bits.to_bools().numpy()
    for layer in program.layers:
        alone = program.start_at(layer)
        assert set(alone.derived) <= set(program.derived)
        rows = program.quantiser.rows_of_layer[layer]
        samples = [set(np.flatnonzero(row[rows.start : rows.stop]).tolist()) for row in given_bits[:40]]
        expected = [interpret(alone, sample) for sample in samples]
        for answer, (classes, fired, true) in zip(expected, run_clingo(alone, samples), strict=True):
            assert ({alone.classes[answer[0]]}, answer[1], answer[2]) == (classes, fired, true)
        for evaluator in (Evaluator(program, layer), Evaluator(alone), Evaluator(alone, engine="reference")):
            found = evaluator.predict(bits).classes[:40].tolist()
            assert found == [answer for answer, *_ in expected]
    lowest, highest = (program.start_at(layer) for layer in (program.layers[0], program.layers[-1]))
    assert len(highest.derived) < len(lowest.derived)
    assert compile_program(program, program.layers[-1]).n_rows < compile_program(program).n_rows


def test_support_counts_what_earlier_rules_leave():
    activations = make_activations(n_images=500, n_kernels=(9,))
    program = approximate_model(activations, rules="fold", min_leaf=1)
    assert dict(program.settings)["rules"] == "fold"
    bits = quantise_activations(activations, program.network_quantiser)
    rules = Evaluator(program).predict(bits).rules
    for number, rule in enumerate(program.class_rules):
        decided = rules == number
        correct = int((activations.predictions[decided] == rule.head).sum())
        assert (rule.covered, rule.correct) == (int(decided.sum()), correct)
    n_compared = len(program.quantiser.atoms)
    of_atom = program.rules_of_atom
    number, rule, exception = next(
        (number, rule, of_atom[~rule.body[-1]][0])
        for number, rule in enumerate(program.class_rules)
        if ~rule.body[-1] >= n_compared and min(of_atom[~rule.body[-1]][0].body) >= -n_compared  # has no exception
    )
    literals = torch.cat([bits.to_bools(), ~bits.to_bools().flip(1)], 1)  # column -1 is not atom 0
    fires = literals[:, list(rule.body[:-1] + exception.body)].all(1) & ((rules >= number) | (rules < 0))
    assert exception.covered == int(fires.sum())
    assert exception.correct == int((activations.predictions[fires] != rule.head).sum())


def test_exceptions_go_with_the_rules_that_mention_them():
    activations = make_activations()
    quantiser = fit_quantiser(activations)
    bits = quantise_activations(activations, quantiser)
    options = TreeOptions(rules="fold", min_leaf=2)
    program = extract_program(bits, quantiser, activations.predictions, activations.classes, options, all_kernels=True)
    fewer = drop_unmentioned(replace(program, class_rules=program.class_rules[:1]))
    assert 0 < len(fewer.derived) < len(program.derived)
    assert parse_program(print_program(fewer)) == fewer
    unused = replace(program, derived=(*program.derived, "spare"))
    spare = len(unused.atoms) - 1
    of_highest = quantiser.rows_of_layer[quantiser.layers[-1]]
    kept = replace(unused, kernel_rules=(*unused.kernel_rules, Rule(spare, (of_highest.start,))))
    assert "spare" in kept.start_at(quantiser.layers[-1]).derived
    low = replace(unused, kernel_rules=(*unused.kernel_rules, Rule(spare, (0,))))
    assert "spare" not in low.start_at(quantiser.layers[-1]).derived


def test_nesyfolds_pipeline_is_a_preset():
    settings = replace(make_activations().settings, norm="spectral")
    activations = make_activations(settings=settings)
    options = apply_preset("nesyfold", ExtractOptions(rules="fold", confidence=0.1), activations.settings.norm)
    assert (options.rules, options.ratio, options.min_leaf, options.confidence) == ("fold", 0.8, 0.005, 0.1)
    program = approximate_model(activations, options)
    assert program.layers == ("f2",)
    assert parse_program(print_program(program)).network_quantiser.norm == "spectral"
    with pytest.raises(SettingError, match="capture the images with --norm spectral.*threshold >=0.6"):
        apply_preset("nesyfold", ExtractOptions(), "l1")
    with pytest.raises(SettingError, match="'nesifold' is not a preset; did you mean 'nesyfold'"):
        apply_preset("nesifold", ExtractOptions(), "l1")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rules": "forest"}, "rules 'forest' is not one of trees, weights, fold"),
        ({"rules": "fold", "ratio": 1.5}, "ratio must be a number from 0 to 1"),
        ({"rules": "fold", "confidence": True}, "confidence must be a number from 0 to 1"),
        ({"rules": "fold", "max_depth": 3}, "max depth is an option of trees"),
        ({"rules": "fold", "max_loss": 0.1}, "raise min leaf or confidence"),
        ({"ratio": 0.2}, "give rules 'fold' with them"),
    ],
)
def test_options_that_have_no_meaning_are_refused(changes, message):
    with pytest.raises(SettingError, match=message):
        ExtractOptions(**changes)


@pytest.mark.parametrize(("correct", "covered"), [(0, 1), (1, 1), (7, 10), (970, 1000), (0, 50)])
def test_the_interval_is_wilsons(correct, covered):
    expected = scipy.stats.binomtest(correct, covered).proportion_ci(method="wilson")
    assert find_interval(correct, covered) == pytest.approx((expected.low, expected.high))


def test_nothing_is_known_of_a_rule_without_images():
    assert find_interval(0, 0) == (0, 1)


def test_what_is_asked_of_a_chain_is_answered_from_every_start():
    activations = make_activations()
    program = approximate_model(activations, layers="all", rules="fold", min_leaf=2)
    bits = quantise_activations(activations, program.network_quantiser)
    for layer in program.layers:
        alone = program.start_at(layer)
        proofs = prove_answers(program, bits, layer)
        rows = program.quantiser.rows_of_layer[layer]
        for sample, (proof, row) in enumerate(zip(proofs[:20], bits.to_bools().numpy(), strict=False)):
            check_proof(program, {rows.start + place for place in np.flatnonzero(row[rows.start : rows.stop])}, proof)
            assert proof.answer == Evaluator(alone).predict(bits).classes[sample]
        whole, part = (measure_effects(each, bits, activations.predictions, start=layer) for each in (program, alone))
        names = [[each.atoms[atom].name for atom in of.atoms] for each, of in ((program, whole), (alone, part))]
        assert names[0] == names[1]
        assert (whole.changed == part.changed).all()
        whole, part = (list_links(each, bits, start=layer) for each in (program, alone))
        heads = [
            [each.atoms[node].name if node < len(each.atoms) else node - len(each.atoms) for node in of.heads.tolist()]
            for each, of in ((program, whole), (alone, part))
        ]
        assert heads[0] == heads[1]
        assert analyse_bits(program, bits, activations.predictions, start=layer).to_dict()


def test_counterfactuals_look_into_exceptions():
    activations = make_activations(n_kernels=(5,), n_images=400)
    program = approximate_model(activations, rules="fold", min_leaf=1)
    assert program.derived
    bits = quantise_activations(activations, program.network_quantiser)
    every = BitMatrix.from_bools(torch.tensor(list(product([False, True], repeat=5))), bits.atoms)
    answers = Evaluator(program).predict(every).classes.tolist()
    for row, answer in list(zip(every.to_bools().tolist(), answers, strict=True))[::7]:
        for one in find_counterfactuals(program, dict(enumerate(row)), answer):
            distances = [
                sum(a != b for a, b in zip(row, other, strict=True))
                for other, found in zip(every.to_bools().tolist(), answers, strict=True)
                if found == one.target
            ]
            assert one.is_least
            assert (None if one.flips is None else len(one.flips)) == min(distances, default=None)
