"""Blocks of samples through the steps of a plan, in Numba: what `evaluate` spends its time in.

Named tuples are those of `block_state`, addresses are uint64, vectors are those of `simd_words`.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.block_state import (
    Codes,
    Instructions,
    Results,
    Votes,
    Workspace,
)
from eric_fast.kernels.cpu.borrow import borrow
from eric_fast.kernels.cpu.decide import decode_answers, decode_index, look_up
from eric_fast.kernels.cpu.lower import RUN_START, RUN_STOP
from eric_fast.kernels.cpu.run_steps import run_batch, run_nodes, run_units
from eric_fast.kernels.cpu.simd_words import (
    BLOCK_SAMPLES,
    ONES,
    VECTOR_BYTES,
    VECTOR_WORDS,
    both,
    count_ones,
    differ,
    fence,
    fill,
    invert,
    load,
    load_anywhere,
    mark_valid,
    prefetch,
    store,
    store_anywhere,
    store_past,
)
from eric_fast.kernels.cpu.vote import add_lone_rules, add_trees, finish_votes, start_votes
from eric_fast.kernels.liveness import FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES
from eric_fast.plan.jitted import is_negated, strip_negation
from eric_fast.plan.steps import INDEX, SECTION

CACHED_BYTES = 2**22  # of rows: where there are more, whoever reads them won't find them in a cache anyway


@cached_njit
def run_blocks(
    thread: int,
    first_block: int,
    last_block: int,
    n_samples: int,
    inputs: Any,
    scratch: Any,
    instructions: Any,
    kind: int,
    codes: Any,
    votes: Any,
    workspace: Any,
    results: Any,
) -> None:
    """Evaluate the blocks `first_block` to `last_block` of `n_samples` samples.

    Args:
        thread: the number of the thread, in `Results.counts` and `Results.confusion`.
        inputs: uint64 `[n_inputs, n_words]`, or `[0, n_words]` where they are in the scratch memory already.
        scratch: uint64 `[n_slots * VECTOR_WORDS]`, aligned.
        kind: what is decided: `NOTHING` or another of these.
        instructions, codes, votes, workspace, results: the fields of `Instructions`, `Codes` and so on as plain
            tuples: of 32 us for one sample of a short program, passing named ones from Python would take 10 more.
    """
    instructions, codes, votes = Instructions(*borrow(instructions)), Codes(*borrow(codes)), Votes(*borrow(votes))
    workspace, results = Workspace(*borrow(workspace)), Results(*borrow(results))
    inputs, scratch = borrow(inputs), borrow(scratch)
    sections = instructions.sections
    base_address, bits = np.uint64(scratch.ctypes.data), scratch.view(np.uint32)
    with_rules = kind == VOTE_RULES
    scratch[:VECTOR_WORDS] = np.uint64(0)
    scratch[VECTOR_WORDS : 2 * VECTOR_WORDS] = ONES
    for block in range(first_block, last_block):
        n = max(0, min(BLOCK_SAMPLES, n_samples - block * BLOCK_SAMPLES))
        _load_inputs(base_address, block, inputs, instructions.input_slots)
        if kind >= VOTE:
            start_votes(votes, workspace)
        for s in range(len(sections)):
            section = sections[s]
            first_index, last_index = section[SECTION.index_start], section[SECTION.index_stop]
            run_nodes(base_address, instructions.nodes, section[SECTION.node_start], section[SECTION.node_stop])
            for r in range(section[RUN_START], section[RUN_STOP]):
                run_units(base_address, instructions.adders, instructions.runs[r])
            for b in range(section[SECTION.batch_start], section[SECTION.batch_stop]):
                run_batch(base_address, instructions.terms, instructions.segments, instructions.batches[b])
            if kind >= VOTE:
                first_rule, last_rule = section[SECTION.rule_start], section[SECTION.rule_stop]
                add_trees(first_index, last_index, bits, codes, votes, workspace)
                add_lone_rules(first_rule, last_rule, n, scratch, with_rules, votes, workspace)
            if len(results.leaves):
                _write_leaves(block, n, first_index, last_index, bits, codes, workspace, results.leaves)
        if kind >= VOTE:
            finish_votes(n, scratch, bits, with_rules, codes, votes, workspace)
        elif kind == FIRST_ANSWERS:
            decode_answers(bits, codes.answers, workspace.classes)
        elif kind == FIRST_RULES:
            last = len(codes.indexes) - 1
            decode_index(bits, codes, last, workspace.codes, workspace.high_codes)
            look_up(workspace.codes, codes.classes, workspace.classes)
            if len(results.rules):
                first_code, last_code = codes.indexes[last, INDEX.code_start], codes.indexes[last, INDEX.code_stop]
                look_up(workspace.codes, codes.rules[first_code:last_code], workspace.rules)
        _write_decisions(thread, block, n, votes, workspace, results)
        mark_valid(workspace.bits, n)
        valid = load_anywhere(np.uint64(workspace.bits.ctypes.data))
        rows = results.rows
        target, past_caches = np.uint64(rows.ctypes.data + VECTOR_BYTES * block), 8 * rows.size > CACHED_BYTES
        _write_rows(
            base_address, results.wanted_rows, instructions.row_slots, valid, target, rows.shape[1], past_caches
        )
        if results.counts.shape[1]:
            _count_rules(base_address, instructions, valid, workspace.bits, results.counts[thread])
    fence()


@njit(inline="always")
def _load_inputs(base: np.uint64, block: int, inputs: Any, slots: Any) -> None:
    """Copy a block's words of the inputs that are read to their slots: int64 `[n_inputs]`."""
    address = np.uint64(inputs.ctypes.data)
    for i in range(len(inputs)):
        if slots[i] >= 0:
            source = address + np.uint64(8 * i * inputs.shape[1] + VECTOR_BYTES * block)
            prefetch(source + np.uint64(VECTOR_BYTES))  # what the next block reads is far from here
            prefetch(source + np.uint64(VECTOR_BYTES + 64))
            store(base + np.uint64(slots[i] * VECTOR_BYTES), load_anywhere(source))


@njit(inline="always")
def _write_leaves(
    block: int, n: int, first_tree: int, last_tree: int, bits: Any, codes: Codes, workspace: Workspace, leaves: Any
) -> None:
    """Write `leaves`, int32 `[n_samples, n_trees]`: which class rule of each tree fires on the block's `n` samples."""
    numbers, rules, sample = workspace.codes, codes.rules, block * BLOCK_SAMPLES
    for tree in range(first_tree, last_tree):
        decode_index(bits, codes, tree, numbers, workspace.high_codes)
        first_code = codes.indexes[tree, INDEX.code_start]
        for k in range(n):
            leaves[sample + k, tree] = rules[first_code + numbers[k]]


@njit(inline="always")
def _write_decisions(thread: int, block: int, n: int, votes: Votes, workspace: Workspace, results: Results) -> None:
    """Write what was decided for the block's `n` samples, where it is wanted."""
    sample, classes, sums, truths = block * BLOCK_SAMPLES, workspace.classes, workspace.sums, results.truths
    n_classes, confusion, narrow_classes = len(votes.base), results.confusion[thread], results.narrow_classes
    if len(results.classes):
        results.classes[sample : sample + n] = classes[:n]
    if len(narrow_classes):
        for k in range(n):
            narrow_classes[sample + k] = classes[k]
    if len(results.rules):
        results.rules[sample : sample + n] = workspace.rules[:n]
    if len(results.scores) and sums.size:
        results.scores[sample : sample + n] = sums[:n, :n_classes] if votes.by_sample else sums[:n_classes, :n].T
    for t in range(len(truths)):
        for k in range(n):
            truth, answer = truths[t, sample + k], classes[k]
            if truth >= 0:
                confusion[t, truth, answer if answer >= 0 else n_classes] += 1


@cached_njit
def _write_rows(
    base: np.uint64, wanted_rows: Any, row_slots: Any, valid: Any, target: np.uint64, n_words: int, past_caches: bool
) -> None:
    """Write the block's words of `wanted_rows`, int64 `[n_wanted]`, `n_words` words apart.

    Args:
        base, target: addresses of the scratch memory, and of the block in the first wanted row.
        row_slots: `Instructions.row_slots`.
        valid: a vector: the samples that there are.
        past_caches: whether to write past the caches.
    """
    step = np.uint64(8 * n_words)
    if past_caches:  # a loop of its own: two stores to one place that differ in this alone are made one
        for row in wanted_rows:
            store_past(target, _find_row(base, row_slots[row], valid))
            target += step
    else:
        for row in wanted_rows:
            store(target, _find_row(base, row_slots[row], valid))
            target += step


@cached_njit
def _find_row(base: np.uint64, slot: int, valid: Any) -> Any:
    """The row at a slot of `Instructions.row_slots`, false where there is no sample; `valid` says where: a vector."""
    row = load(base + np.uint64(strip_negation(slot) * VECTOR_BYTES))
    return both(invert(row) if is_negated(slot) else row, valid)


@cached_njit
def _count_rules(base: np.uint64, instructions: Instructions, valid: Any, words: Any, counts: Any) -> None:
    """Add to `counts`, int64 `[n_rules]`, on how many samples of `valid`, a vector, each rule fires.

    words: uint64 `[VECTOR_WORDS]`, to work in.
    """
    literals, offsets, row_slots = instructions.literals, instructions.offsets, instructions.row_slots
    address = np.uint64(words.ctypes.data)
    for rule in range(len(counts)):
        fired = valid
        for i in range(offsets[rule], offsets[rule + 1]):
            literal = np.int64(literals[i])
            slot = row_slots[strip_negation(literal)]
            flip = ONES if is_negated(literal) != is_negated(slot) else np.uint64(0)
            row = load(base + np.uint64(strip_negation(slot) * VECTOR_BYTES))
            fired = both(fired, differ(row, fill(flip)))
        store_anywhere(address, fired)
        n = 0
        for w in range(VECTOR_WORDS):
            n += count_ones(words[w])
        counts[rule] += n
