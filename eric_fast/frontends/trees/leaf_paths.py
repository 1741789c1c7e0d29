"""The paths of trees as flat arrays, in Numba; see `forest.FlatForest`."""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit


@cached_njit
def count_leaves(roots: Any, yes: Any, no: Any) -> Any:
    """The leaves, tree by tree from `yes` to `no`, and the lengths of their paths; both empty if these are not trees.

    Args:
        roots: int64 `[n_trees]`.
        yes, no: int64 `[n_nodes]`: children; -1 at a leaf.

    Returns:
        Nodes, int64 `[n_leaves]`, and lengths, int64 `[n_leaves]`.
    """
    n_nodes = len(yes)
    seen = np.zeros(n_nodes, np.bool_)
    leaves, lengths = np.empty(n_nodes, np.int64), np.empty(n_nodes, np.int64)
    n_leaves = 0
    stack, depths = np.empty(n_nodes + 1, np.int64), np.empty(n_nodes + 1, np.int64)
    for root in roots:
        n_stack = 1
        stack[0], depths[0] = root, 0
        while n_stack:
            n_stack -= 1
            node, depth = stack[n_stack], depths[n_stack]
            if node < 0 or node >= n_nodes or seen[node] or (yes[node] < 0) != (no[node] < 0):
                return leaves[:0].copy(), lengths[:0].copy()
            seen[node] = True
            if yes[node] < 0:
                leaves[n_leaves], lengths[n_leaves] = node, depth
                n_leaves += 1
                continue
            stack[n_stack], depths[n_stack] = no[node], depth + 1
            stack[n_stack + 1], depths[n_stack + 1] = yes[node], depth + 1
            n_stack += 2
    return leaves[:n_leaves].copy(), lengths[:n_leaves].copy()


@cached_njit
def write_paths(roots: Any, tests: Any, yes: Any, no: Any, offsets: Any) -> Any:
    """The literals on the path to each leaf, int32 `[offsets[-1]]`.

    Args:
        roots, yes, no: see `count_leaves`.
        tests: int32 `[n_nodes]`: the literal that leads to `yes`.
        offsets: int64 `[n_leaves + 1]`: where each path starts.
    """
    literals = np.empty(offsets[-1], np.int32)
    most = 1
    for i in range(len(offsets) - 1):
        most = max(most, offsets[i + 1] - offsets[i] + 1)
    path = np.empty(most, np.int32)
    stack, depths = np.empty(most + 1, np.int64), np.empty(most + 1, np.int64)
    arrivals = np.empty(most + 1, np.int32)  # the literal that leads to a node
    n_done = 0
    for root in roots:
        n_stack = 1
        stack[0], depths[0], arrivals[0] = root, 0, 0
        while n_stack:
            n_stack -= 1
            node, depth = stack[n_stack], depths[n_stack]
            if depth:
                path[depth - 1] = arrivals[n_stack]
            if yes[node] < 0:
                for i in range(depth):
                    literals[n_done + i] = path[i]
                n_done += depth
                continue
            stack[n_stack], depths[n_stack], arrivals[n_stack] = no[node], depth + 1, ~tests[node]
            stack[n_stack + 1], depths[n_stack + 1], arrivals[n_stack + 1] = yes[node], depth + 1, tests[node]
            n_stack += 2
    return literals
