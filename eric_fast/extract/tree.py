"""Decision trees over bits: how far they grow, many at once, and each as its leaves."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels import Forest, Limits, Stop, TreeProgress, ignore_trees, never_stop
from eric_fast.processes import Combine, keep
from eric_fast.program.atoms import CRITERIA

MOST = kernels.NO_LIMIT - 1
_CRITERION = {"entropy": kernels.ENTROPY, "gini": kernels.GINI}


@dataclass(frozen=True)
class TreeOptions:
    """How far a tree grows; the words are scikit-learn's.

    Attributes:
        criterion: `entropy` or `gini`.
        max_depth: literals in a rule at most, or None.
        min_leaf: training images in a leaf at least: a number (int) or a share of all images (float in (0, 0.5]).
        max_rules: leaves at most, best first, or None.
        min_split: training images in a node that is split at least: a number from 2, or a share in (0, 1].
        min_gain: what a split must lower the impurity by at least, weighted by its share of all images.
        ccp_alpha: cost-complexity pruning: what a leaf must lower the impurity by, weighted as above. 0 prunes nothing.
        class_weight: what an image of a class counts for, a whole number by class index; 1 where nothing is said.

    Raises:
        SettingError: a value that means nothing.
    """

    criterion: str = "entropy"
    max_depth: int | None = None
    min_leaf: int | float = 0.01
    max_rules: int | None = None
    min_split: int | float = 2
    min_gain: float = 0.0
    class_weight: Mapping[int, int] | None = None
    ccp_alpha: float = 0.0

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise SettingError(f"criterion '{self.criterion}' is not one of {', '.join(CRITERIA)}")
        for name, limit in (("max depth", self.max_depth), ("max rules", self.max_rules)):
            if limit is not None and not (_is_whole(limit) and 1 <= limit <= MOST):
                raise SettingError(f"{name} must be a whole number from 1 to {MOST:,}, not {limit!r}")
        share = isinstance(self.min_leaf, float) and 0 < self.min_leaf <= 0.5
        if not (share or (_is_whole(self.min_leaf) and 1 <= self.min_leaf <= MOST)):
            raise SettingError(f"min leaf must be a whole number from 1, or a share in (0, 0.5], not {self.min_leaf!r}")
        share = isinstance(self.min_split, float) and 0 < self.min_split <= 1
        if not (share or (_is_whole(self.min_split) and 2 <= self.min_split <= MOST)):
            raise SettingError(f"min split must be a whole number from 2, or a share in (0, 1], not {self.min_split!r}")
        for name, value in (("min gain", self.min_gain), ("ccp alpha", self.ccp_alpha)):
            if isinstance(value, bool) or not 0 <= value < math.inf:
                raise SettingError(f"{name} must be a number from 0, not {value!r}")
        for index, weight in (self.class_weight or {}).items():
            if not (_is_whole(index) and index >= 0 and _is_whole(weight) and weight >= 0):
                raise SettingError(f"class weights are whole numbers from 0 by class index, not {index!r}: {weight!r}")

    def count_min_leaf(self, n_images: int) -> int:
        """`min_leaf` in images."""
        return int(self.min_leaf) if _is_whole(self.min_leaf) else max(1, math.ceil(self.min_leaf * n_images))

    def to_limits(self, n_images: int) -> Limits:
        """The same in images, as growth takes it."""
        split = int(self.min_split) if _is_whole(self.min_split) else max(2, math.ceil(self.min_split * n_images))
        return Limits(
            criterion=_CRITERION[self.criterion],
            max_depth=self.max_depth or kernels.NO_LIMIT,
            max_leaves=self.max_rules or kernels.NO_LIMIT,
            min_leaf=self.count_min_leaf(n_images),
            min_split=split,
            min_gain=min(float(self.min_gain), 31.0),  # more bits than any target has
        )

    def list_extras(self) -> list[tuple[str, object]]:
        """Those options that few set, where they are set."""
        extras = [
            ("min_split", self.min_split, 2),
            ("min_gain", self.min_gain, 0),
            ("class_weight", self.class_weight, None),
            ("ccp_alpha", self.ccp_alpha, 0),
        ]
        return [(name, value) for name, value, usual in extras if value != usual]

    def list_class_weights(self, n_classes: int) -> Tensor | None:
        """int64 `[n_classes]`, or None where all weigh 1."""
        if not self.class_weight:
            return None
        return torch.tensor([int(self.class_weight.get(c, 1)) for c in range(n_classes)], dtype=torch.int64)


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def parse_count(name: str, text: str) -> int | float:
    """`250` is a number of images, `0.01` a share of them; `name` is what an error calls it."""
    try:
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SettingError(
            f"{name} '{text}' is neither a number of images such as 250 nor a share such as 0.01"
        ) from None


@dataclass(frozen=True, slots=True)
class Leaf:
    """One branch of a tree, root to leaf.

    Attributes:
        body: literals over the columns, root first: column `a` true is `a`, false is `~a`.
        answer: the most frequent value of the target there, the lowest of equals.
        covered: training images that reach it.
        correct: those of them whose target is `answer`.
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
    engine: str = "auto",
    stop: Stop = never_stop,
    progress: TreeProgress = ignore_trees,
    combine: Combine = keep,
) -> Forest:
    """A decision tree over the same bits for each of many targets: scikit-learn's, but ties aren't drawn by lot.

    The same on every engine and with any number of threads: the highest gain wins, the lowest atom of equals.

    Args:
        inputs: what trees may ask about.
        targets: a row of bits per target, or class indices: int64 `[n_samples]`, or `[n_targets, n_samples]`.
        n_values: classes, where `targets` are class indices; one more than the highest by default.
        weights: integers `[n_samples]`: how often each sample counts; 0 leaves it out.
        stop: asked before each tree; once true, no other is begun, and the forest holds those that are finished.
        progress: told after each tree how many there are, from any thread.
        combine: adds up integers over the processes that hold parts of the samples; `n_values` is needed then.

    Raises:
        EricError: targets or weights that don't belong to these samples. SettingError: weights past what integers hold.
    """
    options = options or TreeOptions()
    if isinstance(targets, BitMatrix):
        if targets.n_samples != inputs.n_samples:
            raise EricError(f"there are targets of {targets.n_samples} samples, and bits of {inputs.n_samples}")
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
        engine=engine,
        stop=stop,
        progress=progress,
        combine=combine,
    )


def list_leaves(forest: Forest, tree: int, ends: NDArray[np.bool_] | None = None) -> list[Leaf]:
    """The leaves of one tree of a forest, depth first, the true branch of each split before the false one.

    `ends` says at which nodes of the forest a branch ends, where that isn't at its leaves alone; see `find_ends`.
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
    """bool `[n_nodes]`: at which nodes of a forest the branches of its trees end.

    Pruned by `options.ccp_alpha`: a subtree goes where its leaves, at that price each, lower the impurity by too little
    (Breiman et al. 1984, minimal cost-complexity; scikit-learn's parameter). With `merge`, two ends with one answer
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
    """float64 `[n_nodes]`: of each node, weighted by its share of its tree."""
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
