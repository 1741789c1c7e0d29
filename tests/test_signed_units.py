"""Units with a sign: a threshold on either side of 0, fitted, packed, written, read and explained."""

import numpy as np
import pytest
import torch

from eric_fast.errors import SettingError
from eric_fast.processes import Processes
from eric_fast.program.atoms import NEGATIVE
from eric_fast.quantise import fit_quantiser, quantise_activations
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import select_images
from eric_fast.store.activations import CaptureSettings
from eric_fast.text import parse_program, print_program
from tests.activations import make_activations


def make_signed(norm="mean"):
    """Unit 1 of 3 is never negative; the classes are unit 0 far above 0, far below 0, and near it."""
    norms = torch.randn(500, 3, generator=torch.Generator().manual_seed(2))
    norms[:, 1] = norms[:, 1].abs()
    predictions = torch.where(norms[:, 0] > 0.9, 0, torch.where(norms[:, 0] < -0.9, 1, 2))
    settings = CaptureSettings("made", "5eed", "up", norm=norm)
    return make_activations(500, norms={"f": norms}, predictions=predictions, labels=predictions, settings=settings)


@pytest.mark.parametrize("threshold", ["mean", "0.5*mean+0.2*std", "quantile:0.75", "split", "0.5"])
def test_thresholds_are_of_the_size_and_bits_are_of_either_side(threshold):
    source = make_signed()
    sizes = make_activations(
        500, norms={"f": source.norms["f"].abs()}, predictions=source.predictions, settings=source.settings
    )
    expected = [atom.constant for atom in fit_quantiser(sizes, source.predictions, threshold=threshold).atoms]
    found = fit_quantiser(source, source.predictions, threshold=f"two-sided:{threshold}")
    above = [atom.constant for atom in found.atoms if not atom.region]
    below = {atom.column: atom.constant for atom in found.atoms if atom.region}
    assert above == expected
    assert below == {0: -expected[0], 2: -expected[2]}
    assert [atom.name for atom in found.atoms] == ["f:0", "f:0@negative", "f:1", "f:2", "f:2@negative"]
    assert found.grid == 1
    bits = quantise_activations(source, found).to_bools()
    norms = source.norms["f"]
    for column, atom in enumerate(found.atoms):
        values = norms[:, atom.column]
        assert torch.equal(bits[:, column], values <= atom.constant if atom.region else values > atom.constant)


def test_processes_agree_on_which_units_have_a_sign():
    whole = fit_quantiser(make_signed(), threshold="two-sided:mean")
    source = make_signed()
    assert fit_quantiser(select_images(source, ["f"], "model", Processes()), threshold="two-sided:mean") == whole


def test_a_program_tells_large_negative_values_apart():
    source = make_signed()
    program = approximate_model(source, threshold="two-sided:mean", min_leaf=10)
    plain = approximate_model(source, threshold="mean", min_leaf=10)
    two, one = (evaluate_program(own, source).fidelity for own in (program, plain))
    assert two > one + 0.1
    text = print_program(program)
    assert 'kernel(k_f_0_negative,"f",0,"<=","-' in text
    assert f'region(k_f_0_negative,"{NEGATIVE}")' in text
    assert parse_program(text) == program
    assert program.atoms[program.atom_named("f:0@negative")].region == NEGATIVE


def test_norms_without_a_sign_are_refused():
    with pytest.raises(
        SettingError, match="'two-sided:mean' has two sides, but norm 'l1' is never negative; capture with"
    ):
        fit_quantiser(make_signed("l1"), threshold="two-sided:mean")
    assert np.isfinite(fit_quantiser(make_signed("max"), threshold="two-sided:>=mean").atoms[0].constant)
