"""Nodes, each made once (hash-consed, as in binary decision diagrams), in Numba: `select ? high : low`, full adders."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.jit import cached_njit
from eric_fast.plan.steps import KIND_CARRY, KIND_SELECT, KIND_SUM, NODE

N_NODES, FAULT = range(2)  # of the state of a diagram
FULL, TOO_WIDE = 1, 2  # faults


class Diagram(NamedTuple):
    """The nodes made so far.

    Attributes:
        nodes: int32 `[capacity, 3]`, of which the first `state[N_NODES]` are made; see `plan.steps.Node`.
        kinds: int8 `[capacity]`: see `plan.steps.Steps`.
        numbers: int32 `[2 * capacity]`: a hash table of the nodes' numbers, -1 in an empty place.
        state: int64 `[2]`: `N_NODES`: how many nodes there are; `FAULT`: 0, or `FULL` once a node found no room, or
            `TOO_WIDE` once a number had too many digits.
        false: the value that is false. `false + 1` is true, and `false + 2 + i` is what node `i` makes.
    """

    nodes: NDArray[np.int32]
    kinds: NDArray[np.int8]
    numbers: NDArray[np.int32]
    state: NDArray[np.int64]
    false: int


class Adder(NamedTuple):
    """What a full adder makes of three values: their sum is `sum + 2 * carry`."""

    sum: np.int64
    carry: np.int64


class Signed(NamedTuple):
    """A value, or its negation."""

    value: np.int64
    negated: bool


@cached_njit
def start_diagram(n_inputs: int, room: int) -> Any:
    """A diagram of no nodes, with room for so many."""
    capacity = np.int64(16)
    while capacity < 2 * room:
        capacity *= 2
    return Diagram(
        np.empty((capacity // 2, 3), np.int32),
        np.empty(capacity // 2, np.int8),
        np.full(capacity, -1, np.int32),
        np.zeros(2, np.int64),
        n_inputs,
    )


@cached_njit
def reserve_nodes(diagram: Diagram, room: int) -> Any:
    """The same nodes, and room for so many more."""
    nodes, n, false = diagram.nodes, diagram.state[N_NODES], diagram.false
    if n + room <= len(nodes):
        return diagram
    larger = start_diagram(false, max(n + room, 2 * len(nodes)))
    larger.nodes[:n], larger.kinds[:n] = nodes[:n], diagram.kinds[:n]
    larger.state[N_NODES] = n
    numbers = larger.numbers
    for number in range(n):  # oldest first: `forget_nodes` counts on it
        select, high, low = nodes[number, NODE.select], nodes[number, NODE.high], nodes[number, NODE.low]
        if select != false or diagram.kinds[number] != KIND_SELECT:
            place = _hash(diagram.kinds[number], select, high, low) & (len(numbers) - 1)
            while numbers[place] >= 0:
                place = (place + 1) & (len(numbers) - 1)
            numbers[place] = number
    return larger


@cached_njit
def make_node(diagram: Diagram, select: int, high: int, low: int) -> Any:
    """The value `select ? high : low`: int64, one that exists already where possible."""
    false, true = diagram.false, diagram.false + 1
    if high == low or select == true:
        return np.int64(high)
    if select == false:
        return np.int64(low)
    if high == select:
        high = true
    if low == select:
        low = false
    if high == true and low == false:
        return np.int64(select)
    return _find_node(diagram, KIND_SELECT, select, high, low)


@cached_njit
def make_adder(diagram: Diagram, a: int, b: int, c: int) -> Any:
    """The full adder of three values, an `Adder`: two nodes at most, the sum's right before the carry's."""
    false = diagram.false
    if a > b:
        a, b = b, a
    if b > c:
        b, c = c, b
    if a > b:
        a, b = b, a
    if a == b:
        return Adder(np.int64(c), np.int64(a))
    if b == c:
        return Adder(np.int64(a), np.int64(b))
    if (a == false and b == false + 1) or (b == false and c == false + 1):
        value = c if a == false else a
        return Adder(make_node(diagram, value, false, false + 1), np.int64(value))
    total = _find_node(diagram, KIND_SUM, a, b, c)
    return Adder(total, _find_node(diagram, KIND_CARRY, a, b, c))


@cached_njit
def _find_node(diagram: Diagram, kind: int, select: int, high: int, low: int) -> Any:
    """The value of the node of this kind and these operands, which is made unless it exists: int64."""
    nodes, kinds, numbers, state, false = diagram.nodes, diagram.kinds, diagram.numbers, diagram.state, diagram.false
    place = _hash(kind, select, high, low) & (len(numbers) - 1)
    while numbers[place] >= 0:
        number = numbers[place]
        node = nodes[number]
        if node[NODE.select] == select and node[NODE.high] == high and node[NODE.low] == low and kinds[number] == kind:
            return np.int64(false + 2 + number)
        place = (place + 1) & (len(numbers) - 1)
    if state[N_NODES] == len(nodes):
        state[FAULT] = FULL
        return np.int64(false)
    numbers[place] = state[N_NODES]
    return _append_node(diagram, kind, select, high, low)


@cached_njit
def add_target(diagram: Diagram) -> Any:
    """The value of a new node `false ? false : false`, even if there are others: a target of terms."""
    return _append_node(diagram, KIND_SELECT, diagram.false, diagram.false, diagram.false)


@cached_njit
def _append_node(diagram: Diagram, kind: int, select: int, high: int, low: int) -> Any:
    nodes, state = diagram.nodes, diagram.state
    n = state[N_NODES]
    nodes[n, NODE.select], nodes[n, NODE.high], nodes[n, NODE.low] = select, high, low
    diagram.kinds[n] = kind
    state[N_NODES] = n + 1
    return np.int64(diagram.false + 2 + n)


@cached_njit
def choose(diagram: Diagram, value: int, negated: bool, high: int, low: int) -> Any:
    """`make_node` of a value or of its negation."""
    return make_node(diagram, value, low, high) if negated else make_node(diagram, value, high, low)


@cached_njit
def make_either(diagram: Diagram, value: int, negated: bool, other: int, other_negated: bool) -> Any:
    """The disjunction of two values, a `Signed`. It takes one node at most."""
    true = diagram.false + 1
    if negated and other_negated:
        return Signed(make_node(diagram, value, other, diagram.false), True)
    if other_negated:
        return Signed(make_node(diagram, other, value, true), False)
    return Signed(choose(diagram, value, negated, true, other), False)


@cached_njit
def make_union(diagram: Diagram, value: int, others: NDArray[np.int64]) -> Any:
    """The value that is true where `value` or one of `others`, int64 `[n]`, is."""
    for other in others:
        value = make_node(diagram, value, diagram.false + 1, other)
    return value


@cached_njit
def _hash(kind: int, select: int, high: int, low: int) -> Any:
    h = np.uint64(select) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(high) + (np.uint64(kind) << np.uint64(32))
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(low)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(31))) >> np.uint64(1))


@cached_njit
def forget_nodes(diagram: Diagram, n_kept: int) -> None:
    """Unmake the nodes past the first `n_kept`, the last first: no later one hides behind them in the hash table."""
    nodes, kinds, numbers, state = diagram.nodes, diagram.kinds, diagram.numbers, diagram.state
    while state[N_NODES] > n_kept:
        state[N_NODES] -= 1
        number = state[N_NODES]
        node = nodes[number]
        place = _hash(kinds[number], node[NODE.select], node[NODE.high], node[NODE.low]) & (len(numbers) - 1)
        while numbers[place] >= 0 and numbers[place] != number:
            place = (place + 1) & (len(numbers) - 1)
        numbers[place] = -1
