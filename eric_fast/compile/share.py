"""Rules to steps that share work: rules that came from one tree become its nodes again, from the rules alone.

A disjunction of conjunctions in which an atom `a` occurs in every body is `a ? high : low`, with the bodies that hold
`a` on one side, those that hold `not a` on the other, and the literal gone from both (Shannon's expansion, without
copies). All bodies of a tree hold its root, so this gives back the tree, without the branches that no rule mentions.
Nodes are made once, two equal sides are no node, and what shares too little to pay stays a list of terms.

Class rules become numbers in binary where that is less work: which leaf of a tree, which of a list fires first, how
many fire.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from eric_fast.compile.bodies import find_twins, read_body
from eric_fast.compile.class_rules import group_class_rules, share_class_rules
from eric_fast.compile.counters import Decision
from eric_fast.compile.decide import Decider, ListDecider, VoteDecider
from eric_fast.compile.heads import share_head
from eric_fast.compile.nodes import reserve_nodes, start_nodes
from eric_fast.compile.terms import start_lists, start_pending, write_batches
from eric_fast.compile.trees import find_trees, start_tree
from eric_fast.plan import Steps

LONG_BODY = 64  # literals: from there on bodies are sorted ahead
GROUP_LEAVES = 4096  # of trees that are run together, while their bits stay in a core's cache
NODES_PER_LITERAL = 4  # at most, and as many for each rule


def share_work(
    n_inputs: int,
    literals: NDArray[np.int32],
    offsets: NDArray[np.int64],
    heads: NDArray[np.int64],
    strata: NDArray[np.int64],
    negated: NDArray[np.bool_],
    decision: Decision,
) -> Steps:
    """The steps of a plan with these arrays; see `Plan` and `Steps`."""
    n_rules, n_kernel_rules = len(heads), int(strata[-1])
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    tree = start_tree(int(offsets[-1] - offsets[n_kernel_rules]), longest)
    trees, order, in_path_order = find_trees(n_kernel_rules, literals, offsets, len(negated), tree)
    if longest > LONG_BODY:
        rules = np.repeat(np.arange(n_rules), lengths)
        literals = literals[np.lexsort((np.where(literals < 0, ~literals, literals), rules))]

    values = np.where(negated, ~n_inputs, n_inputs).astype(np.int32)  # of a row; ~value where it is the complement
    values[:n_inputs] = np.arange(n_inputs)
    maker, lists = start_nodes(n_inputs, 64), start_lists()
    bodies = (
        np.empty(len(literals), np.int32),  # sorted, as 2 * value + negation, to be taken apart
        np.empty(len(literals), np.int32),  # the same, to stay
        offsets,  # where a body starts in both
        np.zeros(n_rules, np.int64),  # its length now
        np.zeros(n_rules, np.int64),  # and at first; -1: it never fires
        np.arange(n_rules),  # the rules in the order of groups
        np.zeros(0, np.int32),  # how many bodies mention a value: zero between uses
        np.zeros(0, np.int8),  # 1: plain, 2: negated, 3: both
        np.zeros(1, np.int64),  # literals looked at
        find_twins(literals[: offsets[n_kernel_rules]], offsets[: n_kernel_rules + 1]),
    )
    stack = np.empty((2 * longest + 4, 8), np.int64)
    kind = VoteDecider if decision.votes else ListDecider
    paths = (n_kernel_rules, order, in_path_order, offsets)
    decider: Decider = kind(decision, heads[n_kernel_rules:], trees, paths, tree, n_inputs)
    sections: list[tuple[int, ...]] = []
    done = (0, 0)  # nodes and batches

    def end_section(rules: tuple[int, int], n_indexes: int) -> tuple[int, int]:
        n_nodes, n_batches = int(maker[2][0]), int(lists[3][2])
        sections.append((done[0], n_nodes, done[1], n_batches, *rules, n_indexes, len(decider.indexes)))
        return n_nodes, n_batches

    for first, last in zip(strata[:-1].tolist(), strata[1:].tolist(), strict=True):
        bodies = _reserve_counts(bodies, n_inputs + 2 + int(maker[2][0]))
        pending = start_pending(2 * (last - first))
        maker = _share_stratum(first, last, heads, literals, negated, values, maker, bodies, stack, pending)
        maker, lists = write_batches(maker, bodies, pending, lists)
        done = end_section((0, 0), 0)
    shared = np.zeros(len(negated), np.int64)
    for first, last, is_trees in _group(n_kernel_rules, n_rules, trees, literals, offsets, shared):
        n_indexes = len(decider.indexes)
        if is_trees:
            maker = decider.add_trees(first, last, values, maker)
            done = end_section((0, 0), n_indexes)
            continue
        bodies = _reserve_counts(bodies, n_inputs + 2 + int(maker[2][0]))
        pending = start_pending(2 * (last - first))
        maker = reserve_nodes(maker, _count_room(first, last, offsets))
        _read_bodies(first, last, literals, values, n_inputs, bodies)
        share_class_rules(first, last, n_kernel_rules, decider.fires, maker, bodies, stack, pending)
        maker, lists = write_batches(maker, bodies, pending, lists)
        begin, end = first - n_kernel_rules, last - n_kernel_rules
        done = end_section((begin, end) if decision.votes else (0, 0), n_indexes)
        maker = decider.add_rules(begin, end, maker)
    maker = decider.finish(maker)
    if int(maker[2][0]) > done[0]:
        end_section((0, 0), len(decider.indexes))
    return _gather_steps(maker, lists, sections, values, decider)


def _gather_steps(
    maker: Any, lists: Any, sections: list[tuple[int, ...]], values: NDArray[np.int32], decider: Decider
) -> Steps:
    def to_table(rows: list[tuple[int, ...]], n_columns: int) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int64).view(-1, n_columns)

    terms, segments, batches, sizes = lists
    codes = np.concatenate([np.zeros(0, np.int32), *decider.codes])
    return Steps(
        nodes=torch.from_numpy(maker[0][: maker[2][0]].copy()),
        terms=torch.from_numpy(terms[: sizes[0]].copy()),
        segments=torch.from_numpy(segments[: sizes[1]].copy()),
        batches=torch.from_numpy(batches[: sizes[2]].copy()),
        sections=to_table(sections, 8),
        values=torch.from_numpy(values),
        fires=torch.from_numpy(decider.fires),
        is_counted=torch.from_numpy(decider.is_counted),
        indexes=to_table(decider.indexes, 6),
        planes=torch.tensor(decider.planes, dtype=torch.int32),
        codes=torch.from_numpy(codes),
        answers=torch.tensor(decider.answers, dtype=torch.int32),
        counters=to_table(decider.counters, 4),
        units=torch.tensor(decider.units, dtype=torch.float64),
        covered=int(decider.covered),
    )


def _group(
    first: int,
    n_rules: int,
    trees: NDArray[np.int64],
    literals: NDArray[np.int32],
    offsets: NDArray[np.int64],
    shared: NDArray[np.int64],
) -> Iterator[tuple[int, int, bool]]:
    """What class rules are run together, in order: first and last tree, or rule, and whether it is trees."""
    begin, n_leaves = 0, 0
    for t, (first_rule, last_rule, _) in enumerate([*trees.tolist(), (n_rules, n_rules, 0)]):
        if begin < t and (first < first_rule or n_leaves + last_rule - first_rule > GROUP_LEAVES or t == len(trees)):
            yield begin, t, True
            begin, n_leaves = t, 0
        if first < first_rule:
            starts = group_class_rules(first, first_rule, literals, offsets, shared).tolist()
            for k in range(len(starts) - 1):
                yield starts[k], starts[k + 1], False
        n_leaves += last_rule - first_rule
        first = last_rule


def _count_room(first: int, last: int, offsets: Any) -> int:
    """Nodes that these rules may need at most."""
    return NODES_PER_LITERAL * int(offsets[last] - offsets[first] + last - first + 1)


def _reserve_counts(bodies: Any, n_values: int) -> Any:
    """The same with room to count each value."""
    if n_values <= len(bodies[6]):
        return bodies
    return (*bodies[:6], np.zeros(2 * n_values, np.int32), np.zeros(2 * n_values, np.int8), *bodies[8:])


@njit(nogil=True, cache=True)
def _share_stratum(
    first: Any,
    last: Any,
    heads: Any,
    literals: Any,
    negated: Any,
    values: Any,
    maker: Any,
    bodies: Any,
    stack: Any,
    pending: Any,
) -> Any:
    """The rows that the kernel rules `first:last` define. Returns the maker, with more room where it needs it."""
    offsets = bodies[2]
    for rule in range(first, last):
        read_body(rule, literals, values, maker[3], bodies)
    while first < last:
        row, stop = heads[first], first + 1
        while stop < last and heads[stop] == row:
            stop += 1
        maker = reserve_nodes(maker, NODES_PER_LITERAL * (offsets[stop] - offsets[first] + stop - first + 1))
        value = share_head(first, stop, maker, bodies, stack, pending)
        values[row] = ~value if negated[row] else value
        first = stop
    return maker


@njit(nogil=True, cache=True)
def _read_bodies(first: Any, last: Any, literals: Any, values: Any, false: Any, bodies: Any) -> None:
    for rule in range(first, last):
        read_body(rule, literals, values, false, bodies)
