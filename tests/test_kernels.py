"""Every engine against the reference, to the bit; the reference against the oracles is test_evaluate's."""

import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import triton
from hypothesis import given
from hypothesis import settings as hypothesis_settings

from eric_fast import kernels
from eric_fast.bits import count_words, pack_bits
from eric_fast.compile import compile_program
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels import Request, cpu, gpu, reference
from eric_fast.program import ClassRule, Program
from eric_fast.quantiser import InputAtom, Quantiser
from tests.check_large import check_large
from tests.make_programs import count_inputs, make_bits, programs_with_bits
from tests.make_rules import make_shared_program

POISON = -0x5A5A5A5B  # 0xA5A5A5A5 as int32
# Triton's interpreter takes range(tensor) with NumPy 2.5 only since it squeezes the tensor first.
BROKEN = not torch.cuda.is_available() and triton.__version__ < "3.9" and np.lib.NumpyVersion(np.__version__) >= "2.5.0"
needs_triton = pytest.mark.skipif(BROKEN, reason="this Triton's interpreter fails with NumPy 2.5: install Triton 3.9")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def make_plan(bodies, n_inputs=3, **settings):
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(n_inputs))
    rules = tuple(ClassRule(i % 2, body) for i, body in enumerate(bodies))
    return compile_program(Program(Quantiser(atoms), ("a", "b"), rules, **settings))


@pytest.fixture
def poisoned(monkeypatch):
    """Memory that kernels ask for without clearing it is full of poison: what isn't written shows."""
    plain_empty = torch.empty

    def poisoned_empty(*size, **settings):
        empty = plain_empty(*size, **settings)
        return empty.fill_(POISON) if empty.dtype == torch.int32 else empty

    monkeypatch.setattr(torch, "empty", poisoned_empty)


@pytest.fixture
def launches(monkeypatch):
    """The grids that the Triton kernel was launched with."""
    grids = []
    kernel = gpu.evaluate_kernel

    class Recorder:
        def __getitem__(self, grid):
            grids.append(grid)
            return kernel[grid]

    monkeypatch.setattr(gpu, "evaluate_kernel", Recorder())
    return grids


def ask_everything(plan, n_samples):
    generator = torch.Generator().manual_seed(n_samples)
    truths = torch.randint(-1, max(plan.n_classes, 1), (2, n_samples), generator=generator)
    truths = truths if plan.n_classes else torch.full((2, n_samples), -1)
    return Request(scores=True, counts=True, rows=range(plan.n_rows), truths=truths)


def assert_equal_outcomes(found, expected):
    for name in expected._fields:
        ours, theirs = getattr(found, name), getattr(expected, name)
        if theirs is None:
            assert ours is None, name
            continue
        assert ours.dtype == theirs.dtype, name
        assert torch.equal(ours.cpu(), theirs), name


def check_engine(engine, program, bits):
    """Everything at once, and the plain question alone, whose code may share memory that the other keeps."""
    plan, words = compile_program(program), pack_bits(bits)
    device = DEVICE if engine is gpu else "cpu"
    everything = ask_everything(plan, len(bits))
    expected = reference.evaluate(plan, words, len(bits), everything)
    there = replace(everything, truths=everything.truths.to(device))
    assert_equal_outcomes(engine.evaluate(plan, words.to(device), len(bits), there), expected)
    plain = engine.evaluate(plan, words.to(device), len(bits), Request())
    assert_equal_outcomes(plain, expected._replace(scores=None, counts=None, rows=None, confusion=None))


@hypothesis_settings(max_examples=150)
@given(programs_with_bits(sizes=(0, 1, 31, 32, 33, 63, 1000)))
def test_cpu_equals_the_reference(case):
    program, bits = case
    check_engine(cpu, program, bits)


@pytest.mark.parametrize("seed", range(60))
def test_cpu_equals_the_reference_on_rules_that_share(seed):
    program = make_shared_program(seed)
    rng = random.Random(seed)
    check_engine(cpu, program, make_bits(rng.randint, rng.choice((1, 33, 1000, 1030, 40_000)), count_inputs(program)))


@needs_triton
@hypothesis_settings(max_examples=40)
@given(programs_with_bits(sizes=(0, 1, 33, 1000)))
def test_gpu_equals_the_reference(case):
    program, bits = case
    check_engine(gpu, program, bits)


@needs_triton
@pytest.mark.parametrize("decision", ["first", "vote"])
@pytest.mark.parametrize("n_samples", [1, 33, 1000, 2049])
def test_gpu_kernel_is_launched_and_writes_every_word(decision, n_samples, launches, poisoned):
    plan = make_plan([(0, ~1), (2,), (), (~2, 2)], decision=decision)
    words = pack_bits(torch.rand(n_samples, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
    request = Request(scores=True, rows=range(plan.n_rows))
    expected = reference.evaluate(plan, words, n_samples, request)
    found = gpu.evaluate(plan, words.to(DEVICE), n_samples, request)
    assert launches == [(count_words(n_samples) // 32,)]
    assert_equal_outcomes(found, expected)


@pytest.mark.gpu
def test_auto_takes_the_gpu_for_bits_that_are_there(launches):
    plan = make_plan([(0,)])
    kernels.evaluate(plan, pack_bits(torch.ones(100, 3, dtype=torch.bool)).cuda(), 100)
    assert len(launches) == 1


def test_auto_takes_the_cpu_for_bits_that_are_there(launches):
    plan = make_plan([(0,)])
    outcome = kernels.evaluate(plan, pack_bits(torch.ones(100, 3, dtype=torch.bool)), 100)
    assert outcome.classes.tolist() == [0] * 100
    assert not launches


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("value", [False, True])
def test_all_zero_and_all_one_bits(engine, value):
    plan = make_plan([(0, 1, 2), (~0, ~1), (0, ~0)])
    words = pack_bits(torch.full((70, 3), value))
    outcome = kernels.evaluate(plan, words, 70, engine=engine)
    assert outcome.rules.tolist() == [0 if value else 1] * 70


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_more_rules_and_samples_than_one_chunk(engine, monkeypatch):
    generator = torch.Generator().manual_seed(0)
    bodies = [tuple(torch.randint(-3, 3, (2,), generator=generator).tolist()) for _ in range(50)]
    plan, bits = make_plan(bodies), torch.rand(3000, 3, generator=generator) < 0.5
    whole = reference.evaluate(plan, pack_bits(bits), 3000, Request())
    monkeypatch.setattr(reference, "CHUNK_RULES", 7)
    monkeypatch.setattr(reference, "CHUNK_SAMPLES", 64)
    outcome = kernels.evaluate(plan, pack_bits(bits), 3000, engine=engine)
    assert torch.equal(outcome.rules, whole.rules)


@needs_triton
def test_gpu_votes_in_chunks(monkeypatch):
    bits = torch.rand(3000, 3, generator=torch.Generator().manual_seed(0)) < 0.5
    plan = make_plan([(0, ~1), (2,), (~2,)], decision="vote")
    monkeypatch.setattr(gpu, "CHUNK_SAMPLES", 1024)
    found = gpu.evaluate(plan, pack_bits(bits).to(DEVICE), 3000, Request(scores=True))
    assert torch.equal(found.scores.cpu(), reference.evaluate(plan, pack_bits(bits), 3000, Request(scores=True)).scores)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wrong_words_are_refused(engine):
    plan = make_plan([(0,)])
    words = pack_bits(torch.ones(100, 3, dtype=torch.bool))
    for bad, n_samples in ((words.long(), 100), (words[:2], 100), (words, 5000)):
        with pytest.raises(EricError, match="takes int32 words"):
            kernels.evaluate(plan, bad, n_samples, engine=engine)


def test_engines_that_cannot_take_the_bits_are_refused():
    assert kernels.choose_engine("auto", "cuda") == "gpu"
    assert kernels.choose_engine("auto", "cpu") == "cpu"
    assert kernels.choose_engine("reference", "cuda") == "reference"
    for engine, device in (("gpu", "cpu"), ("cpu", "cuda")):
        with pytest.raises(SettingError, match=f"engine '{engine}' needs data on"):
            kernels.choose_engine(engine, device)
    with pytest.raises(SettingError, match="not one of"):
        kernels.choose_engine("fast", "cpu")


def test_triton_kernel_compiles_for_hopper_as_meant():
    """In a process of its own, as the interpreter is on in this one: no GPU is needed to read what one would run."""
    script = Path(__file__).with_name("read_sass.py")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("local memory: 0\n") == 2, done.stdout
    assert "LOP3 0" not in done.stdout


def test_one_plan_from_eight_threads_at_once():
    program = make_shared_program(4)
    plan = compile_program(program)
    rng = random.Random(0)
    words = [pack_bits(make_bits(rng.randint, 20_000, plan.n_inputs)) for _ in range(8)]
    alone = [cpu.evaluate(compile_program(program), part, 20_000, Request()) for part in words]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda part: cpu.evaluate(plan, part, 20_000, Request()), words))
    for found, expected in zip(together, alone, strict=True):
        assert_equal_outcomes(found, expected)


def test_words_may_lie_anywhere():
    plan = compile_program(make_shared_program(4))
    wide = pack_bits(torch.rand(5000, plan.n_inputs, generator=torch.Generator().manual_seed(0)) < 0.5)
    part = wide[:, 32:96]
    assert not part.is_contiguous()
    found = cpu.evaluate(plan, part, 2048, Request(rows=range(plan.n_rows)))
    assert_equal_outcomes(found, reference.evaluate(plan, part, 2048, Request(rows=range(plan.n_rows))))


def test_what_is_not_wanted_is_not_given():
    plan = make_plan([(0,), (1,)])
    words = pack_bits(torch.ones(10, 3, dtype=torch.bool))
    for engine in (cpu, reference):
        assert engine.evaluate(plan, words, 10, Request(classes=False, rules=False)) == (None,) * 6
        counts = engine.evaluate(plan, words, 10, Request(classes=False, rules=False, counts=True)).counts
        assert counts.tolist() == [10, 10]


def test_large_samples_agree_in_slices():
    check_large(100_001)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"rows": (3,)}, "rows 3 to 3 are wanted of a plan that has 3"),
        ({"rows": (-1, 0)}, "rows -1 to 0"),
        ({"truths": torch.zeros(1, 9, dtype=torch.int64)}, r"int64 \[n_truths, 10\], not int64 \[1, 9\]"),
        ({"truths": torch.zeros(1, 10)}, "not float32"),
        ({"truths": torch.full((1, 10), 2)}, "none of the plan's 2"),
    ],
)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wishes_that_do_not_fit_are_refused(engine, wanted, message):
    words = pack_bits(torch.ones(10, 3, dtype=torch.bool))
    with pytest.raises(EricError, match=message):
        kernels.evaluate(make_plan([(0,)]), words, 10, engine=engine, **wanted)


def test_a_second_process_compiles_nothing():
    """Numba's cache on disk serves it."""
    script = """
import torch
from numba.core import event
from eric_fast import kernels
from tests.test_kernels import make_plan
from eric_fast.bits import pack_bits
with event.install_recorder("numba:compile") as compiled:
    outcome = kernels.evaluate(make_plan([(0, ~1), (2,)]), pack_bits(torch.ones(10, 3, dtype=torch.bool)), 10)
print(outcome.classes.tolist(), len(compiled.buffer))
"""
    for _ in range(2):  # the first may have to
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"
