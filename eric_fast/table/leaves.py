"""The numbers that a source gave to the leaves of its trees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Leaves:
    """Which leaf each class rule of a program is.

    Attributes:
        numbers: int64 `[n_class_rules]`: the source's own number of each leaf.
        trees: int64 `[n_class_rules]`: whose it is, counted from 0; those of one lie together, as in `list_leaves`.
        shape: of a row's answer, such as `(n_trees,)`; `()` for a single tree.
        dtype: of an answer.
    """

    numbers: NDArray[np.int64]
    trees: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: str = "int64"

    def arrange(self, rules: NDArray[np.int32]) -> NDArray[Any]:
        """Which rule of each tree fires, `[n_rows, n_trees]`, as the source would answer."""
        return self.numbers.astype(self.dtype).take(rules).reshape(len(rules), *self.shape)
