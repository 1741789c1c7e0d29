"""Blocks of words through the steps of a plan, in Numba: what `cpu.evaluate` spends its time in."""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.cpu.decide import BLOCK_SAMPLES, decode, decode_answers, look_up
from eric_fast.kernels.cpu.simd_words import (
    VECTOR_BYTES,
    VECTOR_WORDS,
    both,
    count_ones,
    differ,
    either,
    fence,
    fill,
    invert,
    load,
    load_anywhere,
    prefetch,
    select,
    store,
    store_anywhere,
    store_past,
)
from eric_fast.kernels.cpu.vote import add_votes, finish_votes, start_votes

CACHED_BYTES = 2**22  # of rows: where there are more, who reads them won't find them in a cache anyway
ONES, LOW_HALF = np.uint64(0xFFFFFFFFFFFFFFFF), np.uint64(0xFFFFFFFF)
NOTHING, FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES = range(5)  # what is decided


@njit(nogil=True, cache=True)
def run_blocks(
    first_block: Any, last_block: Any, inputs: Any, scratch: Any, code: Any, decision: Any, memory: Any, out: Any
) -> Any:
    """Evaluate samples `first_block * 1024` on.

    inputs: uint64 `[n_inputs, n_words]`; scratch: uint64 `[n_slots * VECTOR_WORDS]`, aligned.
    code, out: see `cpu.evaluate`; of `code`, nodes and terms are pairs of places (uint64 `[n_nodes, 2]`, `[n_pairs]`):
    a load gives two, and loads are what this waits for; of `out`, rows are aligned, and arrays have no length where
    nothing is wanted.
    decision: what is decided, and its parts, see `cpu_vote`. memory: see `cpu._allocate_memory`.
    """
    nodes, terms, segments, batches, sections, input_slots, row_slots, counted = code
    kind, numbers, rule_parts, votes = decision
    indexes, tree_codes, places, answers, class_of_code = numbers
    classes, narrow_classes, rules, scores, leaves, wanted_rows, rows, counts, truths, confusion, n_samples = out
    undecided, _, codes, part, block_classes, block_rules, sums = memory[:7]
    base_address, input_address = np.uint64(scratch.ctypes.data), np.uint64(inputs.ctypes.data)
    row_address, past_caches = np.uint64(rows.ctypes.data), 8 * rows.size > CACHED_BYTES
    bits = scratch.view(np.uint32)
    n_classes = len(votes[0])
    scratch[:VECTOR_WORDS] = np.uint64(0)
    scratch[VECTOR_WORDS : 2 * VECTOR_WORDS] = ONES
    for block in range(first_block, last_block):
        word, sample = block * VECTOR_WORDS, block * BLOCK_SAMPLES
        n = max(0, min(BLOCK_SAMPLES, n_samples - sample))
        for i in range(len(inputs)):
            if input_slots[i] >= 0:
                source = input_address + np.uint64(8 * (i * inputs.shape[1] + word))
                prefetch(source + np.uint64(VECTOR_BYTES))  # what the next block reads is far from here
                prefetch(source + np.uint64(VECTOR_BYTES + 64))
                store(base_address + np.uint64(input_slots[i] * VECTOR_BYTES), load_anywhere(source))
        if kind >= VOTE:
            start_votes(votes, memory)
        for s in range(len(sections)):
            _run_nodes(base_address, nodes, sections[s, 0], sections[s, 1])
            for b in range(sections[s, 2], sections[s, 3]):
                _run_batch(base_address, terms, segments, batches[b])
            if kind >= VOTE:
                add_votes(sections[s], n, scratch, bits, kind == VOTE_RULES, numbers, rule_parts, votes, memory)
            if len(leaves):
                for tree in range(sections[s, 6], sections[s, 7]):
                    decode(bits, places[indexes[tree, 0] : indexes[tree, 1]], codes, part)
                    table = tree_codes[indexes[tree, 2] : indexes[tree, 3]]
                    for k in range(n):
                        leaves[sample + k, tree] = table[codes[k]]
        if kind >= VOTE:
            finish_votes(n, scratch, bits, kind == VOTE_RULES, numbers, rule_parts, votes, memory)
        elif kind == FIRST_ANSWERS:
            decode_answers(bits, answers, block_classes)
        elif kind == FIRST_RULES:
            first_plane, last_plane, first_code, last_code = indexes[len(indexes) - 1, :4]
            decode(bits, places[first_plane:last_plane], codes, part)
            look_up(codes, class_of_code, block_classes)
            if len(rules):
                look_up(codes, tree_codes[first_code:last_code], block_rules)
        if len(classes):
            classes[sample : sample + n] = block_classes[:n]
        if len(narrow_classes):
            for k in range(n):
                narrow_classes[sample + k] = block_classes[k]
        if len(rules):
            rules[sample : sample + n] = block_rules[:n]
        if len(scores) and kind >= VOTE:
            scores[sample : sample + n] = sums[:n, :n_classes] if votes[4] else sums[:n_classes, :n].T
        for t in range(len(truths)):
            for k in range(n):
                truth, answer = truths[t, sample + k], block_classes[k]
                if truth >= 0:
                    confusion[t, truth, answer if answer >= 0 else n_classes] += 1
        _mark_valid(undecided, n)
        valid = load_anywhere(np.uint64(undecided.ctypes.data))
        _write_rows(
            base_address, wanted_rows, row_slots, valid, row_address + np.uint64(8 * word), rows.shape[1], past_caches
        )
        if len(counts):
            _count_rules(base_address, counted[0], counted[1], row_slots, valid, undecided, counts)
    fence()


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
        ends, sides = nodes[i, 0], nodes[i, 1]
        high, low = load(base + (sides & LOW_HALF)), load(base + (sides >> np.uint64(32)))
        store(base + (ends & LOW_HALF), select(load(base + (ends >> np.uint64(32))), high, low))


@njit(nogil=True, cache=True)
def _run_batch(base: Any, terms: Any, segments: Any, batch: Any) -> None:
    """target = source | OR of ANDs of pairs; all of them have as many."""
    one, two = np.uint64(1), np.uint64(2)  # unsigned indices can't mean "from the end"
    width, place = np.uint64(batch[0] // 2), np.uint64(batch[3] // 2)
    for g in range(batch[1], batch[2]):
        fired = load(base + np.uint64(segments[g, 2]))
        for _ in range(segments[g, 1]):
            term = _load_pair(base, terms[place])
            if width > one:
                term = both(term, _load_pair(base, terms[place + one]))
            if width > two:
                term = both(term, _load_pair(base, terms[place + two]))
            for k in range(np.uint64(3), width):
                term = both(term, _load_pair(base, terms[place + k]))
            place += width
            fired = either(fired, term)
        store(base + np.uint64(segments[g, 0]), fired)


@njit(nogil=True, cache=True)
def _load_pair(base: Any, places: Any) -> Any:
    """Where the first is true and the second is false."""
    return both(load(base + (places & LOW_HALF)), invert(load(base + (places >> np.uint64(32)))))


@njit(nogil=True, cache=True)
def _write_rows(
    base: Any, wanted_rows: Any, row_slots: Any, valid: Any, target: Any, n_words: Any, past_caches: Any
) -> None:
    """The block's words of each wanted row to `target` on, the rows `n_words` words apart."""
    step = np.uint64(8 * n_words)
    if past_caches:  # a loop of its own: two stores to one place that differ in this alone are made one
        for row in wanted_rows:
            store_past(target, _find_row(base, row_slots[row], valid))
            target += step
    else:
        for row in wanted_rows:
            store(target, _find_row(base, row_slots[row], valid))
            target += step


@njit(nogil=True, cache=True)
def _find_row(base: Any, slot: Any, valid: Any) -> Any:
    """A row at a slot, or the negation of what is at `~slot`; false where there is no sample."""
    row = load(base + np.uint64((~slot if slot < 0 else slot) * VECTOR_BYTES))
    return both(invert(row) if slot < 0 else row, valid)


@njit(nogil=True, cache=True)
def _count_rules(base: Any, literals: Any, offsets: Any, row_slots: Any, valid: Any, words: Any, counts: Any) -> None:
    """Add on how many samples of `valid` each rule fires; words: uint64 `[VECTOR_WORDS]`, to work in."""
    address = np.uint64(words.ctypes.data)
    for rule in range(len(counts)):
        fired = valid
        for i in range(offsets[rule], offsets[rule + 1]):
            literal = np.int64(literals[i])
            slot = row_slots[literal if literal >= 0 else ~literal]
            flip = ONES if (literal < 0) != (slot < 0) else np.uint64(0)
            row = load(base + np.uint64((~slot if slot < 0 else slot) * VECTOR_BYTES))
            fired = both(fired, differ(row, fill(flip)))
        store_anywhere(address, fired)
        n = 0
        for w in range(VECTOR_WORDS):
            n += count_ones(words[w])
        counts[rule] += n
