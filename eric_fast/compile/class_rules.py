"""Class rules that are no trees to values that are true where they fire, in Numba."""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.compile.bodies import make_conjunction, pick_value, split_bodies
from eric_fast.compile.heads import LITERAL_COST, MAX_PASSES, MIN_SHARED, NODE_COST, TERM_COST
from eric_fast.compile.nodes import add_node, forget_nodes, make_node
from eric_fast.compile.terms import add_term

MIN_GROUP, MAX_GROUP = 8, 4096  # class rules that are run together; the latter keeps their bits in a core's cache


@njit(nogil=True, cache=True)
def share_class_rules(
    first: Any, last: Any, n_kernel_rules: Any, fires: Any, maker: Any, bodies: Any, stack: Any, pending: Any
) -> None:
    """Where each of these class rules fires: beginnings of bodies that several have are made once."""
    _, _, _, lengths, first_lengths, order, _, _, looked_at, _ = bodies
    n_nodes, false = maker[2], maker[3]
    true = false + 1
    n_bodies = n_literals = 0
    for rule in range(first, last):
        fires[rule - n_kernel_rules] = false
        if lengths[rule] >= 0:
            order[first + n_bodies] = rule
            n_bodies += 1
            n_literals += lengths[rule]
    most_looks = looked_at[0] + MAX_PASSES * n_literals
    nodes_before = n_nodes[0]
    depth = 0
    stack[0, 0], stack[0, 1], stack[0, 2] = first, first + n_bodies, true
    while depth >= 0:
        start, stop, prefix = stack[depth, 0], stack[depth, 1], stack[depth, 2]
        depth -= 1
        for k in range(start, stop):
            rule = order[k]
            if lengths[rule] == 0:
                fires[rule - n_kernel_rules] = prefix
                order[k] = order[start]
                order[start] = rule
                start += 1
        n = stop - start
        value, most = pick_value(start, stop, bodies) if looked_at[0] < most_looks else (-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                fires[order[k] - n_kernel_rules] = make_conjunction(order[k], prefix, maker, bodies)
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
                    made = make_node(maker, value, high, low)
                depth += 1
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = begin, end, made
    if NODE_COST * (n_nodes[0] - nodes_before) <= LITERAL_COST * n_literals + (TERM_COST + NODE_COST) * n_bodies:
        return
    forget_nodes(maker, nodes_before)
    for rule in range(first, last):
        if first_lengths[rule] > 0:
            fires[rule - n_kernel_rules] = add_node(maker, false, false, false)
            add_term(fires[rule - n_kernel_rules], rule, pending)


@njit(nogil=True, cache=True)
def group_class_rules(first: Any, last: Any, literals: Any, offsets: Any, shared: Any) -> Any:
    """Where groups of the class rules `first:last` start, and the end: neighbours with an atom in common, or a few that
    have none.

    shared: int64 `[n_rows]`, zeros at first: an atom -> the last rule that mentions it, in an unbroken row, plus one.
    """
    starts = np.empty(last - first + 1, np.int64)
    n_groups = 0
    run = group = first
    for rule in range(first, last + 1):
        n_still = 0
        if rule < last:
            for i in range(offsets[rule], offsets[rule + 1]):
                atom = literals[i] if literals[i] >= 0 else ~literals[i]
                if rule == run or shared[atom] == rule:
                    n_still += shared[atom] != rule + 1
                    shared[atom] = rule + 1
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
                shared[literals[i] if literals[i] >= 0 else ~literals[i]] = rule + 1
    starts[n_groups] = last
    return starts[: n_groups + 1].copy()
