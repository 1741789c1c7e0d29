"""Class rules that are the leaves of decision trees, found from the rules alone, in Numba.

In path order, a tree's bodies are the paths from its root, depth first: the next body is a beginning of the one before,
the negation of the literal there, and any rest. A literal whose negation never follows has a leaf missing on that
side. Complete trees whose rules or literals were put in another order are known by their lengths, as the shares
`2 ** -length` that the leaves of a tree have of all inputs add to one, and are sorted back.
"""

from typing import Any

import numpy as np
from numba import njit

MISSING = -(2**30)  # a child where no rule is
MIN_LEAVES = 8  # of a tree with leaves missing: two rules can look like one by chance
MOST_LOOKS = 16  # at each literal, in search of trees in another order
LONGEST = 40  # literals of a body of such a tree


@njit(nogil=True, cache=True)
def start_tree(n_literals: Any, longest: Any) -> Any:
    """Room for a tree: of each node its literal and its children where that is true and where it is false; a path.

    A child is a node, `~leaf`, or `MISSING`. Leaves are numbered in the order of their rules; node 0 is the root.
    """
    return (
        np.empty(n_literals + 1, np.int32),
        np.empty((n_literals + 1, 2), np.int32),
        np.empty(longest + 1, np.int32),  # of the path: its literals
        np.empty(longest + 1, np.bool_),  # whether they are on their second side
        np.empty(longest + 1, np.int64),  # their nodes
    )


@njit(nogil=True, cache=True)
def follow_paths(first: Any, stop: Any, order: Any, literals: Any, offsets: Any, tree: Any) -> Any:
    """Read the tree whose first leaf is rule `order[first]`: where its rules end, nodes, leaves missing."""
    select, child, path, is_second, node_at = tree
    depth = n_nodes = n_missing = 0
    rule = first
    while rule < stop:
        body = literals[offsets[order[rule]] : offsets[order[rule] + 1]]
        k = 0
        if rule > first:
            while depth and is_second[depth - 1]:
                depth -= 1
            while k < min(depth, len(body)) and body[k] == path[k]:
                k += 1
            if k == min(depth, len(body)) or body[k] != ~path[k] or is_second[k]:
                break
            for j in range(k + 1, depth):
                if not is_second[j]:
                    child[node_at[j], 1] = MISSING
                    n_missing += 1
            path[k], is_second[k] = body[k], True
            k += 1
        for j in range(k, len(body)):
            path[j], is_second[j], node_at[j] = body[j], False, n_nodes
            select[n_nodes] = body[j]
            if j:
                child[node_at[j - 1], np.int64(is_second[j - 1])] = n_nodes
            n_nodes += 1
        depth = len(body)
        if depth:
            child[node_at[depth - 1], np.int64(is_second[depth - 1])] = ~(rule - first)
        rule += 1
    for j in range(depth):
        if not is_second[j]:
            child[node_at[j], 1] = MISSING
            n_missing += 1
    return rule, n_nodes, n_missing


@njit(nogil=True, cache=True)
def find_trees(first: Any, literals: Any, offsets: Any, n_rows: Any, tree: Any) -> Any:
    """The trees among the rules from `first` on.

    Returns:
        int64 `[n_trees, 3]`: first rule, last, leaves missing; the rules in path order, int64 `[n_rules]`; and the
        literals, in path order where rules are of a tree.
    """
    n_rules = len(offsets) - 1
    order = np.arange(n_rules)
    trees = np.empty((n_rules - first, 3), np.int64)
    n_trees = 0
    counts = np.zeros(n_rows, np.int64)
    looks = MOST_LOOKS * (offsets[n_rules] - offsets[first])
    sorted_literals = literals
    rule = first
    while rule < n_rules:
        last, _, n_missing = follow_paths(rule, n_rules, order, literals, offsets, tree)
        is_tree = n_missing == 0
        if not is_tree and looks > 0:
            end, n_looks = _find_whole(rule, offsets)
            looks -= n_looks
            if end > rule + 1:
                bodies, sorted_rules, n_looks = _sort_tree(rule, end, literals, offsets, counts)
                looks -= n_looks
                if len(sorted_rules):
                    if sorted_literals is literals:
                        sorted_literals = literals.copy()
                    sorted_literals[offsets[rule] : offsets[end]] = bodies
                    order[rule:end] = sorted_rules
                    is_tree, last, n_missing = True, end, 0
        if is_tree or (last - rule >= MIN_LEAVES and n_missing <= last - rule):
            trees[n_trees, 0], trees[n_trees, 1], trees[n_trees, 2] = rule, last, n_missing
            n_trees += 1
            rule = last
        else:
            rule += 1
    return trees[:n_trees].copy(), order, sorted_literals


@njit(nogil=True, cache=True)
def _find_whole(first: Any, offsets: Any) -> Any:
    """Where the rules from `first` on end whose shares of all inputs add to exactly one, or -1; rules looked at."""
    left, rule = np.int64(1) << LONGEST, first
    while left > 0 and rule < len(offsets) - 1:
        length = offsets[rule + 1] - offsets[rule]
        if length > LONGEST:
            break
        left -= np.int64(1) << (LONGEST - length)
        rule += 1
    return rule if left == 0 else np.int64(-1), rule - first


@njit(nogil=True, cache=True)
def _sort_tree(first: Any, last: Any, literals: Any, offsets: Any, counts: Any) -> Any:
    """The literals of these rules with each body in path order, the rules in the order of leaves (none where they are
    no tree), literals looked at. What all bodies below a node mention is what the node asks.

    counts: int64 `[n_rows]`, zeros, and so again afterwards.
    """
    base = offsets[first]
    bodies, rules = literals[base : offsets[last]].copy(), np.arange(first, last)
    stack = np.empty((LONGEST + 2, 3), np.int64)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, last - first, 0
    depth, n_looks = 0, 0
    while depth >= 0:
        start, stop, n_asked = stack[depth]
        depth -= 1
        if stop - start == 1:
            if offsets[rules[start] + 1] - offsets[rules[start]] == n_asked:
                continue
            return bodies, rules[:0], n_looks
        atom = -1
        for counting in (True, False):
            for rule in rules[start:stop]:
                for literal in bodies[offsets[rule] - base + n_asked : offsets[rule + 1] - base]:
                    asked = literal if literal >= 0 else ~literal
                    counts[asked] = counts[asked] + 1 if counting else 0
                    n_looks += 1
                    if counts[asked] == stop - start and atom < 0:
                        atom = asked
        if atom < 0:
            return bodies, rules[:0], n_looks
        middle = start
        for k in range(start, stop):
            rule = rules[k]
            begin, end = offsets[rule] - base + n_asked, offsets[rule + 1] - base
            i = begin
            while i < end and bodies[i] != atom and bodies[i] != ~atom:
                i += 1
            if i == end:  # another mentions it twice
                return bodies, rules[:0], n_looks
            literal = bodies[i]
            bodies[i] = bodies[begin]
            bodies[begin] = literal
            if literal >= 0:
                rules[k] = rules[middle]
                rules[middle] = rule
                middle += 1
        if middle in (start, stop):
            return bodies, rules[:0], n_looks
        stack[depth + 1, 0], stack[depth + 1, 1], stack[depth + 1, 2] = middle, stop, n_asked + 1
        stack[depth + 2, 0], stack[depth + 2, 1], stack[depth + 2, 2] = start, middle, n_asked + 1
        depth += 2
    return bodies, rules, n_looks
