"""The decision `vote` on one block, in Numba: trees, counts and single rules add to sums, the highest sum wins.

numbers: indexes and codes as in `Steps`; where the planes' words start in the scratch memory, in words of 32 bits.
rule_parts: bool `[n_class_rules]`, which rules add by themselves; int64, their slots; the default class; counters as in
`Steps` and their units; the slot of `Steps.covered`. votes: base; offsets, classes and weights of votes as in `Plan`;
then what `DecisionTables` holds, from `by_sample` on. memory: see `cpu._allocate_memory`.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.cpu.decide import (
    BLOCK_SAMPLES,
    GROUP_TREES,
    add_fired,
    add_row_fired,
    add_rows,
    add_table,
    decode,
    find_highest,
    remember_rule,
)
from eric_fast.kernels.cpu.simd_words import VECTOR_WORDS, find_lowest


@njit(nogil=True, cache=True)
def start_votes(votes: Any, memory: Any) -> None:
    base, by_sample = votes[0], votes[4]
    undecided, sums, most = memory[0], memory[6], memory[7]
    undecided[:] = ~np.uint64(0)
    if by_sample:
        sums[:] = 0.0
        for s in range(BLOCK_SAMPLES):
            sums[s, : len(base)] = base
    else:
        for c in range(len(base)):
            sums[c] = base[c]
    most[:] = -np.inf


@njit(nogil=True, cache=True)
def add_votes(
    section: Any,
    n: Any,
    scratch: Any,
    bits: Any,
    with_rules: Any,
    numbers: Any,
    rule_parts: Any,
    votes: Any,
    memory: Any,
) -> None:
    """What the trees and the single rules of a section add."""
    indexes, _, places = numbers[:3]
    by_sample, _, weights, adds, add_starts = votes[4:]
    group, codes, part, sums = memory[1], memory[2], memory[3], memory[6]
    for first in range(section[6], section[7], GROUP_TREES):
        last = min(section[7], first + GROUP_TREES)
        if by_sample:
            for tree in range(first, last):
                decode(bits, places[indexes[tree, 0] : indexes[tree, 1]], group[tree - first], part)
            add_rows(group, weights, indexes[first:last, 2], sums)
            continue
        for tree in range(first, last):
            if add_starts[tree] < add_starts[tree + 1]:
                decode(bits, places[indexes[tree, 0] : indexes[tree, 1]], codes, part)
            for a in range(add_starts[tree], add_starts[tree + 1]):
                start = adds[a, 1]
                table = weights[start : start + indexes[tree, 3] - indexes[tree, 2], 0]
                add_table(codes, table, sums[adds[a, 0]])
    alone, slots = rule_parts[:2]
    for rule in range(section[4], section[5]):
        if alone[rule]:
            fired = scratch[slots[rule] * VECTOR_WORDS :][:VECTOR_WORDS]
            _add_rule(rule, fired, n, with_rules, votes, memory)


@njit(nogil=True, cache=True)
def _add_rule(rule: Any, fired: Any, n: Any, with_rules: Any, votes: Any, memory: Any) -> None:
    """What one rule adds where it fired: uint64 `[VECTOR_WORDS]`."""
    _, vote_offsets, vote_classes, vote_weights, by_sample = votes[:5]
    undecided, sums, most, most_rules, row = memory[0], memory[6], memory[7], memory[8], memory[9]
    for w in range(VECTOR_WORDS):
        undecided[w] &= ~fired[w]
    if by_sample or with_rules:
        for v in range(vote_offsets[rule], vote_offsets[rule + 1]):
            row[vote_classes[v]] = vote_weights[v]
    if by_sample:
        add_row_fired(fired, n, row, sums)
    else:
        for v in range(vote_offsets[rule], vote_offsets[rule + 1]):
            add_fired(fired, vote_weights[v], sums[vote_classes[v]])
    if with_rules:
        remember_rule(fired, n, rule, row, most, most_rules)
    if by_sample or with_rules:
        for v in range(vote_offsets[rule], vote_offsets[rule + 1]):
            row[vote_classes[v]] = 0.0


@njit(nogil=True, cache=True)
def finish_votes(
    n: Any, scratch: Any, bits: Any, with_rules: Any, numbers: Any, rule_parts: Any, votes: Any, memory: Any
) -> None:
    """Add the counts; then the class of each sample, and the rule that decided."""
    default, counters, units, covered = rule_parts[2:]
    by_sample = votes[4]
    undecided, _, codes, part, classes, rules, sums, most, most_rules, _, best = memory
    if not with_rules:
        for c in range(len(counters)):
            decode(bits, numbers[2][counters[c, 1] : counters[c, 2]], codes, part)
            output, offset = counters[c, 0], counters[c, 3]
            for s in range(BLOCK_SAMPLES):
                added = units[c] * (np.int64(codes[s]) + offset)
                if by_sample:
                    sums[s, output] += added
                else:
                    sums[output, s] += added
    find_highest(sums, by_sample, len(votes[0]), best, classes)
    if with_rules:
        for s in range(n):
            best[s] = most[s, classes[s]]
            rules[s] = most_rules[s, classes[s]] if best[s] > -np.inf else -1
        _find_rules(bits, numbers, votes, memory)
    for w in range(VECTOR_WORDS):
        rest = undecided[w] & ~scratch[covered * VECTOR_WORDS + w]
        while rest:
            s = 64 * w + find_lowest(rest)
            rest &= rest - np.uint64(1)
            classes[s] = default
            rules[s] = -1


@njit(nogil=True, cache=True)
def _find_rules(bits: Any, numbers: Any, votes: Any, memory: Any) -> None:
    """Which rule of a tree adds more to the class that won than those that add by themselves: the first of equals."""
    indexes, tree_codes, places = numbers[:3]
    by_sample, _, weights, adds, add_starts = votes[4:]
    _, _, codes, part, classes, rules, _, _, _, row, best = memory
    starts = np.empty(len(row), np.int64)  # of an output: where the tree's table for it starts, or -1
    for tree in range(len(indexes)):
        decode(bits, places[indexes[tree, 0] : indexes[tree, 1]], codes, part)
        table = tree_codes[indexes[tree, 2] : indexes[tree, 3]]
        starts[:] = -1
        if not by_sample:
            for a in range(add_starts[tree], add_starts[tree + 1]):
                starts[adds[a, 0]] = adds[a, 1]
        for s in range(BLOCK_SAMPLES):
            rule, code, added = table[codes[s]], codes[s], 0.0
            if by_sample:
                added = weights[indexes[tree, 2] + code, classes[s]]
            elif starts[classes[s]] >= 0:
                added = weights[starts[classes[s]] + code, 0]
            if rule >= 0 and (rules[s] < 0 or added > best[s] or (added == best[s] and rule < rules[s])):
                best[s], rules[s] = added, rule
