"""Counting: every engine against NumPy, to the integer."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import kernels
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import EricError
from eric_fast.extract import TreeOptions, grow_trees
from eric_fast.kernels.cpu import count_rows as cpu_rows
from eric_fast.kernels.gpu import count as gpu_count
from eric_fast.kernels.gpu import grow as gpu_grow
from eric_fast.kernels.growth import GrowControl, check_samples
from tests.engines import DEVICE, POISON, needs_triton
from tests.examples import try_examples
from tests.interpreter import run_without_interpreter


@pytest.fixture
def launches(monkeypatch):
    """The grids that the Triton kernel was launched with."""
    grids = []
    kernel = gpu_count.count_kernel

    class Recorder:
        def __getitem__(self, grid):
            grids.append(grid)
            return kernel[grid]

    monkeypatch.setattr(gpu_count, "count_kernel", Recorder())
    return grids


def make_rows(seed, n_samples, n_rows):
    return torch.rand(n_samples, n_rows, generator=torch.Generator().manual_seed(seed)) < 0.5


def count_plainly(atoms, masks):
    return (masks.T[:, None, :] & atoms.T[None, :, :]).sum(dim=2, dtype=torch.int32)


@try_examples(60)
@given(
    st.integers(0, 2**31),
    st.sampled_from([0, 1, 31, 32, 33, 63, 1000, 10_000]),
    st.sampled_from([0, 1, 3, 64, 65]),
    st.sampled_from([0, 1, 7, 8, 9]),
)
def test_reference_and_cpu_count(seed, n_samples, n_atoms, n_masks):
    atoms, masks = make_rows(seed, n_samples, n_atoms), make_rows(seed + 1, n_samples, n_masks)
    expected = count_plainly(atoms, masks)
    for engine in ("reference", "cpu"):
        found = kernels.count(pack_bits(atoms), pack_bits(masks), engine=engine)
        assert found.dtype == torch.int32
        assert torch.equal(found, expected), engine
    words = pack_bits(atoms)
    pairs = kernels.count(words, words, engine="cpu")  # the same rows: each pair is counted once
    assert torch.equal(pairs, count_plainly(atoms, atoms))


@needs_triton
@pytest.mark.parametrize(("n_samples", "n_atoms", "n_masks"), [(1, 1, 1), (1000, 65, 3), (3000, 5, 70), (0, 3, 3)])
def test_gpu_counts(n_samples, n_atoms, n_masks, launches, monkeypatch):
    monkeypatch.setattr(gpu_count, "BLOCK_WORDS", 32 * 3)  # more blocks than one add to the same counts
    atoms, masks = make_rows(0, n_samples, n_atoms), make_rows(1, n_samples, n_masks)
    found = gpu_count.count(pack_bits(atoms).to(DEVICE), pack_bits(masks).to(DEVICE))
    assert torch.equal(found.cpu(), count_plainly(atoms, masks))
    tiles = (-(-n_masks // gpu_count.TILE_MASKS), -(-n_atoms // gpu_count.TILE_ATOMS))
    assert [grid[:2] for grid in launches] == ([tiles] if n_samples else [])


@needs_triton
@pytest.mark.parametrize("criterion", ["entropy", "gini"])
def test_gpu_grows_the_same_trees(criterion, launches):
    bits, goal = make_rows(3, 500, 20), make_rows(4, 500, 6)
    goal[:, :3] = bits[:, :3] & bits[:, 3:6] | goal[:, :3] & bits[:, 7:10]
    matrix, targets = (BitMatrix.from_bools(part, [str(i) for i in range(part.shape[1])]) for part in (bits, goal))
    limits = TreeOptions(criterion, min_leaf=20).to_limits(500)
    samples = check_samples(matrix.words.to(DEVICE), 500, targets.words.to(DEVICE), limits, None, None, None)
    found = gpu_grow.grow(samples, limits, GrowControl())
    expected = grow_trees(matrix, targets, TreeOptions(criterion, min_leaf=20), engine="cpu")
    for name in expected._fields:
        assert torch.equal(getattr(found, name).cpu(), getattr(expected, name)), name
    assert len(launches) > 2


@pytest.mark.parametrize("n_atoms", [1, 64, 65, 200, 300, 600, 1100])
def test_rows_are_the_columns_turned_and_are_counted(n_atoms):
    n_samples = 9000  # more than 255 blocks of sixteen
    bits = make_rows(n_atoms, n_samples, n_atoms)
    columns = pack_bits(bits).numpy().view(np.uint64)
    rows = np.full((n_samples + 1, cpu_rows.count_row_words(n_atoms)), POISON & (2**64 - 1), np.uint64)
    rows[-1] = 0
    cpu_rows.transpose_words(columns, n_samples, 0, -(-n_samples // 64), rows)
    unpacked = np.unpackbits(rows.view(np.uint8), axis=1, bitorder="little")
    assert (unpacked[:-1, :n_atoms] == bits.numpy()).all()
    assert not unpacked[:, n_atoms:].any()
    adder, rng = np.uint64(cpu_rows.compile_adder().address), np.random.default_rng(0)
    for n in (0, 1, 15, 16, 17, 31, 255 * 16, 255 * 16 + 1, n_samples):
        order = rng.permutation(n_samples)[:n].astype(np.uint32)
        out = np.full(64 * rows.shape[1], POISON, np.int32)
        cpu_rows.count_rows(adder, rows, order, 0, n, out)
        assert (out == unpacked[order].sum(axis=0)).all()
        if n > 20:
            cpu_rows.count_rows(adder, rows, order, 3, n - 4, out)
            assert (out == unpacked[order[3 : n - 4]].sum(axis=0)).all()


def test_wrong_masks_are_refused():
    words = pack_bits(make_rows(0, 100, 3))
    for bad in (words.long(), words[:, :16], words[0]):
        for engine in ("reference", "cpu", "auto"):
            with pytest.raises(EricError, match="words must be int32"):
                kernels.count(words, bad, engine=engine)


def test_triton_kernel_compiles_for_hopper_as_meant():
    """No GPU is needed to read what one would run."""
    said = run_without_interpreter("-m", "tests.read_count_sass")
    assert "local memory: 0\n" in said, said
    assert int(said.split()[1]) <= 128, said  # registers: a multiprocessor has two such blocks
    for loads in ("LDG 24, ", "POPC 32, "):  # of 48 words of pairs
        assert loads in said, said
