"""Logits on a scale of eight bits, and the votes that are fitted to them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from eric_fast import approximate_model
from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.extract.counts import count_pairs, pack_digits
from eric_fast.extract.votes import learn_votes
from eric_fast.processes import keep
from eric_fast.quantise import scale_logits
from eric_fast.store import select_images
from tests.activations import make_activations


def make_logits(activations, seed=0):
    """Of which the highest is that of the prediction."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (activations.n_images, len(activations.classes)))
    logits[np.arange(len(logits)), activations.predictions] = logits.max(axis=1) + 1
    return replace(activations, logits=torch.from_numpy(logits).half())


def select(activations):
    return select_images(activations, activations.layers, "model")


@pytest.mark.parametrize("tail", [None, 100])
def test_scaled_logits_are_rounded_numpy(tail):
    activations = make_logits(make_activations())
    found = scale_logits(select(activations), tail)
    centred = activations.logits.double().numpy()
    centred -= centred.mean(axis=1, keepdims=True)
    step = (centred.max() - centred.min()) / 2**15
    ordered = np.sort(centred.ravel())  # 900 of them
    n_beyond = 0 if tail is None else 9
    assert abs(found.lowest - ordered[n_beyond]) < step
    assert abs(found.highest - ordered[899 - n_beyond]) < step
    expected = (centred.clip(found.lowest, found.highest) - found.lowest) / (found.highest - found.lowest) * 255
    assert np.abs(found.values.numpy() - expected).max() <= 0.5 + 1e-6
    assert found.values.min() == 0
    assert found.values.max() == 255


def test_extreme_and_equal_logits_have_a_scale():
    activations = make_activations(n_images=2)
    for logits, expected in (
        ([[65504, -65504, 6e-8]] * 2, [[255, 0, 128]] * 2),
        ([[3, 3, 3]] * 2, [[0, 0, 0]] * 2),
    ):
        known = replace(activations, logits=torch.tensor(logits, dtype=torch.float16))
        found = scale_logits(select(known)).values.int() - torch.tensor(expected)
        assert found.abs().max() <= 1


def test_bad_logits_are_refused():
    activations = make_activations(n_images=5)
    for logits, message in (
        (torch.zeros(5, 3), r"logits must be float16 \[5, 3\], not float32"),
        (torch.zeros(5, 2, dtype=torch.float16), r"logits must be float16 \[5, 3\]"),
        (torch.full((5, 3), torch.nan).half(), "the model's output 0 is nan on image 'image0'"),
    ):
        with pytest.raises(CaptureError, match=message):
            replace(activations, logits=logits)


def test_counts_of_digits_are_sums_of_numbers():
    rng = np.random.default_rng(1)
    bits, scores = rng.random((100, 6)) < 0.4, rng.integers(0, 256, (100, 4))
    words = BitMatrix.from_bools(torch.from_numpy(bits), "abcdef").words
    digits = pack_digits(torch.from_numpy(scores.astype(np.uint8)))
    found = count_pairs(words, digits, 100, keep).add_digits(4)
    assert found.n_images == 100
    assert (found.pairs == bits.T.astype(int) @ bits).all()
    assert (found.products == bits.T.astype(int) @ scores).all()
    assert (found.target_sums == scores.sum(axis=0)).all()


def test_votes_on_logits_for_any_number_of_processes():
    rng = np.random.default_rng(2)
    bits, scores = rng.random((500, 12)) < 0.5, rng.integers(0, 256, (500, 3)).astype(np.uint8)
    scores[bits[:, 0], 1] = 255
    target, numbers = torch.from_numpy(scores.argmax(1)), torch.from_numpy(scores)

    def learn(rows, combine=keep):
        matrix = BitMatrix.from_bools(torch.from_numpy(bits[rows]), [str(i) for i in range(12)])
        return learn_votes(matrix, 0, target[rows], 3, 5, scores=numbers[rows], combine=combine)

    whole, told = learn(slice(None)), []
    learn(slice(0, 123), lambda counts: told.append(counts) or counts)
    waiting = iter(told)
    assert learn(slice(123, None), lambda counts: counts + next(waiting)) == whole
    assert whole.rules[0].body == (0,)
    assert whole != learn_votes(BitMatrix.from_bools(torch.from_numpy(bits), "abcdefghijkl"), 0, target, 3, 5)


def test_votes_without_logits_say_what_that_costs(caplog):
    activations = make_activations()
    without = approximate_model(activations, votes="rows")
    assert "capture again with --logits" in caplog.text
    caplog.clear()
    program = approximate_model(make_logits(activations), votes="rows")
    assert not caplog.text
    assert dict(program.settings)["logits"].count(" to ") == 1
    assert program.class_rules != without.class_rules
    label = approximate_model(make_logits(activations), votes="rows", target="label")
    assert "logits" not in dict(label.settings)
