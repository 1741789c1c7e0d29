"""The rules of one head to the value that is true where one of them fires, in Numba."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.compile.bodies import Bodies, Pick, make_conjunction, pick_value, read_bodies, split_bodies
from eric_fast.compile.nodes import N_NODES, Diagram, add_target, forget_nodes, make_node, reserve_nodes
from eric_fast.compile.terms import PendingTerms, add_term
from eric_fast.jit import cached_njit
from eric_fast.plan.jitted import negate

# On one core of a current server a node takes about as long as three literals of a term, a term's own OR as two.
NODE_COST, LITERAL_COST, TERM_COST = 3, 1, 2
MIN_SHARED = 4  # bodies without an atom in common are grouped by one that this many share
MAX_PASSES = 64  # over a head's literals, in search of such groups
NODES_PER_LITERAL = 4  # at most, and as many for each rule

# A frame of the stack is a set of rules, `order[_START:_STOP]`, and what is known of their disjunction: the value it is
# split by, where the two sides of the split end, the disjunction of the groups done, the value of the high side.
_START, _STOP, _PHASE, _SPLIT_VALUE, _HIGH_END, _LOW_END, _DONE, _HIGH = range(8)
_TO_SPLIT, _HIGH_AT_WORK, _LOW_AT_WORK = range(3)  # phases


@cached_njit
def share_stratum(
    first: int,
    last: int,
    heads: NDArray[np.int64],
    literals: NDArray[np.int32],
    negated: NDArray[np.bool_],
    values: NDArray[np.int32],
    diagram: Diagram,
    bodies: Bodies,
    stack: NDArray[np.int64],
    pending: PendingTerms,
) -> Any:
    """Write the values of the rows that the kernel rules `first:last` define.

    heads: int64 `[n_rules]`, neighbours for one row. literals: int32 `[n_literals]`, of rows. negated: bool
    `[n_rows]`. values: int32 `[n_rows]`. stack: int64 `[2 * longest body + 4, 8]`.

    Returns:
        The diagram, with more room where it needs it.
    """
    offsets = bodies.offsets
    read_bodies(first, last, literals, values, diagram.false, bodies)
    while first < last:
        row, stop = heads[first], first + 1
        while stop < last and heads[stop] == row:
            stop += 1
        diagram = reserve_nodes(diagram, NODES_PER_LITERAL * (offsets[stop] - offsets[first] + stop - first + 1))
        value = _share_head(first, stop, diagram, bodies, stack, pending)
        values[row] = negate(value) if negated[row] else value
        first = stop
    return diagram


@cached_njit
def _share_head(
    first: int, last: int, diagram: Diagram, bodies: Bodies, stack: NDArray[np.int64], pending: PendingTerms
) -> Any:
    """The value that is true where a body of the rules `first:last` is; the stack is that of `share_stratum`."""
    lengths, whole_lengths, order, has_twin = bodies.lengths, bodies.whole_lengths, bodies.order, bodies.has_twin
    n_reads, n_pending, state, false = bodies.n_reads, pending.n_terms, diagram.state, diagram.false
    true = false + 1
    n_bodies = n_literals = 0
    for rule in range(first, last):
        if lengths[rule] == 0:
            return true
        if lengths[rule] > 0:
            order[first + n_bodies] = rule
            n_bodies += 1
            n_literals += lengths[rule]
    most_reads = n_reads[0] + MAX_PASSES * n_literals
    pending_before = n_pending[0]
    nodes_before = state[N_NODES]  # of the group at hand
    found = false
    depth = 0
    _start_frame(stack[0], first, first + n_bodies, false)
    while depth >= 0:
        frame = stack[depth]
        start, stop = frame[_START], frame[_STOP]
        if frame[_PHASE] == _HIGH_AT_WORK:
            frame[_PHASE], frame[_HIGH] = _LOW_AT_WORK, found
            depth += 1
            _start_frame(stack[depth], frame[_HIGH_END], frame[_LOW_END], false)
            continue
        if frame[_PHASE] == _LOW_AT_WORK:
            made = make_node(diagram, frame[_SPLIT_VALUE], frame[_HIGH], found)
            start = frame[_START] = frame[_LOW_END]
            frame[_PHASE] = _TO_SPLIT
            if depth == 0:
                cost = 0
                for k in range(first, start):
                    cost += TERM_COST + LITERAL_COST * whole_lengths[order[k]]
                if NODE_COST * (state[N_NODES] - nodes_before) > cost:
                    forget_nodes(diagram, nodes_before)
                    made = false
                    for k in range(first, start):
                        add_term(-1, order[k], pending)
                first = start
            frame[_DONE] = make_node(diagram, frame[_DONE], true, made)
            if depth == 0:
                nodes_before = state[N_NODES]
        found = frame[_DONE]
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
        value, most = pick_value(start, stop, bodies) if n_reads[0] < most_reads else Pick(-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                if depth == 0 and not has_twin[order[k]]:
                    add_term(-1, order[k], pending)
                else:
                    found = make_node(diagram, found, true, make_conjunction(order[k], true, diagram, bodies))
            depth -= 1
            continue
        frame[_SPLIT_VALUE] = value
        frame[_HIGH_END], frame[_LOW_END] = split_bodies(start, stop, value, bodies)
        frame[_PHASE] = _HIGH_AT_WORK
        depth += 1
        _start_frame(stack[depth], start, frame[_HIGH_END], false)
    if n_pending[0] == pending_before or found == true:
        n_pending[0] = pending_before
        return found
    target = add_target(diagram)
    pending.targets[pending_before : n_pending[0]] = target
    if found != false:
        add_term(target, negate(found), pending)
    return target


@cached_njit
def _start_frame(frame: NDArray[np.int64], start: int, stop: int, false: int) -> None:
    """Begin a frame, int64 `[8]`, of the stack."""
    frame[_START], frame[_STOP], frame[_PHASE], frame[_DONE] = start, stop, _TO_SPLIT, false
