"""Grow decision trees over bits, and list their leaves."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.errors import EricError
from eric_fast.extract.options import TreeOptions
from eric_fast.kernels import MOST_TREES, Forest, Stop, TreeProgress, ignore_trees, never_stop
from eric_fast.processes import Combine, keep


@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf of a tree, and the branch that leads to it.

    Attributes:
        body: literals over the columns from the root on: column `a` true is `a`, false is `~a`.
        answer: the most frequent value of the target in the leaf, the lowest of equals.
        covered: the number of training images that reach the leaf.
        correct: the number of those whose target is `answer`.
    """

    body: tuple[int, ...]
    answer: int
    covered: int
    correct: int


def grow_trees(
    inputs: BitMatrix,
    targets: BitMatrix | Tensor,
    options: TreeOptions | None = None,
    *,
    n_values: int | None = None,
    weights: Tensor | None = None,
    n_trees: int = MOST_TREES,
    engine: str = "auto",
    stop: Stop = never_stop,
    progress: TreeProgress = ignore_trees,
    combine: Combine = keep,
) -> Forest:
    """Grow a decision tree over the same bits for each target: scikit-learn's trees, but ties are not broken at random.

    The trees are the same on every engine and for any number of threads: the highest gain wins, the lowest atom of
    equals.

    Args:
        inputs: the bits that trees may test.
        targets: a row of bits per target, or class indices: int64 `[n_samples]`, or `[n_targets, n_samples]`.
        n_values: the number of classes if `targets` are class indices; one more than the highest by default.
        weights: integers `[n_samples]`: how often each sample counts; 0 leaves it out.
        n_trees: how many trees may grow at the same time; each takes 4 bytes for every sample.
        stop: asked before each tree; once it is true, no more trees are started, and the forest has the finished ones.
        progress: called after each tree with their number, from any thread.
        combine: sums integers over the processes that share the samples; `n_values` is needed then.

    Raises:
        EricError: targets or weights of other samples. SettingError: weights that are too large to be summed.
    """
    options = options or TreeOptions()
    if isinstance(targets, BitMatrix):
        if targets.n_samples != inputs.n_samples:
            raise EricError(f"there are targets of {targets.n_samples} samples, but bits of {inputs.n_samples}")
        rows, n_values = targets.words, 2
    else:
        rows = targets[None] if targets.ndim == 1 else targets
        n_values = int(targets.max()) + 1 if n_values is None and targets.numel() else n_values
    n_samples = int(combine(torch.tensor([inputs.n_samples]))[0])
    return kernels.grow(
        inputs.words,
        inputs.n_samples,
        rows,
        options.to_limits(n_samples),
        n_values=n_values,
        weights=weights,
        value_weights=options.list_class_weights(n_values or 1),
        n_trees=n_trees,
        engine=engine,
        stop=stop,
        progress=progress,
        combine=combine,
    )


def list_leaves(forest: Forest, tree: int, ends: NDArray[np.bool_] | None = None) -> list[Leaf]:
    """List the leaves of one tree, depth first, the true branch of each split before the false one.

    Args:
        ends: nodes of the forest at which branches end, if not at the leaves alone; see `find_ends`.
    """
    nodes = slice(int(forest.offsets[tree]), int(forest.offsets[tree + 1]))
    feature, left, right = (part[nodes].tolist() for part in (forest.feature, forest.left, forest.right))
    ended = (forest.feature[nodes].numpy() < 0 if ends is None else ends[nodes]).tolist()
    counts, weights = forest.counts[nodes].numpy(), forest.weights[nodes].numpy()
    answers = weights.argmax(axis=1)  # the first of equals
    covered, correct = counts.sum(axis=1).tolist(), counts[np.arange(len(counts)), answers].tolist()
    leaves: list[Leaf] = []
    pending: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while pending:
        node, body = pending.pop()
        if ended[node]:
            leaves.append(Leaf(body, int(answers[node]), covered[node], correct[node]))
        else:
            atom = feature[node]
            pending.append((left[node], (*body, ~atom)))
            pending.append((right[node], (*body, atom)))
    return leaves


def find_ends(forest: Forest, options: TreeOptions, *, merge: bool) -> NDArray[np.bool_]:
    """Find the nodes at which the branches of a forest's trees end: bool `[n_nodes]`.

    `options.ccp_alpha` prunes subtrees whose leaves, at that price each, lower the impurity by too little (minimal
    cost-complexity pruning, Breiman et al. 1984; scikit-learn's parameter). With `merge`, two ends with the same answer
    become one, which changes no answer.
    """
    ends = forest.feature.numpy() < 0
    answers = forest.weights.numpy().argmax(axis=1).tolist()
    left, right = forest.left.tolist(), forest.right.tolist()
    risks = _measure_impurity(forest, options.criterion) if options.ccp_alpha else np.zeros(len(ends))
    ended, prices = ends.tolist(), (risks + options.ccp_alpha).tolist()
    for first, stop in pairwise(forest.offsets.tolist()):
        for node in range(stop - 1, first - 1, -1):  # children come after their parent
            if ended[node]:
                continue
            low, high = first + left[node], first + right[node]
            price = prices[low] + prices[high]
            if options.ccp_alpha and prices[node] <= price:
                ended[node] = True
            else:
                prices[node] = price
                ended[node] = merge and ended[low] and ended[high] and answers[low] == answers[high]
    return np.array(ended, np.bool_)


def _measure_impurity(forest: Forest, criterion: str) -> NDArray[np.float64]:
    """The impurity of each node, weighted by its share of its tree: float64 `[n_nodes]`."""
    weights = forest.weights.numpy().astype(np.float64)
    totals = weights.sum(axis=1)
    shares = weights / np.maximum(totals, 1)[:, None]
    if criterion == "gini":
        impurity = 1 - (shares**2).sum(axis=1)
    else:
        impurity = -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
    first = forest.offsets.numpy()
    of_tree = np.repeat(totals[first[:-1]], np.diff(first)) if len(totals) else totals
    whole: NDArray[np.float64] = impurity * totals / np.maximum(of_tree, 1)
    return whole
