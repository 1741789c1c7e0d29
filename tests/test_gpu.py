"""The GPU's engine against the reference, to the bit: in Triton's interpreter where there is no GPU."""

import random
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given

from eric_fast import kernels
from eric_fast.bits import WORD_BITS, BitMatrix, count_words, pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.errors import EricError
from eric_fast.evaluator import Evaluator
from eric_fast.kernels import Request, devices
from eric_fast.kernels.gpu import chunked
from eric_fast.kernels.gpu import count as gpu_count
from eric_fast.kernels.gpu import evaluate as gpu
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.kernels.gpu import pack_maps as gpu_maps
from eric_fast.kernels.gpu import questions as gpu_questions
from eric_fast.kernels.gpu.lines import (
    ADDERS,
    FLAG,
    INDEXES,
    LINE_COLUMNS,
    NODES,
    RULES,
    TERMS_BY_2,
    TERMS_BY_4,
    TERMS_BY_6,
)
from eric_fast.kernels.gpu.schedule import lower_steps
from eric_fast.kernels.gpu.vote_tables import VoteTables
from eric_fast.kernels.liveness import ResultKinds, choose_decision, list_reads, take_steps
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.plan.steps import Section
from eric_fast.program import ClassRule, Program, Rule
from eric_fast.program.atoms import InputAtom, Quantiser
from tests.engines import (
    DEVICE,
    POISON,
    ask_everything,
    assert_equal_outcomes,
    check_plan,
    check_program,
    make_plan,
    needs_triton,
)
from tests.examples import count_examples, try_examples
from tests.interpreter import run_without_interpreter
from tests.make_forests import make_forest_program
from tests.make_programs import count_inputs, make_bits, programs_with_bits
from tests.make_rules import draw_bodies, make_one_stratum, make_shared_program

FEW_WORKERS = 8
EVERYTHING = ResultKinds(rows=True, decision=True, sums=True, rules=True, leaves=True)
SIZES = (0, 1, 31, 32, 33, 63, 1000, 1025, 2049)
pytestmark = needs_triton


@pytest.fixture
def few_workers(monkeypatch):
    """Eight workers where the interpreter stands in for a GPU: less to interpret, and more steps and cuts."""
    if DEVICE == "cpu":
        monkeypatch.setattr(gpu_lower, "N_WORKERS", FEW_WORKERS)


@pytest.fixture
def poisoned(monkeypatch):
    """Memory that is asked for without clearing it is full of poison: what isn't written shows."""
    plain_empty = torch.empty

    def poisoned_empty(*size, **settings):
        empty = plain_empty(*size, **settings)
        poison = {torch.int32: POISON, torch.int16: POISON >> 16}
        return empty if empty.dtype == torch.int64 else empty.fill_(poison.get(empty.dtype, torch.nan))

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


@pytest.fixture
def two_multiprocessors(monkeypatch):
    """As Triton's interpreter has, whatever the device."""
    monkeypatch.setattr(gpu, "count_multiprocessors", lambda device: 2)


def check(program, bits):
    check_program(gpu.evaluate, program, bits, DEVICE)


def draw_bits(seed, program, n_samples):
    return make_bits(random.Random(seed).randint, n_samples, count_inputs(program))


def make_flat_program(seed, n_rules, *, n_inputs=12, n_heads=3, n_class_rules=0, decision="first"):
    """Kernel rules that share little, one head with most of them, of 1 to 15 literals; and class rules on both."""
    rng = random.Random(seed)
    atoms = tuple(InputAtom("f", k, ">", 0.0) for k in range(n_inputs))
    atoms += tuple(InputAtom("g", k, ">", 0.0) for k in range(n_heads))
    heads = sorted(rng.choice((0, 0, 0, k)) for k in [rng.randrange(n_heads) for _ in range(n_rules)])
    rules = [
        Rule(n_inputs + head, tuple(a if rng.random() < 0.5 else ~a for a in rng.sample(range(n_inputs), length)))
        for head, length in ((head, min(n_inputs, rng.choice((1, 2, 3, 5, 6, 7, 9, 12)))) for head in heads)
    ]
    bodies = draw_bodies(rng, range(n_inputs + n_heads), n_class_rules)
    class_rules = [ClassRule(rng.randrange(3), body, weight=rng.choice((1, -1, 0.3))) for body in bodies]
    return Program(Quantiser(atoms), ("a", "b", "c"), tuple(class_rules), tuple(rules), decision=decision)


# Eight workers for every example: nothing that one of them changes is left for the next.
@pytest.mark.usefixtures("few_workers")
@try_examples(30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(programs_with_bits(sizes=(0, 1, 31, 32, 33, 63), with_sums=True))
def test_any_program(case):
    check(*case)


@pytest.mark.usefixtures("few_workers", "poisoned")
@pytest.mark.parametrize("n_labels", [1, 3])
def test_labels(n_labels, launches):
    program = make_flat_program(1, 12, n_class_rules=9, decision="labels")
    if n_labels == 1:
        rules = tuple(replace(rule, head=0) for rule in program.class_rules)
        program = replace(program, classes=("a",), class_rules=rules, base=(0.5,))
    bits = draw_bits(1, program, 33)
    request = Request(classes=False, rules=False, scores=True)  # what an evaluator asks of labels
    found = gpu.evaluate(compile_program(program), pack_bits(bits).to(DEVICE), len(bits), request).scores
    names = [atom.name for atom in program.atoms[: count_inputs(program)]]
    expected = Evaluator(program, engine="reference").labels(BitMatrix.from_bools(bits, names))
    assert len(launches) == 1
    assert torch.equal(found.cpu() > 0, expected)
    assert 0 < int(expected.sum()) < expected.numel()


@pytest.mark.usefixtures("few_workers")
@pytest.mark.parametrize("seed", range(count_examples(12)))
def test_rules_that_share(seed):
    program = make_shared_program(seed)
    check(program, draw_bits(seed, program, SIZES[seed % len(SIZES)]))


@pytest.mark.usefixtures("few_workers", "poisoned")
@pytest.mark.parametrize("seed", [3, 5, 7, 11, 16])
def test_forests(seed):
    program = make_forest_program(seed)
    check(program, draw_bits(seed, program, (33, 1030)[seed % 2]))


@pytest.mark.parametrize("seed", [10])
def test_all_workers(seed):
    program = make_shared_program(seed)
    check(program, draw_bits(seed, program, 33))


@pytest.mark.usefixtures("few_workers")
def test_terms_of_one_head_are_shared_by_workers():
    program = make_flat_program(0, 300)
    plan = compile_program(program)
    code = gpu_lower.lower_plan(plan, torch.device("cpu"), EVERYTHING, counts=False)
    works = code.rules.phases[:, :, 1] > code.rules.phases[:, :, 0]
    assert works[:, LINE_COLUMNS].any(dim=0).tolist() == [column != ADDERS for column in range(TERMS_BY_6 + 1)]
    terms = works[:, TERMS_BY_6].nonzero().flatten().tolist()
    assert works[terms[0] + 1, TERMS_BY_2]  # then what the workers found is put together
    check(program, draw_bits(0, program, 1025))


@pytest.mark.slow
@pytest.mark.usefixtures("few_workers")
@pytest.mark.parametrize(("decision", "n"), [("first", 300), ("vote", 120)])
def test_many_class_rules(decision, n):
    program = make_flat_program(5, 0, n_inputs=6, n_heads=0, n_class_rules=n, decision=decision)
    check(program, draw_bits(5, program, 63))


@pytest.mark.usefixtures("few_workers")
def test_the_first_of_many_class_rules_decides():
    """A sample makes one input true and the next may be any: every rule is the first of some sample."""
    n = 40
    plan = make_plan([*((i,) for i in range(n - 1, -1, -1)), ()], n_inputs=n)
    bits = torch.rand(n + 1, n, generator=torch.Generator().manual_seed(0)) < 0.5
    bits = bits.tril(-1)[:, :n] | torch.eye(n + 1, n, dtype=torch.bool)  # sample i: nothing after input i
    outcome = gpu.evaluate(plan, pack_bits(bits).to(DEVICE), n + 1, Request())
    assert outcome.rules[:n].tolist() == [*range(n - 1, -1, -1)]
    assert outcome.rules[n] == next((n - 1 - k for k in range(n - 1, -1, -1) if bits[n, k]), n)


@pytest.mark.usefixtures("few_workers", "poisoned", "two_multiprocessors")
@pytest.mark.parametrize("decision", ["first", "vote"])
@pytest.mark.parametrize("n_samples", [1, 1000, 2049, 4097])
def test_one_launch_writes_every_word(decision, n_samples, launches):
    plan = make_plan([(0, ~1), (2,), (), (~2, 2)], decision=decision)
    words = pack_bits(torch.rand(n_samples, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
    check_plan(gpu.evaluate, plan, words, n_samples, DEVICE)
    n_groups = count_words(n_samples) // 32
    assert launches == 2 * [(min(n_groups, 2), 1)]


@pytest.mark.usefixtures("few_workers", "poisoned")
def test_blocks_are_as_many_as_memory_allows(launches, monkeypatch):
    monkeypatch.setattr(gpu, "MOST_SCRATCH", 1)
    program = make_shared_program(4)
    check(program, draw_bits(4, program, 2049))
    assert set(launches) == {(1, 1)}


def count_idle(monkeypatch, n_multiprocessors, part_literals):
    for module in (gpu, gpu_questions):
        monkeypatch.setattr(module, "count_multiprocessors", lambda device: n_multiprocessors)
    monkeypatch.setattr(gpu_lower, "PART_LITERALS", part_literals)


@pytest.mark.usefixtures("few_workers", "poisoned")
@pytest.mark.parametrize(("n_samples", "grid"), [(1, (1, 8)), (1030, (2, 4)), (5000, (5, 1))])
def test_parts_of_a_program_fill_the_grid(n_samples, grid, launches, monkeypatch):
    count_idle(monkeypatch, 9, 1)
    program, rows = make_one_stratum(0, 40)
    plan, bits = compile_program(program), draw_bits(0, program, n_samples)
    for wanted in (rows, [20], []):
        request = Request(classes=False, rules=False, rows=wanted)
        found = gpu.evaluate(plan, pack_bits(bits).to(DEVICE), n_samples, request)
        assert_equal_outcomes(found, reference.evaluate(plan, pack_bits(bits), n_samples, request))
    assert set(launches) == {grid}


@pytest.mark.usefixtures("few_workers", "poisoned")
@pytest.mark.parametrize(
    "make", [lambda: make_forest_program(9), lambda: make_shared_program(1)], ids=["trees", "rules"]
)
def test_few_samples_are_spread_over_multiprocessors(make, launches, monkeypatch):
    """Votes by sample, and output by output; see `test_gpu_calls` for the grids."""
    monkeypatch.setattr(gpu, "count_multiprocessors", lambda device: 9)
    program, n_samples = make(), 300
    plan, words = compile_program(program), pack_bits(draw_bits(4, program, n_samples)).to(DEVICE)
    request = ask_everything(plan, n_samples)
    found = gpu.evaluate(plan, words, n_samples, request)
    assert_equal_outcomes(found, reference.evaluate(plan, words.cpu(), n_samples, request))
    assert launches == [(4, 1)]


def test_the_kernel_takes_the_fields_of_the_groups_in_order():
    tables = (gpu_lower.RuleTables, gpu_lower.CountTables, VoteTables, gpu.Scratch, gpu_lower.Wanted, gpu.Outputs)
    pointers = [f"p_{name}" for group in tables for name in group._fields]
    names = ["p_words", *pointers, *gpu.Sizes._fields]
    assert gpu.evaluate_kernel.arg_names[: len(names)] == names


@pytest.mark.usefixtures("few_workers", "poisoned")
def test_every_part_has_its_own_memory(monkeypatch):
    """The interpreter runs one after another, so that sharing it would give the same."""
    count_idle(monkeypatch, 9, 1)
    scratches = []
    kernel = gpu.evaluate_kernel

    class Recorder:
        def __getitem__(self, grid):
            return lambda *arguments, **constants: (
                scratches.append(arguments[kernel.arg_names.index("p_scratch")].view(*grid, -1, 32)),
                kernel[grid](*arguments, **constants),
            )

    monkeypatch.setattr(gpu, "evaluate_kernel", Recorder())
    program, rows = make_one_stratum(0, 40)
    words = pack_bits(draw_bits(0, program, 1030)).to(DEVICE)
    gpu.evaluate(compile_program(program), words, 1030, Request(classes=False, rules=False, rows=rows))
    assert scratches[0].shape[:2] == (2, 4)
    assert (scratches[0][:, :, 0] == 0).all()
    assert (scratches[0][:, :, 1] == -1).all()


@pytest.mark.usefixtures("few_workers")
def test_every_part_makes_its_own_rows():
    """In about equal shares."""
    program, _ = make_one_stratum(3, 2000, n_inputs=40, n_heads=64)
    plan = compile_program(program)
    kinds = ResultKinds(rows=True, decision=False, sums=False, rules=False, leaves=False)
    codes = [gpu_lower.lower_plan(plan, torch.device("cpu"), kinds, counts=False, n_parts=n) for n in (1, 4)]
    assert [code.sizes.n_parts for code in codes] == [1, 4]
    spans = [[code.rules.phases[a:b] for a, b in pairwise(code.rules.part_phases.tolist())] for code in codes]
    lines = [[int(part[:, LINE_COLUMNS].diff(dim=2).sum()) for part in parts] for parts in spans]
    assert max(lines[1]) < 0.4 * lines[0][0]
    assert len(set(codes[1].row_parts.tolist())) == 4


@pytest.mark.parametrize(
    ("n_groups", "n_parts"), [(0, 1), (1, 8), (16, 8), (17, 4), (33, 4), (34, 2), (66, 2), (67, 1), (10**6, 1)]
)
def test_parts_are_so_many_that_no_multiprocessor_is_idle(n_groups, n_parts, monkeypatch):
    monkeypatch.setattr(gpu_lower, "PART_LITERALS", 100)
    plan = compile_program(make_flat_program(0, 200, n_heads=9))
    kinds = ResultKinds(rows=True, decision=False, sums=False, rules=False, leaves=False)
    assert 800 <= len(plan.literals) < 1600
    assert gpu_lower.count_parts(plan, n_groups, 132) == n_parts
    assert gpu_lower.may_split(plan, kinds, counts=False)
    assert not gpu_lower.may_split(plan, kinds, counts=True)
    for also in ("decision", "leaves"):
        assert not gpu_lower.may_split(plan, replace(kinds, **{also: True}), counts=False)
    monkeypatch.setattr(gpu_lower, "PART_LITERALS", len(plan.literals) + 1)
    assert gpu_lower.count_parts(plan, n_groups, 132) == 1


def test_several_strata_and_counts_are_not_split(launches, monkeypatch):
    count_idle(monkeypatch, 9, 1)
    program, _ = make_one_stratum(0, 40)
    words = pack_bits(draw_bits(0, program, 40)).to(DEVICE)
    wish = Request(classes=False, rules=False, rows=[12], counts=True)
    gpu.evaluate(compile_program(program), words, 40, wish)
    above = replace(program, kernel_rules=(*program.kernel_rules, Rule(14, (12,))))
    gpu.evaluate(compile_program(above), words, 40, replace(wish, counts=False))
    assert launches == 2 * [(4, 1)]


def test_more_values_than_words_can_be_numbered_are_refused(monkeypatch):
    monkeypatch.setattr(gpu_lower, "MOST_SLOTS", 4)
    kinds = ResultKinds(rows=True, decision=True, sums=False, rules=True, leaves=False)
    with pytest.raises(EricError, match="more than the 4 that the GPU takes; evaluate it with engine='cpu'"):
        gpu_lower.lower_plan(make_plan([(0,), (1, 2)]), torch.device("cpu"), kinds, counts=False)


@pytest.mark.usefixtures("few_workers")
def test_what_is_not_wanted_is_not_there():
    plan = make_plan([(0,), (1, 2)])
    words = pack_bits(torch.rand(70, 3, generator=torch.Generator().manual_seed(1)) < 0.5)
    for wanted in ({"classes": True}, {"rules": True}, {"counts": True}, {"rows": (2, 0, 2)}, {"rows": ()}):
        request = replace(Request(classes=False, rules=False), **wanted)
        found = gpu.evaluate(plan, words.to(DEVICE), 70, request)
        assert_equal_outcomes(found, reference.evaluate(plan, words, 70, request))


def test_words_that_lie_apart():
    plan = make_plan([(0,), (1, 2)])
    words = pack_bits(torch.rand(2000, 6, generator=torch.Generator().manual_seed(1)) < 0.5)
    found = gpu.evaluate(plan, words.to(DEVICE)[::2], 2000, Request())
    assert torch.equal(found.rules.cpu(), reference.evaluate(plan, words[::2], 2000, Request()).rules)


@pytest.mark.parametrize("seed", range(40))
def test_workers_use_only_rows_that_are_written(seed):
    """Of a phase, what a worker reads was written in earlier phases or before by itself; no other worker writes it."""
    plan = compile_program(make_shared_program(seed))
    steps = plan.steps
    sections = [Section(*section) for section in steps.sections.tolist()]
    decided = [
        [[section.rule_start, section.rule_stop], [section.index_start, section.index_stop]] for section in sections
    ]
    for keep_rows in (False, True):
        kinds = replace(EVERYTHING, rows=keep_rows)
        needed, when = list_reads(plan, kinds)
        n_slots, fields, phases, slots = lower_steps(plan.n_inputs, FEW_WORKERS, take_steps(plan, kinds), needed, when)
        section_of_phase = [
            decided.index([phase[RULES], phase[INDEXES]])
            if any(start < stop for start, stop in (phase[RULES], phase[INDEXES]))
            else None
            for phase in phases.tolist()
        ]
        lines = np.stack([fields & ~FLAG, fields < 0], axis=-1)  # [n_lines, n_workers, 4, 2]
        written = {0, 1, *slots[: plan.n_inputs].tolist()} - {-1}
        for phase, section in zip(phases.tolist(), section_of_phase, strict=True):
            stores = {}  # slot -> the worker that stores it in this phase
            reads = set()  # of a slot by a worker that didn't store it before
            for kind in (NODES, ADDERS, TERMS_BY_2, TERMS_BY_4, TERMS_BY_6):
                for line in range(*phase[kind]):
                    for i in range(FEW_WORKERS):
                        (a, _), (b, _), (c, c_flag), (target, stored) = lines[line, i].tolist()
                        first_of_two = kind > TERMS_BY_2 and (line - phase[kind][0]) % 2 == 0
                        used = [a, b, c, target] if first_of_two else [a, b]
                        used += [c] if c_flag and kind in (NODES, ADDERS) else []
                        reads |= {(slot, i) for slot in used if stores.get(slot) != i}
                        if stored and not first_of_two:
                            assert stores.setdefault(target, i) == i
            for slot, i in reads:
                assert slot in written, "read before it is written"
                assert stores.get(slot, i) == i, "written by another worker"
            assert len({0, 1} & set(stores)) == 0
            written |= set(stores)
            assert set(slots[needed[when == section]].tolist()) <= written
        assert max(written) < n_slots
        assert set(slots[needed].tolist()) <= written


def test_offsets_past_31_bits(tmp_path):
    """The last words of rows that have 2**26 each: more than 2**31 samples, words of inputs and words of results.

    The files are as long as that, but have no more than the few blocks that are written.
    """
    n_groups, n_rows = 2**21 + 3, 40
    n_words = n_groups * 32
    plan = make_plan([(38,), (39, ~0), (0,)], n_inputs=n_rows)

    def make_tensor(name, *shape):
        size = int(np.prod(shape))
        return torch.from_file(str(tmp_path / name), shared=True, size=size, dtype=torch.int32).view(shape)

    if DEVICE == "cuda":
        words = torch.zeros(n_rows, n_words, dtype=torch.int32, device=DEVICE)
        classes, rules = (torch.zeros(n_words * WORD_BITS, dtype=torch.int32, device=DEVICE) for _ in range(2))
        truth = torch.zeros(n_rows, n_words, dtype=torch.int32, device=DEVICE)
    else:
        words, truth = make_tensor("words", n_rows, n_words), make_tensor("truth", n_rows, n_words)
        classes, rules = (make_tensor(name, n_words * WORD_BITS) for name in ("classes", "rules"))
    bits = torch.rand(2048 - 7, n_rows, generator=torch.Generator().manual_seed(0)) < 0.3
    words[:, -64:] = pack_bits(bits).to(DEVICE)
    kinds = ResultKinds(rows=True, decision=True, sums=True, rules=True, leaves=False)
    code = gpu_lower.lower_plan(plan, torch.device(DEVICE), kinds, counts=False)
    wanted = code.list_wanted(list(range(n_rows)))
    scores, counts = (torch.empty(0, dtype=dtype, device=DEVICE) for dtype in (torch.float64, torch.int64))
    outputs = gpu.Outputs(classes, rules, scores, truth, counts, counts.int())
    groups = range(n_groups - 2, n_groups)
    decision = choose_decision(plan, kinds)
    gpu.launch(plan, code, words, n_words * WORD_BITS - 7, groups, wanted, outputs, decision)
    expected = reference.evaluate(plan, pack_bits(bits), len(bits), Request(rows=range(n_rows)))
    assert torch.equal(rules[-2048:-7].cpu(), expected.rules)
    assert torch.equal(classes[-2048:-7].cpu(), expected.classes)
    assert torch.equal(truth[:, -64:].cpu(), expected.rows)
    assert not rules[:4096].any()
    assert not truth[:, :64].any()


def evaluate_in_chunks(plan, words, n_samples, request):
    return chunked.evaluate_from_cpu(plan, words, n_samples, request, torch.device(DEVICE))


@pytest.mark.usefixtures("few_workers", "poisoned", "two_multiprocessors")
@pytest.mark.parametrize("n_samples", [0, 1, 1024, 1025, pytest.param(5000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("decision", ["first", "vote"])
def test_chunks_join(n_samples, decision, launches, monkeypatch):
    monkeypatch.setattr(chunked, "COPIED_BYTES", 1)
    plan = make_plan([(0, ~1), (2,), (~2,)], decision=decision)
    words = pack_bits(torch.rand(n_samples, 3, generator=torch.Generator().manual_seed(0)) < 0.5)
    check_plan(evaluate_in_chunks, plan, words, n_samples)
    assert launches == 2 * (n_samples // 1024 + (n_samples % 1024 > 0)) * [(1, 1)]


def test_chunks_hold_about_as_many_bytes(monkeypatch):
    plan = make_plan([(0,)])
    for wanted, n_words in (
        (Request(), 4 * 3 + 8 * 32),
        (Request(scores=True, rows=range(2)), 4 * 5 + 32 * (8 + 16)),
    ):
        monkeypatch.setattr(chunked, "COPIED_BYTES", 96 * n_words + 5)
        assert list(chunked.split_words(plan, 200, wanted)) == [range(0, 96), range(96, 192), range(192, 200)]


def test_launches_go_where_the_tensors_are(monkeypatch):
    """Triton itself would launch on the current device."""
    assert isinstance(devices.launch_on(torch.device("cuda", 1)), torch.cuda.device)
    gone = []
    for module in (gpu, gpu_maps, gpu_columns, gpu_count):
        monkeypatch.setattr(module, "launch_on", lambda device: gone.append(device) or devices.launch_on(device))
    words = pack_bits(torch.ones(40, 3, dtype=torch.bool)).to(DEVICE)
    constants, operators = torch.zeros(3, device=DEVICE), torch.ones(3, dtype=torch.int8, device=DEVICE)
    gpu.evaluate(make_plan([(0,)]), words, 40, Request())
    gpu_maps.pack_maps(torch.ones(4, 3, 2, 2, device=DEVICE), constants, operators)
    gpu_columns.pack_columns(torch.ones(4, 3, device=DEVICE), None, constants, operators)
    gpu_count.count(words, words)
    assert gone == 4 * [words.device]


def test_naming_the_gpu_sends_it_bits_from_the_cpu(monkeypatch):
    chosen = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    monkeypatch.setattr(chunked, "evaluate_from_cpu", lambda *arguments: chosen.append(arguments[-1]))
    kernels.evaluate(make_plan([(0,)]), pack_bits(torch.ones(100, 3, dtype=torch.bool)), 100, engine="gpu")
    assert chosen == [torch.device("cuda", 3)]


@pytest.mark.gpu
def test_auto_takes_the_gpu_for_bits_that_are_there(launches):
    plan = make_plan([(0,)])
    kernels.evaluate(plan, pack_bits(torch.ones(100, 3, dtype=torch.bool)).cuda(), 100)
    assert len(launches) == 1


@pytest.mark.gpu
@pytest.mark.parametrize("decision", ["first", "vote"])
def test_kernels_on_many_samples(decision):
    program = make_flat_program(1, 3000, n_inputs=64, n_heads=100, n_class_rules=700, decision=decision)
    check(program, draw_bits(1, program, 100_000))


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(40))
def test_kernels_on_forests(seed):
    program = make_forest_program(seed)
    check(program, draw_bits(seed, program, 100_000))


@pytest.mark.gpu
@pytest.mark.parametrize("seed", range(40))
def test_kernels_on_rules_that_share(seed):
    program = make_shared_program(seed)
    check(program, draw_bits(seed, program, 100_000))


@pytest.mark.gpu
@pytest.mark.parametrize("n_samples", [100, 20_000, 60_000])
def test_kernels_of_a_program_in_parts(n_samples, launches, monkeypatch):
    monkeypatch.setattr(gpu_lower, "PART_LITERALS", 1000)
    program, rows = make_one_stratum(4, 6000, n_inputs=64, n_heads=100)
    plan, words = compile_program(program), pack_bits(draw_bits(4, program, n_samples))
    request = Request(classes=False, rules=False, rows=rows)
    found = gpu.evaluate(plan, words.cuda(), n_samples, request)
    assert_equal_outcomes(found, reference.evaluate(plan, words, n_samples, request))
    assert launches[0][1] > 1


@pytest.mark.gpu
def test_kernels_take_chunks_from_the_cpu(monkeypatch):
    monkeypatch.setattr(chunked, "COPIED_BYTES", 2**20)
    program = make_shared_program(7)
    plan, words = compile_program(program), pack_bits(draw_bits(7, program, 300_000))
    check_plan(lambda *arguments: evaluate_in_chunks(*arguments), plan, words, 300_000)
    again = kernels.evaluate(plan, words, 300_000, engine="gpu")
    assert torch.equal(again.rules, reference.evaluate(plan, words, 300_000, Request()).rules)


@pytest.mark.gpu
def test_kernels_give_the_same_twice():
    """Nothing depends on which warp or block comes first."""
    program = make_flat_program(2, 500, n_inputs=32, n_heads=20, n_class_rules=300)
    plan, words = compile_program(program), pack_bits(draw_bits(2, program, 200_000)).cuda()
    request = ask_everything(plan, 200_000)
    request = replace(request, truths=request.truths.cuda())
    once = gpu.evaluate(plan, words, 200_000, request)
    for _ in range(5):
        for name, found in gpu.evaluate(plan, words, 200_000, request)._asdict().items():
            assert torch.equal(found, getattr(once, name)), name


@pytest.mark.slow
def test_the_kernel_compiles_for_hopper_as_meant():
    """No GPU is needed to read what one would run."""
    run_without_interpreter("-c", READ)


READ = """
import re
from eric_fast.kernels.gpu.evaluate import FEW_WORDS, Scratch
from eric_fast.kernels.gpu.run_lines import WORKERS_FIRST
from tests.read_sass import find_layouts, read_variant

def check_layouts(ttgir, decision, by_sample, block, rows):
    # Tiles of rows have one layout, so a thread reads back what it stored itself; before others are read is a barrier.
    assert not re.search(f"convert_layout.*tensor<{rows}x", ttgir)
    layouts = find_layouts(ttgir)
    scratch = {place: found for place, found in layouts.items() if place[0].removeprefix("p_") in Scratch._fields}
    assert len(scratch["p_scratch", rows]) == 1, scratch
    tiles = {("p_scratch", rows), ("p_scratch", f"{block}")}
    tiles |= {("p_sums", f"{block}x32"), ("p_numbers", f"{block}x32")} if decision >= 3 else set()
    tiles |= {("p_sums", "256x16")} if by_sample else set()
    tiles |= {("p_most", f"{block}x32"), ("p_most_rules", f"{block}x32")} if decision == 4 else set()
    read_by_others = {("p_numbers", "256")}  # after a barrier
    assert set(scratch) - read_by_others == tiles, scratch

few = read_variant(4, by_sample=True, block_words=FEW_WORDS)
assert not any("LDL" in step or "STL" in step for step in few.loops.values()), few
check_layouts(few.ttgir, 4, True, FEW_WORDS, "128x1x8" if WORKERS_FIRST else "1x128x8")
variants = [*((decision, False, False) for decision in range(5)), (3, True, False), (4, True, False), (3, False, True)]
for decision, by_sample, has_adders in variants:
    reading = read_variant(decision, by_sample=by_sample, has_adders=has_adders)
    assert reading.local <= 64 and reading.registers <= 128, reading  # a few pointers, outside of the loops below
    # (instructions, LOP3, loads of a row) of a step: a node is two loads and one where it starts
    limits = {"nodes": (26, 6, 3), "terms by 2": (31, 18, 2), "terms by 4": (40, 22, 4), "terms by 6": (49, 26, 6)}
    limits |= {"adders": (35, 10, 3)} if has_adders else {}
    for name, (most, most_logic, rows) in limits.items():
        step = reading.loops[name]
        assert step["all"] <= most and step["LOP3"] <= most_logic, (reading.name, name, step)
        assert step["LDG.128"] == rows and step["STG.128"] == 1 and "BAR" not in step, (reading.name, name, step)
        assert not {"LDS", "SHFL", "LDL", "STL"} & set(step), (reading.name, name, step)
    assert reading.instructions["POPC"] and reading.instructions["REDG"] and not reading.instructions["ATOMG"], reading
    check_layouts(reading.ttgir, decision, by_sample, 32, "128x2x16" if WORKERS_FIRST else "2x128x16")
"""
