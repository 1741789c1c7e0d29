import logging
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier

from eric_fast.errors import CaptureError, SettingError
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.quantise import (
    ColumnSums,
    Threshold,
    find_best_splits,
    fit_quantiser,
    parse_threshold,
    quantise_activations,
    split_threshold,
)
from eric_fast.store import open_capture, save_activations
from eric_fast.store.activations import CaptureSettings
from tests.activations import make_activations
from tests.examples import try_examples


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("mean", Threshold("linear", mean_factor=1)),
        ("0.6*mean+0.7*std", Threshold("linear", mean_factor=0.6, std_factor=0.7)),
        (" 0.6 * mean - .7*std + 1e-3", Threshold("linear", 0.6, -0.7, 0.001)),
        ("-std", Threshold("linear", std_factor=-1)),
        ("1.5", Threshold("linear", constant=1.5)),
        ("1e+2*mean", Threshold("linear", mean_factor=100)),
        ("quantile:0.75", Threshold("quantile", quantile=0.75)),
        ("split", Threshold("split")),
        (">= 0.6*mean+0.7*std", Threshold("linear", mean_factor=0.6, std_factor=0.7, or_equal=True)),
        (">=split", Threshold("split", or_equal=True)),
    ],
)
def test_thresholds_are_read(text, threshold):
    assert parse_threshold(text) == threshold


@pytest.mark.parametrize(
    "text", ["", ">=", "median", "2mean", "mean*2", "mean+", "+", "nan", "inf*std", "mean std", "1e999"]
)
def test_what_is_no_threshold_is_refused(text):
    with pytest.raises(SettingError, match="is not mean, split, quantile:0.75"):
        parse_threshold(text)
    with pytest.raises(SettingError, match="is not mean, .* or one of these after two-sided:"):
        parse_threshold(f"two-sided:{text}")


def test_two_thresholds_are_of_the_last_layer_and_of_those_below():
    assert split_threshold(" split , >=0.6*mean ") == ("split", ">=0.6*mean")
    assert split_threshold("mean") == ("mean", "mean")
    with pytest.raises(SettingError, match="threshold 'split,mean' holds two, which only extract and chain take"):
        parse_threshold("split,mean")
    for text in ("split,", ",mean", ",", "split,mean,split"):
        with pytest.raises(SettingError, match="must be one, or two as in 'split,mean'"):
            split_threshold(text)
    with pytest.raises(SettingError, match="threshold 'median' is not mean, split"):
        split_threshold("split,median")


def test_two_sides_are_said_once():
    with pytest.raises(SettingError, match="threshold 'two-sided:two-sided:mean' says two-sided twice"):
        parse_threshold("two-sided:two-sided:mean")


@pytest.mark.parametrize("text", ["quantile:", "quantile:1.01", "quantile:-1", "quantile:nan", "quantile:half"])
def test_what_is_no_quantile_is_refused(text):
    with pytest.raises(SettingError, match="between 0 and 1"):
        parse_threshold(text)


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [
        ("mean", lambda x: x.mean(axis=0)),
        ("0.6*mean+0.7*std", lambda x: 0.6 * x.mean(axis=0) + 0.7 * x.std(axis=0)),
        ("quantile:0.75", lambda x: np.quantile(x, 0.75, axis=0)),
        ("0.25", lambda x: np.full(x.shape[1], 0.25)),
    ],
)
def test_thresholds_and_bits_by_numpy(threshold, expected):
    activations = make_activations()
    quantiser = fit_quantiser(activations, threshold=threshold)
    bits = quantise_activations(activations, quantiser)
    for layer, norms in activations.norms.items():
        values = expected(norms.double().numpy()).astype(np.float32)
        atoms = quantiser.atoms_of_layer(layer)
        assert [atom.constant for atom in atoms] == values.tolist()
        found = bits.select_atoms([atom.name for atom in atoms]).to_bools()
        assert np.array_equal(found.numpy(), norms.numpy() > values)


@pytest.mark.parametrize("threshold", ["mean", "0.6*mean+0.7*std", "quantile:0.3", "split"])
def test_the_order_of_images_changes_no_threshold(threshold):
    activations = make_activations(997)
    order = torch.randperm(997, generator=torch.Generator().manual_seed(5))
    fitted = [
        fit_quantiser(part, part.predictions, threshold=threshold) for part in (activations, activations.take(order))
    ]
    assert fitted[0] == fitted[1]


@pytest.mark.parametrize("criterion", ["entropy", "gini"])
@given(seed=st.integers(0, 10**6), n=st.integers(2, 60), n_values=st.integers(1, 20), n_classes=st.integers(2, 5))
@try_examples(100)
def test_splits_are_as_good_as_scikit_learns(criterion, seed, n, n_values, n_classes):
    rng = np.random.default_rng(seed)
    norms = rng.integers(0, n_values, (n, 1)).astype(np.float32) / 7
    target = rng.integers(0, n_classes, n)
    found = find_best_splits(torch.from_numpy(norms), torch.from_numpy(target), criterion).item()
    stump = DecisionTreeClassifier(criterion=criterion, max_depth=1, random_state=0).fit(norms, target).tree_
    if len(np.unique(norms)) == 1:
        assert found == norms[0, 0]
        return

    def weigh(threshold):
        above = norms[:, 0] > threshold
        sides = [np.bincount(side) for side in (target[above], target[~above])]
        assert all(side.sum() for side in sides)
        shares = [side[side > 0] / side.sum() for side in sides]
        if criterion == "gini":
            impurity = [1 - (p**2).sum() for p in shares]
        else:
            impurity = [-(p * np.log2(p)).sum() for p in shares]
        return sum(side.sum() * i for side, i in zip(sides, impurity, strict=True))

    if stump.node_count > 1:  # scikit-learn doesn't split where nothing is gained
        assert weigh(found) == pytest.approx(weigh(stump.threshold[0]), abs=1e-4)


def test_mirrored_gini_cuts_tie_exactly_and_the_lowest_wins():
    def purity_of(side):
        return Fraction(sum(int((side == c).sum()) ** 2 for c in (0, 1)), len(side))

    rng = np.random.default_rng(0)
    for _ in range(200):
        half = rng.integers(0, 2, rng.integers(2, 15))
        target = np.concatenate([half, half[::-1]])  # the impurity after a cut is that after its mirror image
        n = len(target)
        purity = [purity_of(target[:i]) + purity_of(target[i:]) for i in range(1, n)]
        norms = torch.arange(n, dtype=torch.float32).reshape(-1, 1)
        found = find_best_splits(norms, torch.from_numpy(target), "gini").item()
        assert found == purity.index(max(purity)) + 0.5


def test_a_split_lies_between_its_neighbours_even_where_they_touch():
    low = np.float32(1.0)
    high = np.nextafter(low, np.float32(2))
    norms = torch.tensor([[low], [high]])
    threshold = find_best_splits(norms, torch.tensor([0, 1])).item()
    assert norms.gt(np.float32(threshold)).flatten().tolist() == [False, True]


def test_constant_kernels_are_kept_and_reported(caplog):
    norms = {"f": torch.tensor([[1.0, 0.0], [2.0, 0.0]])}
    activations = make_activations(2, norms=norms)
    with caplog.at_level(logging.WARNING, "eric_fast"):
        quantiser = fit_quantiser(activations)
    assert len(quantiser.atoms) == 2
    assert "layer 'f': the norms of 1 kernel never change, so their bits are of no use: 1" in caplog.text
    assert quantise_activations(activations, quantiser).to_bools()[:, 1].tolist() == [False, False]


def test_no_images_give_no_threshold():
    with pytest.raises(CaptureError, match="at least one training image"):
        fit_quantiser(make_activations(0))


def test_a_split_needs_a_target_and_a_known_criterion():
    with pytest.raises(SettingError, match="needs a target"):
        fit_quantiser(make_activations(), threshold="split")
    with pytest.raises(SettingError, match="criterion 'chaos'"):
        fit_quantiser(make_activations(), criterion="chaos")


def test_captures_that_do_not_fit_are_refused():
    activations = make_activations()
    quantiser = fit_quantiser(activations)
    with pytest.raises(CaptureError, match="lacks layer 'f1' of the program; there are 'f0'"):
        quantise_activations(activations.select_layers(["f0"]), quantiser)
    narrow = {layer: norms[:, :4] for layer, norms in activations.norms.items()}
    with pytest.raises(CaptureError, match="needs kernel 5 of layer 'f0', but .* has only 4 kernels"):
        quantise_activations(make_activations(norms=narrow), quantiser)
    other = CaptureSettings(model="made", fingerprint="5eed", data="up", norm="max")
    with pytest.raises(CaptureError, match="needs norm 'l1', but the capture has 'max'.*--norm l1"):
        quantise_activations(make_activations(settings=other), quantiser)


@pytest.mark.parametrize("value", [0.25, 0.1, -3.0, 1e-30, 3e38])
def test_a_bit_may_be_true_at_its_threshold(value):
    exact = np.float32(value)
    norms = torch.tensor([np.nextafter(exact, -np.inf), exact, np.nextafter(exact, np.inf)])[:, None]
    activations = make_activations(3, norms={"f0": norms})
    bits = quantise_activations(activations, fit_quantiser(activations, threshold=f">={value!r}")).to_bools()
    assert bits[:, 0].tolist() == [False, True, True]
    above = quantise_activations(activations, fit_quantiser(activations, threshold=repr(value))).to_bools()
    assert above[:, 0].tolist() == [False, False, True]


def test_dead_kernels_reach_their_threshold():
    """Their norms, mean and deviation are 0; so NeSyFOLD's `>=` makes their bits true."""
    activations = make_activations(4, norms={"f0": torch.zeros(4, 1)})
    quantiser = fit_quantiser(activations, threshold=">=0.6*mean+0.7*std")
    assert quantise_activations(activations, quantiser).to_bools().all()
    assert -2e-38 < quantiser.atoms[0].constant < -1e-38


def test_every_operator_compares_in_float32():
    quantiser = Quantiser(tuple(InputAtom("f0", k, op, 0.1) for k, op in enumerate((">", "<=", "=="))))
    norms = {"f0": torch.tensor([[0.1] * 3, [0.2] * 3], dtype=torch.float32)}
    bits = quantise_activations(make_activations(2, norms=norms), quantiser).to_bools()
    assert bits.tolist() == [[False, True, True], [True, False, False]]


@pytest.mark.parametrize("threshold", ["mean", "0.6*mean+0.7*std", "quantile:0.3", "split"])
def test_a_capture_read_shard_by_shard_gives_the_same_thresholds(tmp_path, threshold):
    activations = make_activations(5000, n_kernels=(70, 3))
    save_activations(activations, tmp_path / "c", shard_size=1024)
    fitted = [
        fit_quantiser(source, activations.predictions, threshold=threshold)
        for source in (activations, open_capture(tmp_path / "c"), activations.take(torch.arange(5000).flip(0)))
    ]
    assert fitted[0] == fitted[1]
    if threshold != "split":  # whose target isn't turned round
        assert fitted[0] == fitted[2]


def test_sums_are_exact_in_any_order_and_cut():
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(3000, 3, generator=generator) * torch.tensor([1e-20, 1.0, 1e20])
    values[:, 1] = 0.1
    values[5] *= 1e6
    exact = [[Fraction(value) for value in column] for column in values.T.tolist()]
    means = [float(sum(column) / 3000) for column in exact]
    variances = [sum(v * v for v in column) / 3000 - (sum(column) / 3000) ** 2 for column in exact]
    stds = [math.sqrt(variance) for variance in variances]
    for order in (torch.arange(3000), torch.randperm(3000, generator=generator)):
        for sizes in ([3000], [1, 999, 2000]):
            parts = []
            for rows in values[order].split(sizes):
                parts.append(ColumnSums(3))
                parts[-1].add(rows)
            for part in parts[1:]:
                parts[0].merge(part)
            found = parts[0].list_moments()
            assert [moments.tolist() for moments in found] == [means, stds]
            assert parts[0].find_constant() == []
    sums = ColumnSums(2)
    sums.add(torch.tensor([[0.1, 3.0]] * 77))
    assert sums.find_constant() == [0, 1]
    assert sums.list_moments()[1].tolist() == [0.0, 0.0]
