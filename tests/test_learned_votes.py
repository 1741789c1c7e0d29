"""Class votes learned from counts: against least squares in NumPy, over parts, at the edges, on a real network."""

import numpy as np
import pytest
import torch

from eric_fast import approximate_model, evaluate_program, load_program, parse_program, print_program
from eric_fast.bits import BitMatrix
from eric_fast.errors import SettingError
from eric_fast.extract.pursuit import RIDGE, Covariances, pursue_jointly, pursue_singly
from eric_fast.extract.votes import MAX_VOTE, learn_votes
from eric_fast.processes import keep


def make_case(seed, n, n_atoms, n_classes):
    rng = np.random.default_rng(seed)
    bits = rng.random((n, n_atoms)) < rng.random(n_atoms)
    scores = bits[:, :n_classes] + rng.normal(0, 0.4, (n, min(n_classes, n_atoms)))
    return bits, torch.from_numpy(scores.argmax(1))


def to_matrix(bits):
    return BitMatrix.from_bools(torch.from_numpy(bits), [f"a{i}" for i in range(bits.shape[1])])


def make_covariances(bits, target, n_classes):
    one_hot = np.eye(n_classes, dtype=np.int64)[target.numpy()]
    whole = bits.astype(np.int64)
    return Covariances.from_sums(len(bits), whole.T @ whole, whole.T @ one_hot, one_hot.sum(0))


def test_covariances_are_numpys():
    bits, target = make_case(0, 700, 9, 3)
    found = make_covariances(bits, target, 3)
    expected = np.cov(bits.T.astype(float), bias=True)
    np.testing.assert_allclose(found.inputs, expected, atol=1e-12)
    both = np.cov(np.vstack([bits.T.astype(float), np.eye(3)[target.numpy()].T]), bias=True)
    np.testing.assert_allclose(found.targets, both[:9, 9:], atol=1e-12)


def pursue_in_numpy(covariances, n_inputs):
    """The same pursuit, solved anew at each step."""
    gram, products = covariances.inputs, covariances.targets
    chosen, residual = [], products
    for _ in range(n_inputs):
        gains = (residual**2).sum(1) / np.maximum(gram.diagonal(), 1e-12)
        gains[chosen] = -1
        chosen.append(int(gains.argmax()))
        weights = np.linalg.solve(gram[np.ix_(chosen, chosen)] + RIDGE * np.eye(len(chosen)), products[chosen])
        residual = products - gram[:, chosen] @ weights
    return chosen, weights


@pytest.mark.parametrize("n_inputs", [1, 4, 12])
def test_pursuit_is_least_squares_on_what_it_chose(n_inputs):
    bits, target = make_case(1, 900, 20, 4)
    covariances = make_covariances(bits, target, 4)
    found = pursue_jointly(covariances, n_inputs)
    chosen, weights = pursue_in_numpy(covariances, n_inputs)
    assert found.chosen.tolist() == chosen
    np.testing.assert_allclose(found.weights[chosen], weights, rtol=1e-9)
    means = covariances.target_means - found.weights.T @ covariances.input_means
    np.testing.assert_allclose(found.intercepts, means, atol=1e-12)


def test_single_weights_go_where_the_error_falls_most():
    bits, target = make_case(2, 900, 20, 4)
    covariances = make_covariances(bits, target, 4)
    for n_weights in (1, 7, 30):
        found = pursue_singly(covariances, n_weights)
        assert np.count_nonzero(found.weights) == n_weights
        for column in range(4):
            n = np.count_nonzero(found.weights[:, column])
            alone = covariances._replace(targets=np.ascontiguousarray(covariances.targets[:, column : column + 1]))
            if n:
                chosen, weights = pursue_in_numpy(alone, n)
                np.testing.assert_allclose(found.weights[chosen, column], weights[:, 0], rtol=1e-9)


@pytest.mark.parametrize("jointly", [True, False])
def test_parts_of_the_images_give_the_votes_of_all(jointly):
    bits, target = make_case(3, 1000, 30, 5)
    expected = learn_votes(to_matrix(bits), 7, target, 5, 12, jointly=jointly)
    told = []
    learn_votes(to_matrix(bits[:333]), 7, target[:333], 5, 12, jointly=jointly, combine=lambda t: told.append(t) or t)
    waiting = iter(told)
    found = learn_votes(
        to_matrix(bits[333:]), 7, target[333:], 5, 12, jointly=jointly, combine=lambda t: keep(t) + next(waiting)
    )
    assert found == expected
    assert all(rule.body[0] >= 7 for rule in found.rules)
    weights = [abs(weight) for rule in found.rules for weight in (rule.weight, *(w for _, w in rule.also))]
    assert max(weights) == MAX_VOTE
    assert all(weight == int(weight) for weight in weights)


@pytest.mark.parametrize("by_logistic", [True, False])
@pytest.mark.parametrize("jointly", [True, False])
@pytest.mark.parametrize(
    ("bits", "target"),
    [
        (np.zeros((40, 3), bool), torch.arange(40) % 2),  # constant bits
        (np.ones((40, 3), bool), torch.arange(40) % 2),
        (np.repeat(np.arange(40)[:, None] % 2 == 0, 4, axis=1), torch.arange(40) % 2),  # duplicates
        (np.arange(40)[:, None] % 2 == 0, torch.arange(40) % 2 * 2),  # a class that never occurs
        (np.ones((1, 2), bool), torch.zeros(1, dtype=torch.int64)),  # one image
        (np.zeros((40, 0), bool), torch.arange(40) % 2),  # no atom
    ],
)
def test_edges_give_a_defined_vote(bits, target, jointly, by_logistic):
    votes = learn_votes(to_matrix(bits), 0, target, 3, 1000, jointly=jointly, by_logistic=by_logistic)
    assert len(votes.base) == 3
    sums = np.tile(np.array(votes.base), (len(bits), 1))
    for rule in votes.rules:
        for c, weight in ((rule.head, rule.weight), *rule.also):
            sums[bits[:, rule.body[0]], c] += int(weight)
    if bits.any() and not bits.all():  # then a bit tells the classes apart
        assert (sums.argmax(1) == target.numpy()).all()


def test_extract_from_the_command_line(made, eric, refuse, tmp_path):
    arguments = ["extract", made / "train", "--target", "label", "--layers", "all", "--min-leaf", "20"]
    for votes in ("rows", "single"):
        path = tmp_path / f"{votes}.lp"
        code, out, err = eric(*arguments, "--votes", votes, "--n-votes", "12", "-o", path)
        assert code == 0, err
        assert " literals, " in out
        assert " integers, from 600 images" in out
        program = load_program(path)
        assert program.decision == "vote"
        assert dict(program.settings)["votes"] == votes
        assert parse_program(print_program(program)) == program
        added = [weight for rule in program.class_rules for weight in (rule.weight, *(w for _, w in rule.also))]
        assert program.n_integers == sum(weight != 1 for weight in added) + sum(value != 0 for value in program.base)
        assert eric("evaluate", path, made / "test", "--chains")[0] == 0
    assert "not one of rows, single" in refuse(*arguments, "--votes", "columns", "-o", tmp_path / "x.lp")
    assert "from 1" in refuse(*arguments, "--votes", "rows", "--n-votes", "0", "-o", tmp_path / "x.lp")
    assert "lower the number" in refuse(*arguments, "--votes", "rows", "--max-loss", "0.1", "-o", tmp_path / "x.lp")


def test_votes_keep_more_of_a_network_than_a_tree(cifar):
    train, test = cifar
    tree = evaluate_program(approximate_model(train, threshold="split", max_rules=30), test).fidelity
    for votes, least in (("single", 0.02), ("rows", 0.05)):
        program = approximate_model(train, threshold="split", votes=votes, n_votes=30)
        assert len(program.class_rules) <= 30
        assert evaluate_program(program, test).fidelity > tree + least


def test_votes_are_chosen_by_name():
    with pytest.raises(SettingError, match="votes 'all' is not one of rows, single"):
        approximate_model(None, votes="all")
