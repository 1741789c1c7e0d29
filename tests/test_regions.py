"""Quarters of maps: captured, compared, extracted, written and evaluated as any other norm."""

import re
from dataclasses import replace

import pytest
import torch
from torch import nn

from eric_fast.capture import Reduction, capture_activations, open_data, prepare_run, wrap_model
from eric_fast.capture.job import open_capture_job
from eric_fast.capture.norms import reduce_norm, reduce_regions
from eric_fast.demo import digits_cnn
from eric_fast.errors import CaptureError, ProgramError, SettingError
from eric_fast.module import RuleModule
from eric_fast.program import ClassRule, Program
from eric_fast.program.atoms import NORMS, REGIONS, InputAtom, Quantiser
from eric_fast.quantise import quantise_activations
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import open_capture
from eric_fast.text import parse_program, print_program


def make_model():
    """Random weights, whose answers are of several classes."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Conv2d(8, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(6 * 16, 10)]
    return wrap_model(nn.Sequential(*layers).eval(), digits_cnn.transform())


MODEL = make_model()


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (2, 2), (3, 5), (4, 1), (7, 6)])
def test_quarters_are_halves_of_halves_that_share_the_middle(norm, height, width):
    maps = torch.randn(3, 2, height, width, generator=torch.Generator().manual_seed(0))
    found = reduce_regions(maps, Reduction(norm, 2)).view(3, 2, len(REGIONS))
    top, bottom = maps[:, :, : -(-height // 2)], maps[:, :, height // 2 :]
    left, right = slice(None, -(-width // 2)), slice(width // 2, None)
    quarters = [half[..., columns] for half in (top, bottom) for columns in (left, right)]
    for place, part in enumerate((maps, *quarters)):
        assert torch.equal(found[:, :, place], reduce_norm(part, norm)), REGIONS[place]
    assert torch.equal(reduce_regions(maps, Reduction(norm, 1)), reduce_norm(maps, norm))


@pytest.fixture(scope="module")
def digits():
    return capture_activations(MODEL, open_data("digits/test"), layers=["all"], grid=2, limit=200)


def test_a_capture_of_quarters_holds_the_whole_maps_too(digits):
    plain = capture_activations(MODEL, open_data("digits/test"), layers=["all"], limit=200)
    assert digits.settings == replace(plain.settings, grid=2)
    for layer, norms in plain.norms.items():
        assert torch.equal(digits.norms[layer][:, :: len(REGIONS)], norms)
        assert digits.norms[layer].shape[1] == len(REGIONS) * norms.shape[1]


def test_programs_of_quarters_are_extracted_read_and_evaluated(digits, tmp_path):
    program = approximate_model(digits, layers="all", grid=2, min_leaf=2)
    assert any(atom.region for atom in program.network_quantiser.atoms)
    assert dict(program.settings)["grid"] == "2"
    text = print_program(program)
    assert text.startswith("% Where this program comes from.\nformat(2).")
    assert parse_program(text) == program
    assert evaluate_program(program, digits).fidelity > 0.7
    mentioned = next(atom for atom in program.network_quantiser.atoms if atom.region)
    assert program.atoms[program.atom_named(mentioned.name)] == mentioned
    assert program.atoms[program.atom_named(re.sub("\\W", "_", mentioned.name))] == mentioned


def test_whole_maps_alone_give_the_same_program_from_either_capture(digits):
    plain = capture_activations(MODEL, open_data("digits/test"), layers=["all"], limit=200)
    program = approximate_model(plain, layers="all")
    assert approximate_model(digits, layers="all") == program
    assert evaluate_program(program, digits).fidelity == evaluate_program(program, plain).fidelity
    with pytest.raises(CaptureError, match="norms of whole maps alone; capture again with --grid 2"):
        approximate_model(plain, layers="all", grid=2)
    quarters = approximate_model(digits, grid=2)
    with pytest.raises(CaptureError, match=r"needs the quarters of maps \(.*@upper-left\), .* again with --grid 2"):
        evaluate_program(quarters, plain)


def test_captures_on_disk_hold_quarters_as_norms_and_as_bits(digits, tmp_path):
    program = approximate_model(digits, layers="all", grid=2)
    run = prepare_run(MODEL, open_data("digits/test"), layers=["all"], grid=2, limit=200)
    with open_capture_job(run, tmp_path / "norms") as job:
        stored = job.run()
    for layer, norms in digits.norms.items():
        assert torch.equal(stored.shards[0].read_norms(layer), norms)
    assert open_capture(tmp_path / "norms").settings.grid == 2
    bits = quantise_activations(stored, program.network_quantiser)
    assert torch.equal(bits.words, quantise_activations(digits, program.network_quantiser).words)


def test_modules_take_maps_norms_and_bits_of_quarters():
    maps = torch.rand(9, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    atoms = (
        InputAtom("f", 0, ">", 0.5),
        InputAtom("f", 1, ">", 0.5, "upper-left"),
        InputAtom("f", 0, ">", 0.5, "lower-right"),
    )
    program = Program(Quantiser(atoms), ("a", "b"), (ClassRule(0, (0, 1)), ClassRule(1, (2,))))
    module = RuleModule(program)
    norms = reduce_regions(maps, Reduction("l1", 2))
    bits = norms[:, [0, 6, 4]] > 0.5
    expected = module(bits)
    assert torch.equal(module(maps), expected)
    assert torch.equal(module(norms), expected)
    assert len(expected.unique(dim=0)) > 1


def test_all_regions_of_a_kernel_are_not_taken_for_kernels():
    """Five norms of one kernel, and maps of five kernels."""
    maps = torch.rand(9, 5, 4, 4, generator=torch.Generator().manual_seed(1))
    atoms = tuple(InputAtom("f", 0, ">", 0.5, region) for region in ("", *REGIONS[1:]))
    module = RuleModule(Program(Quantiser(atoms), ("a", "b"), (ClassRule(0, (1, ~2)), ClassRule(1, (4,)))))
    expected = module(reduce_regions(maps, Reduction("l1", 2))[:, :5] > 0.5)
    assert torch.equal(module(maps), expected)
    assert len(expected.unique(dim=0)) > 1


def test_what_no_quarter_can_be_is_refused():
    with pytest.raises(ProgramError, match="region 'middle' is not one of upper-left, "):
        Quantiser((InputAtom("f", 0, ">", 0.5, "middle"),))
    with pytest.raises(ProgramError, match="kernel 0@upper-left of layer 'f' occurs twice"):
        Quantiser((InputAtom("f", 0, ">", 0.5, "upper-left"),) * 2)
    with pytest.raises(SettingError, match="--grid 3 is not one of 1, 2"):
        prepare_run(MODEL, open_data("digits/test"), grid=3)
    with pytest.raises(SettingError, match="grid 3 is not one of 1, 2"):
        approximate_model(None, grid=3)
