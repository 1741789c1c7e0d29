"""Class votes from counts: rules of one literal each, which add whole numbers to classes."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.extract.counts import PairCounts, count_pairs, pack_digits
from eric_fast.extract.logistic import (
    N_PASSES,
    PENALTY,
    SHARE_BITS,
    LogisticFit,
    add_gradients,
    fit_logistic,
    share_scores,
)
from eric_fast.extract.pursuit import RIDGE, Covariances, Pursuit, pursue_jointly, pursue_singly
from eric_fast.processes import Combine, keep
from eric_fast.program import ClassRule

MAX_VOTE = 15
RULES_BY_COUNTS = 32  # of a logistic fit, which counts choose
RULES_A_STEP, STEP_PASSES = 8, 4  # how many its slopes choose at once, and how often it goes over the images before


class LearnedVotes(NamedTuple):
    """Class rules under `vote`, and where each class's sum starts."""

    rules: list[ClassRule]
    base: tuple[int, ...]


def learn_votes(
    inputs: BitMatrix,
    first_input: int,
    target: Tensor,
    n_classes: int,
    n_rules: int,
    *,
    scores: Tensor | None = None,
    unit: float = 0.0,
    jointly: bool = True,
    by_logistic: bool = False,
    combine: Combine = keep,
) -> LearnedVotes:
    """Votes for the classes `target` over atoms `first_input` on: the same for any number of processes.

    The sums approximate, by least squares, an image's scores, or else 1 for its class and 0 for the others. Counts of
    pairs are all that is learned from: scores are taken by their binary digits.

    Args:
        inputs: the truth of the atoms, on this process's images.
        target: int64 `[n_images]`, class indices.
        n_rules: at most.
        scores: uint8 `[n_images, n_classes]`; see `scale_logits`.
        unit: of a logit in a score; for `by_logistic` alone.
        jointly: whether a rule adds a number to every class, or to one.
        by_logistic: fit the numbers to the classes' shares; see `fit_logistic`. Rules that add to every class are then
            chosen by counts at first, and by the slopes of that fit once there are `RULES_BY_COUNTS`.
    """
    targets = pack_bits(target[:, None] == torch.arange(n_classes))
    if scores is not None:
        targets = torch.cat([targets, pack_digits(scores)])
    every = count_pairs(inputs.words, targets, len(target), combine)
    counts = of_class = every.take_targets(0, n_classes)
    if scores is not None:
        counts = every.take_targets(n_classes, len(targets)).add_digits(n_classes)
    pursue = pursue_jointly if jointly else pursue_singly
    covariances = counts.to_covariances()
    found = pursue(covariances, min(n_rules, RULES_BY_COUNTS) if by_logistic and jointly else n_rules)
    if by_logistic:
        shares = share_scores(scores, unit) if scores is not None else _share_target(target, n_classes)
        images = _Images(inputs.words, shares, of_class, covariances, combine)
        found = _refit(found, images, unit if scores is not None else 1.0, n_rules, jointly)
    weights, base = _round_to_whole(found)
    rules: list[ClassRule] = []
    for atom in found.chosen.tolist():
        added = [(c, float(weight)) for c, weight in enumerate(weights[atom].tolist()) if weight]
        first = max(added, key=lambda vote: vote[1], default=None)  # the lowest class of equals
        groups = [added] if jointly and added else [[vote] for vote in added]
        for group in groups:
            head, weight = first if jointly and first else group[0]
            support = int(of_class.pairs[atom, atom]), int(of_class.products[atom, head])
            also = tuple(vote for vote in group if vote[0] != head)
            rules.append(ClassRule(head, (first_input + atom,), *support, weight, also))
    return LearnedVotes(rules, base)


def _share_target(target: Tensor, n_classes: int) -> NDArray[np.int32]:
    """All of an image's shares are its class's: int32 `[n_classes, n_images]`."""
    shares: NDArray[np.int32] = (target == torch.arange(n_classes)[:, None]).numpy().astype(np.int32) << SHARE_BITS
    return shares


class _Images(NamedTuple):
    """What a logistic fit goes over.

    Attributes:
        words: int32 words `[n_inputs, n_words]`, of this process's images.
        shares: int32 `[n_classes, n_images of this process]`.
        counts, covariances: of all images.
    """

    words: Tensor
    shares: NDArray[np.int32]
    counts: PairCounts
    covariances: Covariances
    combine: Combine


def _refit(found: Pursuit, images: _Images, unit: float, n_rules: int, jointly: bool) -> Pursuit:
    """A logistic fit of what was found, with more inputs where they are for all classes, up to `n_rules` of them.

    Args:
        unit: of a logit in the weights that were found.
    """
    chosen, own = found.chosen, found.weights[found.chosen]
    fitted = LogisticFit(own * unit, (found.intercepts - found.intercepts.min()) * unit)
    is_used = np.ones_like(own, np.bool_) if jointly else own != 0
    while jointly and len(chosen) < n_rules:
        fitted = _fit_chosen(images, chosen, fitted, is_used, STEP_PASSES)
        more = _choose_by_slope(images, chosen, fitted, min(RULES_A_STEP, n_rules - len(chosen)))
        if not len(more):
            break
        chosen = np.concatenate([chosen, more])
        fitted = LogisticFit(np.pad(fitted.weights, ((0, len(more)), (0, 0))), fitted.intercepts)
        is_used = np.ones_like(fitted.weights, np.bool_)
    fitted = _fit_chosen(images, chosen, fitted, is_used, N_PASSES)
    return Pursuit(chosen, _spread(fitted.weights, chosen, len(images.words)), fitted.intercepts)


def _fit_chosen(
    images: _Images, chosen: NDArray[np.int64], begin: LogisticFit, is_used: NDArray[np.bool_], n_passes: int
) -> LogisticFit:
    words, shares, counts, _, combine = images
    pairs = counts.pairs[np.ix_(chosen, chosen)]
    gram = np.ones((len(chosen) + 1, len(chosen) + 1))
    gram[:-1, :-1] = pairs / counts.n_images
    gram[-1, :-1] = gram[:-1, -1] = pairs.diagonal() / counts.n_images
    gram += (RIDGE + 2 * PENALTY) * np.eye(len(gram))
    own = words[torch.from_numpy(chosen)]
    return fit_logistic(own, shares, gram, begin, is_used, counts.n_images, combine, n_passes)


def _choose_by_slope(images: _Images, chosen: NDArray[np.int64], fitted: LogisticFit, n_more: int) -> NDArray[np.int64]:
    """Inputs that lower the loss most, by pursuit of what the classes still lack."""
    covariances, n_inputs = images.covariances, len(images.words)
    weights = np.vstack([_spread(fitted.weights, chosen, n_inputs), fitted.intercepts])
    excess = images.combine(torch.from_numpy(add_gradients(images.words, images.shares, weights))).numpy()
    lacking = excess / float(-(images.counts.n_images << SHARE_BITS))
    free = np.delete(np.arange(n_inputs), chosen)
    means = covariances.input_means[free]
    targets = lacking[free] - np.multiply.outer(means, lacking[-1])
    rest = Covariances(covariances.inputs[np.ix_(free, free)], targets, means, lacking[-1])
    return free[pursue_jointly(rest, n_more).chosen]


def _spread(weights: NDArray[np.float64], chosen: NDArray[np.int64], n_inputs: int) -> NDArray[np.float64]:
    """Weights of chosen inputs among those of all: float64 `[n_inputs, n_classes]`."""
    every = np.zeros((n_inputs, weights.shape[1]))
    every[chosen] = weights
    return every


def _round_to_whole(found: Pursuit) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Weights and intercepts in units of which the largest weight has `MAX_VOTE`; without weights, an intercept."""
    largest = float(np.abs(found.weights).max(initial=0)) or float(np.abs(found.intercepts).max(initial=0))
    unit = largest / MAX_VOTE if largest else 1.0
    whole = np.rint(found.weights / unit).astype(np.int64)
    return whole, tuple(np.rint(found.intercepts / unit).astype(np.int64).tolist())
