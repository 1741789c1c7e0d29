"""One decision tree over bits, as its leaves; scikit-learn grows it."""

import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier

from eric_fast.errors import SettingError
from eric_fast.quantiser import CRITERIA

MOST = 2**31 - 1  # what scikit-learn's counters hold


@dataclass(frozen=True)
class TreeOptions:
    """How far a tree grows; the words are scikit-learn's.

    Attributes:
        criterion: `entropy` or `gini`.
        max_depth: literals in a rule at most, or None.
        min_leaf: training images in a leaf at least: a number (int) or a share of all images (float in (0, 0.5]).
        max_rules: leaves at most, best first, or None.

    Raises:
        SettingError: a value that means nothing.
    """

    criterion: str = "entropy"
    max_depth: int | None = None
    min_leaf: int | float = 0.01
    max_rules: int | None = None

    def __post_init__(self) -> None:
        if self.criterion not in CRITERIA:
            raise SettingError(f"criterion '{self.criterion}' is not one of {', '.join(CRITERIA)}")
        for name, value in (("max depth", self.max_depth), ("max rules", self.max_rules)):
            if value is not None and not (_is_whole(value) and 1 <= value <= MOST):
                raise SettingError(f"{name} must be a whole number from 1 to {MOST:,}, not {value!r}")
        share = isinstance(self.min_leaf, float) and 0 < self.min_leaf <= 0.5
        if not (share or (_is_whole(self.min_leaf) and 1 <= self.min_leaf <= MOST)):
            raise SettingError(f"min leaf must be a whole number from 1, or a share in (0, 0.5], not {self.min_leaf!r}")

    def count_min_leaf(self, n_images: int) -> int:
        """`min_leaf` in images."""
        return int(self.min_leaf) if self.min_leaf >= 1 else max(1, math.ceil(self.min_leaf * n_images))


def _is_whole(value: object) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)


def parse_min_leaf(text: str) -> int | float:
    """`250` is a number of images, `0.01` a share of them."""
    try:
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        raise SettingError(
            f"min leaf '{text}' is neither a number of images such as 250 nor a share such as 0.01"
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


def grow_tree(columns: NDArray[np.float32], target: NDArray[np.int64], options: TreeOptions) -> list[Leaf]:
    """CART on bits: the leaves, depth first, the true branch of each split before the false one.

    Args:
        columns: float32 `[n_images, n_columns]`, zeros and ones, in C order (what scikit-learn takes without a copy).
        target: int64 `[n_images]`, at least 0.
    """
    n_images = len(target)
    counts = np.bincount(target)
    if options.max_rules == 1 or np.count_nonzero(counts) == 1 or columns.shape[1] == 0:
        answer = int(counts.argmax())
        return [Leaf((), answer, n_images, int(counts[answer]))]
    fitted = DecisionTreeClassifier(
        criterion=options.criterion,
        max_depth=options.max_depth,
        min_samples_leaf=options.count_min_leaf(n_images),
        max_leaf_nodes=options.max_rules and max(2, min(options.max_rules, n_images)),
        random_state=0,  # ties are drawn by lot there; the same lot each time
    ).fit(columns, target, check_input=False)
    tree = fitted.tree_
    leaves: list[Leaf] = []
    pending: list[tuple[int, tuple[int, ...]]] = [(0, ())]
    while pending:
        node, body = pending.pop()
        column = int(tree.feature[node])
        if column >= 0:
            pending.append((int(tree.children_left[node]), (*body, ~column)))  # bit <= 0.5
            pending.append((int(tree.children_right[node]), (*body, column)))
            continue
        covered = int(tree.n_node_samples[node])
        of_class = np.rint(tree.value[node, 0] * covered).astype(np.int64)  # value holds shares
        best = int(of_class.argmax())
        leaves.append(Leaf(body, int(fitted.classes_[best]), covered, int(of_class[best])))
    return leaves
