"""Several thresholds for a kernel: fitted, packed on every engine, written, read, and worth having."""

import numpy as np
import pytest
import torch

from eric_fast.bits import pack_bits
from eric_fast.errors import ProgramError, SettingError
from eric_fast.processes import Processes
from eric_fast.program.atoms import THRESHOLD_LEVELS, InputAtom, Quantiser
from eric_fast.quantise import fit_quantiser, pack_layer, quantise_activations
from eric_fast.runs import approximate_model, evaluate_program
from eric_fast.store import open_capture, save_activations, select_images
from eric_fast.text import parse_program, print_program
from tests.activations import make_activations
from tests.command_fixtures import run_command


def make_banded(n=400):
    """The class follows from the quarter of its range that unit 0 is in; unit 1 is noise, unit 2 always 1."""
    norms = torch.rand(n, 3, generator=torch.Generator().manual_seed(5))
    norms[:, 2] = 1
    classes = (norms[:, 0] * 4).long() % 3  # the first and the last quarter are of one class
    return make_activations(n, norms={"f": norms}, predictions=classes, labels=classes)


@pytest.mark.parametrize("threshold", ["mean", "0.6*mean+0.7*std", "quantile:0.5", "split"])
def test_each_level_is_the_threshold_of_the_images_above_or_below_another(threshold):
    source = make_banded()
    quantiser = fit_quantiser(source, source.predictions, threshold=threshold, per_kernel=7)
    for kernel in (0, 1):
        values = source.norms["f"][:, kernel]
        constants = {atom.region: atom.constant for atom in quantiser.atoms if atom.column == kernel}
        first = constants[""]
        for level, part in (("level-2", values > first), ("level-3", values <= first)):
            chosen = part.nonzero().flatten()
            alone = make_activations(
                len(chosen), norms={"f": values[chosen][:, None]}, predictions=source.predictions[chosen]
            )
            expected = fit_quantiser(alone, alone.predictions, threshold=threshold).atoms[0].constant
            assert constants[level] == expected
        deeper = values[(values > first) & (values > constants["level-2"])]
        assert deeper.min() <= constants["level-4"] <= deeper.max()
    assert [atom.region for atom in quantiser.atoms if atom.column == 2] == [""]  # a constant norm has nothing to split
    assert fit_quantiser(source, source.predictions, threshold=threshold, per_kernel=1).atoms == tuple(
        atom for atom in quantiser.atoms if not atom.region
    )


def test_a_level_splits_those_on_which_the_atom_is_true_or_false():
    """With >=, those that equal the threshold are among the images above it."""
    norms = torch.tensor([[1.0], [2], [2], [3], [3], [3]])
    quantiser = fit_quantiser(make_activations(6, norms={"f": norms}), threshold=">= quantile:0.4", per_kernel=7)
    true = {atom.region: (norms[:, 0] > atom.constant).tolist() for atom in quantiser.atoms}
    assert true == {
        "": [False, True, True, True, True, True],
        "level-2": [False, False, False, True, True, True],
    }


@pytest.mark.parametrize(("threshold", "n_atoms"), [("quantile:0.8", 1), (">= quantile:0", 1), ("quantile:0.2", 2)])
def test_a_level_that_tells_no_images_apart_is_left_out(threshold, n_atoms):
    norms = torch.tensor([[1.0], [1], [2], [2], [3]])
    quantiser = fit_quantiser(make_activations(5, norms={"f": norms}), threshold=threshold, per_kernel=3)
    assert len(quantiser.atoms) == n_atoms


@pytest.mark.parametrize("engine", ["reference", "cpu"])
def test_every_engine_packs_them(engine):
    source = make_banded()
    quantiser = fit_quantiser(source, per_kernel=3)
    bits = pack_layer(source.norms["f"], quantiser.atoms, engine)
    expected = torch.stack([source.norms["f"][:, atom.column] > atom.constant for atom in quantiser.atoms], dim=1)
    assert torch.equal(quantise_activations(source, quantiser).to_bools(), expected)
    assert torch.equal(bits, pack_bits(expected))


def test_three_thresholds_tell_bands_apart():
    source = make_banded()
    three, one = (approximate_model(source, per_kernel=n, min_leaf=5, threshold="quantile:0.5") for n in (3, 1))
    assert evaluate_program(three, source).fidelity > 0.95 > 0.7 > evaluate_program(one, source).fidelity
    assert dict(three.settings)["thresholds_per_kernel"] == "3"
    text = print_program(three)
    assert "format(2)." in text
    assert 'region(k_f_0_level_2,"level-2")' in text
    assert parse_program(text) == three
    assert "norm(X, 'f', 0, N)" in three.to_prolog()
    assert "0@" not in three.to_prolog()
    assert three.network_quantiser.grid == 1


def test_processes_and_stored_bits_have_the_same(tmp_path):
    source = make_banded()
    whole = fit_quantiser(source, source.predictions, threshold="split", per_kernel=3)
    shared = select_images(source, ["f"], "model", Processes())
    assert fit_quantiser(shared, source.predictions, threshold="split", per_kernel=3) == whole
    save_activations(source, tmp_path / "norms")
    words = ("pack", tmp_path / "norms", "-o", tmp_path / "bits", "--threshold", "split")
    assert run_command(*words, "--thresholds-per-kernel", 3) == 0
    packed = open_capture(tmp_path / "bits")
    assert packed.quantiser == whole
    assert torch.equal(packed.read_bits().words, quantise_activations(source, whole).words)
    program = approximate_model(packed, min_leaf=5)
    assert program.class_rules == approximate_model(source, threshold="split", per_kernel=3, min_leaf=5).class_rules


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"per_kernel": 8}, "--thresholds-per-kernel 8: threshold 'mean' needs a number from 1 to 7"),
        ({"per_kernel": 0}, "--thresholds-per-kernel 0"),
    ],
)
def test_other_numbers_are_refused(options, message):
    with pytest.raises(SettingError, match=message):
        fit_quantiser(make_banded(), **options)


def test_names_of_levels_are_known():
    atom = InputAtom("f", 3, ">", 1.0, "level-2")
    assert (atom.name, atom.is_quarter, atom.find_place(2)) == ("f:3@level-2", False, 15)
    assert len(THRESHOLD_LEVELS) == 6
    with pytest.raises(ProgramError, match="region 'level-9' is not one of .*level-7"):
        Quantiser((InputAtom("f", 3, ">", 1.0, "level-9"),))
    assert np.isfinite(atom.constant)
