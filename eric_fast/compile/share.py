"""Rules to steps that share work: rules that came from one tree become its nodes again, from the rules alone.

A disjunction of conjunctions in which an atom `a` occurs in every body is `a ? high : low`, with the bodies that hold
`a` on one side, those that hold `not a` on the other, and the literal gone from both (Shannon's expansion, without
copies). All bodies of a tree hold its root, so this gives back the tree, without the branches that no rule mentions.
Nodes are made once, two equal sides are no node, and what shares too little to pay stays a list of terms.

Class rules become numbers in binary where that is less work: which leaf of a tree, which of a list fires first, how
many fire.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.compile.bodies import find_twins, read_bodies, reserve_counts, start_bodies
from eric_fast.compile.class_rules import group_class_rules, share_class_rules
from eric_fast.compile.counters import DecisionArrays
from eric_fast.compile.decide import Decider
from eric_fast.compile.decide_list import ListDecider
from eric_fast.compile.decide_vote import VoteDecider
from eric_fast.compile.heads import NODES_PER_LITERAL, share_stratum
from eric_fast.compile.nodes import N_NODES, start_diagram
from eric_fast.compile.sums import share_sums
from eric_fast.compile.terms import (
    N_BATCHES,
    N_SEGMENTS,
    N_VALUES,
    TermLists,
    start_lists,
    start_pending,
    write_batches,
)
from eric_fast.compile.trees import find_trees, start_tree
from eric_fast.jit import spare_code
from eric_fast.plan import Steps, Sums
from eric_fast.plan.negation import negate, strip_negation
from eric_fast.plan.steps import Counter, Index, Section

LONG_BODY = 64  # literals: from there on bodies are sorted ahead
GROUP_LEAVES = 4096  # of trees that are run together, while their bits stay in a core's cache

_STEPS_PER_LITERAL = 16  # of what a plan takes in plain Python, in microseconds


def spare_sharing(n_inputs: int, n_literals: int) -> bool:
    """Whether `share_work` should run as plain Python; see `spare_code`."""
    return spare_code(start_diagram, _STEPS_PER_LITERAL * n_literals, n_inputs, 64)


def share_work(
    n_inputs: int,
    literals: NDArray[np.int32],
    offsets: NDArray[np.int64],
    heads: NDArray[np.int64],
    strata: NDArray[np.int64],
    negated: NDArray[np.bool_],
    decision: DecisionArrays,
    sums: Sums,
) -> Steps:
    """The steps of a plan with these arrays; see `Plan` and `Steps`. Call it in `run_plain(spare_sharing(...))`."""
    n_rules, n_kernel_rules = len(heads), int(strata[-1])
    lengths = np.diff(offsets)
    longest = int(lengths.max(initial=0))
    tree = start_tree(int(offsets[-1] - offsets[n_kernel_rules]), longest)
    trees, paths = find_trees(n_kernel_rules, literals, offsets, len(negated), tree)
    if longest > LONG_BODY:
        rules = np.repeat(np.arange(n_rules), lengths)
        literals = literals[np.lexsort((strip_negation(literals), rules))]

    values = np.where(negated, negate(n_inputs), n_inputs).astype(np.int32)  # of rows, as in `Steps`
    values[:n_inputs] = np.arange(n_inputs)
    twins = find_twins(literals[: offsets[n_kernel_rules]], offsets[: n_kernel_rules + 1])
    bodies, lists = start_bodies(len(literals), offsets, twins), start_lists()
    stack = np.empty((2 * longest + 4, 8), np.int64)
    kind = VoteDecider if decision.votes else ListDecider
    decider: Decider = kind(decision, heads[n_kernel_rules:], trees, paths, tree, start_diagram(n_inputs, 64))
    sections: list[Section] = []

    def end_section(n_indexes: int, first: int = 0, last: int = 0) -> None:
        """A section of what was made since the last: with class rules `first:last`, and indexes from `n_indexes` on."""
        node, batch = (sections[-1].node_stop, sections[-1].batch_stop) if sections else (0, 0)
        n_nodes, n_batches = int(decider.diagram.state[N_NODES]), int(lists.sizes[N_BATCHES])
        sections.append(Section(node, n_nodes, batch, n_batches, first, last, n_indexes, len(decider.indexes)))

    def add_sums(stratum: int) -> None:
        first, last = sums.strata[stratum : stratum + 2].tolist()
        if first < last:
            tables = (sums.literals.numpy(), sums.weights.numpy(), sums.offsets.numpy(), sums.bounds.numpy())
            first_row = len(negated) - len(sums.bounds)
            decider.diagram = share_sums(first, last, first_row, *tables, values, decider.diagram)

    for stratum, (first, last) in enumerate(pairwise(strata.tolist())):
        add_sums(stratum)
        bodies = reserve_counts(bodies, n_inputs + 2 + int(decider.diagram.state[N_NODES]))
        pending = start_pending(2 * (last - first))
        arguments = (first, last, heads, literals, negated, values)
        decider.diagram = share_stratum(*arguments, decider.diagram, bodies, stack, pending)
        decider.diagram, lists = write_batches(decider.diagram, bodies, pending, lists)
        end_section(0)
    add_sums(len(strata) - 1)
    if sums.strata[-2] < sums.strata[-1]:
        end_section(0)
    for first, last, is_trees in _group(n_kernel_rules, n_rules, trees, literals, offsets, len(negated)):
        n_indexes = len(decider.indexes)
        if is_trees:
            decider.add_trees(first, last, values)
            end_section(n_indexes)
            continue
        bodies = reserve_counts(bodies, n_inputs + 2 + int(decider.diagram.state[N_NODES]))
        pending = start_pending(2 * (last - first))
        decider.reserve(NODES_PER_LITERAL * int(offsets[last] - offsets[first] + last - first + 1))
        read_bodies(first, last, literals, values, n_inputs, bodies)
        share_class_rules(first, last, n_kernel_rules, decider.fires, decider.diagram, bodies, stack, pending)
        decider.diagram, lists = write_batches(decider.diagram, bodies, pending, lists)
        begin, end = first - n_kernel_rules, last - n_kernel_rules
        end_section(n_indexes, *((begin, end) if decision.votes else ()))
        decider.add_rules(begin, end)
    decider.finish()
    if int(decider.diagram.state[N_NODES]) > (sections[-1].node_stop if sections else 0):
        end_section(len(decider.indexes))
    return _gather_steps(lists, sections, values, decider)


def _gather_steps(lists: TermLists, sections: list[Section], values: NDArray[np.int32], decider: Decider) -> Steps:
    def to_table(rows: list[Section] | list[Index] | list[Counter], n_columns: int) -> torch.Tensor:
        return torch.tensor(rows, dtype=torch.int64).view(-1, n_columns)

    diagram, sizes = decider.diagram, lists.sizes
    codes = np.concatenate([np.zeros(0, np.int32), *decider.codes])
    return Steps(
        nodes=torch.from_numpy(diagram.nodes[: diagram.state[N_NODES]].copy()),
        kinds=torch.from_numpy(diagram.kinds[: diagram.state[N_NODES]].copy()),
        terms=torch.from_numpy(lists.terms[: sizes[N_VALUES]].copy()),
        segments=torch.from_numpy(lists.segments[: sizes[N_SEGMENTS]].copy()),
        batches=torch.from_numpy(lists.batches[: sizes[N_BATCHES]].copy()),
        sections=to_table(sections, len(Section._fields)),
        values=torch.from_numpy(values),
        fires=torch.from_numpy(decider.fires),
        is_counted=torch.from_numpy(decider.is_counted),
        indexes=to_table(decider.indexes, len(Index._fields)),
        planes=torch.tensor(decider.planes, dtype=torch.int32),
        codes=torch.from_numpy(codes),
        answers=torch.tensor(decider.answers, dtype=torch.int32),
        counters=to_table(decider.counters, len(Counter._fields)),
        units=torch.tensor(decider.units, dtype=torch.float64),
        covered=int(decider.covered),
    )


class _Group(NamedTuple):
    """first, last: trees, or class rules."""

    first: int
    last: int
    is_trees: bool


def _group(
    first: int,
    n_rules: int,
    trees: NDArray[np.int64],
    literals: NDArray[np.int32],
    offsets: NDArray[np.int64],
    n_rows: int,
) -> Iterator[_Group]:
    """What class rules are run together, in order."""
    begin, n_leaves, last_mention = 0, 0, np.zeros(n_rows, np.int64)
    for t, (first_rule, last_rule, _) in enumerate([*trees.tolist(), (n_rules, n_rules, 0)]):
        if begin < t and (first < first_rule or n_leaves + last_rule - first_rule > GROUP_LEAVES or t == len(trees)):
            yield _Group(begin, t, True)
            begin, n_leaves = t, 0
        if first < first_rule:
            starts = group_class_rules(first, first_rule, literals, offsets, last_mention).tolist()
            for k in range(len(starts) - 1):
                yield _Group(starts[k], starts[k + 1], False)
        n_leaves += last_rule - first_rule
        first = last_rule
