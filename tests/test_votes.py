"""Class rules as trees, lists and counts: found from the rules alone, and the same answers to the bit."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.kernels import Request
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.program import ClassRule
from tests.engines import assert_equal_outcomes, check_plan, check_program, check_steps_mean_rules
from tests.examples import try_examples
from tests.make_forests import KINDS, grow_paths, make_forest_program, make_program, real_weight
from tests.make_programs import count_inputs, make_bits

SIZES = (0, 1, 31, 32, 33, 63, 1000)


def draw_bits(seed, program, n_samples):
    return make_bits(random.Random(seed).randint, n_samples, count_inputs(program))


@try_examples(100)
@given(st.integers(0, 2**32), st.sampled_from(SIZES))
def test_cpu_equals_the_reference_on_forests(seed, n_samples):
    program = make_forest_program(seed)
    check_program(cpu.evaluate, program, draw_bits(seed, program, n_samples))


def make_trees(rng, kinds, n_atoms=24, n_classes=1, n_leaves=40):
    """Bodies of trees, and a program of them with real weights for every class."""
    trees = [grow_paths(rng, list(range(n_atoms)), kind, n_leaves) for kind in kinds]
    rules = [
        ClassRule(0, body, weight=real_weight(rng), also=tuple((c, real_weight(rng)) for c in range(1, n_classes)))
        for bodies in trees
        for body in bodies
    ]
    return trees, make_program(rules, n_atoms, max(2, n_classes), decision="vote")


def place_trees(trees):
    """First and last rule of each."""
    ends = np.cumsum([0, *map(len, trees)]).tolist()
    return [list(pair) for pair in pairwise(ends)]


@pytest.mark.parametrize("n_classes", [1, 2, 3, 10, 100])
def test_every_tree_of_a_forest_is_found_and_added_as_one(n_classes):
    rng = random.Random(n_classes)
    trees, program = make_trees(rng, KINDS * 4, n_classes=n_classes)
    plan = compile_program(program)
    assert plan.trees.tolist() == place_trees(trees)
    assert (plan.steps.fires == -1).all()
    assert plan.steps.covered == plan.n_inputs + 1  # true: every sample is in a leaf
    assert not len(plan.steps.terms)
    words = pack_bits(draw_bits(2, program, 3000))
    check_plan(cpu.evaluate, plan, words, 3000)


@pytest.mark.parametrize("order", ["rules", "literals", "sorted literals", "both"])
def test_trees_in_another_order_are_found(order):
    rng = random.Random(0)
    trees, program = make_trees(rng, KINDS * 2)
    rules = []
    for first, last in place_trees(trees):
        of_tree = list(program.class_rules[first:last])
        if order in ("rules", "both"):
            rng.shuffle(of_tree)
        for rule in of_tree:
            body = rule.body
            if order in ("literals", "both"):
                body = tuple(rng.sample(body, len(body)))
            elif order == "sorted literals":
                body = tuple(sorted(body, key=lambda literal: max(literal, ~literal)))
            rules.append(replace(rule, body=body))
    program = replace(program, class_rules=tuple(rules))
    plan = compile_program(program)
    assert plan.trees.tolist() == place_trees(trees)
    check_plan(cpu.evaluate, plan, pack_bits(draw_bits(1, program, 1000)), 1000)


def test_a_tree_with_leaves_missing_is_found():
    rng = random.Random(3)
    trees, program = make_trees(rng, ("balanced", "leafwise", "chain"), n_leaves=60)
    kept = [rule for number, rule in enumerate(program.class_rules) if number % 7]
    program = replace(program, class_rules=tuple(kept), default=1)
    plan = compile_program(program)
    assert 1 <= len(plan.trees) <= len(trees)
    assert (plan.steps.fires == -1).sum() > 0.9 * len(kept)
    outcome = kernels.evaluate(plan, pack_bits(draw_bits(5, program, 1000)), 1000, leaves=True)
    assert (outcome.leaves == -1).any()
    check_plan(cpu.evaluate, plan, pack_bits(draw_bits(5, program, 1000)), 1000)


def test_rules_that_only_look_like_trees_are_none():
    nearly = [(0, 1), (0, ~1), (~0, 2), (~0, 3)]  # two of these can fire at once
    lengths = [(0, 1), (2, 3), (4, 5), (6, 7)]  # as long as those of a tree
    for bodies in (nearly, lengths):
        program = make_program([ClassRule(0, body, weight=0.1) for body in bodies], 8, decision="vote")
        plan = check_steps_mean_rules(program, draw_bits(0, program, 300))
        assert len(plan.trees) == 0


def test_numbers_of_leaves_are_few_and_cheap():
    """About two nodes for each leaf, and digits for at most twice as many leaves as there are, or four times."""
    rng = random.Random(1)
    for kind, n_leaves, most_nodes, most_digits in (
        ("balanced", 256, 1.0, 8),
        ("chain", 31, 2.0, 6),
        ("leafwise", 31, 2.0, 7),
        ("leafwise", 255, 2.2, 10),
    ):
        trees, program = make_trees(rng, [kind] * 8, n_atoms=128, n_leaves=n_leaves)
        plan = compile_program(program)
        assert len(plan.steps.nodes) <= most_nodes * sum(map(len, trees)), kind
        planes = plan.steps.indexes[:, 1] - plan.steps.indexes[:, 0]
        assert planes.max() <= most_digits, kind


def test_a_number_of_more_than_16_digits():
    """A list of more rules than 16 bits can number."""
    n = 70_000
    rng = np.random.default_rng(0)
    bodies = np.where(rng.random((n, 9)) < 0.5, 1, -1) * (1 + rng.integers(0, 40, (n, 9)))
    rules = [
        ClassRule(i % 2, tuple(a - 1 if a > 0 else ~(-a - 1) for a in body)) for i, body in enumerate(bodies.tolist())
    ]
    program = make_program(rules, 40)
    plan = compile_program(program)
    first, last = plan.steps.indexes[-1, :2].tolist()
    assert last - first > 16
    bits = torch.rand(400, 40, generator=torch.Generator().manual_seed(0)) < 0.5
    found = cpu.evaluate(plan, pack_bits(bits), 400, Request())
    assert_equal_outcomes(found, reference.evaluate(plan, pack_bits(bits), 400, Request()))
    assert int(found.rules.max()) > 200


def test_whole_weights_are_counted():
    rng = random.Random(0)
    rules = [ClassRule(rng.randrange(3), (rng.choice((k, ~k)),), weight=rng.choice((1, 1, 2, -1))) for k in range(90)]
    program = make_program(rules, 90, 3, decision="vote", base=(4, 0, -1))
    plan = check_steps_mean_rules(program, draw_bits(0, program, 1000))
    assert plan.steps.is_counted.all()
    assert len(plan.steps.counters) == 3
    check_plan(cpu.evaluate, plan, pack_bits(draw_bits(0, program, 1000)), 1000)


@pytest.mark.parametrize(
    ("weights", "counted"),
    [
        ((1, 2, 3), True),
        ((0.5, 0.25, -1.5), True),
        ((0.1, 1, 1), False),
        ((0.5, 1, 2.0**40), False),
        ((1, 1, 2.0**25), False),
    ],
)
def test_only_what_is_exact_and_short_is_counted(weights, counted):
    rules = [ClassRule(0, (k,), weight=weight) for k, weight in enumerate(weights)]
    program = make_program(rules, 3, decision="vote")
    plan = check_steps_mean_rules(program, draw_bits(0, program, 100))
    assert bool(plan.steps.is_counted.all()) == bool(plan.steps.is_counted.any()) == counted


def test_an_output_with_one_real_weight_keeps_its_order():
    rules = [ClassRule(k % 2, (k,), weight=0.1 if k == 4 else 1.0) for k in range(12)]
    plan = compile_program(make_program(rules, 12, decision="vote"))
    assert plan.steps.is_counted.tolist() == [k % 2 == 1 for k in range(12)]
    tree = [ClassRule(1, (0,), weight=0.3), ClassRule(1, (~0,), weight=0.4)]
    plan = compile_program(make_program([*rules, *tree], 12, decision="vote"))
    assert not plan.steps.is_counted.any()


@pytest.mark.parametrize("n_classes", [1, 2, 3, 4, 5, 100])
@pytest.mark.parametrize("default", [None, 0])
def test_lists_answer_with_digits_of_the_class_where_that_is_less_work(n_classes, default):
    rng = random.Random(n_classes)
    bodies = [tuple(rng.choice((a, ~a)) for a in rng.sample(range(12), 3)) for _ in range(50)]
    rules = [ClassRule(rng.randrange(n_classes), body) for body in bodies]
    program = make_program(rules, 12, n_classes, default=default)
    plan = check_steps_mean_rules(program, draw_bits(0, program, 1000))
    assert bool(len(plan.steps.answers))
    larger = replace(program, class_rules=tuple(rules * 30))
    assert bool(len(compile_program(larger).steps.answers)) == (n_classes <= 4)
    for part in (program, larger):
        words = pack_bits(draw_bits(1, part, 1000))
        plan = compile_program(part)
        check_plan(cpu.evaluate, plan, words, 1000)
        request = Request(rules=False)
        assert_equal_outcomes(cpu.evaluate(plan, words, 1000, request), reference.evaluate(plan, words, 1000, request))


@pytest.mark.parametrize("decision", ["first", "vote"])
def test_leaves_alone(decision):
    rng = random.Random(4)
    trees, program = make_trees(rng, KINDS)
    program = replace(program, decision=decision)
    plan = compile_program(program)
    bits = draw_bits(0, program, 1030)
    request = Request(classes=False, rules=False, leaves=True)
    outcome = cpu.evaluate(plan, pack_bits(bits), 1030, request)
    assert_equal_outcomes(outcome, reference.evaluate(plan, pack_bits(bits), 1030, request))
    assert outcome.leaves.shape == (1030, len(trees))
    for tree, (first, last) in enumerate(place_trees(trees)):
        for row, leaf in zip(bits.tolist(), outcome.leaves[:, tree].tolist(), strict=True):
            assert first <= leaf < last
            assert all(row[a] if a >= 0 else not row[~a] for a in program.class_rules[leaf].body)


@pytest.mark.parametrize("n_threads", [1, 3])
def test_sums_do_not_depend_on_threads(n_threads, monkeypatch):
    _, program = make_trees(random.Random(7), KINDS * 3, n_classes=3)
    plan, words = compile_program(program), pack_bits(draw_bits(3, program, 60_000))
    whole = cpu.evaluate(plan, words, 60_000, Request(scores=True))
    monkeypatch.setattr(cpu, "count_cores", lambda: n_threads)
    assert_equal_outcomes(cpu.evaluate(plan, words, 60_000, Request(scores=True)), whole)


def test_nothing_is_left_unwritten(monkeypatch):
    """What is asked for without clearing it is full of poison."""
    plain_empty = np.empty

    def poisoned_empty(*size, **settings):
        empty = plain_empty(*size, **settings)
        empty.view(np.uint8).fill(0xA5)
        return empty

    monkeypatch.setattr(np, "empty", poisoned_empty)
    for seed in range(6):
        program = make_forest_program(seed)
        check_program(cpu.evaluate, program, draw_bits(seed, program, 1030))


def test_a_large_forest_takes_memory_in_proportion():
    """Room for nodes grows as they are made: the trees need few."""
    trees, program = make_trees(random.Random(0), ["balanced"] * 40, n_atoms=60, n_leaves=256)
    plan = compile_program(program)
    assert len(plan.trees) == len(trees)
    n_nodes = len(plan.steps.nodes)
    assert n_nodes < 1.1 * len(program.class_rules)


def vote_for_few(seed, n_classes=20):
    """Rules that each vote for one to three classes, half of them against class 0, which often wins by its base."""
    rng = random.Random(seed)
    rules = []
    for _ in range(25):
        body = tuple(rng.choice((atom, ~atom)) for atom in rng.sample(range(12), rng.randint(1, 2)))
        also = tuple((c, rng.choice((-1.1, -0.3, 0.4))) for c in sorted(rng.sample(range(1, n_classes), 2)))
        if rng.random() < 0.5:
            rules.append(ClassRule(0, body, weight=rng.choice((-0.3, -0.1)), also=also))
        else:
            rules.append(ClassRule(also[0][0], body, weight=0.4, also=also[1:]))
    base = (3.0, *(rng.choice((0.0, 0.7)) for _ in range(n_classes - 1)))
    return make_program(rules, 12, n_classes, decision="vote", base=base)


@pytest.mark.parametrize("seed", range(6))
def test_rules_that_vote_for_few_of_many_classes_decide_as_the_reference_says(seed):
    program = vote_for_few(seed)
    check_program(cpu.evaluate, program, draw_bits(seed, program, 1100))


def test_votes_that_need_more_memory_than_is_free_are_refused_before_it_is_taken(monkeypatch):
    plan = compile_program(vote_for_few(0, n_classes=20_000))
    words = pack_bits(torch.zeros(5, 12, dtype=torch.bool))
    monkeypatch.setattr("eric_fast.kernels.cpu.evaluate.find_free_memory", lambda: 10**8)
    for request in (Request(), Request(scores=True), Request(truths=torch.zeros(1, 5, dtype=torch.int64))):
        with pytest.raises(EricError, match=r"5 samples for 20,000 classes take .* of 100.0 MB free; ask for classes"):
            cpu.evaluate(plan, words, 5, request)
