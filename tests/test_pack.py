"""Packing: every engine against the reference, the reference against plain comparisons."""

import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eric_fast import kernels
from eric_fast.bits import count_words, mask_tail, unpack_words
from eric_fast.capture import reduce_norm
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels import packing
from eric_fast.kernels.cpu import bins, pack_bins, threads
from eric_fast.kernels.cpu import pack_columns as cpu_columns
from eric_fast.kernels.cpu import pack_maps as cpu_maps
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.kernels.gpu import pack_maps as gpu_maps
from eric_fast.kernels.reference import pack_columns as reference_columns
from eric_fast.kernels.reference import pack_maps as reference_maps
from eric_fast.program.atoms import PIXEL_NORMS
from tests.engines import DEVICE, POISON, needs_triton
from tests.examples import try_examples
from tests.interpreter import run_without_interpreter
from tests.make_maps import DTYPES, LAYOUTS, assert_near, make_case, make_maps

SIZES = (0, 1, 31, 32, 33, 63, 1000)


shapes = st.tuples(
    st.sampled_from(SIZES[:6]),
    st.sampled_from((1, 3, 15, 16, 17, 40)),
    st.sampled_from((1, 2, 5, 7, 9)),
    st.sampled_from((1, 3, 7, 8)),
)


@pytest.mark.slow
@try_examples(150)
@given(shapes, st.sampled_from(DTYPES), st.sampled_from(LAYOUTS), st.sampled_from(PIXEL_NORMS), st.integers(0, 99))
def test_cpu_packs_maps_as_the_reference(shape, dtype, layout, norm, seed):
    maps, constants, operators = make_case(shape, dtype, layout, norm, seed)
    scale = 0.75 if dtype == torch.int8 else None
    wanted = {"norm": norm, "scale": scale, "with_norms": True}
    expected = reference_maps.pack_maps(maps, constants, operators, **wanted)
    found = cpu_maps.pack_maps(maps, constants, operators, **wanted)
    assert_near(found, expected, maps, constants, scale or 1.0)


@pytest.mark.parametrize("layout", ["contiguous", "channels-last", "stepped"])
@pytest.mark.parametrize("norm", PIXEL_NORMS)
@pytest.mark.parametrize("shape", [(1000, 5, 7, 7), (3, 530, 6, 5), (2, 3, 70, 61), (33, 20, 40, 7)])
def test_cpu_packs_large_maps_as_the_reference(shape, norm, layout):
    """More than a block of pixels, of kernels, of images, and threads."""
    maps, constants, operators = make_case(shape, torch.float32, layout, norm, 0)
    expected = reference_maps.pack_maps(maps, constants, operators, norm=norm, with_norms=True)
    found = cpu_maps.pack_maps(maps, constants, operators, norm=norm, with_norms=True)
    assert_near(found, expected, maps, constants)


@pytest.mark.slow
@needs_triton
@try_examples(25)
@given(
    st.tuples(st.sampled_from((0, 1, 3, 33)), st.sampled_from((1, 3, 16, 40)), *[st.sampled_from((1, 3, 7, 8))] * 2),
    st.sampled_from(DTYPES),
    st.sampled_from(LAYOUTS),
    st.sampled_from(PIXEL_NORMS),
    st.integers(0, 99),
)
def test_gpu_packs_maps_as_the_reference(shape, dtype, layout, norm, seed):
    maps, constants, operators = make_case(shape, dtype, layout, norm, seed)
    scale = 0.75 if dtype == torch.int8 else None
    expected = reference_maps.pack_maps(maps, constants, operators, norm=norm, scale=scale, with_norms=True)
    there = (tensor.to(DEVICE) for tensor in (maps, constants, operators))
    found = gpu_maps.pack_maps(*there, norm=norm, scale=scale, with_norms=True)
    assert_near(found, expected, maps, constants, scale or 1.0)


LAUNCHES = [
    ((33, 64, 7, 7), "contiguous", "pack_short"),
    ((2, 20, 7, 7), "contiguous", "pack_short"),  # kernels that fill no block
    ((2, 16, 14, 14), "contiguous", "pack_short"),
    ((2, 16, 8, 8), "contiguous", "pack_runs"),
    ((2, 3, 33, 34), "contiguous", "pack_runs"),  # more than a block of pixels, and a rest
    ((33, 5, 7, 7), "cropped", "pack_runs"),
    ((33, 20, 7, 7), "channels-last", "pack_pixels"),
    ((2, 130, 12, 12), "channels-last", "pack_pixels"),
    ((33, 20, 1, 1), "contiguous", "pack_pixels"),
]


@pytest.mark.slow
@needs_triton
@pytest.mark.parametrize(("shape", "layout", "kernel"), LAUNCHES)
@pytest.mark.parametrize("norm", ["l1", "max"])
def test_gpu_launches_the_kernel_meant_and_writes_every_word(shape, layout, kernel, norm, monkeypatch):
    launched = record_launches(monkeypatch, gpu_maps, "pack_short", "pack_runs", "pack_pixels")
    maps, constants, operators = make_case(shape, torch.float32, layout, norm, 1)
    expected = reference_maps.pack_maps(maps, constants, operators, norm=norm, with_norms=True)
    poison_memory(monkeypatch)
    there = (tensor.to(DEVICE) for tensor in (maps, constants, operators))
    found = gpu_maps.pack_maps(*there, norm=norm, with_norms=True)
    assert launched == [kernel]
    assert_near(found, expected, maps, constants)


def record_launches(monkeypatch, module, *names):
    """The names of the Triton kernels that are launched from now on."""
    launched = []
    for name in names:
        kernel = getattr(module, name)

        class Recorder:
            kernel_name, inner = name, kernel
            arg_names = kernel.arg_names

            def __getitem__(self, grid):
                launched.append(self.kernel_name)
                return self.inner[grid]

        monkeypatch.setattr(module, name, Recorder())
    return launched


def poison_memory(monkeypatch):
    """Memory asked for without clearing is full of poison, integers and floats: what isn't written shows."""
    plain_empty = torch.empty

    def poisoned_empty(*size, **settings):
        empty = plain_empty(*size, **settings)
        return empty.fill_(POISON if empty.dtype == torch.int32 else torch.nan)

    monkeypatch.setattr(torch, "empty", poisoned_empty)


@pytest.mark.gpu
def test_auto_packs_on_the_gpu_what_is_there(monkeypatch):
    launched = record_launches(monkeypatch, gpu_maps, "pack_short")
    launched += record_launches(monkeypatch, gpu_columns, "pack_columns_kernel")
    maps, constants, operators = (tensor.cuda() for tensor in make_case((99, 64, 7, 7), torch.float32, "", "l1", 0))
    packed = kernels.pack_maps(maps, constants, operators, with_norms=True)
    assert launched == ["pack_short"]
    assert torch.equal(packed.words, kernels.pack_columns(packed.norms, None, constants, operators))


@pytest.mark.parametrize("n_images", SIZES)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_every_word_is_written_and_what_pads_is_zero(n_images, engine, monkeypatch):
    maps, constants, _ = make_case((n_images, 3, 2, 2), torch.float32, "contiguous", "l1", 0)
    operators = torch.full((3,), 15, dtype=torch.int8)  # true whatever comes
    poison_memory(monkeypatch)
    found = kernels.pack_maps(maps, constants, operators, engine=engine).words
    columns = kernels.pack_columns(maps[:, :, 0, 0], None, constants, operators, engine=engine)
    expected = mask_tail(torch.full((3, count_words(n_images)), -1, dtype=torch.int32), n_images)
    assert torch.equal(found, expected)
    assert torch.equal(columns, expected)


@pytest.mark.parametrize("engine", ["reference", "cpu", pytest.param("gpu", marks=needs_triton)])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("norm", PIXEL_NORMS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_that_equals_its_constant_is_a_tie(engine, layout, norm, dtype):
    """Maps of one value have exactly that norm; 49 values of 1/2, 3 and 100 add up to what every dtype holds."""
    values = torch.tensor([1.0, 3.0, 100.0])
    maps = values.to(dtype)[None, :, None, None].repeat(2, 1, 7, 7)
    if layout == "channels-last":
        maps = maps.contiguous(memory_format=torch.channels_last)
    operators = torch.tensor([kernels.EQUAL, kernels.GREATER, kernels.LESS_EQUAL], dtype=torch.int8)
    scale = 1.0 if dtype == torch.int8 else None
    pack = gpu_maps.pack_maps if engine == "gpu" else kernels.pack_maps
    settings = {} if engine == "gpu" else {"engine": engine}
    inputs = [tensor.to(DEVICE) if engine == "gpu" else tensor for tensor in (maps, values, operators)]
    packed = pack(*inputs, norm=norm, scale=scale, with_norms=True, **settings)
    assert packed.norms.tolist() == [values.tolist()] * 2
    assert unpack_words(packed.words, 2).tolist() == [[True, False, True]] * 2


@pytest.mark.parametrize("engine", ["reference", "cpu", pytest.param("gpu", marks=needs_triton)])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last"])
@pytest.mark.parametrize("dtype", DTYPES[:3])
@pytest.mark.parametrize("norm", PIXEL_NORMS)
def test_what_is_not_finite_is_seen(engine, layout, dtype, norm):
    bad = [torch.nan, torch.inf, -torch.inf]
    maps = torch.ones(4, 3, 5, 5, dtype=dtype)
    for i, value in enumerate(bad):
        maps[i, i, i + 1, i + 2] = value
    maps[3, 0, 4, 4], maps[3, 0, 0, 0] = torch.nan, torch.inf
    if layout == "channels-last":
        maps = maps.contiguous(memory_format=torch.channels_last)
    operators = torch.tensor([kernels.LESS_EQUAL, kernels.GREATER, kernels.GREATER + kernels.MISSING]).to(torch.int8)
    constants = torch.full((3,), 2.0)
    expected = reference_maps.pack_maps(maps, constants, operators, norm=norm, with_norms=True)
    if engine == "gpu":
        there = (tensor.to(DEVICE) for tensor in (maps, constants, operators))
        found = gpu_maps.pack_maps(*there, norm=norm, with_norms=True)
    else:
        found = kernels.pack_maps(maps, constants, operators, norm=norm, with_norms=True, engine=engine)
    torch.testing.assert_close(found.norms.cpu(), expected.norms, equal_nan=True)
    assert torch.equal(found.words.cpu(), expected.words)
    assert math.isnan(found.norms[0, 0])
    assert math.isnan(found.norms[3, 0])
    assert unpack_words(found.words, 4)[0].tolist() == [False, False, False]


def test_float16_widens_exactly_on_the_cpu():
    bits = torch.arange(-(2**15), 2**15, dtype=torch.int32).to(torch.int16)
    maps = bits.view(torch.float16).reshape(-1, 1, 1, 1).expand(-1, 1, 4, 4).contiguous()
    norms = cpu_maps.pack_maps(maps, torch.zeros(1), torch.ones(1, dtype=torch.int8), norm="max", with_norms=True).norms
    torch.testing.assert_close(norms, maps[:, :, 0, 0].float(), rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("engine", ["reference", "cpu", pytest.param("gpu", marks=needs_triton)])
def test_int8_takes_a_scale_for_each_kernel_and_its_lowest_value(engine):
    maps = torch.full((3, 2, 9, 9), -128, dtype=torch.int8)
    scale = torch.tensor([0.5, 2.0])
    operators = torch.tensor([kernels.EQUAL] * 2, dtype=torch.int8)
    inputs = [maps, torch.tensor([64.0, 256.0]), operators]
    if engine == "gpu":
        packed = gpu_maps.pack_maps(*[tensor.to(DEVICE) for tensor in inputs], scale=scale.to(DEVICE), with_norms=True)
    else:
        packed = kernels.pack_maps(*inputs, scale=scale, with_norms=True, engine=engine)
    assert packed.norms.tolist() == [[64.0, 256.0]] * 3
    assert packed.words[:, 0].tolist() == [7, 7]


def test_norms_are_given_only_where_asked_for():
    maps, constants, operators = make_case((5, 3, 7, 7), torch.float32, "contiguous", "l1", 0)
    without = kernels.pack_maps(maps, constants, operators)
    with_norms = kernels.pack_maps(maps, constants, operators, with_norms=True)
    assert without.norms is None
    assert torch.equal(without.words, with_norms.words)


def test_permuted_images_permute_bits():
    maps, constants, operators = make_case((777, 9, 5, 5), torch.bfloat16, "contiguous", "l1", 0)
    order = torch.randperm(777, generator=torch.Generator().manual_seed(1))
    bits = unpack_words(kernels.pack_maps(maps, constants, operators).words, 777)
    assert torch.equal(unpack_words(kernels.pack_maps(maps[order], constants, operators).words, 777), bits[order])


@pytest.mark.parametrize("norm", ["l1", "l2", "mean"])
@pytest.mark.parametrize("layout", ["contiguous", "channels-last", "stepped"])
def test_sums_of_large_maps_are_exact_to_float32(layout, norm):
    """One value over and over is the worst case: every addition rounds the same way."""
    value = torch.tensor(0.1, dtype=torch.float32)
    maps = torch.full((1, 16, 112, 224), value.item())
    maps = {"stepped": maps[..., ::2], "channels-last": maps.contiguous(memory_format=torch.channels_last)}.get(
        layout, maps
    )
    comparisons = torch.zeros(16), torch.zeros(16, dtype=torch.int8)
    norms = cpu_maps.pack_maps(maps, *comparisons, norm=norm, with_norms=True).norms
    torch.testing.assert_close(norms, value.expand(1, 16), rtol=1.5e-6, atol=0)


@pytest.mark.parametrize(
    ("layout", "runs"),
    [
        ("contiguous", (1, 0, 63, 1)),
        ("channels-last", (1, 0, 63, 5)),
        ("turned", (1, 0, 63, 1)),  # the order of pixels means nothing
        ("cropped", (7, 12, 9, 1)),
        ("stepped", (1, 0, 63, 2)),
    ],
)
def test_pixels_are_merged_into_runs(layout, runs):
    assert packing.merge_pixels(make_maps((2, 5, 7, 9), torch.float32, layout)) == runs


@pytest.mark.parametrize("layout", LAYOUTS[:5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.int8])
def test_a_map_has_the_same_norm_wherever_it_lies(layout, dtype):
    """To the bit: whatever stands before and behind it, the storage's end too."""
    maps, constants, operators = make_case((70, 21, 7, 9), dtype, layout, "l1", 0)
    settings = {"with_norms": True, "scale": 0.3 if dtype == torch.int8 else None}
    whole = kernels.pack_maps(maps, constants, operators, **settings).norms
    parts = [maps[i : i + 1].clone(memory_format=torch.preserve_format) for i in range(70)]
    if layout == "channels-last":
        parts = [part.contiguous(memory_format=torch.channels_last) for part in parts]
    alone = torch.cat([kernels.pack_maps(part, constants, operators, **settings).norms for part in parts])
    if layout in ("contiguous", "channels-last"):
        assert torch.equal(alone, whole)
    cut = torch.cat([kernels.pack_maps(part, constants, operators, **settings).norms for part in maps.split(9)])
    assert torch.equal(cut, whole)


@st.composite
def columns_with_atoms(draw):
    """Columns with ties, NaN, infinities and both zeros; atoms in any order, some columns often, some never."""
    n, n_columns, n_atoms = draw(st.sampled_from(SIZES)), draw(st.integers(1, 40)), draw(st.integers(0, 60))
    dtype = draw(st.sampled_from(packing.COLUMN_DTYPES))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    pool = np.array([-np.inf, -1.5, -0.0, 0.0, 0.1, 1.0, np.inf, np.nan])
    layout = draw(st.sampled_from(("rows", "columns", "sliced", "expanded")))
    shape = {"columns": (n_columns, n), "sliced": (2 * n, 3 * n_columns), "expanded": (n, 1)}.get(
        layout, (n, n_columns)
    )
    columns = torch.from_numpy(rng.choice(pool, shape)).to(dtype)
    columns = {"columns": columns.T, "sliced": columns[::2, 1::3]}.get(layout, columns).expand(n, n_columns)
    if draw(st.booleans()):
        column_of_atom = torch.from_numpy(rng.integers(0, n_columns, n_atoms))
        column_of_atom = column_of_atom.to(draw(st.sampled_from((torch.int32, torch.int64))))
    else:
        column_of_atom, n_atoms = None, n_columns
    constants = torch.from_numpy(rng.choice(pool, n_atoms)).to(dtype)
    operators = torch.from_numpy(rng.integers(0, packing.N_OPERATORS, n_atoms)).to(torch.int8)
    return columns, column_of_atom, constants, operators


@try_examples(200)
@given(columns_with_atoms())
def test_cpu_packs_columns_as_the_reference(case):
    assert torch.equal(cpu_columns.pack_columns(*case), reference_columns.pack_columns(*case))


def make_ranked_case(n, n_atoms, dtype, layout, seed, *, operators=None):
    """Three columns whose values are often a constant or its neighbour, and a fourth that nothing compares."""
    rng = np.random.default_rng(seed)
    kind = {torch.float32: np.float32, torch.float64: np.float64}[dtype]
    constants = np.round(rng.normal(size=n_atoms), 3).astype(kind)
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(kind).max, 1e-45, -1e-45], kind)
    constants[rng.integers(0, n_atoms, n_atoms // 20)] = rng.choice(special, n_atoms // 20)
    with np.errstate(over="ignore", under="ignore"):
        near = np.concatenate([np.nextafter(constants, kind(side)) for side in (-np.inf, np.inf)])
    columns = torch.from_numpy(rng.choice(np.concatenate([constants, near, special]), (n, 4)).astype(kind))
    if layout == "columns":
        columns = columns.T.contiguous().T
    elif layout == "sliced":
        columns = columns.repeat_interleave(2, dim=1)[:, ::2]
    if operators is None:
        operators = rng.integers(0, packing.N_OPERATORS, n_atoms)
    column_of_atom = torch.from_numpy(rng.integers(0, 3, n_atoms))
    operators = torch.as_tensor(operators).to(torch.int8)
    return columns, column_of_atom, torch.from_numpy(constants), operators


@try_examples(60)
@given(
    st.sampled_from((*SIZES, 1023, 1024, 1025, 2500)),
    st.sampled_from((60, 90, 200, 1500)),
    st.sampled_from(packing.COLUMN_DTYPES),
    st.sampled_from(("rows", "columns", "sliced")),
    st.integers(0, 10**6),
)
def test_cpu_ranks_columns_of_many_constants_as_the_reference(n, n_atoms, dtype, layout, seed):
    case = make_ranked_case(n, n_atoms, dtype, layout, seed)
    assert torch.equal(cpu_columns.pack_columns(*case), reference_columns.pack_columns(*case))


@pytest.mark.parametrize("n_keys", [23, 24, 31, 32, 33, 511, 512, 513, 992, 1022, 1023, 1024, 2047])
@pytest.mark.parametrize("dtype", packing.COLUMN_DTYPES)
def test_ranks_at_the_ends_of_groups_and_segments(n_keys, dtype, monkeypatch):
    """Values on, between and beyond all keys, for each number of keys that fills groups or segments."""
    ranked = []
    monkeypatch.setattr(cpu_columns, "pack_bins", lambda *given: ranked.append(1) or pack_bins.pack_bins(*given))
    constants = torch.arange(n_keys, dtype=dtype)
    columns = torch.arange(-1, n_keys + 1, 0.5, dtype=dtype)[:, None]
    column_of_atom = torch.zeros(n_keys, dtype=torch.int64)
    for operator in (kernels.LESS_EQUAL, kernels.GREATER, kernels.LESS, kernels.GREATER_EQUAL + kernels.MISSING):
        case = (columns, column_of_atom, constants, torch.full((n_keys,), operator, dtype=torch.int8))
        assert torch.equal(cpu_columns.pack_columns(*case), reference_columns.pack_columns(*case))
    assert bool(ranked) == (n_keys >= bins.FEWEST_KEYS)


def test_comparisons_are_lowered_once_for_each_kind_of_table(monkeypatch):
    lowered = []
    plain = cpu_columns._lower
    monkeypatch.setattr(cpu_columns, "_lower", lambda *given: lowered.append(1) or plain(*given))
    columns, *comparisons = make_ranked_case(100, 90, torch.float32, "rows", 0)
    kept = kernels.Comparisons(*comparisons)
    for table in (columns, columns[:7], columns.T.contiguous().T):
        expected = reference_columns.pack_columns(table, *comparisons)
        assert torch.equal(kernels.pack_comparisons(table, kept), expected)
        assert torch.equal(kernels.pack_comparisons(table, kept, engine="reference"), expected)
    assert len(lowered) == 1
    with pytest.raises(EricError, match="float32"):
        kernels.pack_comparisons(columns.double(), kept)
    with pytest.raises(EricError, match="an atom compares column 2"):
        kernels.pack_comparisons(columns[:, :2], kept)


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_words_go_to_the_rows_meant(engine):
    columns, *comparisons = make_ranked_case(100, 90, torch.float32, "rows", 0)
    rows = torch.randperm(200, generator=torch.Generator().manual_seed(0))[:90]
    out = torch.full((200, count_words(100)), POISON, dtype=torch.int32)
    kept = kernels.Comparisons(*comparisons, rows)
    assert kernels.pack_comparisons(columns, kept, out=out, engine=engine) is out
    assert torch.equal(out[rows], reference_columns.pack_columns(columns, *comparisons))
    others = torch.ones(200, dtype=torch.bool)
    others[rows] = False
    assert bool((out[others] == POISON).all())
    for wrong in (out[: int(rows.max())], out[:, :-1], out.long()):
        with pytest.raises(EricError, match=r"out must be int32 \[\d+ or more, 32\], not"):
            kernels.pack_comparisons(columns, kept, out=wrong, engine=engine)


@pytest.mark.slow
@needs_triton
@try_examples(25)
@given(columns_with_atoms())
def test_gpu_packs_columns_as_the_reference(case):
    there = [None if tensor is None else tensor.to(DEVICE) for tensor in case]
    assert torch.equal(gpu_columns.pack_columns(*there).cpu(), reference_columns.pack_columns(*case))


@needs_triton
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("operator", range(16))
def test_gpu_compiles_for_the_operator_of_all_atoms(operator, turned, monkeypatch):
    """Each its own comparison, where all atoms have it; NaN, infinity and zeros of both signs among the values."""
    launched = record_launches(monkeypatch, gpu_columns, "pack_columns_kernel")
    ends = torch.tensor([math.nan, -math.inf, -1.0, -0.0, 0.0, 1.0, math.inf])
    columns = torch.cartesian_prod(ends, ends)[:, :1].repeat(6, 7)  # [294, 7]: a whole program, and another
    columns = columns.T.contiguous().T if turned else columns
    operators = torch.full((7,), operator, dtype=torch.int8)
    expected = reference_columns.pack_columns(columns, None, ends, operators)
    found = gpu_columns.pack_columns(columns.to(DEVICE), None, ends.to(DEVICE), operators.to(DEVICE))
    assert torch.equal(found.cpu(), expected)
    assert launched
    assert gpu_columns.choose_shape(columns, 7, gpu_columns.find_operator(operators))["OPERATOR"] == operator
    operators[3] ^= 1
    assert gpu_columns.find_operator(operators) == -1


@needs_triton
@pytest.mark.parametrize("turned", [False, True])
def test_gpu_launches_for_columns_and_writes_every_word(turned, monkeypatch):
    launched = record_launches(monkeypatch, gpu_columns, "pack_columns_kernel")
    columns = torch.randn(1025, 70, generator=torch.Generator().manual_seed(0))
    columns = columns.T.contiguous().T if turned else columns
    constants, operators = torch.zeros(70), torch.full((70,), kernels.GREATER, dtype=torch.int8)
    expected = reference_columns.pack_columns(columns, None, constants, operators)
    poison_memory(monkeypatch)
    found = gpu_columns.pack_columns(columns.to(DEVICE), None, constants.to(DEVICE), operators.to(DEVICE))
    assert launched == ["pack_columns_kernel"]
    assert torch.equal(found.cpu(), expected)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("n_columns", [17, 600])
def test_many_columns_and_samples_on_threads(n_columns, turned, monkeypatch):
    monkeypatch.setattr(threads, "THREAD_BYTES", 1)
    columns = torch.randn(5000, n_columns, generator=torch.Generator().manual_seed(0))
    columns = columns.T.contiguous().T if turned else columns
    order = torch.arange(n_columns - 1, -1, -1)
    constants, operators = torch.zeros(n_columns), torch.full((n_columns,), kernels.LESS, dtype=torch.int8)
    for case in ((columns, None, constants, operators), (columns, order, constants, operators)):
        assert torch.equal(cpu_columns.pack_columns(*case), reference_columns.pack_columns(*case))


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_operators_mean_what_python_means(engine):
    values = [-1.0, -0.0, 0.0, 1.0, math.nan]
    compare = {
        kernels.GREATER: lambda x: x > 0,
        kernels.GREATER_EQUAL: lambda x: x >= 0,
        kernels.LESS: lambda x: x < 0,
        kernels.LESS_EQUAL: lambda x: x <= 0,
        kernels.EQUAL: lambda x: x == 0,
        kernels.UNEQUAL: lambda x: x != 0 and not math.isnan(x),
        kernels.UNEQUAL + kernels.MISSING: lambda x: x != 0,
        kernels.MISSING: math.isnan,
        0: lambda x: False,
    }
    columns = torch.tensor(values)[:, None]
    operators = torch.tensor(list(compare), dtype=torch.int8)
    column_of_atom = torch.zeros(len(compare), dtype=torch.int64)
    words = kernels.pack_columns(columns, column_of_atom, torch.zeros(len(compare)), operators, engine=engine)
    assert unpack_words(words, 5).T.tolist() == [[bool(holds(x)) for x in values] for holds in compare.values()]


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_doubles_are_compared_as_doubles(engine):
    columns = torch.tensor([[0.1], [0.1 + 1e-12]], dtype=torch.float64)
    operators = torch.tensor([kernels.GREATER], dtype=torch.int8)
    words = kernels.pack_columns(columns, None, torch.tensor([0.1], dtype=torch.float64), operators, engine=engine)
    assert words[0, 0].item() == 2


@pytest.mark.parametrize("engine", ["cpu", pytest.param("gpu", marks=needs_triton)])
@pytest.mark.parametrize("last", [False, True])
def test_offsets_past_two_to_the_31(engine, last):
    """Elements 2**31 and more apart, in memory that is asked for and hardly touched."""
    far = 2**31 + 64
    memory = torch.empty(far + 4096, dtype=torch.int8, device=DEVICE if engine == "gpu" else "cpu")
    maps = memory.as_strided((2, 3, 3, 3), (far, 1, 9, 3) if last else (far, 9, 3, 1))
    maps[0], maps[1] = 1, 3
    constants = torch.full((3,), 2.0, device=maps.device)
    operators = torch.full((3,), kernels.GREATER, dtype=torch.int8, device=maps.device)
    pack = gpu_maps.pack_maps if engine == "gpu" else cpu_maps.pack_maps
    packed = pack(maps, constants, operators, scale=1.0, with_norms=True)
    assert packed.norms.tolist() == [[1.0] * 3, [3.0] * 3]
    assert packed.words[:, 0].tolist() == [2, 2, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"maps": torch.ones(2, 3, 4, 4, dtype=torch.float64)}, r"not float64 \[2, 3, 4, 4\]"),
        ({"maps": torch.ones(2, 3, 4)}, r"\[n_images, n_kernels, height, width\], not float32 \[2, 3, 4\]"),
        ({"maps": torch.ones(2, 3, 0, 4)}, r"maps have no pixels, so no norm: float32 \[2, 3, 0, 4\]"),
        ({"constants": torch.ones(2)}, r"constants must be float32 \[3\], one per kernel, not float32 \[2\]"),
        ({"constants": torch.ones(3, dtype=torch.float64)}, r"constants must be float32 \[3\].* not float64"),
        ({"operators": torch.ones(3)}, r"operators must be int8 \[3\], one per kernel, not float32"),
        ({"constants": torch.ones(3, device="meta")}, "constants are on meta, but the values on cpu; move them"),
        ({"scale": 2.0}, "float32 maps take no scale"),
        ({"maps": torch.ones(2, 3, 4, 4, dtype=torch.int8)}, "int8 maps need a scale"),
        ({"maps": torch.ones(2, 3, 4, 4, dtype=torch.int8), "scale": torch.ones(2)}, r"float32 \[3\], one per kernel"),
        ({"maps": torch.ones(2, 3, 4, 4, dtype=torch.int8), "scale": 0.0}, "positive and finite, not 0.0"),
        ({"norm": "l3"}, "'l3' is not a norm; there are 'l1'"),
    ],
)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wrong_maps_are_refused(engine, change, message):
    given = {"maps": torch.ones(2, 3, 4, 4), "constants": torch.ones(3), "operators": torch.ones(3, dtype=torch.int8)}
    with pytest.raises(SettingError if "norm" in change else EricError, match=message):
        kernels.pack_maps(**(given | change), engine=engine)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"columns": torch.ones(4, 3, dtype=torch.float16)},
            r"columns must be float32 or float64 .*not float16 \[4, 3\]",
        ),
        ({"columns": torch.ones(4)}, r"not float32 \[4\]"),
        ({"column_of_atom": torch.tensor([0, 3])}, "an atom compares column 3, but the columns are 0 to 2"),
        ({"column_of_atom": torch.tensor([0, -1])}, "an atom compares column -1"),
        ({"column_of_atom": torch.tensor([0.0, 1.0])}, "columns of atoms must be int32 or int64"),
        ({"column_of_atom": None}, r"constants must be float32 \[3\], one per atom, not float32 \[2\]"),
        ({"operators": torch.ones(2, dtype=torch.int8, device="meta")}, "operators are on meta"),
    ],
)
@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_wrong_columns_are_refused(engine, change, message):
    given = {
        "columns": torch.ones(4, 3),
        "column_of_atom": torch.tensor([0, 1]),
        "constants": torch.ones(2),
        "operators": torch.ones(2, dtype=torch.int8),
    }
    with pytest.raises(EricError, match=message):
        kernels.pack_columns(**(given | change), engine=engine)


def test_a_named_engine_is_never_changed():
    maps, constants, operators = make_case((5, 3, 7, 7), torch.float32, "contiguous", "l1", 0)
    for pack in (
        lambda: kernels.pack_maps(maps, constants, operators, engine="gpu"),
        lambda: kernels.pack_columns(maps[:, :, 0, 0], None, constants, operators, engine="gpu"),
    ):
        with pytest.raises(SettingError, match="engine 'gpu' needs"):
            pack()


READ = """
import json, os
os.environ["TRITON_DEFAULT_FP_FUSION"] = "1"
from bench.sass import read_variant
from bench.sass_variants import list_variants
packing = [variant for variant in list_variants() if variant.name.startswith("pack_")]
# Of the first 32, 4 dtypes by 4 sizes by 2 layouts, half: any two of these come together. `bench sass` reads all.
packing = [packing[i] for i in range(len(packing)) if i >= 32 or (i // 8 + i // 2 + i) % 2 == 0]
print(json.dumps([read_variant(variant).to_dict() for variant in packing]))
"""


@pytest.fixture(scope="module")
def readings():
    """What `bench sass` reads of the kernels of packing."""
    return json.loads(run_without_interpreter("-c", READ).splitlines()[-1])


@pytest.mark.slow
def test_kernels_for_hopper_load_wide_and_spill_nothing(readings):
    assert len(readings) > 30
    for row in readings:
        assert row["local"] == row["spills"] == 0, row["name"]
        widths = set(row["loads"])
        if row["name"].startswith("pack_columns"):  # one column after another, or a gather: lanes load side by side
            assert widths, row["name"]
        else:
            assert widths == {"LDG.E.128"}, row


@pytest.mark.slow
def test_kernels_for_hopper_leave_memory_the_limit(readings):
    for row in readings:
        per_clock = row["bytes_per_issue"] * 32 * 4
        assert per_clock > 16.5, f"{row['name']}: {per_clock:.1f} bytes a clock can be asked for, memory gives 16.5"


@pytest.mark.parametrize("engine", ["reference", "cpu"])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(3, 5, 7, 7), (2, 3, 4, 9), (2, 3, 9, 4), (4, 2, 1, 1), (0, 2, 3, 3)])
def test_a_spectral_norm_is_numpys(engine, dtype, shape):
    values = torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 20
    maps, scale = values.to(dtype), 0.5 if dtype == torch.int8 else None
    expected = np.linalg.norm(maps.double().numpy(), 2, (2, 3)) / math.sqrt(shape[2] * shape[3]) * (scale or 1)
    operators = torch.full(shape[1:2], kernels.GREATER, dtype=torch.int8)
    wanted = {"norm": "spectral", "scale": scale, "with_norms": True, "engine": engine}
    packed = kernels.pack_maps(maps, torch.full(shape[1:2], 10.0), operators, **wanted)
    torch.testing.assert_close(packed.norms, torch.from_numpy(expected).float())
    assert torch.equal(unpack_words(packed.words, shape[0]), packed.norms > 10)
    torch.testing.assert_close(reduce_norm(values, "spectral"), reference_maps.reduce_maps(values, "spectral"))


def test_a_spectral_norm_of_what_is_not_finite_is_neither():
    maps = torch.ones(1, 3, 4, 5)
    maps[0, 0, 1, 2], maps[0, 1, 0, 0] = torch.nan, -torch.inf
    assert str(reference_maps.reduce_maps(maps, "spectral").tolist()) == "[[nan, inf, 1.0]]"
