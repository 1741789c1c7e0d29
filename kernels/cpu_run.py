"""Blocks of words through the steps of a plan, in Numba: what `cpu.evaluate` spends its time in."""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.vectors import (
    SUM_COLUMNS,
    VECTOR_BYTES,
    VECTOR_WORDS,
    add_eight,
    both,
    count_ones,
    either,
    find_lowest,
    load,
    prefetch,
    select,
    store,
)

BLOCK_SAMPLES = 64 * VECTOR_WORDS
ONES = np.uint64(0xFFFFFFFFFFFFFFFF)


@njit(nogil=True, cache=True)
def run_blocks(first_block: Any, last_block: Any, inputs: Any, scratch: Any, code: Any, decision: Any, out: Any) -> Any:
    """Evaluate samples `first_block * 1024` on.

    inputs: uint64 `[n_inputs, n_words]`; scratch: uint64 `[n_slots * VECTOR_WORDS]`, aligned.
    code: see `CpuCode` and `Steps`. decision: see `Plan`. out: arrays of no length where nothing is wanted.
    """
    nodes, terms, segments, batches, sections, input_slots, row_slots, fire_slots, counted = code
    class_of_rule, votes, default, base, vote_offsets, vote_classes, vote_weights, decides = decision
    classes, rules, scores, wanted_rows, rows, counts, truths, confusion, n_samples = out
    base_address, input_address = np.uint64(scratch.ctypes.data), np.uint64(inputs.ctypes.data)
    n_classes = len(base)
    n_columns = -(-n_classes // SUM_COLUMNS) * SUM_COLUMNS
    start = np.zeros(n_columns, np.float64)
    start[:n_classes] = base
    undecided = np.empty(VECTOR_WORDS, np.uint64)  # samples on which no class rule has fired
    block_classes = np.empty(BLOCK_SAMPLES, np.int32)
    block_rules = np.empty(BLOCK_SAMPLES, np.int32)
    sums = np.empty((BLOCK_SAMPLES if votes else 0, n_columns), np.float64)
    most = np.empty((BLOCK_SAMPLES if votes and len(rules) else 0, n_classes), np.float64)
    most_rules = np.empty(most.shape, np.int32)
    adds = np.zeros(n_columns, np.float64)
    scratch[:VECTOR_WORDS] = np.uint64(0)
    scratch[VECTOR_WORDS : 2 * VECTOR_WORDS] = ONES
    for block in range(first_block, last_block):
        word, sample = block * VECTOR_WORDS, block * BLOCK_SAMPLES
        n = max(0, min(BLOCK_SAMPLES, n_samples - sample))
        for i in range(len(inputs)):
            if input_slots[i] >= 0:
                place = np.int64(input_slots[i]) * VECTOR_WORDS
                source = input_address + np.uint64(8 * (i * inputs.shape[1] + word))
                prefetch(source + np.uint64(VECTOR_BYTES))  # what the next block reads is far from here
                prefetch(source + np.uint64(VECTOR_BYTES + 64))
                for w in range(VECTOR_WORDS):
                    scratch[place + w] = inputs[i, word + w]
        _mark_valid(undecided, n)
        if decides:
            block_classes[:] = default
            block_rules[:] = -1
            for s in range(len(sums)):
                sums[s] = start
            most[:] = -np.inf
        for section in range(len(sections)):
            first_rule, last_rule = sections[section, 4], sections[section, 5]
            if first_rule < last_rule and not decides:
                continue
            _run_nodes(base_address, nodes, sections[section, 0], sections[section, 1])
            for b in range(sections[section, 2], sections[section, 3]):
                _run_batch(base_address, terms, segments, batches[b])
            if not decides:
                continue
            for rule in range(first_rule, last_rule):
                fired = scratch[np.int64(fire_slots[rule]) * VECTOR_WORDS :][:VECTOR_WORDS]
                if votes:
                    a, z = vote_offsets[rule], vote_offsets[rule + 1]
                    _vote(fired, n, undecided, vote_classes[a:z], vote_weights[a:z], sums, rule, adds, most, most_rules)
                else:
                    _decide_first(fired, undecided, class_of_rule[rule], rule, block_classes, block_rules)
        if votes and decides:
            for s in range(n):
                if not undecided[s >> 6] >> np.uint64(s & 63) & np.uint64(1):
                    block_classes[s] = np.argmax(sums[s, :n_classes])
                    if len(most):
                        block_rules[s] = most_rules[s, block_classes[s]]
        if len(classes):
            classes[sample : sample + n] = block_classes[:n]
        if len(rules):
            rules[sample : sample + n] = block_rules[:n]
        if len(scores) and votes:
            scores[sample : sample + n] = sums[:n, :n_classes]
        for t in range(len(truths)):
            for s in range(n):
                truth, answer = truths[t, sample + s], block_classes[s]
                if truth >= 0:
                    confusion[t, truth, answer if answer >= 0 else n_classes] += 1
        _mark_valid(undecided, n)
        for i in range(len(wanted_rows)):
            slot = np.int64(row_slots[wanted_rows[i]])
            flip = ONES if slot < 0 else np.uint64(0)
            place = (~slot if slot < 0 else slot) * VECTOR_WORDS
            for w in range(VECTOR_WORDS):
                rows[i, word + w] = (scratch[place + w] ^ flip) & undecided[w]
        if len(counts):
            _count_rules(scratch, counted[0], counted[1], row_slots, undecided, counts)


@njit(nogil=True, cache=True)
def _mark_valid(bits: Any, n: Any) -> None:
    """The first n bits."""
    for w in range(VECTOR_WORDS):
        rest = n - 64 * w
        bits[w] = ONES if rest >= 64 else (np.uint64(1) << np.uint64(max(rest, 0))) - np.uint64(1)


@njit(nogil=True, cache=True)
def _run_nodes(base: Any, nodes: Any, first: Any, last: Any) -> None:
    """target = select ? high : low."""
    for i in range(first, last):
        high, low = load(base + np.uint64(nodes[i, 2])), load(base + np.uint64(nodes[i, 3]))
        store(base + np.uint64(nodes[i, 0]), select(load(base + np.uint64(nodes[i, 1])), high, low))


@njit(nogil=True, cache=True)
def _run_batch(base: Any, terms: Any, segments: Any, batch: Any) -> None:
    """target |= OR of ANDs; all of them have the same, even number of values."""
    width, place = np.uint64(batch[0]), np.uint64(batch[3])  # unsigned indices can't mean "from the end"
    for g in range(batch[1], batch[2]):
        target = base + np.uint64(segments[g, 0])
        fired = load(target)
        for _ in range(segments[g, 1]):
            end = place + width
            term = _load_pair(base, terms, place)
            place += np.uint64(2)
            while place < end:
                term = both(term, _load_pair(base, terms, place))
                place += np.uint64(2)
            fired = either(fired, term)
        store(target, fired)


@njit(nogil=True, cache=True)
def _load_pair(base: Any, terms: Any, place: Any) -> Any:
    return both(load(base + np.uint64(terms[place])), load(base + np.uint64(terms[place + np.uint64(1)])))


@njit(nogil=True, cache=True)
def _decide_first(fired: Any, undecided: Any, answer: Any, rule: Any, classes: Any, rules: Any) -> None:
    for w in range(VECTOR_WORDS):
        bits = fired[w] & undecided[w]
        undecided[w] &= ~bits
        while bits:
            s = 64 * w + find_lowest(bits)
            bits &= bits - np.uint64(1)
            classes[s] = answer
            rules[s] = rule


@njit(nogil=True, cache=True)
def _vote(
    fired: Any,
    n: Any,
    undecided: Any,
    outputs: Any,
    weights: Any,
    sums: Any,
    rule: Any,
    adds: Any,
    most: Any,
    most_rules: Any,
) -> None:
    """Add a rule's weights where it fires, and remember of each output the rule that adds most, the first of equals."""
    n_classes, n_columns = most.shape[1], len(adds)
    is_dense = 2 * len(outputs) > n_classes
    for v in range(len(outputs)):
        adds[outputs[v]] = weights[v]
    sums_address, adds_address = np.uint64(sums.ctypes.data), np.uint64(adds.ctypes.data)
    for w in range((n + 63) >> 6):
        bits = fired[w]
        if n - 64 * w < 64:
            bits &= (np.uint64(1) << np.uint64(n - 64 * w)) - np.uint64(1)
        undecided[w] &= ~bits
        while bits:
            s = 64 * w + find_lowest(bits)
            bits &= bits - np.uint64(1)
            if is_dense:
                row = sums_address + np.uint64(8 * s * n_columns)
                for c in range(0, n_columns, SUM_COLUMNS):
                    add_eight(row + np.uint64(8 * c), adds_address + np.uint64(8 * c))
            else:
                for v in range(len(outputs)):
                    sums[s, outputs[v]] += weights[v]
            if len(most):
                for c in range(n_classes):
                    if adds[c] > most[s, c]:
                        most[s, c] = adds[c]
                        most_rules[s, c] = rule
    for v in range(len(outputs)):
        adds[outputs[v]] = 0.0


@njit(nogil=True, cache=True)
def _count_rules(scratch: Any, literals: Any, offsets: Any, row_slots: Any, valid: Any, counts: Any) -> None:
    fired = np.empty(VECTOR_WORDS, np.uint64)
    for rule in range(len(counts)):
        fired[:] = valid
        for i in range(offsets[rule], offsets[rule + 1]):
            literal = np.int64(literals[i])
            slot = np.int64(row_slots[literal if literal >= 0 else ~literal])
            flip = ONES if (literal < 0) != (slot < 0) else np.uint64(0)
            place = (~slot if slot < 0 else slot) * VECTOR_WORDS
            for w in range(VECTOR_WORDS):
                fired[w] &= scratch[place + w] ^ flip
        n = 0
        for w in range(VECTOR_WORDS):
            n += count_ones(fired[w])
        counts[rule] += n
