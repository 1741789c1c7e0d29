"""Class votes from counts: rules of one literal each, which add whole numbers to classes."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix, pack_bits
from eric_fast.extract.counts import PairCounts, count_pairs, pack_digits
from eric_fast.extract.logistic import PENALTY, SHARE_BITS, LogisticFit, fit_logistic, share_scores
from eric_fast.extract.pursuit import RIDGE, Pursuit, pursue_jointly, pursue_singly
from eric_fast.processes import Combine, keep
from eric_fast.program import ClassRule

MAX_VOTE = 15


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
        by_logistic: fit the numbers of the rules that counts choose anew, to the classes' shares; see `fit_logistic`.
    """
    targets = pack_bits(target[:, None] == torch.arange(n_classes))
    if scores is not None:
        targets = torch.cat([targets, pack_digits(scores)])
    every = count_pairs(inputs.words, targets, len(target), combine)
    counts = of_class = every.take_targets(0, n_classes)
    if scores is not None:
        counts = every.take_targets(n_classes, len(targets)).add_digits(n_classes)
    pursue = pursue_jointly if jointly else pursue_singly
    found = pursue(counts.to_covariances(), n_rules)
    if by_logistic:
        shares = share_scores(scores, unit) if scores is not None else _share_target(target, n_classes)
        found = _refit(found, of_class, inputs.words, shares, unit if scores is not None else 1.0, jointly, combine)
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


def _refit(
    found: Pursuit,
    counts: PairCounts,
    words: Tensor,
    shares: NDArray[np.int32],
    unit: float,
    jointly: bool,
    combine: Combine,
) -> Pursuit:
    """The same inputs with weights, and intercepts, of a logistic fit.

    Args:
        unit: of a logit in the weights that were found.
    """
    chosen = found.chosen
    pairs = counts.pairs[np.ix_(chosen, chosen)]
    gram = np.ones((len(chosen) + 1, len(chosen) + 1))
    gram[:-1, :-1] = pairs / counts.n_images
    gram[-1, :-1] = gram[:-1, -1] = pairs.diagonal() / counts.n_images
    gram += (RIDGE + 2 * PENALTY) * np.eye(len(gram))
    own = found.weights[chosen]
    fitted = fit_logistic(
        words[torch.from_numpy(chosen)],
        shares,
        gram,
        LogisticFit(own * unit, (found.intercepts - found.intercepts.min()) * unit),
        np.ones_like(own, np.bool_) if jointly else own != 0,
        counts.n_images,
        combine,
    )
    weights = np.zeros_like(found.weights)
    weights[chosen] = fitted.weights
    return Pursuit(chosen, weights, fitted.intercepts)


def _round_to_whole(found: Pursuit) -> tuple[NDArray[np.int64], tuple[int, ...]]:
    """Weights and intercepts in units of which the largest weight has `MAX_VOTE`; without weights, an intercept."""
    largest = float(np.abs(found.weights).max(initial=0)) or float(np.abs(found.intercepts).max(initial=0))
    unit = largest / MAX_VOTE if largest else 1.0
    whole = np.rint(found.weights / unit).astype(np.int64)
    return whole, tuple(np.rint(found.intercepts / unit).astype(np.int64).tolist())
