"""The decision `vote` on one block, in Numba: trees, counters and lone rules add to sums, the highest sum wins.

Arguments are named tuples of `block_state`; see there for dtypes and shapes. `bits` is the scratch memory as uint32.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.block_state import GROUP_TREES, Codes, Votes, Workspace
from eric_fast.kernels.cpu.decide import (
    add_fired,
    add_row_fired,
    add_rows,
    add_table,
    decode,
    decode_index,
    find_highest,
    remember_rule,
)
from eric_fast.kernels.cpu.simd_words import BLOCK_SAMPLES, VECTOR_WORDS, find_lowest
from eric_fast.kernels.decision_tables import ADD_OUTPUT, ADD_TABLE_START
from eric_fast.plan.steps import COUNTER, INDEX


@njit(inline="always")
def start_votes(votes: Votes, workspace: Workspace) -> None:
    """Set every sum to its base."""
    base, sums = votes.base, workspace.sums
    workspace.bits[:] = ~np.uint64(0)
    if votes.by_sample:
        sums[:] = 0.0
        for s in range(BLOCK_SAMPLES):
            sums[s, : len(base)] = base
    else:
        for c in range(len(base)):
            sums[c] = base[c]
    workspace.rules[:] = -1


@njit(inline="always")
def add_trees(first: int, last: int, bits: Any, codes: Codes, votes: Votes, workspace: Workspace) -> None:
    """Add what the trees of the indexes `first` to `last` vote for."""
    indexes = codes.indexes
    for first_tree in range(first, last, GROUP_TREES):
        last_tree = min(last, first_tree + GROUP_TREES)
        if votes.by_sample:
            for tree in range(first_tree, last_tree):
                decode_index(bits, codes, tree, workspace.tree_codes[tree - first_tree], workspace.high_codes)
            add_rows(
                workspace.tree_codes,
                votes.table_weights,
                indexes[first_tree:last_tree, INDEX.code_start],
                workspace.sums,
            )
            continue
        for tree in range(first_tree, last_tree):
            if votes.add_starts[tree] < votes.add_starts[tree + 1]:
                decode_index(bits, codes, tree, workspace.codes, workspace.high_codes)
            n_codes = indexes[tree, INDEX.code_stop] - indexes[tree, INDEX.code_start]
            for a in range(votes.add_starts[tree], votes.add_starts[tree + 1]):
                start = votes.adds[a, ADD_TABLE_START]
                table = votes.table_weights[start : start + n_codes, 0]
                add_table(workspace.codes, table, workspace.sums[votes.adds[a, ADD_OUTPUT]])


@njit(inline="always")
def add_lone_rules(
    first: int, last: int, n: int, scratch: Any, with_rules: bool, votes: Votes, workspace: Workspace
) -> None:
    """Add what those of the class rules `first` to `last` vote for that do so by themselves.

    Args:
        n: samples of the block.
        scratch: uint64, the scratch memory.
        with_rules: whether to remember which rule added most to each output.
    """
    for rule in range(first, last):
        if votes.is_lone[rule]:
            fired = scratch[votes.rule_slots[rule] * VECTOR_WORDS :][:VECTOR_WORDS]
            _add_rule(rule, fired, n, with_rules, votes, workspace)


@cached_njit
def _add_rule(rule: int, fired: Any, n: int, with_rules: bool, votes: Votes, workspace: Workspace) -> None:
    """Add what one rule votes for where it fired: uint64 `[VECTOR_WORDS]`."""
    undecided, row, by_sample = workspace.bits, workspace.vote_row, votes.by_sample
    classes, weights = votes.classes, votes.weights
    first, last = votes.offsets[rule], votes.offsets[rule + 1]
    for w in range(VECTOR_WORDS):
        undecided[w] &= ~fired[w]
    if by_sample or with_rules:
        for v in range(first, last):
            row[classes[v]] = weights[v]
    if by_sample:
        add_row_fired(fired, n, row, workspace.sums)
    else:
        for v in range(first, last):
            add_fired(fired, weights[v], workspace.sums[classes[v]])
    if with_rules:
        firsts, most, most_rules = workspace.rules, workspace.most, workspace.most_rules
        remember_rule(fired, n, rule, row, votes.offsets, classes, firsts, most, most_rules)
    if by_sample or with_rules:
        for v in range(first, last):
            row[classes[v]] = 0.0


@cached_njit
def finish_votes(
    n: int, scratch: Any, bits: Any, with_rules: bool, codes: Codes, votes: Votes, workspace: Workspace
) -> None:
    """Find the class of each of the block's `n` samples, and the rule that decided where rules are wanted.

    Counters are added here where rules aren't wanted: else their rules were added one by one.
    """
    classes, rules, best = workspace.classes, workspace.rules, workspace.best
    most, most_rules = workspace.most, workspace.most_rules
    if not with_rules:
        _add_counters(bits, codes, votes, workspace)
    find_highest(workspace.sums, votes.by_sample, len(votes.base), best, classes)
    if with_rules:
        for s in range(n):
            best[s] = -np.inf
            if rules[s] >= 0:  # some rule fired
                best[s], rules[s] = most[s, classes[s]], most_rules[s, classes[s]]
        _find_rules(bits, codes, votes, workspace)
    for w in range(VECTOR_WORDS):
        rest = workspace.bits[w] & ~scratch[votes.covered * VECTOR_WORDS + w]
        while rest:
            s = 64 * w + find_lowest(rest)
            rest &= rest - np.uint64(1)
            classes[s] = votes.default
            rules[s] = -1


@njit(inline="always")
def _add_counters(bits: Any, codes: Codes, votes: Votes, workspace: Workspace) -> None:
    counters, by_sample, sums, numbers = votes.counters, votes.by_sample, workspace.sums, workspace.codes
    for c in range(len(counters)):
        planes = codes.planes[counters[c, COUNTER.plane_start] : counters[c, COUNTER.plane_stop]]
        decode(bits, planes, numbers, workspace.high_codes)
        output, offset, unit = counters[c, COUNTER.output], counters[c, COUNTER.offset], votes.units[c]
        for s in range(BLOCK_SAMPLES):
            added = unit * (np.int64(numbers[s]) + offset)
            if by_sample:
                sums[s, output] += added
            else:
                sums[output, s] += added


@cached_njit
def _find_rules(bits: Any, codes: Codes, votes: Votes, workspace: Workspace) -> None:
    """Where a rule of a tree adds more to the class that won than `best`, take it; the first of equals."""
    by_sample, weights, adds, add_starts = votes.by_sample, votes.table_weights, votes.adds, votes.add_starts
    classes, rules, best, numbers = workspace.classes, workspace.rules, workspace.best, workspace.codes
    rule_of_code = codes.rules
    starts = np.empty(len(workspace.vote_row), np.int64)  # where the tree's table for an output starts, or -1
    starts[:] = -1
    for tree in range(len(codes.indexes)):
        decode_index(bits, codes, tree, numbers, workspace.high_codes)
        first_code = codes.indexes[tree, INDEX.code_start]
        first_add, last_add = (0, 0) if by_sample else (add_starts[tree], add_starts[tree + 1])
        for a in range(first_add, last_add):
            starts[adds[a, ADD_OUTPUT]] = adds[a, ADD_TABLE_START]
        for s in range(BLOCK_SAMPLES):
            code = numbers[s]
            rule, added = rule_of_code[first_code + code], 0.0
            if by_sample:
                added = weights[first_code + code, classes[s]]
            elif starts[classes[s]] >= 0:
                added = weights[starts[classes[s]] + code, 0]
            if rule >= 0 and (rules[s] < 0 or added > best[s] or (added == best[s] and rule < rules[s])):
                best[s], rules[s] = added, rule
        for a in range(first_add, last_add):
            starts[adds[a, ADD_OUTPUT]] = -1
