"""Class rules that are the leaves of decision trees, found from the rules alone, in Numba.

In path order, a tree's bodies are the paths from its root, depth first: the next body is a beginning of the one before,
the negation of the literal there, and any rest. A literal whose negation never follows has a leaf missing on that
side. Complete trees whose rules or literals were put in another order are known by their lengths, as the shares
`2 ** -length` that the leaves of a tree have of all inputs add to one, and are sorted back.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import negate, strip_negation

LACKING = -(2**30)  # a child where no rule is
_MIN_LEAVES = 8  # of a tree with leaves missing: two rules can look like one by chance
MOST_READS = 16  # of each literal, in search of trees in another order
LONGEST = 40  # literals of a body of such a tree
TREE_START, TREE_STOP, TREE_MISSING = range(3)  # columns of `FoundTrees.trees`


class Tree(NamedTuple):
    """Room for one tree, which `follow_paths` fills.

    Leaves are numbered in the order of their rules; node 0 is the root.

    Attributes:
        literals: int32 `[n_literals + 1]`: what each node asks.
        children: int32 `[n_literals + 1, 2]`: of each node, where that is true and where it is false: a node, `~leaf`
            or `LACKING`.
        path: int32 `[longest body + 1]`: the literals of the path at hand.
        is_second: bool `[longest body + 1]`: whether they are on their second side.
        path_nodes: int64 `[longest body + 1]`: their nodes.
    """

    literals: NDArray[np.int32]
    children: NDArray[np.int32]
    path: NDArray[np.int32]
    is_second: NDArray[np.bool_]
    path_nodes: NDArray[np.int64]


class Paths(NamedTuple):
    """Class rules in path order.

    Attributes:
        first: the first class rule.
        order: int64 `[n_rules]`: the rules in path order.
        literals: int32 `[n_literals]`, of rows; in path order where rules are of a tree.
        offsets: int64 `[n_rules + 1]`.
    """

    first: int
    order: NDArray[np.int64]
    literals: NDArray[np.int32]
    offsets: NDArray[np.int64]


class Followed(NamedTuple):
    """Where the rules of a tree end, how many nodes it has, how many leaves are missing."""

    stop: int
    n_nodes: int
    n_missing: int


class FoundTrees(NamedTuple):
    """trees: int64 `[n_trees, 3]`: the half-open range of a tree's rules, and how many leaves are missing."""

    trees: NDArray[np.int64]
    paths: Paths


def start_tree(n_literals: int, longest: int) -> Tree:
    """Room for a tree of so many literals, the longest body with so many."""
    return Tree(
        np.empty(n_literals + 1, np.int32),
        np.empty((n_literals + 1, 2), np.int32),
        np.empty(longest + 1, np.int32),
        np.empty(longest + 1, np.bool_),
        np.empty(longest + 1, np.int64),
    )


@cached_njit
def follow_paths(
    first: int, stop: int, order: NDArray[np.int64], literals: NDArray[np.int32], offsets: NDArray[np.int64], tree: Tree
) -> Any:
    """Read the tree whose first leaf is rule `order[first]`: a `Followed`. Arrays are as in `Paths`."""
    children, path, is_second, path_nodes = tree.children, tree.path, tree.is_second, tree.path_nodes
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
            if k == min(depth, len(body)) or body[k] != negate(path[k]) or is_second[k]:
                break
            for j in range(k + 1, depth):
                if not is_second[j]:
                    children[path_nodes[j], 1] = LACKING
                    n_missing += 1
            path[k], is_second[k] = body[k], True
            k += 1
        for j in range(k, len(body)):
            path[j], is_second[j], path_nodes[j] = body[j], False, n_nodes
            tree.literals[n_nodes] = body[j]
            if j:
                children[path_nodes[j - 1], np.int64(is_second[j - 1])] = n_nodes
            n_nodes += 1
        depth = len(body)
        if depth:
            children[path_nodes[depth - 1], np.int64(is_second[depth - 1])] = negate(rule - first)
        rule += 1
    for j in range(depth):
        if not is_second[j]:
            children[path_nodes[j], 1] = LACKING
            n_missing += 1
    return Followed(rule, n_nodes, n_missing)


@cached_njit
def find_trees(first: int, literals: NDArray[np.int32], offsets: NDArray[np.int64], n_rows: int, tree: Tree) -> Any:
    """The trees among the rules from `first` on: `FoundTrees`. literals, offsets: see `Paths`."""
    n_rules = len(offsets) - 1
    order = np.arange(n_rules)
    trees = np.empty((n_rules - first, 3), np.int64)
    n_trees = 0
    counts = np.zeros(n_rows, np.int64)
    n_left = MOST_READS * (offsets[n_rules] - offsets[first])
    sorted_literals = literals
    rule = first
    while rule < n_rules:
        last, _, n_missing = follow_paths(rule, n_rules, order, literals, offsets, tree)
        is_tree = n_missing == 0
        if not is_tree and n_left > 0:
            end, n_reads = _find_whole(rule, offsets)
            n_left -= n_reads
            if end > rule + 1:
                bodies, sorted_rules, n_reads = _sort_tree(rule, end, literals, offsets, counts)
                n_left -= n_reads
                if len(sorted_rules):
                    if sorted_literals is literals:
                        sorted_literals = literals.copy()
                    sorted_literals[offsets[rule] : offsets[end]] = bodies
                    order[rule:end] = sorted_rules
                    is_tree, last, n_missing = True, end, 0
        if is_tree or (last - rule >= _MIN_LEAVES and n_missing <= last - rule):
            trees[n_trees, TREE_START], trees[n_trees, TREE_STOP], trees[n_trees, TREE_MISSING] = rule, last, n_missing
            n_trees += 1
            rule = last
        else:
            rule += 1
    return FoundTrees(trees[:n_trees].copy(), Paths(first, order, sorted_literals, offsets))


@cached_njit
def _find_whole(first: int, offsets: NDArray[np.int64]) -> Any:
    """Where the rules from `first` on end whose shares of all inputs add to exactly one, or -1; how many were read.

    offsets: see `Paths`.
    """
    left, rule = np.int64(1) << LONGEST, first
    while left > 0 and rule < len(offsets) - 1:
        length = offsets[rule + 1] - offsets[rule]
        if length > LONGEST:
            break
        left -= np.int64(1) << (LONGEST - length)
        rule += 1
    return rule if left == 0 else np.int64(-1), rule - first


@cached_njit
def _sort_tree(
    first: int, last: int, literals: NDArray[np.int32], offsets: NDArray[np.int64], counts: NDArray[np.int64]
) -> Any:
    """The literals of these rules with each body in path order, the rules in the order of leaves (none where they are
    no tree), how many literals were read. What all bodies below a node mention is what the node asks.

    literals, offsets: see `Paths`. counts: int64 `[n_rows]`, zeros, and so again afterwards.
    """
    base = offsets[first]
    bodies, rules = literals[base : offsets[last]].copy(), np.arange(first, last)
    stack = np.empty((LONGEST + 2, 3), np.int64)  # of sets of rules below a node: start, stop, literals asked above it
    stack[0] = (0, last - first, 0)
    depth, n_reads = 0, 0
    while depth >= 0:
        start, stop, n_asked = stack[depth]
        depth -= 1
        if stop - start == 1:
            if offsets[rules[start] + 1] - offsets[rules[start]] == n_asked:
                continue
            return bodies, rules[:0], n_reads
        atom = -1
        for counting in (True, False):
            for rule in rules[start:stop]:
                for literal in bodies[offsets[rule] - base + n_asked : offsets[rule + 1] - base]:
                    asked = strip_negation(literal)
                    counts[asked] = counts[asked] + 1 if counting else 0
                    n_reads += 1
                    if counts[asked] == stop - start and atom < 0:
                        atom = asked
        if atom < 0:
            return bodies, rules[:0], n_reads
        middle = start
        for k in range(start, stop):
            rule = rules[k]
            begin, end = offsets[rule] - base + n_asked, offsets[rule + 1] - base
            i = begin
            while i < end and bodies[i] != atom and bodies[i] != negate(atom):
                i += 1
            if i == end:  # another mentions it twice
                return bodies, rules[:0], n_reads
            literal = bodies[i]
            bodies[i] = bodies[begin]
            bodies[begin] = literal
            if literal >= 0:
                rules[k] = rules[middle]
                rules[middle] = rule
                middle += 1
        if middle in (start, stop):
            return bodies, rules[:0], n_reads
        stack[depth + 1] = (middle, stop, n_asked + 1)
        stack[depth + 2] = (start, middle, n_asked + 1)
        depth += 2
    return bodies, rules, n_reads
