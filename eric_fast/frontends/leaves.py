"""The numbers that a source gave to the leaves of its trees."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.plan import Plan


@dataclass(frozen=True, eq=False)
class Leaves:
    """Which leaf each class rule of a program is.

    Attributes:
        numbers: int64 `[n_class_rules]`: the source's own number of each leaf.
        trees: int64 `[n_class_rules]`: whose it is, counted from 0.
        shape: of a row's answer, such as `(n_trees,)`; `()` for a single tree.
        dtype: of an answer.
    """

    numbers: NDArray[np.int64]
    trees: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: str = "int64"

    def number_rules(self, plan: Plan) -> Plan:
        """The same rules, each adding its leaf's number to a sum of its tree's own: whole, so nothing is rounded."""
        n_trees = int(self.trees.max(initial=-1)) + 1
        heads = plan.heads.clone()
        heads[plan.n_kernel_rules :] = torch.from_numpy(self.trees)
        return replace(
            plan,
            heads=heads,
            n_classes=n_trees,
            votes=True,
            default=-1,
            base=torch.zeros(n_trees, dtype=torch.float64),
            vote_offsets=torch.arange(len(self.trees) + 1),
            vote_classes=torch.from_numpy(self.trees.astype(np.int32)),
            vote_weights=torch.from_numpy(self.numbers.astype(np.float64)),
        )

    def arrange(self, sums: NDArray[np.float64]) -> NDArray[Any]:
        """Sums `[n_rows, n_trees]` as the source would answer."""
        return sums.astype(self.dtype).reshape(len(sums), *self.shape)
