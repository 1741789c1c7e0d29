"""Rules to steps that share work: rules that came from one tree become its nodes again, from the rules alone.

A disjunction of conjunctions in which an atom `a` occurs in every body is `a ? high : low`, with the bodies that hold
`a` on one side, those that hold `not a` on the other, and the literal gone from both (Shannon's expansion, without
copies). All bodies of a tree hold its root, so this gives back the tree, without the branches that no rule mentions.
Nodes are made once (hash-consing, as in binary decision diagrams), two equal sides are no node, and what shares too
little to pay stays a list of terms.
"""

from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray

from eric_fast.plan import Steps

# On one core of a current server a node takes about as long as three literals of a term, a term's own OR as two.
NODE_COST, LITERAL_COST, TERM_COST = 3, 1, 2
MIN_SHARED = 4  # bodies without an atom in common are grouped by one that this many share
MAX_PASSES = 64  # over a head's literals, in search of such groups
LONG_BODY = 64  # literals: from there on bodies are sorted ahead
MIN_GROUP, MAX_GROUP = 8, 4096  # class rules that are run together; the latter keeps their bits in a core's cache


def share_work(
    n_inputs: int,
    literals: NDArray[np.int32],
    offsets: NDArray[np.int64],
    heads: NDArray[np.int64],
    strata: NDArray[np.int64],
    negated: NDArray[np.bool_],
) -> Steps:
    """The steps of a plan with these arrays; see `Plan` and `Steps`."""
    lengths = np.diff(offsets)
    if lengths.max(initial=0) > LONG_BODY:
        rules = np.repeat(np.arange(len(lengths)), lengths)
        literals = literals[np.lexsort((np.where(literals < 0, ~literals, literals), rules))]
    arrays = _share(n_inputs, literals, offsets, heads, strata, negated, _find_twins(literals, offsets))
    nodes, terms, segments, batches, sections, values, fires = map(torch.from_numpy, arrays)
    return Steps(nodes, terms, segments, batches, sections, values, fires)


@njit(nogil=True, cache=True)
def _share(n_inputs: Any, literals: Any, offsets: Any, heads: Any, strata: Any, negated: Any, twins: Any) -> Any:
    n_rows, n_rules, n_kernel_rules = len(negated), len(heads), strata[-1]
    n_strata, n_class_rules = len(strata) - 1, n_rules - n_kernel_rules
    most_nodes = 3 * len(literals) + n_rows + n_rules + 1
    capacity = 16
    while capacity < 2 * most_nodes:
        capacity *= 2
    maker = (np.empty((most_nodes, 3), np.int32), np.full(capacity, -1, np.int32), np.zeros(1, np.int64), n_inputs)
    n_nodes = maker[2]
    values = np.empty(n_rows, np.int32)  # of a row; ~value where it is the complement
    for row in range(n_rows):
        values[row] = row if row < n_inputs else ~n_inputs if negated[row] else n_inputs
    fires = np.empty(n_class_rules, np.int32)

    longest = 0
    for rule in range(n_rules):
        longest = max(longest, offsets[rule + 1] - offsets[rule])
    n_values = most_nodes + n_inputs + 2
    bodies = (
        np.empty(len(literals), np.int32),  # sorted, as 2 * value + negation, to be taken apart
        np.empty(len(literals), np.int32),  # the same, to stay
        offsets,  # where a body starts in both
        np.zeros(n_rules, np.int64),  # its length now
        np.zeros(n_rules, np.int64),  # and at first; -1: it never fires
        np.arange(n_rules),  # the rules in the order of groups
        np.zeros(n_values, np.int32),  # how many bodies mention a value: zero between uses
        np.zeros(n_values, np.int8),  # 1: plain, 2: negated, 3: both
        np.zeros(1, np.int64),  # literals looked at
        twins,
    )
    stack = np.empty((2 * longest + 4, 8), np.int64)
    most_terms = n_rules + n_rows
    pending = (np.empty(most_terms, np.int64), np.empty(most_terms, np.int64), np.zeros(1, np.int64))
    lists = (
        np.empty(2 * len(literals) + 2 * most_terms, np.int32),
        np.empty((most_terms, 2), np.int32),
        np.empty((most_terms, 4), np.int64),
        np.zeros(3, np.int64),
    )
    groups = _group_class_rules(n_kernel_rules, literals, offsets, n_rows)
    sections = np.zeros((n_strata + len(groups) - 1, 6), np.int64)
    for number in range(len(sections)):
        section, g = sections[number], number - n_strata
        section[0], section[2] = n_nodes[0], lists[3][2]
        first, last = (groups[g], groups[g + 1]) if g >= 0 else (strata[number], strata[number + 1])
        for rule in range(first, last):
            _read_body(rule, literals, values, n_inputs, bodies)
        if g >= 0:
            _share_class_rules(first, last, n_kernel_rules, fires, maker, bodies, stack, pending)
            section[4], section[5] = first - n_kernel_rules, last - n_kernel_rules
        while g < 0 and first < last:
            row, stop = heads[first], first + 1
            while stop < last and heads[stop] == row:
                stop += 1
            value = _share_head(first, stop, maker, bodies, stack, pending)
            values[row] = ~value if negated[row] else value
            first = stop
        _write_batches(maker, bodies, pending, lists)
        section[1], section[3] = n_nodes[0], lists[3][2]
    return (
        maker[0][: n_nodes[0]].copy(),
        lists[0][: lists[3][0]].copy(),
        lists[1][: lists[3][1]].copy(),
        lists[2][: lists[3][2]].copy(),
        sections,
        values,
        fires,
    )


@njit(nogil=True, cache=True)
def _make_node(maker: Any, select: Any, high: Any, low: Any) -> Any:
    """The value `select ? high : low`: one that is there already where possible."""
    nodes, table, n_nodes, false = maker
    true = false + 1
    if high == low or select == true:
        return high
    if select == false:
        return low
    if high == select:
        high = true
    if low == select:
        low = false
    if high == true and low == false:
        return select
    place = _hash(select, high, low) & (len(table) - 1)
    while table[place] >= 0:
        node = nodes[table[place]]
        if node[0] == select and node[1] == high and node[2] == low:
            return false + 2 + table[place]
        place = (place + 1) & (len(table) - 1)
    table[place] = n_nodes[0]
    return _add_node(maker, select, high, low)


@njit(nogil=True, cache=True)
def _add_node(maker: Any, select: Any, high: Any, low: Any) -> Any:
    nodes, _, n_nodes, false = maker
    n = n_nodes[0]
    nodes[n, 0], nodes[n, 1], nodes[n, 2] = select, high, low
    n_nodes[0] = n + 1
    return false + 2 + n


@njit(nogil=True, cache=True)
def _hash(select: Any, high: Any, low: Any) -> Any:
    h = np.uint64(select) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(high)
    h = (h ^ (h >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9) + np.uint64(low)
    h = (h ^ (h >> np.uint64(32))) * np.uint64(0x94D049BB133111EB)
    return np.int64((h ^ (h >> np.uint64(31))) >> np.uint64(1))


@njit(nogil=True, cache=True)
def _forget_nodes(maker: Any, n_kept: Any) -> None:
    """Unmake the nodes past the first `n_kept`, the last first: no later one hides behind them in the table."""
    nodes, table, n_nodes, _ = maker
    while n_nodes[0] > n_kept:
        n_nodes[0] -= 1
        node = nodes[n_nodes[0]]
        place = _hash(node[0], node[1], node[2]) & (len(table) - 1)
        while table[place] >= 0 and table[place] != n_nodes[0]:
            place = (place + 1) & (len(table) - 1)
        table[place] = -1


def _find_twins(literals: NDArray[np.int32], offsets: NDArray[np.int64]) -> NDArray[np.bool_]:
    """bool `[n_rules]`: whether another rule has the same body, up to order; by a hash, so that "yes" is a guess."""
    mixed = literals.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)
    sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(mixed ^ (mixed >> np.uint64(32)))])
    _, body, times = np.unique(sums[offsets[1:]] - sums[offsets[:-1]], return_inverse=True, return_counts=True)
    return times[body] > 1


@njit(nogil=True, cache=True)
def _read_body(rule: Any, literals: Any, values: Any, false: Any, bodies: Any) -> None:
    """A rule's literals as sorted `2 * value + negation`, each once; a body that can't be true gets length -1."""
    work, whole, offsets, lengths, first_lengths = bodies[:5]
    start, n = offsets[rule], 0
    for i in range(start, offsets[rule + 1]):
        literal = literals[i]
        value = values[literal if literal >= 0 else ~literal]
        negation = (literal < 0) != (value < 0)
        value = ~value if value < 0 else value
        if value == false or value == false + 1:
            if (value == false) != negation:
                n = -1
                break
            continue
        work[start + n] = 2 * value + negation
        n += 1
    if n > 0:
        _sort(work, start, start + n)
        kept = 1
        for i in range(start + 1, start + n):
            if work[i] == work[start + kept - 1]:
                continue
            if work[i] >> 1 == work[start + kept - 1] >> 1:
                kept = -1
                break
            work[start + kept] = work[i]
            kept += 1
        n = kept
    for i in range(n):
        whole[start + i] = work[start + i]
    lengths[rule] = first_lengths[rule] = n


@njit(nogil=True, cache=True)
def _sort(numbers: Any, first: Any, last: Any) -> None:
    """By insertion: bodies are short, or sorted but for a few. Compiling NumPy's own takes seconds."""
    for i in range(first + 1, last):
        number, place = numbers[i], i
        while place > first and numbers[place - 1] > number:
            numbers[place] = numbers[place - 1]
            place -= 1
        numbers[place] = number


@njit(nogil=True, cache=True)
def _pick_value(first: Any, last: Any, bodies: Any) -> Any:
    """What most bodies of `order[first:last]` mention, and how many; of equals one with one sign, then the lowest."""
    work, _, offsets, lengths, _, order, counts, signs, looked_at, _ = bodies
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            counts[work[i] >> 1] += 1
            signs[work[i] >> 1] |= 1 + (work[i] & 1)
        looked_at[0] += lengths[order[k]]
    best, most, best_sign = -1, 0, 0
    for k in range(first, last):
        start = offsets[order[k]]
        for i in range(start, start + lengths[order[k]]):
            value = work[i] >> 1
            count, mixed = counts[value], signs[value] == 3
            if count > 0 and (
                count > most or (count == most and (mixed < best_sign or (mixed == best_sign and value < best)))
            ):
                best, most, best_sign = value, count, mixed
            counts[value] = 0
            signs[value] = 0
    return best, most


@njit(nogil=True, cache=True)
def _split(first: Any, last: Any, value: Any, bodies: Any) -> Any:
    """Bring bodies with `value` to the front of `order[first:last]`, then those with its negation; take it out of both.

    Gives where each of the two ends.
    """
    work, _, offsets, lengths, _, order = bodies[:6]
    high_end = low_end = first
    for k in range(first, last):
        rule = order[k]
        start, stop = offsets[rule], offsets[rule] + lengths[rule]
        place = start
        while place < stop and work[place] >> 1 != value:
            place += 1
        if place == stop:
            continue
        negated = work[place] & 1
        for i in range(place, stop - 1):
            work[i] = work[i + 1]
        lengths[rule] -= 1
        order[k] = order[low_end]
        order[low_end] = rule
        if not negated:
            order[low_end] = order[high_end]
            order[high_end] = rule
            high_end += 1
        low_end += 1
    return high_end, low_end


@njit(nogil=True, cache=True)
def _make_conjunction(rule: Any, prefix: Any, maker: Any, bodies: Any) -> Any:
    """The value of `prefix` and what is left of a rule's body."""
    work, _, offsets, lengths = bodies[:4]
    false = maker[3]
    for i in range(offsets[rule], offsets[rule] + lengths[rule]):
        high, low = (false, prefix) if work[i] & 1 else (prefix, false)
        prefix = _make_node(maker, work[i] >> 1, high, low)
    return prefix


@njit(nogil=True, cache=True)
def _add_term(target: Any, source: Any, pending: Any) -> None:
    targets, sources, n_pending = pending
    targets[n_pending[0]] = target
    sources[n_pending[0]] = source
    n_pending[0] += 1


@njit(nogil=True, cache=True)
def _share_head(first: Any, last: Any, maker: Any, bodies: Any, stack: Any, pending: Any) -> Any:
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
            made = _make_node(maker, frame[3], frame[7], found)
            start = frame[0] = frame[5]
            frame[2] = 0
            if depth == 0:
                cost = 0
                for k in range(first, start):
                    cost += TERM_COST + LITERAL_COST * first_lengths[order[k]]
                if NODE_COST * (n_nodes[0] - nodes_before) > cost:
                    _forget_nodes(maker, nodes_before)
                    made = false
                    for k in range(first, start):
                        _add_term(-1, order[k], pending)
                first = start
            frame[6] = _make_node(maker, frame[6], true, made)
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
        value, most = _pick_value(start, stop, bodies) if looked_at[0] < most_looks else (-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                if depth == 0 and not twins[order[k]]:
                    _add_term(-1, order[k], pending)
                else:
                    found = _make_node(maker, found, true, _make_conjunction(order[k], true, maker, bodies))
            depth -= 1
            continue
        frame[3] = value
        frame[4], frame[5] = _split(start, stop, value, bodies)
        frame[2] = 1
        depth += 1
        stack[depth, 0], stack[depth, 1], stack[depth, 2], stack[depth, 6] = start, frame[4], 0, false
    if pending[2][0] == n_pending or found == true:
        pending[2][0] = n_pending
        return found
    target = _add_node(maker, false, false, false)
    for k in range(n_pending, pending[2][0]):
        pending[0][k] = target
    if found != false:
        _add_term(target, ~found, pending)
    return target


@njit(nogil=True, cache=True)
def _share_class_rules(
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
        value, most = _pick_value(start, stop, bodies) if looked_at[0] < most_looks else (-1, 0)
        if most < n and most < MIN_SHARED:
            for k in range(start, stop):
                fires[order[k] - n_kernel_rules] = _make_conjunction(order[k], prefix, maker, bodies)
            continue
        if n == 0:
            continue
        high_end, low_end = _split(start, stop, value, bodies)
        for side in range(3):  # without the value, with its negation, with it: the last is done first
            begin, end = ((low_end, stop), (high_end, low_end), (start, high_end))[side]
            if begin < end:
                made = prefix
                if side > 0:
                    high, low = (false, prefix) if side == 1 else (prefix, false)
                    made = _make_node(maker, value, high, low)
                depth += 1
                stack[depth, 0], stack[depth, 1], stack[depth, 2] = begin, end, made
    if NODE_COST * (n_nodes[0] - nodes_before) <= LITERAL_COST * n_literals + (TERM_COST + NODE_COST) * n_bodies:
        return
    _forget_nodes(maker, nodes_before)
    for rule in range(first, last):
        if first_lengths[rule] > 0:
            fires[rule - n_kernel_rules] = _add_node(maker, false, false, false)
            _add_term(fires[rule - n_kernel_rules], rule, pending)


@njit(nogil=True, cache=True)
def _group_class_rules(first: Any, literals: Any, offsets: Any, n_rows: Any) -> Any:
    """Where groups of class rules start, and the end: neighbours with an atom in common, or a few that have none."""
    n_rules = len(offsets) - 1
    starts = np.empty(n_rules - first + 1, np.int64)
    n_groups = 0
    shared = np.zeros(n_rows, np.int64)  # an atom -> the last rule of the run that mentions it, in an unbroken row
    run = group = first
    for rule in range(first, n_rules + 1):
        n_still = 0
        if rule < n_rules:
            for i in range(offsets[rule], offsets[rule + 1]):
                atom = literals[i] if literals[i] >= 0 else ~literals[i]
                if rule == run or shared[atom] == rule:
                    n_still += shared[atom] != rule + 1
                    shared[atom] = rule + 1
        if rule < n_rules and (rule == run or n_still) and rule - group < MAX_GROUP:
            continue
        # The run ends here. It becomes a group unless it is short: then what follows joins it.
        if run > group and rule - run >= MIN_GROUP:
            starts[n_groups] = group
            n_groups += 1
            group = run
        if rule == n_rules or rule - group >= MAX_GROUP or rule - run >= MIN_GROUP:
            if rule > group:
                starts[n_groups] = group
                n_groups += 1
            group = rule
        run = rule
        if rule < n_rules:
            for i in range(offsets[rule], offsets[rule + 1]):
                shared[literals[i] if literals[i] >= 0 else ~literals[i]] = rule + 1
    starts[n_groups] = n_rules
    return starts[: n_groups + 1].copy()


@njit(nogil=True, cache=True)
def _write_batches(maker: Any, bodies: Any, pending: Any, lists: Any) -> None:
    """The pending terms, those of one length together: every loop over a term's values then has a fixed end."""
    whole, offsets, first_lengths = bodies[1], bodies[2], bodies[4]
    targets, sources, n_pending = pending
    terms, segments, batches, sizes = lists
    false = maker[3]
    n, widest = n_pending[0], 0
    widths = np.empty(n, np.int64)
    for k in range(n):
        widths[k] = 2 if sources[k] < 0 else max(2, first_lengths[sources[k]] + (first_lengths[sources[k]] & 1))
        widest = max(widest, widths[k])
    place_of_width = np.zeros(widest + 2, np.int64)  # a counting sort
    for k in range(n):
        place_of_width[widths[k] + 1] += 1
    for width in range(widest + 1):
        place_of_width[width + 1] += place_of_width[width]
    order = np.empty(n, np.int64)
    for k in range(n):
        order[place_of_width[widths[k]]] = k
        place_of_width[widths[k]] += 1
    previous = -1
    for k in order:
        if widths[k] != previous:
            batches[sizes[2]] = (widths[k], sizes[1], sizes[1], sizes[0])
            sizes[2] += 1
        batch = batches[sizes[2] - 1]
        if widths[k] == previous and segments[sizes[1] - 1, 0] == targets[k]:
            segments[sizes[1] - 1, 1] += 1
        else:
            segments[sizes[1], 0], segments[sizes[1], 1] = targets[k], 1
            sizes[1] += 1
            batch[2] = sizes[1]
        previous = widths[k]
        for j in range(widths[k]):
            if sources[k] < 0:
                terms[sizes[0]] = ~sources[k]
            else:
                literal = whole[offsets[sources[k]] + min(j, first_lengths[sources[k]] - 1)]
                value = literal >> 1
                terms[sizes[0]] = _make_node(maker, value, false, false + 1) if literal & 1 else value
            sizes[0] += 1
    n_pending[0] = 0
