"""The rules of one head to the value that is true where one of them fires, in Numba."""

from typing import Any

from numba import njit

from eric_fast.compile.bodies import make_conjunction, pick_value, split_bodies
from eric_fast.compile.nodes import add_node, forget_nodes, make_node
from eric_fast.compile.terms import add_term

# On one core of a current server a node takes about as long as three literals of a term, a term's own OR as two.
NODE_COST, LITERAL_COST, TERM_COST = 3, 1, 2
MIN_SHARED = 4  # bodies without an atom in common are grouped by one that this many share
MAX_PASSES = 64  # over a head's literals, in search of such groups


@njit(nogil=True, cache=True)
def share_head(first: Any, last: Any, maker: Any, bodies: Any, stack: Any, pending: Any) -> Any:
    """The value that is true where a body of the rules `first:last` is.

    A frame of the stack is a set of rules, `order[first:last]`, and what is known of its disjunction: first, last,
    phase, the value split by, where its two sides end, the disjunction of the groups done, the value of the high side.
    """
    _, _, _, lengths, first_lengths, order, _, _, looked_at, twins = bodies
    n_nodes, false = maker[2], maker[3]
    true = false + 1
    n_bodies = n_literals = 0
    for rule in range(first, last):
        if lengths[rule] == 0:
            return true
        if lengths[rule] > 0:
            order[first + n_bodies] = rule
            n_bodies += 1
            n_literals += lengths[rule]
    most_looks = looked_at[0] + MAX_PASSES * n_literals
    n_pending = pending[2][0]
    nodes_before = n_nodes[0]  # of the group at hand
    found = false
    depth = 0
    stack[0, 0], stack[0, 1], stack[0, 2], stack[0, 6] = first, first + n_bodies, 0, false
    while depth >= 0:
        frame = stack[depth]
        start, stop = frame[0], frame[1]
        if frame[2] == 1:
            frame[2], frame[7] = 2, found
            depth += 1
            stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 6] = frame[4], frame[5], 0, false
            continue
        if frame[2] == 2:
            made = make_node(maker, frame[3], frame[7], found)
            start = frame[0] = frame[5]
            frame[2] = 0
            if depth == 0:
                cost = 0
                for k in range(first, start):
                    cost += TERM_COST + LITERAL_COST * first_lengths[order[k]]
                if NODE_COST * (n_nodes[0] - nodes_before) > cost:
                    forget_nodes(maker, nodes_before)
                    made = false
                    for k in range(first, start):
                        add_term(-1, order[k], pending)
                first = start
            frame[6] = make_node(maker, frame[6], true, made)
            if depth == 0:
                nodes_before = n_nodes[0]
        found = frame[6]
        n = stop - start
        if n == 0:
            depth -= 1
            continue
        for k in range(start, stop):
            if lengths[order[k]] == 0:
                found = true
        if found == true:
            depth -= 1
            continue
        value, most = pick_value(start, stop, bodies) if looked_at[0] < most_looks else (-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                if depth == 0 and not twins[order[k]]:
                    add_term(-1, order[k], pending)
                else:
                    found = make_node(maker, found, true, make_conjunction(order[k], true, maker, bodies))
            depth -= 1
            continue
        frame[3] = value
        frame[4], frame[5] = split_bodies(start, stop, value, bodies)
        frame[2] = 1
        depth += 1
        stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 6] = start, frame[4], 0, false
    if pending[2][0] == n_pending or found == true:
        pending[2][0] = n_pending
        return found
    target = add_node(maker, false, false, false)
    for k in range(n_pending, pending[2][0]):
        pending[0][k] = target
    if found != false:
        add_term(target, ~found, pending)
    return target
