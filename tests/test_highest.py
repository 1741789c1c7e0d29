"""Classes from counters alone, where every class rule is counted: no sum is made of floats."""

import random

import pytest
import torch

from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.kernels import Request
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.liveness import FIRST_ANSWERS, VOTE, choose_decision, find_result_kinds
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.plan import Plan, check_steps
from eric_fast.program import ClassRule, Decision, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.engines import DEVICE, needs_triton

CLASSES_ALONE = Request(rules=False)


def make_votes(seed: int, n_classes: int, *, most: int = 3, unit: float = 1.0) -> Plan:
    """Rows of votes, negative ones too; low sums, so that classes often tie; a class may have no votes."""
    lot = random.Random(seed)
    rules = []
    for _ in range(lot.randint(1, 12)):
        head = lot.randrange(n_classes)
        others = [c for c in range(n_classes) if c != head and lot.random() < 0.5]
        body = tuple(lot.choice((a, ~a)) for a in lot.sample(range(5), lot.randint(1, 2)))
        also = tuple((c, lot.randint(1, most) * lot.choice((-1, 1)) * unit) for c in others)
        rules.append(ClassRule(head, body, weight=lot.randint(-most, most) * unit, also=also))
    base = tuple(lot.randint(-2, 2) * unit for _ in range(n_classes)) if lot.random() < 0.7 else ()
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(5))
    default = lot.choice((None, n_classes - 1))
    names = tuple(map(str, range(n_classes)))
    return compile_program(
        Program(Quantiser(atoms), names, tuple(rules), decision=Decision.VOTE, base=base, default=default)
    )


def all_bits(n_samples: int) -> torch.Tensor:
    return torch.arange(n_samples)[:, None] >> torch.arange(5) & 1 == 1


@pytest.mark.parametrize("seed", range(40))
def test_counters_give_the_class(seed: int) -> None:
    plan = make_votes(seed, 1 + seed % 6, unit=(1.0, 0.25, 3.0)[seed % 3])
    check_steps(plan)
    kind = choose_decision(plan, find_result_kinds(plan, CLASSES_ALONE))
    assert kind == (VOTE if len(plan.trees) else FIRST_ANSWERS)  # two rules may look like a tree
    words = pack_bits(all_bits(33))
    for request in (CLASSES_ALONE, Request(rules=False, scores=True), Request()):
        expected = reference.evaluate(plan, words, 33, request)
        found = cpu.evaluate(plan, words, 33, request)
        assert torch.equal(found.classes, expected.classes)
        assert found.scores is None or torch.equal(found.scores, expected.scores)
        assert found.rules is None or torch.equal(found.rules, expected.rules)


@needs_triton
@pytest.mark.parametrize("seed", range(3))
def test_counters_give_the_class_on_the_gpu(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if DEVICE == "cpu":
        monkeypatch.setattr(gpu_lower, "N_WORKERS", 8)  # less to interpret
    plan, words = make_votes(seed, 3), pack_bits(all_bits(33))
    found = gpu.evaluate(plan, words.to(DEVICE), 33, CLASSES_ALONE)
    assert torch.equal(found.classes.cpu(), reference.evaluate(plan, words, 33, CLASSES_ALONE).classes)


def test_units_that_lie_far_apart_are_summed() -> None:
    """A class that counts in 2**-20, another in 2**20: in one unit, the sums would not be small."""
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(5))
    rules = (ClassRule(0, (0,), weight=2.0**-20), ClassRule(1, (1,), weight=2.0**20))
    plan = compile_program(Program(Quantiser(atoms), ("x", "y"), rules, decision=Decision.VOTE))
    assert not len(plan.steps.answers)
    assert choose_decision(plan, find_result_kinds(plan, CLASSES_ALONE)) == VOTE
    words = pack_bits(all_bits(32))
    expected = reference.evaluate(plan, words, 32, CLASSES_ALONE).classes
    assert torch.equal(cpu.evaluate(plan, words, 32, CLASSES_ALONE).classes, expected)


def test_weights_that_are_not_whole_are_summed() -> None:
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(2))
    rules = (ClassRule(0, (0,), weight=0.1), ClassRule(1, (1,), weight=1))
    plan = compile_program(Program(Quantiser(atoms), ("x", "y"), rules, decision=Decision.VOTE))
    assert not len(plan.steps.answers)
