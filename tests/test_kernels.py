"""Every engine against the reference, to the bit; the reference against the oracles is test_evaluate's."""

import inspect
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels import Request
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.cpu import run as cpu_run
from eric_fast.kernels.engines import find_operation
from eric_fast.kernels.reference import evaluate as reference
from tests.check_large import check_large
from tests.engines import assert_equal_outcomes, check_program, make_plan
from tests.examples import count_examples, try_examples
from tests.make_programs import count_inputs, make_bits, programs_with_bits
from tests.make_rules import make_shared_program

OPERATIONS = sorted(path.stem for path in Path(kernels.__file__).parent.glob("reference/[a-z]*.py"))


@try_examples(150)
@given(programs_with_bits(sizes=(0, 1, 31, 32, 33, 63, 1000), with_sums=True))
def test_cpu_equals_the_reference(case):
    program, bits = case
    check_program(cpu.evaluate, program, bits)


@pytest.mark.parametrize("seed", range(count_examples(60)))
def test_cpu_equals_the_reference_on_rules_that_share(seed):
    program = make_shared_program(seed)
    rng = random.Random(seed)
    n_samples = rng.choice((1, 33, 1000, 1030, 40_000))
    check_program(cpu.evaluate, program, make_bits(rng.randint, n_samples, count_inputs(program)))


def test_auto_takes_the_cpu_for_bits_that_are_there(monkeypatch):
    ran = []
    monkeypatch.setattr(kernels, "find_operation", lambda *found: lambda *arguments: ran.append(found))
    kernels.evaluate(make_plan([(0,)]), pack_bits(torch.ones(100, 3, dtype=torch.bool)), 100)
    assert ran == [("cpu", "evaluate")]


@pytest.mark.parametrize("engine", ["reference", "cpu", "gpu"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_an_operation_has_the_name_of_its_module_on_every_engine(engine, operation):
    function = find_operation(engine, operation)
    if (engine, operation) != ("gpu", "tally_sums"):  # that of the reference
        assert function.__module__ == f"eric_fast.kernels.{engine}.{operation}"
    assert callable(getattr(kernels, operation))
    assert inspect.signature(function) == inspect.signature(find_operation("reference", operation))


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("value", [False, True])
def test_all_zero_and_all_one_bits(engine, value):
    plan = make_plan([(0, 1, 2), (~0, ~1), (0, ~0)])
    words = pack_bits(torch.full((70, 3), value))
    outcome = kernels.evaluate(plan, words, 70, engine=engine)
    assert outcome.rules.tolist() == [0 if value else 1] * 70


@pytest.mark.slow
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


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wrong_words_are_refused(engine):
    plan = make_plan([(0,)])
    words = pack_bits(torch.ones(100, 3, dtype=torch.bool))
    for bad, n_samples in ((words.long(), 100), (words[:2], 100), (words, 5000)):
        with pytest.raises(EricError, match="words must be int32"):
            kernels.evaluate(plan, bad, n_samples, engine=engine)


def test_engines_that_cannot_take_the_bits_are_refused(monkeypatch):
    assert kernels.choose_engine("auto", "cuda") == "gpu"
    assert kernels.choose_engine("auto", "cpu") == "cpu"
    assert kernels.choose_engine("reference", "cuda") == "reference"
    with pytest.raises(SettingError, match="engine 'cpu' needs data on"):
        kernels.choose_engine("cpu", "cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cpu", "cuda"):
        with pytest.raises(SettingError, match="engine 'gpu' needs a CUDA device"):
            kernels.choose_engine("gpu", device)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for device in ("cpu", "cuda"):
        assert kernels.choose_engine("gpu", device, in_chunks=True) == "gpu"
    with pytest.raises(SettingError, match="engine 'gpu' needs data on"):
        kernels.choose_engine("gpu", "cpu")
    with pytest.raises(SettingError, match="not one of"):
        kernels.choose_engine("fast", "cpu")


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_votes_are_added_in_float64(engine):
    plan = make_plan([(0,), (2,)], decision="vote")
    weights = plan.vote_weights.clone()
    weights[:] = 0.3
    words = pack_bits(torch.ones(5, 3, dtype=torch.bool))
    outcome = kernels.evaluate(replace(plan, vote_weights=weights), words, 5, engine=engine, scores=True)
    assert outcome.scores.tolist() == [[0.3, 0.3]] * 5


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
        assert engine.evaluate(plan, words, 10, Request(classes=False, rules=False)) == (None,) * 8
        counts = engine.evaluate(plan, words, 10, Request(classes=False, rules=False, counts=True)).counts
        assert counts.tolist() == [10, 10]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_classes_of_16_bits(engine):
    plan = make_plan([(0,), (1,)])
    words = pack_bits(torch.rand(1500, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
    truths = torch.arange(1500)[None] % 2
    wide = kernels.evaluate(plan, words, 1500, engine=engine, truths=truths)
    narrow = kernels.evaluate(plan, words, 1500, engine=engine, truths=truths, class_dtype=torch.int16)
    assert (wide.classes.dtype, narrow.classes.dtype) == (torch.int32, torch.int16)
    assert_equal_outcomes(narrow, wide._replace(classes=wide.classes.short()))
    for dtype in (torch.int8, torch.int64, torch.float32):
        with pytest.raises(SettingError, match=f"torch.int16 or torch.int32, not {dtype}"):
            kernels.evaluate(plan, words, 1500, engine=engine, class_dtype=dtype)
    many = replace(plan, n_classes=2**15, base=torch.zeros(2**15, dtype=torch.float64))
    with pytest.raises(SettingError, match="int16 can't hold the plan's 32768 classes"):
        kernels.evaluate(many, words, 1500, engine=engine, class_dtype=torch.int16)


def test_rows_past_the_caches_are_the_same():
    program = make_shared_program(4)
    plan = compile_program(program)
    n_samples = 40_001
    words = pack_bits(make_bits(random.Random(0).randint, n_samples, plan.n_inputs))
    rows = tuple(range(plan.n_rows)) * -(-(2**22) // (plan.n_rows * n_samples // 8))  # more bytes than CACHED_BYTES
    few = cpu.evaluate(plan, words, n_samples, Request(rows=range(plan.n_rows))).rows
    many = cpu.evaluate(plan, words, n_samples, Request(rows=rows)).rows
    assert many.nbytes > cpu_run.CACHED_BYTES > few.nbytes
    assert torch.equal(many.view(-1, *few.shape), few.expand(len(many) // len(few), *few.shape))


@pytest.mark.slow
def test_large_samples_agree_in_slices():
    check_large(100_001)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"rows": (3,)}, "rows 3 to 3 are requested, but the plan has rows 0 to 2"),
        ({"rows": (-1, 0)}, "rows -1 to 0"),
        ({"truths": torch.zeros(1, 9, dtype=torch.int64)}, r"int64 \[n_truths, 10\], not int64 \[1, 9\]"),
        ({"truths": torch.zeros(1, 10)}, "not float32"),
        ({"truths": torch.full((1, 10), 2)}, "classes 0 to 1, or -1"),
    ],
)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wishes_that_do_not_fit_are_refused(engine, wanted, message):
    words = pack_bits(torch.ones(10, 3, dtype=torch.bool))
    with pytest.raises(EricError, match=message):
        kernels.evaluate(make_plan([(0,)]), words, 10, engine=engine, **wanted)


@pytest.mark.slow
def test_a_second_process_compiles_nothing():
    """Numba's cache on disk serves it."""
    script = """
import torch
from numba.core import event
from eric_fast import kernels
from tests.engines import make_plan
from eric_fast.bits import pack_bits
with event.install_recorder("numba:compile") as compiled:
    outcome = kernels.evaluate(make_plan([(0, ~1), (2,)]), pack_bits(torch.ones(10, 3, dtype=torch.bool)), 10)
print(outcome.classes.tolist(), len(compiled.buffer))
"""
    for _ in range(2):  # the first may have to
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-1] == "0"
