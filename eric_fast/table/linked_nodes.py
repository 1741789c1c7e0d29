"""The nodes of trees as a walk reads them: each step is one comparison of integers, and leaves lead to themselves."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.kernels import EQUAL, GREATER, GREATER_EQUAL, LESS, LESS_EQUAL, MISSING
from eric_fast.table.sort_keys import NEVER, make_keys

PLACE_BYTES, KEY_BYTES = 16, 8
_MOST_PLACES = 2**32 // PLACE_BYTES
_SIDES = {GREATER, GREATER_EQUAL, LESS, LESS_EQUAL}  # operators that hold above a constant, or below it


class LinkedNodes(NamedTuple):
    """Places of nodes and leaves, in bytes from the first of `steps`; the root of tree `t` is place `16 t`.

    A walk goes from a place to `link >> 32`, to the next one if the row's key at byte `link & 0xFFFFFFFF` reaches the
    bound. A leaf's bound is never reached, and it leads to itself. Keys 2 c and 2 c + 1 are those of column `c`, the
    key of a missing value being the lowest and the highest.

    Attributes:
        steps: int64 `[n_places, 2]`: the bound and the link of each.
        rules: int32 `[n_places]`: the rule of a leaf, or -1.
    """

    steps: NDArray[np.int64]
    rules: NDArray[np.int32]


def link_nodes(nodes: NDArray[Any], roots: NDArray[np.int32], no_leaf: int) -> LinkedNodes | None:
    """Link the nodes of `Walker`; None if they are too many, or some compare for equality, which takes two bounds."""
    operators = nodes["holds"] & ~MISSING
    if not set(np.unique(operators).tolist()) <= _SIDES or len(roots) + 2 * len(nodes) > _MOST_PLACES:
        return None
    is_above = (operators & GREATER) != 0  # holds above its constant
    after = is_above != ((operators & EQUAL) != 0)  # what holds there doesn't hold at the constant itself
    bounds = make_keys(nodes["constant"]) + after
    children = np.where(is_above, [nodes["no"], nodes["yes"]], [nodes["yes"], nodes["no"]]).T
    missing_high = ((nodes["holds"] & MISSING) != 0) == is_above
    targets = np.concatenate([roots, children.reshape(-1)])  # what stands at each place
    inner = targets >= 0
    node = targets[inner].astype(np.int64)
    n_places = len(targets)
    links = (PLACE_BYTES * np.arange(n_places)) << 32
    keys = 2 * nodes["column"][node].astype(np.int64) + missing_high[node]
    links[inner] = ((PLACE_BYTES * (len(roots) + 2 * node)) << 32) | (KEY_BYTES * keys)
    all_bounds = np.full(n_places, NEVER)
    all_bounds[inner] = bounds[node]
    rules = np.where(inner | (targets == no_leaf), -1, ~targets).astype(np.int32)
    return LinkedNodes(np.stack([all_bounds, links], axis=1), rules)
