"""Nodes `select ? high : low`, each made once (hash-consed, as in binary decision diagrams), in Numba.

A *maker* is what is made so far: nodes int32 `[capacity, 3]`; a hash table of their numbers, -1 where it is empty;
int64 `[2]`: how many nodes there are, and whether there was no room for one; the value that is false.
"""

from typing import Any

import numpy as np
from numba import njit


@njit(nogil=True, cache=True)
def start_nodes(n_inputs: Any, room: Any) -> Any:
    """A maker of no nodes."""
    capacity = np.int64(16)
    while capacity < 2 * room:
        capacity *= 2
    return (
        np.empty((capacity // 2, 3), np.int32),
        np.full(capacity, -1, np.int32),
        np.zeros(2, np.int64),
        np.int64(n_inputs),
    )


@njit(nogil=True, cache=True)
def reserve_nodes(maker: Any, room: Any) -> Any:
    """The same nodes, and room for so many more."""
    nodes, _, sizes, false = maker
    n = sizes[0]
    if n + room <= len(nodes):
        return maker
    larger = start_nodes(false, max(n + room, 2 * len(nodes)))
    larger[0][:n] = nodes[:n]
    larger[2][0] = n
    for number in range(n):  # oldest first: `forget_nodes` counts on it
        if nodes[number, 0] != false:
            place = _hash(nodes[number, 0], nodes[number, 1], nodes[number, 2]) & (len(larger[1]) - 1)
            while larger[1][place] >= 0:
                place = (place + 1) & (len(larger[1]) - 1)
            larger[1][place] = number
    return larger


@njit(nogil=True, cache=True)
def make_node(maker: Any, select: Any, high: Any, low: Any) -> Any:
    """The value `select ? high : low`: one that is there already where possible."""
    nodes, table, sizes, false = maker
    true = false + 1
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
    place = _hash(select, high, low) & (len(table) - 1)
    while table[place] >= 0:
        node = nodes[table[place]]
        if node[0] == select and node[1] == high and node[2] == low:
            return np.int64(false + 2 + table[place])
        place = (place + 1) & (len(table) - 1)
    if sizes[0] == len(nodes):
        sizes[1] = 1
        return np.int64(false)
    table[place] = sizes[0]
    return add_node(maker, select, high, low)


@njit(nogil=True, cache=True)
def add_node(maker: Any, select: Any, high: Any, low: Any) -> Any:
    """A node of its own, whatever there is: `false ? false : false` for terms to be OR-ed into."""
    nodes, _, sizes, false = maker
    n = sizes[0]
    nodes[n, 0], nodes[n, 1], nodes[n, 2] = select, high, low
    sizes[0] = n + 1
    return np.int64(false + 2 + n)


@njit(nogil=True, cache=True)
def choose(maker: Any, value: Any, negated: Any, high: Any, low: Any) -> Any:
    """`make_node` of a value or of its negation."""
    return make_node(maker, value, low, high) if negated else make_node(maker, value, high, low)


@njit(nogil=True, cache=True)
def make_either(maker: Any, value: Any, negated: Any, other: Any, other_negated: Any) -> Any:
    """A value, and whether it is to be negated, that is true where either of two is: never more than one node."""
    true = maker[3] + 1
    if negated and other_negated:
        return make_node(maker, value, other, maker[3]), True
    if other_negated:
        return make_node(maker, other, value, true), False
    return choose(maker, value, negated, true, other), False


@njit(nogil=True, cache=True)
def _hash(select: Any, high: Any, low: Any) -> Any:
    h = np.uint64(select) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(high)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(low)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(31))) >> np.uint64(1))


@njit(nogil=True, cache=True)
def forget_nodes(maker: Any, n_kept: Any) -> None:
    """Unmake the nodes past the first `n_kept`, the last first: no later one hides behind them in the table."""
    nodes, table, sizes, _ = maker
    while sizes[0] > n_kept:
        sizes[0] -= 1
        node = nodes[sizes[0]]
        place = _hash(node[0], node[1], node[2]) & (len(table) - 1)
        while table[place] >= 0 and table[place] != sizes[0]:
            place = (place + 1) & (len(table) - 1)
        table[place] = -1
