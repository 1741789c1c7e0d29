"""Memory of large results: used again, but never while somebody holds it."""

import gc
import platform
import re

import numpy as np
import pytest
import torch
from numba import boolean, int64, njit, uint64

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.kernels import memory
from eric_fast.kernels.cpu import run as cpu_run
from eric_fast.kernels.cpu.simd_words import load
from tests.engines import make_plan

N_BYTES = memory.SMALL_BYTES


def address_of(array):
    return array.__array_interface__["data"][0]


@pytest.fixture(autouse=True)
def nothing_kept():
    memory._kept.clear()
    yield
    memory._kept.clear()


def test_memory_is_used_again_once_nobody_holds_it():
    first = memory.allocate_result((2, N_BYTES // 8), np.uint64)
    first[:] = 7
    view = torch.from_numpy(first.view(np.int32))[1:]
    place = address_of(first)
    del first
    second = memory.allocate_result((2, N_BYTES // 8), np.uint64)
    second[:] = 8
    assert address_of(second) != place  # a view of a view of it is still there
    assert view.unique().tolist() == [0, 7]
    del view
    gc.collect()
    third = memory.allocate_result((N_BYTES + 8,), np.uint8)  # a little less than there was
    assert address_of(third) == place
    assert third.shape == (N_BYTES + 8,)
    assert place % 64 == 0


@pytest.mark.parametrize("n_bytes", [N_BYTES - 8, memory.MOST_BYTES + 8])
def test_small_and_huge_results_are_not_kept(n_bytes):
    result = memory.allocate_result((n_bytes // 8,), np.uint64)
    assert result.nbytes == n_bytes
    del result
    assert not memory._kept


@pytest.mark.parametrize("n_bytes", [N_BYTES, 5 * N_BYTES])
def test_what_is_kept_is_neither_too_small_nor_far_too_large(n_bytes):
    memory.allocate_result((4 * N_BYTES,), np.uint8)
    kept = memory._kept[0]  # held, so that its place isn't given out again
    assert address_of(memory.allocate_result((n_bytes,), np.uint8)) != address_of(kept)


def test_a_result_that_is_held_stays_as_it_was():
    n_samples, n_atoms = 70_000, 512  # 4.5 MB of rows
    plan = make_plan([(0,), (1, 2)], n_inputs=n_atoms)
    rows = range(n_atoms)
    generator = torch.Generator().manual_seed(0)
    shape = (n_atoms, count_words(n_samples))
    first, second = (torch.randint(-(2**31), 2**31, shape, dtype=torch.int32, generator=generator) for _ in range(2))
    for words in (first, second):
        words[:, n_samples // 32 :] = 0
    held = kernels.evaluate(plan, first, n_samples, rows=rows).rows
    for _ in range(3):
        assert torch.equal(kernels.evaluate(plan, second, n_samples, rows=rows).rows[:, :2000], second[:, :2000])
    assert torch.equal(held[:, :2000], first[:, :2000])


@pytest.mark.skipif(platform.machine() != "x86_64", reason="another processor's instructions")
def test_large_results_go_past_the_caches():
    """A hint that the compiler may lose: then nothing is wrong, but slower."""

    @njit
    def write(base, wanted_rows, row_slots, target, n_words, past_caches):
        cpu_run._write_rows(base, wanted_rows, row_slots, load(base), target, n_words, past_caches)

    write.compile((uint64, int64[::1], int64[::1], uint64, int64, boolean))
    assert re.search(r"\bv?movnt", "".join(write.inspect_asm().values()))
