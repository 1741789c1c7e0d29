"""scikit-learn's `IsolationForest`: the sum of path lengths from packed bits, all else scikit-learn's own."""

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.ensemble import IsolationForest

from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.tree_model import make_tree_model
from eric_fast.program.table_atoms import Column
from eric_fast.table.model import RuleModel


class RuleIsolationForest(IsolationForest):
    """A fitted `IsolationForest` with the same answers.

    Attributes:
        lengths_: the `RuleModel` that sums up path lengths.
    """

    lengths_: RuleModel

    def score_samples(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        """Minus the anomaly score of each row, float64 `[n_rows]`, as `IsolationForest.score_samples` gives it."""
        lengths: NDArray[np.float64] = self.lengths_.predict(X)
        expected = _expect_length(self._max_samples)
        exponents = lengths / (len(self.estimators_) * expected) if expected else np.ones_like(lengths)
        scores: NDArray[np.float64] = -(2**-exponents)
        return scores


def load_isolation_forest(source: IsolationForest, columns: tuple[Column, ...], trees: list[StoredTree]) -> Any:
    """The forest with its path lengths as rules.

    Args:
        columns: its features, as float32.
        trees: whose leaves hold path lengths.
    """
    model = RuleIsolationForest.__new__(RuleIsolationForest)
    model.__dict__.update(vars(source))
    model.lengths_ = make_tree_model(
        "scikit-learn IsolationForest",
        columns,
        trees,
        "IsolationForest",
        n_outputs=1,
        outputs=["length"],
        most_depth=math.inf,
        named=hasattr(source, "feature_names_in_"),
    )
    return model


def find_lengths(fitted: Any) -> NDArray[np.float64]:
    """The path length of each node, float64 `[n_nodes]`: its depth, and what parting its samples would take."""
    nodes = fitted.tree_
    rest = np.array([_expect_length(n) for n in nodes.n_node_samples.tolist()])
    # In scikit-learn's order: the nodes of the path, the root among them, come first.
    lengths: NDArray[np.float64] = nodes.compute_node_depths() + rest - 1
    return lengths


def _expect_length(n_samples: int) -> float:
    """The mean path length of an unsuccessful search in a binary tree (Liu, Ting, Zhou, ICDM 2008, equation 1)."""
    if n_samples <= 2:
        return float(n_samples == 2)
    n = np.float64(n_samples)
    return float(2.0 * (np.log(n - 1.0) + np.euler_gamma) - 2.0 * (n - 1.0) / n)
