"""Rules of a layer's kernels as whole weights of literals, learned from counts: one weight body for each kernel."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.extract.counts import PairCounts, count_pairs
from eric_fast.extract.layer import GrownLayer, Growth, Size, shift_body
from eric_fast.extract.pursuit import pursue_each
from eric_fast.kernels import WeightedBodies
from eric_fast.program import Rule
from eric_fast.program.weight_bodies import WeightBody, simplify_weight_body


class LearnedBodies(NamedTuple):
    """A weight body for each target.

    Attributes:
        bodies: the literals, over the rows of the inputs, and their weights.
        bounds: int64 `[n_targets]`; 0 for always true, more than all weights for never.
        covered, correct: int64 `[n_targets]`: images on which a body is true, and its target with it.
    """

    bodies: WeightedBodies
    bounds: NDArray[np.int64]
    covered: NDArray[np.int64]
    correct: NDArray[np.int64]


def learn_heads(
    heads: Sequence[int], targets: BitMatrix, inputs: Sequence[BitMatrix], first_input: int, growth: Growth
) -> GrownLayer:
    """Learn a weight body for each of the atoms `heads`: the same for any number of processes.

    Args:
        targets: the truth of the heads.
        inputs: the truth of the atoms from `first_input` on: several times, if rules are learned from the sum of
            counts, such as those of true and of predicted bits. Support is counted on the last.
    """
    stage = f"weight rules of {targets.atoms[0].rpartition(':')[0]}" if heads else "weight rules"
    growth.progress(stage, 0, 1)
    lots = [count_pairs(part.words, targets.words, part.n_samples, growth.combine) for part in inputs]
    learned = learn_bodies(lots, targets, inputs, growth)
    rules: list[Rule] = []
    sizes_grown: list[Size] = []
    for number, head in enumerate(heads):
        own = slice(learned.bodies.offsets[number], learned.bodies.offsets[number + 1])
        literals, weights = (
            tuple(values[own].tolist()) for values in (learned.bodies.literals, learned.bodies.weights)
        )
        bound, support = int(learned.bounds[number]), (int(learned.covered[number]), int(learned.correct[number]))
        simple = simplify_weight_body(literals, weights, bound)
        is_plain = not growth.simplify and 0 < bound <= sum(weights)
        for body in [WeightBody(literals, weights, bound)] if is_plain else simple:
            if len(simple) > 1 and not is_plain:
                support = _count_support(lots[-1], body.literals[0], number)
            shifted = shift_body(body.literals, first_input)
            rules.append(Rule(head, shifted, *support, weights=body.weights, bound=body.bound))
        sizes_grown.append((1, len(literals)) if simple else (0, 0))
    growth.progress(stage, 1, 1)
    return GrownLayer(rules, [], sizes_grown, [])


def learn_bodies(
    lots: Sequence[PairCounts], targets: BitMatrix, inputs: Sequence[BitMatrix], growth: Growth
) -> LearnedBodies:
    """Weights by matching pursuit on counts, rounded; bounds with the most images right, the lowest of equals.

    Args:
        lots: the counts of each of the `inputs` with the `targets`.
    """
    options = growth.options.weight_options
    counts = lots[0]
    for more in lots[1:]:
        counts = counts + more
    weights = pursue_each(counts.to_covariances(), options.most_literals)
    most = np.abs(weights).max(axis=0, initial=0)
    whole = np.rint(weights * (options.max_weight / np.where(most > 0, most, 1))).astype(np.int64)
    bodies = list_bodies(whole)
    tallies = [tally_targets(part, targets, bodies, growth) for part in inputs]
    bounds = find_bounds(sum(tallies[1:], start=tallies[0]))
    is_reached = np.arange(tallies[-1].shape[2]) >= bounds[:, None]
    covered, correct = ((tally * is_reached).sum(axis=1) for tally in (tallies[-1].sum(axis=1), tallies[-1][:, 1]))
    return LearnedBodies(bodies, bounds, covered, correct)


def list_bodies(weights: NDArray[np.int64]) -> WeightedBodies:
    """Signed weights `[n_inputs, n_targets]` as bodies: a negative one is a positive one of the negation."""
    of_target, atoms = weights.T.nonzero()
    signed = weights.T[of_target, atoms]
    literals = np.where(signed > 0, atoms, ~atoms).astype(np.int32)
    offsets = np.searchsorted(of_target, np.arange(weights.shape[1] + 1)).astype(np.int64)
    return WeightedBodies(literals, np.abs(signed).astype(np.int32), offsets)


def tally_targets(inputs: BitMatrix, targets: BitMatrix, bodies: WeightedBodies, growth: Growth) -> NDArray[np.int64]:
    """On how many images of all processes each body has each sum: int64 `[n_targets, 2, most + 1]`."""
    found = kernels.tally_sums(inputs.words, targets.words, inputs.n_samples, bodies)
    tally: NDArray[np.int64] = growth.combine(found).numpy()
    return tally


def find_bounds(tally: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each body the bound at which it is right on the most images, the lowest of equals: int64 `[n_bodies]`."""
    false, true = tally[:, 0], tally[:, 1]
    right = np.zeros((len(tally), tally.shape[2] + 1), np.int64)
    right[:, :-1] += true[:, ::-1].cumsum(axis=1)[:, ::-1]  # reached, and true
    right[:, 1:] += false.cumsum(axis=1)  # not reached, and false
    bounds: NDArray[np.int64] = right.argmax(axis=1)
    return bounds


def _count_support(counts: PairCounts, literal: int, target: int) -> tuple[int, int]:
    """On how many images a literal is true, and a target with it."""
    atom = literal if literal >= 0 else ~literal
    covered, correct = int(counts.pairs[atom, atom]), int(counts.products[atom, target])
    if literal >= 0:
        return covered, correct
    return counts.n_images - covered, int(counts.target_sums[target]) - correct
