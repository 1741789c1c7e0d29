"""Class rules that are no trees to values that are true where they fire, in Numba."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.bodies import Bodies, Pick, make_conjunction, pick_value, split_bodies
from eric_fast.compile.heads import LITERAL_COST, MAX_PASSES, MIN_SHARED, NODE_COST, TERM_COST
from eric_fast.compile.nodes import N_NODES, Diagram, add_target, forget_nodes, make_node
from eric_fast.compile.terms import PendingTerms, add_term
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import strip_negation

MIN_GROUP, MAX_GROUP = 8, 4096  # class rules that are run together; the latter keeps their bits in a core's cache
_START, _STOP, _PREFIX = range(3)  # of a frame: the rules `order[_START:_STOP]`, and a value that they share


@cached_njit
def share_class_rules(
    first: int,
    last: int,
    n_kernel_rules: int,
    fires: NDArray[np.int32],
    diagram: Diagram,
    bodies: Bodies,
    stack: NDArray[np.int64],
    pending: PendingTerms,
) -> None:
    """Write where each of the class rules `first:last` fires: beginnings that several bodies share are made once.

    fires: int32 `[n_class_rules]`. stack: int64 `[2 * longest body + 4, 3]` at least.
    """
    lengths, whole_lengths, order, n_reads = bodies.lengths, bodies.whole_lengths, bodies.order, bodies.n_reads
    state, false = diagram.state, diagram.false
    true = false + 1
    n_bodies = n_literals = 0
    for rule in range(first, last):
        fires[rule - n_kernel_rules] = false
        if lengths[rule] >= 0:
            order[first + n_bodies] = rule
            n_bodies += 1
            n_literals += lengths[rule]
    most_reads = n_reads[0] + MAX_PASSES * n_literals
    nodes_before = state[N_NODES]
    depth = 0
    stack[0, _START], stack[0, _STOP], stack[0, _PREFIX] = first, first + n_bodies, true
    while depth >= 0:
        start, stop, prefix = stack[depth, _START], stack[depth, _STOP], stack[depth, _PREFIX]
        depth -= 1
        for k in range(start, stop):
            rule = order[k]
            if lengths[rule] == 0:
                fires[rule - n_kernel_rules] = prefix
                order[k] = order[start]
                order[start] = rule
                start += 1
        n = stop - start
        value, most = pick_value(start, stop, bodies) if n_reads[0] < most_reads else Pick(-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                fires[order[k] - n_kernel_rules] = make_conjunction(order[k], prefix, diagram, bodies)
            continue
        if n == 0:
            continue
        high_end, low_end = split_bodies(start, stop, value, bodies)
        for side in range(3):  # without the value, with its negation, with it: the last is done first
            begin, end = ((low_end, stop), (high_end, low_end), (start, high_end))[side]
            if begin < end:
                made = prefix
                if side > 0:
                    high, low = (false, prefix) if side == 1 else (prefix, false)
                    made = make_node(diagram, value, high, low)
                depth += 1
                stack[depth, _START], stack[depth, _STOP], stack[depth, _PREFIX] = begin, end, made
    if NODE_COST * (state[N_NODES] - nodes_before) <= LITERAL_COST * n_literals + (TERM_COST + NODE_COST) * n_bodies:
        return
    forget_nodes(diagram, nodes_before)
    for rule in range(first, last):
        if whole_lengths[rule] > 0:
            fires[rule - n_kernel_rules] = add_target(diagram)
            add_term(fires[rule - n_kernel_rules], rule, pending)


@cached_njit
def group_class_rules(
    first: int, last: int, literals: NDArray[np.int32], offsets: NDArray[np.int64], last_mention: NDArray[np.int64]
) -> Any:
    """Where groups of the class rules `first:last` start, and the end: neighbours with an atom in common, or a few that
    have none. int64 `[n_groups + 1]`.

    literals: int32 `[n_literals]`, of rows. offsets: int64 `[n_rules + 1]`. last_mention: int64 `[n_rows]`, zeros at
    first: the last rule that mentions a row, in an unbroken series, plus one.
    """
    starts = np.empty(last - first + 1, np.int64)
    n_groups = 0
    run = group = first
    for rule in range(first, last + 1):
        n_still = 0
        if rule < last:
            for i in range(offsets[rule], offsets[rule + 1]):
                row = strip_negation(literals[i])
                if rule == run or last_mention[row] == rule:
                    n_still += last_mention[row] != rule + 1
                    last_mention[row] = rule + 1
        if rule < last and (rule == run or n_still) and rule - group < MAX_GROUP:
            continue
        # The run ends here. It becomes a group unless it is short: then what follows joins it.
        if run > group and rule - run >= MIN_GROUP:
            starts[n_groups] = group
            n_groups += 1
            group = run
        if rule == last or rule - group >= MAX_GROUP or rule - run >= MIN_GROUP:
            if rule > group:
                starts[n_groups] = group
                n_groups += 1
            group = rule
        run = rule
        if rule < last:
            for i in range(offsets[rule], offsets[rule + 1]):
                last_mention[strip_negation(literals[i])] = rule + 1
    starts[n_groups] = last
    return starts[: n_groups + 1].copy()
