"""The programs that benchmarks time are what they say, on small sizes."""

import random
import subprocess
import sys
from itertools import chain
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from bench import apart, capture, contenders, foldrm, gpu_grid, harness, numpy_bits, small
from bench.dense import DenseMasks, DenseWeights
from bench.programs import (
    forest_to_program,
    grow_forest,
    make_foldrm_case,
    make_random_case,
    make_random_program,
    make_random_words,
    make_weights_case,
    order_replicas,
    repeat_samples,
)
from bench.trees import (
    build_class_tree,
    build_layer_trees,
    build_tree,
    list_grown,
    list_leaves,
    to_sklearn,
    to_sklearn_forest,
)
from eric_fast import FoldClassifier, kernels
from eric_fast.bits import BitMatrix, pack_bits, unpack_words
from eric_fast.compile.program import compile_program
from eric_fast.extract import TreeOptions, grow_trees
from eric_fast.extract import list_leaves as extract_leaves
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.runs import approximate_model
from tests.activations import make_activations
from tests.foldrm import OPERATORS
from tests.make_programs import make_program


def answer_columns(program, bits):
    """Classes of bool `[n, n_inputs]`, and the truth of all atoms."""
    plan = compile_program(program)
    outcome = kernels.evaluate(plan, pack_bits(bits), len(bits), scores=True, rows=range(plan.n_rows))
    truth = torch.empty(len(bits), plan.n_rows, dtype=torch.bool)
    truth[:, plan.atoms] = unpack_words(outcome.rows, len(bits))
    return outcome, truth


def test_random_case_is_as_large_as_it_says():
    case = make_random_case(n_rules=200, n_atoms=32, n_heads=16)
    bodies = [{literal if literal >= 0 else ~literal for literal in rule.body} for rule in case.program.kernel_rules]
    assert len(bodies) == 200
    assert all(len(body) == 6 for body in bodies)
    assert set().union(*bodies) == set(range(32))
    assert case.n_literals == 1200
    assert case.make_words(1000).shape == (32, 32)
    assert case.wanted["rows"] == range(32, 48)
    ones = unpack_words(case.make_words(1000), 1000).float().mean()
    assert 0.45 < ones < 0.55


def test_strata_deepen_a_random_program_and_nothing_else():
    for n_strata in (1, 4):
        program = make_random_program(90, 3, 20, 16, n_strata)
        assert len(program.strata) == n_strata
        assert (program.n_literals, len(program.atoms)) == (270, 36)


@pytest.mark.parametrize("n_wanted", [1, 33, 70, 71, 500])
def test_repeated_samples_are_replicas_each_in_its_own_order(n_wanted):
    bits = torch.rand(70, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    words = repeat_samples(pack_bits(bits), 70, n_wanted)
    got = unpack_words(words, n_wanted)
    assert torch.equal(got[:70], bits[:n_wanted])
    assert torch.equal(words, pack_bits(got))
    orders = [order_replicas(70, n_wanted)[i : i + 70].tolist() for i in range(0, n_wanted, 70)]
    assert torch.equal(got, bits[torch.tensor(list(chain.from_iterable(orders)))])
    whole = [order for order in orders if len(order) == 70]
    assert all(sorted(order) == list(range(70)) for order in whole)
    assert len(set(map(tuple, whole))) == len(whole)


def test_trees_of_a_program_answer_as_it_does():
    train = make_activations()
    program = approximate_model(train, layers="all", options=TreeOptions(min_leaf=10), all_kernels=True)
    bits = torch.rand(500, 6, generator=torch.Generator().manual_seed(0)) < 0.5
    outcome, truth = answer_columns(program, bits)
    rows_of = program.quantiser.rows_of_layer
    for below, layer in zip(program.layers[:-1], program.layers[1:], strict=True):
        columns = truth[:, rows_of[below].start : rows_of[below].stop].float().numpy()
        for atom, tree in zip(rows_of[layer], build_layer_trees(program, layer), strict=True):
            answers = to_sklearn(tree, columns.shape[1]).predict(columns)
            assert (answers == truth[:, atom].numpy()).all()
    top = truth[:, rows_of[program.layers[-1]].start :].float().numpy()
    assert (to_sklearn(build_class_tree(program), top.shape[1]).predict(top) == outcome.classes.numpy()).all()


def test_trees_as_grown_answer_as_their_leaves():
    lot = torch.Generator().manual_seed(1)
    bits, target = torch.rand(300, 6, generator=lot) < 0.5, torch.randint(3, (300,), generator=lot)
    matrix = BitMatrix.from_bools(bits, [f"atom {k}" for k in range(6)])
    forest = grow_trees(matrix, target, TreeOptions(min_leaf=10))
    (tree,) = list_grown(forest)
    answers = to_sklearn(tree, 6).predict(bits.float().numpy())
    leaves = extract_leaves(forest, 0)
    assert tree.n_leaves == len(leaves) > 5
    for leaf in leaves:
        there = torch.stack([bits[:, lit] if lit >= 0 else ~bits[:, ~lit] for lit in leaf.body]).all(dim=0)
        assert (answers[there] == leaf.answer).all()


def test_paths_that_are_no_tree_are_refused():
    for paths in ([((0,), 1), ((1,), 1)], [((0,), 1), ((0, 1), 0)]):
        with pytest.raises(ValueError, match="tree"):
            build_tree(paths, 2, 0)
    tree = build_tree([((2, ~0), 1)], 2, 0)
    assert sorted(body for body, values in list_leaves(tree) if values[1]) == [(2, ~0)]
    assert tree.n_leaves == 3


def test_forest_votes_as_scikit_learn_does():
    bits = torch.rand(600, 12, generator=torch.Generator().manual_seed(0)) < 0.5
    target = (bits[:, :3].sum(dim=1) + bits[:, 5]) % 3
    trees = grow_forest(bits.numpy(), target.numpy(), n_trees=9, min_leaf=5)
    quantiser = Quantiser(tuple(InputAtom("f", k, ">", 0.0) for k in range(12)))
    outcome, _ = answer_columns(forest_to_program(trees, quantiser, "abc"), bits)
    forest = to_sklearn_forest(trees, 12)
    shares = forest.predict_proba(bits.float().numpy())
    assert np.allclose(outcome.scores.numpy(), shares * 9, rtol=0, atol=1e-9)
    top = np.sort(shares, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-9
    assert clear.mean() > 0.9
    assert (outcome.classes.numpy() == shares.argmax(axis=1))[clear].all()


def answer_plainly(plan, words, n_samples, rows):
    packed = numpy_bits.evaluate(plan, words.numpy().view(np.uint64), n_samples, rows)
    return packed, DenseMasks(plan, "cpu").evaluate(unpack_words(words, n_samples).float(), rows)


def test_plain_rivals_write_the_rows_that_we_write():
    plan, rows = make_random_case(n_rules=200, n_atoms=32, n_heads=16).plan, range(32, 48)
    words = make_random_words(plan.n_inputs, 3000)
    expected = kernels.evaluate(plan, words, 3000, rows=rows).rows
    packed, dense = answer_plainly(plan, words, 3000, rows)
    assert (packed == expected.numpy()).all()
    assert torch.equal(dense, unpack_words(expected, 3000))


def test_plain_rivals_decide_as_we_do():
    """Programs with rules that overlap, negated heads, defaults and several layers."""
    n_tried = 0
    for seed in range(400):
        program = make_program(random.Random(seed).randint)
        if program.decision != "first" or not program.class_rules or not program.layers:
            continue
        plan = compile_program(program)
        words = make_random_words(plan.n_inputs, 100)
        expected = kernels.evaluate(plan, words, 100, engine="reference").classes
        packed, dense = answer_plainly(plan, words, 100, None)
        assert (packed == expected.numpy()).all(), seed
        assert torch.equal(dense, expected), seed
        n_tried += 1
    assert n_tried > 50


def test_dense_weights_decide_as_we_do():
    case = make_weights_case((10, 12, 8, 9), n_literals=6)
    words = case.make_words(700)
    expected = kernels.evaluate(case.plan, words, 700, engine="reference").classes
    assert torch.equal(DenseWeights(case.program).evaluate(unpack_words(words, 700).float()), expected)
    assert len(expected.unique()) >= 3


@pytest.mark.parametrize("name", foldrm.NAMES)
def test_foldrms_programs_answer_as_its_own_evaluator(shared, name):
    case = make_foldrm_case(name)
    answers = case.table.answers
    outcome = kernels.evaluate(case.plan, case.make_words(len(answers)), len(answers))
    assert [case.program.classes[c] if c >= 0 else None for c in outcome.classes.tolist()] == answers
    assert len(set(answers)) > 1


@pytest.mark.parametrize("name", foldrm.NAMES)
def test_clingo_answers_as_foldrms_own_evaluator(shared, name):
    case = make_foldrm_case(name)
    text = (shared / "fixtures" / "foldrm" / f"{name}.full.lp").read_text(encoding="utf-8")
    assert foldrm.run_clingo(foldrm.to_clingo(text, case.table, range(60)), 60) == case.table.answers[:60]


@pytest.mark.parametrize("name", foldrm.NAMES)
def test_foldrms_evaluator_gets_the_rules_that_we_read(shared, name):
    predict = pytest.importorskip("foldrm").predict
    case = make_foldrm_case(name)
    rules = foldrm.to_foldrm(case.program, list(case.table.columns))
    answers = case.table.answers
    assert predict(rules, foldrm.to_rows(case.table, case.program)) == [answer or None for answer in answers]


def test_capture_is_measured_beside_the_bare_network(tmp_path, monkeypatch):
    network = tmp_path / "net.py"
    network.write_text(
        "import torch\nfrom torch import nn\ndef build():\n"
        "    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.Flatten(), "
        "nn.Linear(80, 10)).eval()\n"
    )
    monkeypatch.setattr(capture, "call_in_child", lambda function, environment, *arguments: function(*arguments))
    case = capture.Case(f"{network}:build", None, "digits/test", 11, 4, n_layers=1, memory_format="channels-last")
    row = capture.measure_case(case)
    assert (row["n_images"], row["batch_size"], row["layers"]) == (11, 4, "last 1")
    assert min(row["bare_images_per_s"], row["capture_images_per_s"], row["decode_images_per_s"]) > 0
    assert min(row["bare_peak_bytes"], row["capture_peak_bytes"]) >= 0
    model = case.load()
    batches = list(case.load_batches(model))
    assert [len(batch.indices) for batch in batches] == [4, 4, 3]
    answers = capture._make_capture(case, model, ["3"])(batches)
    assert [list(answer.norms) for answer in answers] == [["3"]] * 3
    assert [len(answer.logits) for answer in answers] == [4, 4, 3]


def test_learned_rules_are_what_foldrm_would_evaluate():
    """As foldrm's `predict` reads them: (head, conditions, exceptions, 0), the first rule that holds."""
    rng = np.random.default_rng(0)
    numbers, texts = rng.integers(0, 6, (80, 2)).astype(float), rng.choice(["u", "v", "w"], 80)
    target = np.where((numbers[:, 0] > 2) ^ (texts == "v"), "a", np.where(numbers[:, 1] > 3, "b", "c"))
    frame = pd.DataFrame({"x": numbers[:, 0], "y": numbers[:, 1], "t": texts})
    model = FoldClassifier().fit(frame, target)
    rules = foldrm.to_foldrm(model.program_, list(frame.columns))

    def fires(rule, row):
        holds = all(OPERATORS[operator](row[column], value) for column, operator, value in rule[1])
        return holds and not any(fires(exception, row) for exception in rule[2])

    default = model.program_.classes[model.program_.default]
    rows = [list(row) for row in zip(*(frame[name].tolist() for name in frame.columns), strict=True)]
    answers = [next((rule[0][2] for rule in rules if fires(rule, row)), default) for row in rows]
    assert answers == model.predict(frame).tolist()
    assert any(rule[2] for rule in rules)
    assert {operator for rule in rules for _, operator, _ in rule[1]} >= {"<=", ">"}


def test_the_worst_jump_of_few_rows_is_that_against_the_growth_of_the_rows():
    times = {1: 10e-6, 10: 40e-6, 30: 240e-6, 100: 250e-6}
    rows = [{"n_rows": n, "median_s": seconds} for n, seconds in reversed(times.items())]
    assert small.find_worst_jump(rows) == pytest.approx(2.0)
    calls = []
    assert 0 <= harness.time_calls(lambda: calls.append(1)).median_s < 1
    assert len(calls) == harness.MOST_CALLS + 2


def test_rules_are_timed_on_the_same_rows_in_every_form(shared, monkeypatch):
    monkeypatch.setattr(harness, "LOOP_SECONDS", 0.0)
    rows = list(small._time_rules("krkp", (1, 3)))
    ours = [(row["form"], row["n_rows"]) for row in rows if row["who"] == "eric-fast"]
    assert ours == [(form, size) for size in (1, 3) for form in ("pandas", "Arrow", "lists")]
    assert all(row["median_s"] or row["note"] == "not installed: foldrm" for row in rows)


def make_rival(tmp_path, monkeypatch, code):
    """An environment in which `lleaves` is this code."""
    (tmp_path / "lleaves.py").write_text(code)
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH="$PYTHONPATH:{tmp_path}" exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    monkeypatch.setattr(apart, "prepare_environment", lambda name: python)
    return contenders.offer_apart("doubles", "lleaves", lambda path: path.write_text("2"), "model.txt", note="apart")


def test_a_rival_in_an_environment_of_its_own_answers_and_is_timed_there(tmp_path, monkeypatch):
    code = """
class Model:
    def __init__(self, model_file):
        self.factor = int(open(model_file).read())
    def compile(self):
        print("what a compiler says is no reply")
    def predict(self, rows, n_jobs):
        assert rows.dtype == "float64" and n_jobs == 1
        return rows * self.factor
"""
    found = make_rival(tmp_path, monkeypatch, code).try_to_make()
    rows = np.arange(6, dtype=np.float32).reshape(3, 2)
    assert (found.who, found.note) == ("doubles", "apart")
    assert (found.answers(found.run(rows)) == 2 * rows).all()
    timing = found.time(rows)
    assert 0 < timing.fastest_s <= timing.median_s <= timing.slowest_s
    with pytest.raises(apart.RivalError, match=r"it failed: IndexError"):
        make_rival(tmp_path, monkeypatch, "class Model:\n    def __init__(self, model_file): [][0]").make("doubles")
    found.close()


def test_a_rival_that_can_not_be_had_leaves_its_reason(monkeypatch):
    assert contenders.Candidate("x", contenders.Contender, ("no_package",)).try_to_make() == "not installed: no_package"
    failed = subprocess.CompletedProcess([], 1, stderr="error: no\n  Python 3.12")
    monkeypatch.setattr(apart.subprocess, "run", lambda *_, **__: failed)
    monkeypatch.setattr(apart, "FOLDER", Path("nowhere"))
    rival = contenders.offer_apart("circuit", "torchlogix", lambda path: None, "model.npz")
    assert rival.try_to_make() == "no environment for it: uv venv --quiet: error: no Python 3.12"


def test_other_answers_are_counted_by_rows():
    expected, got = np.zeros((4, 2)), np.array([[0, 0], [0, 1e-6], [0.1, 0.2], [0, 1]])
    assert contenders.count_differences(got, expected, 1e-5) == 2
    assert contenders.count_differences(np.array(["a", "b"]), np.array(["a", "c", "d"]), 0) == 1
    assert contenders.take_both_shares([0.25]).tolist() == [[0.75, 0.25]]


def test_the_grid_of_a_gpu_times_forests_that_answer_alike(monkeypatch, capsys):
    if not torch.cuda.is_available():
        with pytest.raises(SystemExit, match="runs on a GPU alone"):
            gpu_grid.run_case()
    monkeypatch.setattr(gpu_grid, "N_TRAINING", 200)
    rows = list(gpu_grid.time_forest(8, 3, 2, (1, 40), torch.device("cpu")))
    assert [(row["who"], row["n_trees"], row["n_rows"]) for row in rows] == [("eric-fast", 3, 1), ("eric-fast", 3, 40)]
    assert "8 columns, 3 trees of depth 2, 40 rows, eric-fast" in capsys.readouterr().out.replace("\n", " ")
    assert gpu_grid.take_shares(np.array([[1.0, 3.0]])).tolist() == gpu_grid.take_shares(np.array([[0.75]])).tolist()
    monkeypatch.setattr(gpu_grid, "take_shares", lambda got: got[:, 0].numpy())
    with pytest.raises(SystemExit, match="eric-fast gives other answers than scikit-learn"):
        next(gpu_grid.time_forest(8, 3, 2, (1,), torch.device("cpu")))
