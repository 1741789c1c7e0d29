"""Votes by a logistic fit in whole numbers: against NumPy, over parts, at the edges, from the command line."""

import math

import numpy as np
import pytest
import torch

from eric_fast import approximate_model, load_program
from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.errors import SettingError
from eric_fast.extract.logistic import (
    SHARE_BITS,
    SUM_BITS,
    TABLE_BITS,
    add_gradients,
    factor_gram,
    make_exponentials,
    share_scores,
    solve_factored,
)
from eric_fast.extract.votes import MAX_VOTE, learn_votes
from eric_fast.processes import keep
from tests.activations import make_activations
from tests.ranks import run_ranks


def make_votes(seed, n, combine=keep, rows=slice(None), jointly=True, by_logistic=True):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, 30)) < rng.random(30)
    logits = bits[:, :9] @ rng.normal(0, 1, (9, 3)) + rng.normal(0, 1, (n, 3))
    logits = np.sign(logits) * np.abs(logits) ** 1.5  # so that a few lie far away, which squares care about
    scores = torch.from_numpy((logits * 8 + 128).clip(0, 255).astype(np.uint8))
    own = BitMatrix.from_bools(torch.from_numpy(bits[rows]), [f"a{i}" for i in range(30)])
    target, mine = torch.from_numpy(logits.argmax(1))[rows], scores[rows]
    votes = learn_votes(
        own, 0, target, 3, 6, scores=mine, unit=1 / 8, jointly=jointly, by_logistic=by_logistic, combine=combine
    )
    return votes, bits, logits


def find_loss(votes, bits, logits):
    """The cross-entropy at the best unit of the votes, as theirs is arbitrary."""
    sums = np.tile(np.array(votes.base, float), (len(bits), 1))
    for rule in votes.rules:
        for c, weight in ((rule.head, rule.weight), *rule.also):
            sums[:, c] += weight * bits[:, rule.body[0]]
    shares = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)

    def cross(unit):
        return np.log(np.exp(sums * unit).sum(1)) - (shares * sums * unit).sum(1)

    return min(cross(unit).mean() for unit in np.linspace(0.02, 1, 50))


def test_exponentials_are_those_of_the_library():
    table = make_exponentials()
    for k in (0, 1, 77, 256, 1000, 4095):
        assert abs(table[k] - math.exp(-k / 2**TABLE_BITS) * 2**20) < 1.001
    assert table[-1] == 0
    assert (np.diff(table) <= 0).all()


def test_shares_are_those_of_exponentials():
    scores = torch.randint(256, (50, 4), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    expected = np.exp(scores.numpy() * 0.05)
    expected /= expected.sum(1, keepdims=True)
    np.testing.assert_allclose(share_scores(scores, 0.05).T / 2**SHARE_BITS, expected, atol=0.005)


@pytest.mark.parametrize("n", [0, 1, 31, 33, 2048, 2081])
def test_gradients_are_counted_by_hand(n):
    rng = np.random.default_rng(n)
    bits, weights = rng.random((n, 5)) < 0.5, rng.normal(0, 1, (6, 3))
    target = np.eye(3, dtype=np.int32)[rng.integers(0, 3, n)].T << SHARE_BITS
    found = add_gradients(pack_bits(torch.from_numpy(bits)), target, weights)
    columns = np.hstack([bits, np.ones((n, 1), bool)]).astype(np.int64)
    sums = columns @ np.rint(weights * 2**SUM_BITS).astype(np.int64)
    parts = make_exponentials()[(sums.max(axis=1, keepdims=True) - sums) >> (SUM_BITS - TABLE_BITS)].astype(np.int64)
    shares = (parts << SHARE_BITS) // parts.sum(1, keepdims=True)
    assert (found == columns.T @ (shares - target.T)).all()


def test_factors_solve():
    rng = np.random.default_rng(0)
    gram = np.cov(rng.normal(size=(6, 40)))
    right = rng.normal(size=6)
    np.testing.assert_allclose(solve_factored(factor_gram(gram), right), np.linalg.solve(gram, right), rtol=1e-9)


@pytest.mark.parametrize("jointly", [True, False])
def test_the_loss_falls(jointly):
    fitted, bits, logits = make_votes(5, 1500, jointly=jointly)
    counted, _, _ = make_votes(5, 1500, jointly=jointly, by_logistic=False)
    assert {rule.body for rule in fitted.rules} <= {rule.body for rule in counted.rules}
    assert find_loss(fitted, bits, logits) < find_loss(counted, bits, logits)
    weights = [abs(weight) for rule in fitted.rules for weight in (rule.weight, *(w for _, w in rule.also))]
    assert max(weights) == MAX_VOTE
    assert len(weights) <= (6 * 3 if jointly else 6)


def test_slopes_choose_better_rules_than_counts(monkeypatch):
    by_counts, bits, logits = make_votes(5, 1500)
    monkeypatch.setattr("eric_fast.extract.votes.RULES_BY_COUNTS", 1)
    monkeypatch.setattr("eric_fast.extract.votes.RULES_A_STEP", 2)
    by_slope = make_votes(5, 1500)[0]
    assert len({rule.body for rule in by_slope.rules}) == 6
    assert {rule.body for rule in by_slope.rules} != {rule.body for rule in by_counts.rules}
    assert find_loss(by_slope, bits, logits) < find_loss(by_counts, bits, logits)
    parts = run_ranks(2, lambda rank, combine: make_votes(5, 1500, combine, slice(900 * rank, 900 + 600 * rank))[0])
    assert parts == [by_slope] * 2


@pytest.mark.parametrize("jointly", [True, False])
def test_any_number_of_processes_fits_the_same(jointly):
    cuts = [0, 33, 700, 1500]
    whole = make_votes(2, 1500, jointly=jointly)[0]
    found = run_ranks(
        3, lambda rank, combine: make_votes(2, 1500, combine, slice(cuts[rank], cuts[rank + 1]), jointly)[0]
    )
    assert found == [whole] * 3


def test_votes_are_fitted_from_the_command_line(made, eric, refuse, tmp_path):
    arguments = ["extract", made / "train", "--n-votes", "12", "--votes"]
    texts = []
    for number, votes in enumerate(("rows", "single", "rows", "single")):
        path = tmp_path / f"{number}.lp"
        fit = ["--fit", "logistic"] if number < 2 else []
        code, _, err = eric(*arguments, votes, *fit, "-o", path)
        assert code == 0, err
        assert dict(load_program(path).settings).get("fit") == ("logistic" if fit else None)
        texts.append(path.read_text())
    assert len(set(texts)) == 4
    assert "fit 'exact' is not one of counts, logistic" in refuse(
        *arguments, "rows", "--fit", "exact", "-o", tmp_path / "x.lp"
    )
    with pytest.raises(SettingError, match="fit 'logistic' is of votes"):
        approximate_model(make_activations(), fit="logistic")
