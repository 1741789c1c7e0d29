"""Tables in chunks, and words that are evaluated where they are packed: the same answers, in little memory."""

import random
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given

from eric_fast import kernels
from eric_fast.bits import count_words, pack_bits, unpack_words
from eric_fast.compile.program import compile_program
from eric_fast.errors import DataError
from eric_fast.frontends.trees.forest import FlatForest, make_program, merge_comparisons
from eric_fast.kernels import chunks
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.reference import evaluate as reference
from eric_fast.program import Program
from eric_fast.program.table_atoms import Column, TableAtom, TableQuantiser
from eric_fast.table.model import RuleModel
from tests.engines import ask_everything, assert_equal_outcomes, check_program
from tests.examples import count_examples, try_examples
from tests.make_programs import count_inputs, make_bits, programs_with_bits
from tests.make_rules import make_shared_program

COLUMNS = (Column("a", "float32"), Column("b", "float64"), Column("c", "float64"))


def make_model(n_trees=12, *, values="any"):
    """A forest of stumps on every column, whose constants are many enough to be ranked."""
    n = 60 * n_trees
    columns = np.arange(n) % 3
    constants = np.round(np.linspace(-2, 2, n), 2).astype(np.float32).astype(np.float64)
    atoms, tests = merge_comparisons(COLUMNS, columns, "<=", constants)
    literals = np.zeros(3 * n, np.int32)
    literals[::3] = tests
    first = np.arange(n) * 3
    yes, no = np.full(3 * n, -1), np.full(3 * n, -1)
    yes[::3], no[::3] = first + 1, first + 2
    leaves = np.random.default_rng(0).integers(-3, 4, (3 * n, 3)).astype(float)
    forest = FlatForest(COLUMNS, atoms, first, literals, yes, no, leaves)
    return RuleModel(make_program(forest, ["x", "y", "z"]), values=values)


def make_table(n):
    return np.random.default_rng(1).normal(size=(n, 3))


def pack_from(bits):
    """What `evaluate_packed` asks for words, made of bool `[n_samples, n_inputs]`."""

    def pack(first, last, out=None):
        words = pack_bits(bits[first:last])
        if out is None:
            return words
        assert out.shape == words.shape
        out[:] = words
        return out

    return pack


def evaluate_fused(plan, words, n_samples, request):
    return cpu.evaluate_packed(plan, pack_from(unpack_words(words, n_samples)), n_samples, request)


@try_examples(60)
@given(programs_with_bits(sizes=(0, 1, 33, 1000)))
def test_words_are_evaluated_where_they_are_packed(case):
    program, bits = case
    check_program(evaluate_fused, program, bits)


@pytest.mark.parametrize("seed", range(count_examples(20)))
def test_blocks_are_packed_on_threads(seed):
    program = make_shared_program(seed)
    rng = random.Random(seed)
    n_samples = rng.choice((1024, 1030, 9000))
    check_program(evaluate_fused, program, make_bits(rng.randint, n_samples, count_inputs(program)))


def test_threads_share_a_bounded_scratch(monkeypatch):
    used = []
    monkeypatch.setattr(cpu, "run_workers", lambda run, n_threads: used.append(n_threads) or run(0))
    monkeypatch.setattr(cpu, "count_cores", lambda: 8)
    model = make_model()
    bits = torch.zeros(8 * 1024, model.evaluator.plan.n_inputs, dtype=torch.bool)
    for scratch_bytes in (2**40, 2**19, 1):
        monkeypatch.setattr(cpu, "SCRATCH_BYTES", scratch_bytes)
        cpu.evaluate_packed(model.evaluator.plan, pack_from(bits), len(bits), kernels.Request())
    assert used[0] == 8
    assert 1 <= used[1] < 8
    assert used[2] == 1


@pytest.mark.parametrize("n_samples", [0, 1, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("chunk_bytes", [1, 2**12, 2**13 + 1, 2**30])
def test_chunks_of_any_size_give_one_outcome(chunk_bytes, n_samples, monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", chunk_bytes)
    program = make_shared_program(1)
    plan = compile_program(program)
    bits = make_bits(random.Random(0).randint, n_samples, count_inputs(program))
    request = ask_everything(plan, n_samples)
    seen = []

    def evaluate(first, last):
        seen.append(last - first)
        part = replace(request, truths=request.truths[:, first:last])
        return reference.evaluate(plan, pack_bits(bits[first:last]), last - first, part)

    found = kernels.evaluate_chunks(evaluate, n_samples, 2, "cpu")
    assert_equal_outcomes(found, reference.evaluate(plan, pack_bits(bits), n_samples, request))
    assert sum(seen) == n_samples
    assert max(seen) <= max(1024, chunk_bytes // 2)


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("kind", ["array", "columns", "read-only", "strided", "tensor", "arrow", "mapping"])
def test_a_table_answers_the_same_in_chunks(kind, fused, monkeypatch):
    model, array = make_model(), make_table(5000)
    expected = model.evaluate(array, scores=True, classes=True, rules=True, rows=(0, 7))
    monkeypatch.setattr(kernels, "FUSED_INPUTS", 1 if fused else 10**9)
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", 2**16)
    match kind:
        case "columns":
            table = np.asfortranarray(array)
        case "read-only":
            table = array.copy()
            table.flags.writeable = False
        case "strided":
            table = np.repeat(np.repeat(array, 2, axis=0), 3, axis=1)[::2, ::3]
        case "tensor":
            table = torch.from_numpy(array)
        case "arrow":
            table = pa.table({column.name: array[:, i] for i, column in enumerate(COLUMNS)})
        case "mapping":
            table = {column.name: array[:, i].tolist() for i, column in enumerate(COLUMNS)}
        case _:
            table = array
    truths = torch.zeros(1, 5000, dtype=torch.int64)
    found = model.evaluate(table, scores=True, classes=True, rules=True, rows=(0, 7), truths=truths)
    assert found.confusion.sum() == 5000
    assert_equal_outcomes(found._replace(confusion=None), expected)
    assert (model.predict(table) == model.predict(array)).all()


@pytest.mark.parametrize("fused", [False, True])
def test_memory_beside_data_and_results_is_bounded(fused, monkeypatch):
    """Neither words nor converted numbers of more than a chunk are ever there at once."""
    model, table = make_model(), make_table(300_000)
    monkeypatch.setattr(kernels, "FUSED_INPUTS", 1 if fused else 10**9)
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", 2**20)
    most = 2**20 // (kernels.count_sample_bytes(model.evaluator.plan, "cpu") + 16 * 3)
    packed, read = [], []
    plain_pack, plain_read = kernels.pack_comparisons, model.packer.read
    monkeypatch.setattr(
        model.packer, "read", lambda part, **given: read.append(part.n_rows) or plain_read(part, **given)
    )
    monkeypatch.setattr(
        kernels,
        "pack_comparisons",
        lambda part, *given, **named: packed.append(len(part)) or plain_pack(part, *given, **named),
    )
    assert len(model.predict(table)) == 300_000
    assert sum(read) == 300_000
    assert max(read) <= most
    assert max(packed) <= (1024 if fused else most)


def test_a_refused_value_is_named_by_its_place_in_the_whole_table(monkeypatch):
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", 2**16)
    model, table = make_model(values="finite"), make_table(5000)
    table[4321, 1] = np.nan
    with pytest.raises(DataError, match="row 4321, column 'b': the value is missing"):
        model.predict(table)


def test_comparisons_of_several_kinds_share_the_words(monkeypatch):
    """float32, float64 and sets, some of them on one column: each atom's bits are in its own row."""
    columns = (Column("a", "float32"), Column("b", "float64"), Column("c", "text"))
    atoms = [TableAtom(i % 2, "ab"[i % 2], "<=", float(np.float32(i / 16))) for i in range(64)]
    atoms[10:10] = [TableAtom(0, "a", "in", (0.0, 1.0)), TableAtom(2, "c", "in", ("x", "y"), missing=True)]
    atoms.append(TableAtom(1, "b", "==", 0.5))
    program = Program(TableQuantiser(tuple(atoms), columns), (), (), decision="bits", outputs=(("o", 0),))
    model = RuleModel(program)
    rng = np.random.default_rng(0)
    table = {
        "a": rng.integers(0, 5, 3000) / 4,
        "b": rng.integers(0, 9, 3000) / 4,
        "c": rng.choice(["x", "y", "z", None], 3000).tolist(),
    }
    expected = model.packer.pack(table, engine="reference")[0]
    assert torch.equal(model.packer.pack(table)[0], expected)
    monkeypatch.setattr(kernels, "FUSED_INPUTS", 1)
    monkeypatch.setitem(chunks.CHUNK_BYTES, "cpu", 2**15)
    rows = tuple(range(len(atoms)))
    found = model.evaluate(table, rows=rows).rows
    assert found.shape == (len(atoms), count_words(3000))
    assert torch.equal(found, expected)
