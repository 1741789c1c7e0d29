"""A source's own numbers of the leaves of its trees."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class LeafNumbers:
    """The leaf that each class rule of a program stands for.

    Attributes:
        numbers: int64 `[n_class_rules]`: the source's own number of each leaf.
        trees: int64 `[n_class_rules]`: the tree of each leaf, from 0; the leaves of one tree are contiguous.
        shape: of the answer for a row: `(n_trees,)`, or `()` for a single tree.
        dtype: of an answer.
    """

    numbers: NDArray[np.int64]
    trees: NDArray[np.int64]
    shape: tuple[int, ...]
    dtype: str = "int64"

    def arrange(self, rules: NDArray[np.int32]) -> NDArray[Any]:
        """The source's answer, `[n_rows, *shape]`, for the rule of each tree that fires, `[n_rows, n_trees]`."""
        return self.numbers.astype(self.dtype).take(rules).reshape(len(rules), *self.shape)
