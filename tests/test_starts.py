"""Chains of weight rules with votes for each start: the same for any number of processes, on any processor."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from eric_fast import approximate_model, load_program, parse_program, print_program
from eric_fast.bits import BitMatrix
from eric_fast.errors import SettingError
from eric_fast.evaluator import Evaluator
from eric_fast.extract import ExtractOptions, WeightOptions, extract_program
from eric_fast.extract.heads import learn_heads
from eric_fast.extract.layer import Growth
from eric_fast.extract.votes import learn_votes
from eric_fast.processes import keep
from eric_fast.program.atoms import Quantiser
from eric_fast.quantise import fit_quantiser, quantise_activations
from tests.activations import make_activations
from tests.ranks import run_ranks

OPTIONS = ExtractOptions(rules="weights", weight_options=WeightOptions(4), n_votes=6)


@pytest.fixture(scope="module")
def train():
    return make_activations(1500, n_kernels=(8, 7, 6))


@pytest.fixture(scope="module")
def quantiser(train):
    return fit_quantiser(train)


@pytest.fixture(scope="module")
def bits(train, quantiser):
    return quantise_activations(train, quantiser)


def extract(bits, quantiser, target, rows=slice(None), combine=keep, **settings):
    part = BitMatrix.from_bools(bits.to_bools()[rows], bits.atoms)
    return extract_program(part, quantiser, target[rows], "abc", OPTIONS, combine=combine, **settings)


@pytest.mark.parametrize("grown_on", ["true", "predicted", "both"])
def test_votes_are_fitted_to_what_the_rules_predict_from_each_start(train, quantiser, bits, grown_on):
    program = extract(bits, quantiser, train.predictions, grown_on=grown_on, all_kernels=True)
    assert program.starts == (("f0",), ("f1",), ("f2",))
    assert parse_program(print_program(program)) == program
    names = quantiser.names_of_layer["f2"]
    for number, layer in enumerate(quantiser.layers):
        predicted = Evaluator(program, layer).truth(bits, names) if number < 2 else bits.select_atoms(names)
        votes = learn_votes(predicted, 15, train.predictions, 3, 6)
        own = [replace(rule, start=None) for rule in program.class_rules if rule.start == number]
        assert own == votes.rules
        assert program.start_bases[number] == votes.base
    assert {rule.head for rule in program.kernel_rules} <= set(range(8, 21))


def test_votes_may_draw_on_all_layers_from_their_start_up(train, quantiser, bits):
    options = replace(OPTIONS, vote_layers="all")
    program = extract_program(bits, quantiser, train.predictions, "abc", options, all_kernels=True)
    assert parse_program(print_program(program)) == program
    for number, first in enumerate((0, 8, 15)):
        inputs = Evaluator(program, f"f{number}").truth(bits, bits.atoms[first:])
        votes = learn_votes(inputs, first, train.predictions, 3, 6)
        assert [replace(rule, start=None) for rule in program.class_rules if rule.start == number] == votes.rules
    assert any(rule.body[0] < 8 for rule in program.class_rules if rule.start == 0)  # the start's own bits
    with pytest.raises(SettingError, match="give class rules 'weights'"):
        ExtractOptions(vote_layers="all")
    with pytest.raises(SettingError, match="not one of last, all"):
        ExtractOptions(vote_layers="first")


def test_what_predicted_bits_teach_differs_from_what_true_ones_do(train, quantiser, bits):
    found = [
        extract(bits, quantiser, train.predictions, grown_on=way, all_kernels=True).kernel_rules
        for way in ("true", "predicted", "both")
    ]
    lowest = [[rule for rule in rules if rule.head < 15] for rules in found]
    assert lowest[0] == lowest[1] == lowest[2]  # below the first rules there are true bits alone
    assert found[0] != found[1] != found[2] != found[0]


def test_counts_of_two_lots_are_those_of_all_images(bits, quantiser):
    names = quantiser.names_of_layer["f1"]
    inputs, targets = bits.select_atoms(quantiser.names_of_layer["f0"]), bits.select_atoms(names)
    flipped = BitMatrix.from_bools(inputs.to_bools().flip(0), inputs.atoms)
    growth = Growth(OPTIONS)
    heads = range(8, 15)
    found = learn_heads(heads, targets, [flipped, inputs], 0, growth)
    stacked = [
        BitMatrix.from_bools(torch.cat([part.to_bools() for part in lots]), lots[0].atoms)
        for lots in ((targets, targets), (flipped, inputs))
    ]
    expected = learn_heads(heads, stacked[0], stacked[1:], 0, growth)
    plain = [[replace(rule, covered=None, correct=None) for rule in part.rules] for part in (found, expected)]
    assert plain[0] == plain[1]
    assert all(rule.covered <= 1500 for rule in found.rules)  # of the last lot alone


@pytest.mark.parametrize("n_processes", [2, 3])
@pytest.mark.parametrize("grown_on", ["true", "both"])
def test_any_number_of_processes_writes_the_same_text(train, quantiser, bits, grown_on, n_processes):
    cuts = [0, 100, 700, 1500] if n_processes == 3 else [0, 333, 1500]
    whole = print_program(extract(bits, quantiser, train.predictions, grown_on=grown_on))

    def learn(rank, combine):
        rows = slice(cuts[rank], cuts[rank + 1])
        return extract(bits, quantiser, train.predictions, rows, combine, grown_on=grown_on)

    assert [print_program(part) for part in run_ranks(n_processes, learn)] == [whole] * n_processes


LEARN = """
import numpy as np, torch
from eric_fast.bits import BitMatrix
from eric_fast.extract import ExtractOptions, WeightOptions
from eric_fast.extract.heads import learn_heads
from eric_fast.extract.layer import Growth
from eric_fast.extract.votes import learn_votes
rng = np.random.default_rng(0)
bits = rng.random((9000, 40)) < rng.random(40)
goals = np.stack([bits[:, :5].sum(1) > 2, bits[:, 3] | bits[:, 9], rng.random(9000) < 0.3], axis=1)
scores = torch.from_numpy((bits[:, :3] * 200 + rng.integers(0, 50, (9000, 3))).astype(np.uint8))
inputs, targets = (BitMatrix.from_bools(torch.from_numpy(b), [f"{n}:{i}" for i in range(b.shape[1])])
                   for n, b in (("f", bits), ("g", goals)))
growth = Growth(ExtractOptions(rules="weights", weight_options=WeightOptions(12)))
print(learn_heads(range(40, 43), targets, [inputs], 0, growth))
print(learn_votes(inputs, 0, scores.argmax(1), 3, 20, scores=scores))
print(learn_votes(inputs, 0, scores.argmax(1), 3, 20, scores=scores, unit=0.02, by_logistic=True))
"""


@pytest.mark.slow
def test_every_processor_learns_the_same():
    """Numba compiles for this one, and for one with AVX2 and without AVX-512."""
    found = []
    for changes in ({}, {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": "+avx2,+fma,+popcnt,+bmi,+bmi2"}):
        done = subprocess.run(
            [sys.executable, "-c", LEARN], env={**os.environ, **changes}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[1]
    assert "ClassRule" in found[0]


def test_a_chain_from_the_command_line(made, eric, refuse, tmp_path):
    path = tmp_path / "w.lp"
    arguments = ["extract", made / "train", "--layers", "all", "--rules", "weights", "--literals", "4", "-o", path]
    code, out, err = eric(*arguments, "--grown-on", "both", "--n-votes", "5")
    assert code == 0, err
    assert "integers, from 600 images" in out
    program = load_program(path)
    assert dict(program.settings)["grown_on"] == "both"
    assert dict(program.settings)["literals"] == "4"
    assert len(program.starts) == len(program.layers)
    assert eric("evaluate", path, made / "test", "--chains")[0] == 0
    assert "one of trees, weights, fold" in refuse(*arguments, "--force", "--class-rules", "x")
    assert "give rules 'weights'" in refuse(*arguments, "--force", "--class-rules", "trees", "--grown-on", "both")


def test_a_study_of_weight_rules_from_the_command_line(made, eric, tmp_path):
    arguments = ["chain", made / "train", made / "test", "--rules", "weights", "--literals", "4", "--n-votes", "5"]
    code, out, err = eric(*arguments, "--json", tmp_path / "c.json", "--plot", tmp_path / "c.svg")
    assert code == 0, err
    assert "by start layer, weight rules" in out
    assert "minimum leaf" not in out
    study = json.loads((tmp_path / "c.json").read_text())
    assert study["rules"] == "weights"
    assert len(study["rows"]) == 6  # true bits, predicted bits and no chain, from two layers
    assert {row["n_rules"] for row in study["rows"] if row["start_layer"] == "3"} == {5}


def test_options_that_do_not_go_together_are_refused(train):
    with pytest.raises(SettingError, match="grown on 'both' adds up counts"):
        approximate_model(train, grown_on="both")
    single = approximate_model(train, rules="weights", n_votes=4)
    assert single.starts == ()  # one layer: one start
    assert np.all([rule.start is None for rule in single.class_rules])


def test_a_run_that_is_stopped_has_class_rules_alone(train, quantiser, bits, caplog):
    program = extract(bits, quantiser, train.predictions, stop=lambda: True)
    assert program.layers == ("f2",)
    assert program.class_rules
    assert "stopped" in caplog.text
    assert isinstance(program.quantiser, Quantiser)
