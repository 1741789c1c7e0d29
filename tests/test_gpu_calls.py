"""Calls of the GPU's engine: after the first they don't wait and copy nothing, wherever and whenever they run.

Without a GPU, PyTorch's meta device stands in for one: what is there can't be read, and whatever comes from the CPU is
a copy between devices.
"""

import gc
import weakref
from dataclasses import replace

import pytest
import torch

from eric_fast import kernels
from eric_fast.bits import count_words, pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.kernels import Comparisons, Request, devices
from eric_fast.kernels.gpu import chunked, questions
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.kernels.gpu import pack_maps as gpu_maps
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.program.decision import Decision
from tests.engines import ask_everything, make_plan, needs_triton
from tests.make_forests import make_forest_program
from tests.make_rules import make_shared_program
from tests.no_waits import NoWaits

META = torch.device("meta")
N_SAMPLES = 3000


@pytest.fixture
def launches(monkeypatch):
    """The grids of the launches, which do nothing."""
    grids = []

    class Recorder:
        def __getitem__(self, grid):
            return lambda *_, **__: grids.append(grid)

    for module, name in ((gpu, "evaluate_kernel"), (gpu_columns, "pack_columns_kernel")):
        monkeypatch.setattr(module, name, Recorder())
    for name in ("pack_runs", "pack_short", "pack_pixels"):
        monkeypatch.setattr(gpu_maps, name, Recorder())
    return grids


def make_plans():
    yield make_plan([(0, ~1), (2,), ()])
    yield compile_program(make_shared_program(4))
    yield compile_program(make_forest_program(5))
    yield compile_program(replace(make_shared_program(4), decision=Decision.LABELS, default=None))


REQUESTS = [
    {},
    {"rules": False},
    {"rules": False, "scores": True, "covered": True},
    {"classes": False, "rules": False, "rows": range(3)},
    {"classes": False, "rules": False, "rows": (2, 0)},
    {"classes": False, "rules": False, "rows": ()},
    {"counts": True, "leaves": True, "class_dtype": torch.int16},
]


@pytest.mark.parametrize("wanted", REQUESTS, ids=str)
def test_a_second_call_neither_waits_nor_copies(wanted, launches):
    for plan in make_plans():
        words = torch.empty(plan.n_inputs, 96, dtype=torch.int32, device=META)
        gpu.evaluate(plan, words, N_SAMPLES, Request(**wanted))
        with NoWaits() as mode:
            gpu.evaluate(plan, words, N_SAMPLES, Request(**wanted))
        assert "empty" in mode.names
        assert set(mode.names) <= {"empty", "zeros", "slice", "new_empty", "repeat", "ge", "fill_", "zero_"}
    assert len(launches) == 8


@pytest.mark.parametrize(
    ("n_samples", "grid"), [(1, (4, 1)), (1025, (8, 1)), (65 * 1024, (260, 1)), (66 * 1024, (66, 1)), (2**20, (132, 1))]
)
def test_few_samples_run_in_small_blocks_all_at_once(n_samples, grid, launches, monkeypatch):
    monkeypatch.setattr(gpu, "count_multiprocessors", lambda device: 132)
    words = torch.empty(3, count_words(n_samples), dtype=torch.int32, device=META)
    gpu.evaluate(next(make_plans()), words, n_samples, Request())
    assert launches == [grid]


def test_the_mode_sees_what_a_first_call_does(launches):
    for plan in make_plans():
        words = torch.empty(plan.n_inputs, 96, dtype=torch.int32, device=META)
        with NoWaits(), pytest.raises(AssertionError, match="copies between cpu and meta|_local_scalar_dense reads"):
            gpu.evaluate(plan, words, N_SAMPLES, Request())
    mask = torch.ones(3, dtype=torch.bool)
    with NoWaits(), pytest.raises(AssertionError, match="index by bools"):
        torch.ones(3)[mask]
    with NoWaits(), pytest.raises(AssertionError, match="_local_scalar_dense reads"):
        bool(mask.all())


def test_truths_are_read_once(launches):
    plan = next(make_plans())
    words = torch.empty(3, 96, dtype=torch.int32, device=META)
    truths = torch.empty(2, N_SAMPLES, dtype=torch.int64, device=META)
    request = Request(truths=truths)
    with pytest.raises(NotImplementedError):
        gpu.evaluate(plan, words, N_SAMPLES, request)
    devices._known[truths] = truths._version, devices.Range(-1, 1)
    gpu.evaluate(plan, words, N_SAMPLES, request)
    with NoWaits():
        found = gpu.evaluate(plan, words, N_SAMPLES, request)
    assert found.confusion.shape == (2, 2, 3)
    truths.fill_(3)  # they are read again
    with pytest.raises(NotImplementedError):
        gpu.evaluate(plan, words, N_SAMPLES, request)
    devices._known[truths] = truths._version, devices.Range(3, 3)
    with pytest.raises(EricError, match="truths must be classes 0 to 1"):
        gpu.evaluate(plan, words, N_SAMPLES, request)


def test_packing_neither_waits_nor_copies(launches):
    comparisons = Comparisons(torch.tensor([2, 0]), torch.zeros(2), torch.full((2,), 2, dtype=torch.int8))
    columns = torch.empty(100, 3, device=META)
    sent = comparisons.send(META)
    for tensor, found in ((sent.column_of_atom, devices.Range(0, 2)), (sent.operators, devices.Range(2, 2))):
        devices._known[tensor] = tensor._version, found  # as the first call reads them
    maps = torch.empty(100, 2, 5, 5, device=META)
    with NoWaits():
        again = comparisons.send(META)
        gpu_columns.pack_columns(columns, *again[:3])
        gpu_maps.pack_maps(maps, *again[1:3], with_norms=True)
        gpu_maps.pack_maps(maps.to(torch.int8), *again[1:3], scale=0.5)
    assert len(launches) == 3


def test_a_question_is_refused_whenever_it_is_asked(launches):
    plan = next(make_plans())
    words = torch.empty(3, 96, dtype=torch.int32, device=META)
    for _ in range(2):
        with pytest.raises(EricError, match="rows 0 to 99 are requested"):
            gpu.evaluate(plan, words, N_SAMPLES, Request(rows=(0, 99)))
        with pytest.raises(EricError, match="words must be int32"):
            gpu.evaluate(plan, words, 7, Request())
    assert not launches


def test_few_questions_are_kept_and_none_without_its_plan(launches, monkeypatch):
    monkeypatch.setattr(questions, "MOST_KEPT", 3)
    plan = make_plan([(0, ~1), (2,)])
    words = torch.empty(3, 96, dtype=torch.int32, device=META)
    for n in range(5):
        gpu.evaluate(plan, words, N_SAMPLES, Request(rows=(0,) * (n + 1)))
    assert len(questions._questions[plan]) == 3
    gone = weakref.ref(plan)
    del plan
    gc.collect()
    assert gone() is None


def test_what_is_kept_is_safe_on_every_stream(monkeypatch):
    """A tensor's memory is reserved for a stream when that stream first reads it."""
    recorded = []

    class Stream:
        def __init__(self, number):
            self.cuda_stream = number

    class Kept:
        device = torch.device("cuda", 0)

        def record_stream(self, stream):
            recorded.append(stream.cuda_stream)

    current = iter([0, 0, 7, 7, 0])
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(next(current)))
    seen = set()
    for _ in range(5):
        devices.keep_for_stream([Kept(), Kept()], seen)
    assert recorded == [0, 0, 7, 7]


def test_a_chunk_is_sent_while_another_is_computed(monkeypatch):
    """Nothing waits for a chunk before the next is on its way, and each has its own stream and memory."""
    calls = []

    class Buffer(chunked.ChunkBuffer):
        def __init__(self, device):
            super().__init__(device)
            self.number = None

        def start(self, plan, words, n_samples, request):
            self.number = sum(name == "start" for name, _ in calls)
            calls.append(("start", self.number))
            return super().start(plan, words, n_samples, request)

        def copy(self, *arguments, **settings):
            calls.append(("copy back", self.number))
            super().copy(*arguments, **settings)

        def finish(self):
            if self.copies:
                calls.append(("wait", self.number))
            super().finish()

    monkeypatch.setattr(chunked, "ChunkBuffer", Buffer)
    monkeypatch.setattr(chunked, "COPIED_BYTES", 1)
    monkeypatch.setattr(chunked, "evaluate", reference.evaluate)
    plan = make_plan([(0,)])
    words = pack_bits(torch.ones(4000, 3, dtype=torch.bool))
    chunked.evaluate_from_cpu(plan, words, 4000, Request(rules=False), torch.device("cpu"))
    expected = [("start", 0), ("copy back", 0), ("start", 1), ("copy back", 1)]
    for n in (2, 3):
        expected += [("wait", n - 2), ("start", n), ("copy back", n)]
    assert calls == [*expected, ("wait", 2), ("wait", 3)]


@needs_triton
def test_covered_is_what_has_a_rule():
    plan = make_plan([(0, ~1), (2,)], decision="vote", default=1)
    words = pack_bits(torch.rand(1000, 3, generator=torch.Generator().manual_seed(0)) < 0.4)
    found = gpu.evaluate(plan, words, 1000, Request(classes=False, rules=False, covered=True))
    rules = kernels.evaluate(plan, words, 1000, engine="reference").rules
    assert torch.equal(found.covered, rules >= 0)
    assert not found.covered.all()


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(6))
def test_kernels_never_wait(seed):
    """PyTorch itself refuses to wait."""
    plan = compile_program(make_forest_program(seed) if seed % 2 else make_shared_program(seed))
    words = pack_bits(torch.rand(N_SAMPLES, plan.n_inputs, generator=torch.Generator().manual_seed(seed)) < 0.5).cuda()
    everything = ask_everything(plan, N_SAMPLES)
    everything = replace(everything, truths=everything.truths.cuda())
    for request in (everything, *(Request(**wanted) for wanted in REQUESTS[:3])):
        once = gpu.evaluate(plan, words, N_SAMPLES, request)
        torch.cuda.set_sync_debug_mode("error")
        try:
            again = gpu.evaluate(plan, words, N_SAMPLES, request)
        finally:
            torch.cuda.set_sync_debug_mode("default")
        for name in once._fields:
            if getattr(once, name) is not None:
                assert torch.equal(getattr(once, name), getattr(again, name)), name


@pytest.mark.gpu
def test_kernels_are_captured_in_a_graph():
    plan = compile_program(make_shared_program(7))
    bits = torch.rand(2, N_SAMPLES, plan.n_inputs, generator=torch.Generator().manual_seed(0)) < 0.5
    words = [pack_bits(part).cuda() for part in bits]
    static, request = words[0].clone(), Request(scores=True)
    gpu.evaluate(plan, static, N_SAMPLES, request)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = gpu.evaluate(plan, static, N_SAMPLES, request)
    for part in words:
        static.copy_(part)
        graph.replay()
        expected = gpu.evaluate(plan, part, N_SAMPLES, request)
        assert torch.equal(found.rules, expected.rules)
        assert torch.equal(found.scores, expected.scores)


@pytest.mark.gpu
def test_kernels_run_on_the_current_stream():
    plan = compile_program(make_shared_program(7))
    words = pack_bits(torch.rand(N_SAMPLES, plan.n_inputs) < 0.5).cuda()
    expected = gpu.evaluate(plan, words, N_SAMPLES, Request())
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        late = torch.zeros_like(words)
        torch.cuda._sleep(10_000_000)
        late.copy_(words, non_blocking=True)
        found = gpu.evaluate(plan, late, N_SAMPLES, Request())
    stream.synchronize()
    assert torch.equal(found.rules, expected.rules)
