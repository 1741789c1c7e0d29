"""Kernels written for one plan: the same answers, no waits after the first call, and what they compile to."""

import json
import random
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from triton import knobs

from eric_fast import kernels
from eric_fast.bits import count_words, pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.evaluator import Evaluator
from eric_fast.kernels import Request
from eric_fast.kernels.gpu import generated, pipeline
from eric_fast.kernels.gpu.write_source import write_source
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.module import RuleModule
from eric_fast.plan import Plan
from eric_fast.program import Decision
from tests.engines import DEVICE, ask_everything, assert_equal_outcomes, make_plan, needs_triton
from tests.examples import try_examples
from tests.interpreter import run_without_interpreter
from tests.make_programs import count_inputs, make_bits, make_program, programs_with_bits
from tests.make_rules import make_shared_program
from tests.no_waits import NoWaits

N_SAMPLES = 1100
pytestmark = needs_triton


@pytest.fixture
def launches(monkeypatch):
    """The plans' own kernels that run, by their sources; others are not counted."""
    launched = []
    plain = generated.launch_generated
    monkeypatch.setattr(
        generated, "launch_generated", lambda code, *tensors: launched.append(code) or plain(code, *tensors)
    )
    return launched


def list_requests(plan):
    """Those that a plan's own kernel answers."""
    yield Request(rules=False, class_dtype=torch.int16)
    yield Request(classes=False, rules=False, rows=range(plan.n_rows))
    yield Request(classes=False, rules=False, rows=())
    if not plan.votes:
        yield Request(rows=range(plan.n_rows), covered=True, scores=True)


def check_generated(program, bits):
    """How many requests were compared with the reference."""
    plan = compile_program(program)
    if plan.votes and not len(plan.steps.answers):
        with pytest.raises(EricError, match="votes that are added up have no generated kernel"):
            replace(plan, generate=True)
        return 0
    plan, words = replace(plan, generate=True), pack_bits(bits)
    requests = list(list_requests(plan))
    for request in requests:
        for _ in range(2 if DEVICE == "cuda" else 1):  # a GPU runs again what the first call compiled
            found = generated.evaluate_generated(plan, words.to(DEVICE), len(bits), request)
            assert_equal_outcomes(found, reference.evaluate(plan, words, len(bits), request))
    return len(requests)


@pytest.mark.parametrize(("seed", "n_samples"), [(4, 0), (24, N_SAMPLES), (54, 33)])
def test_programs_that_share_work_are_answered_as_by_the_reference(seed, n_samples, launches):
    program = replace(make_shared_program(seed), decision=Decision.FIRST)
    bits = make_bits(random.Random(seed).randint, n_samples, count_inputs(program))
    assert check_generated(program, bits) == 4
    assert len(set(launches)) == (4 if n_samples else 0)


@pytest.mark.parametrize(("seed", "n_requests"), [(3, 4), (11, 4), (14, 3)])
def test_sums_are_answered_as_by_the_reference(seed, n_requests, launches):
    """A list with weight bodies, outputs without classes, and whole votes that are counted."""
    program = make_program(random.Random(seed).randint, with_sums=True)
    assert check_generated(program, make_bits(random.Random(seed).randint, 70, count_inputs(program))) == n_requests
    assert len(set(launches)) == n_requests


@try_examples(3)
@given(programs_with_bits(with_sums=True))
def test_any_program_is_answered_as_by_the_reference(case):
    check_generated(*case)


@pytest.mark.parametrize("wanted", [{"counts": True}, {"leaves": True}], ids=str)
def test_what_a_plans_own_kernel_has_no_answer_for_goes_to_the_ordinary_one(wanted, launches, monkeypatch):
    monkeypatch.setattr(generated, "evaluate", reference.evaluate)
    plan = replace(make_plan([(0, ~1), (2,), ()]), generate=True)
    words = pack_bits(torch.rand(33, 3) < 0.5)
    request = Request(**wanted)
    assert_equal_outcomes(
        generated.evaluate_generated(plan, words, 33, request), reference.evaluate(plan, words, 33, request)
    )
    assert not launches


def test_truths_are_compared_and_everything_is_as_without_it(launches):
    plan = replace(make_plan([(0, ~1), (2,), (1, 2)]), generate=True)
    words = pack_bits(torch.rand(33, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
    request = replace(ask_everything(plan, 33), counts=False, leaves=False)
    there = replace(request, truths=request.truths.to(DEVICE))
    found = generated.evaluate_generated(plan, words.to(DEVICE), 33, there)
    assert_equal_outcomes(found, reference.evaluate(plan, words, 33, request))
    assert len(launches) == 1


def test_what_is_compiled_is_launched_again_without_the_hook(monkeypatch):
    hooks = []

    class Kernel:
        """Launched as Triton's kernels are, and as what they return."""

        def __getitem__(self, grid):
            return self.launch

        def launch(self, *_, **constants):
            hooks.append(knobs.runtime.add_stages_inspection_hook is not None)
            assert bool(constants) == hooks[-1]
            return self

    monkeypatch.setattr(generated, "load_kernel", lambda source: Kernel())
    plan = replace(make_plan([(0, ~1), (2,), ()]), generate=True)
    words = torch.empty(3, count_words(3000), dtype=torch.int32, device="meta")
    for _ in range(3):
        generated.evaluate_generated(plan, words, 3000, Request(classes=False, rules=False, rows=(0, 1)))
    assert hooks == [True, False, False]


def test_a_triton_without_the_hook_compiles_all_the_same(monkeypatch, caplog):
    monkeypatch.setattr(pipeline, "knobs", SimpleNamespace(runtime=SimpleNamespace()))
    with pipeline.compile_quickly():
        pass
    (record,) = caplog.records
    assert record.getMessage().endswith("can't leave out passes: a large kernel takes minutes to compile")


@pytest.fixture
def recorded(monkeypatch):
    """The grids of launches, which do nothing."""
    grids = []

    class Recorder:
        def __getitem__(self, grid):
            return lambda *_, **__: grids.append(grid)

    monkeypatch.setattr(generated, "load_kernel", lambda source: Recorder())
    monkeypatch.setattr(generated, "decode_kernel", Recorder())
    return grids


def test_a_second_call_neither_waits_nor_copies(recorded, caplog):
    plan = replace(make_plan([(0, ~1), (2,), ()]), generate=True)
    words = torch.empty(3, count_words(3000), dtype=torch.int32, device="meta")
    caplog.set_level("INFO")
    for request in (Request(rules=False), Request(covered=True, scores=True), Request(classes=False, rows=(1, 0))):
        kernels._evaluate("gpu", plan, words, 3000, request)
        with NoWaits() as mode:
            kernels._evaluate("gpu", plan, words, 3000, request)
        assert "empty" in mode.names
    assert recorded == [(3,)] * 12
    logged = [record.getMessage() for record in caplog.records]
    assert len(logged) == 3
    assert logged[0].startswith(f"a kernel of {len(plan.steps.nodes)} nodes: compiled in ")


def test_what_is_compiled_is_found_by_its_source():
    plan = make_plan([(0, ~1), (2,), ()])
    answers, values = plan.steps.answers.tolist(), plan.steps.values.tolist()
    source = write_source(plan.steps, plan.n_inputs, answers, [])
    assert source == write_source(plan.steps, plan.n_inputs, answers, [])
    assert source != write_source(plan.steps, plan.n_inputs, [], values)
    if DEVICE == "cuda":
        assert generated.load_kernel(source).cache_key == generated.load_kernel(source).cache_key


def test_a_program_may_be_too_large(monkeypatch):
    plan = make_plan([(0, ~1), (2,), ()])
    monkeypatch.setattr(sys.modules[Plan.__module__], "MOST_GENERATED", len(plan.steps.nodes) - 1)
    with pytest.raises(EricError, match="more than the .* of a generated kernel; compile it without generate=True"):
        replace(plan, generate=True)


def test_on_the_cpu_nothing_changes():
    program = replace(make_shared_program(7), decision=Decision.FIRST)
    plain, module = RuleModule(program), RuleModule(program, generate=True)
    n_inputs = module.evaluator.plan.n_inputs
    bits = torch.rand(40, n_inputs, generator=torch.Generator().manual_seed(0)) < 0.5
    assert module.evaluator.plan.generate
    assert module._key != plain._key
    assert torch.equal(module(bits), plain(bits))
    given = plain.evaluator.inputs
    assert Evaluator(program, given=given, generate=True).plan.generate


SCRIPT = """
import json, random
from bench.generated import build, describe
from eric_fast.compile.program import compile_program
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.rules import Rule
from tests.make_rules import grow_leaves
rng = random.Random(0)
atoms = tuple(InputAtom(f"l{k // 24}", k % 24, ">", 0.0) for k in range(48))
rules = [Rule(h, b) for h in range(24, 36) for b in grow_leaves(rng, range(24), 6) if rng.random() < 0.5]
plan = compile_program(Program(Quantiser(atoms), ("a",), (ClassRule(0, (30,)),), tuple(rules)))
print(json.dumps(describe("small", build(plan, [], plan.steps.values[24:36].tolist()))))
"""


def test_a_node_is_one_instruction_of_logic_and_nothing_spills():
    found = json.loads(run_without_interpreter("-c", SCRIPT))
    assert found["nodes"] > 150
    assert found["lop3_a_node"] <= 1
    assert found["local_bytes"] == 0
    assert found["registers"] <= 168
    assert not {"BAR", "LDS", "STS", "LDL", "STL"} & set(found["instructions"])
