"""Blocks of words through the lines of a plan, in Triton: where the GPU's `evaluate` spends its time.

A block has 32 warps and, at a time, a group of `BLOCK` words: a row of its scratch memory is one of 128 bytes, and the
rows stay in the multiprocessor's own cache. Its workers are the rows of a tile `[WORKERS, BLOCK]`, eight threads to a
worker: loads and stores of a tile are 128 bits wide, and a thread reads back the words that it wrote.
Nothing is masked along words, rows being padded to whole groups; addresses are 64-bit.
"""

import triton
import triton.language as tl

from eric_fast.kernels.gpu import lines
from eric_fast.kernels.gpu.decide import (
    BITS,
    FIRST_ANSWERS,
    FIRST_RULES,
    VOTE,
    VOTE_RULES,
    add_counts,
    add_trees,
    add_votes,
    decode,
    decode_answers,
    find_code,
    find_deciding_rules,
    find_highest,
    load_range,
)
from eric_fast.kernels.gpu.words import count_ones

# The format of lines and phases, for Triton.
SELECT, OTHER = tl.constexpr(lines.SELECT), tl.constexpr(lines.OTHER)
SECOND, THIRD = tl.constexpr(lines.SECOND), tl.constexpr(lines.THIRD)
ACC_START, TARGET = tl.constexpr(lines.ACC_START), tl.constexpr(lines.TARGET)
FIELDS = tl.constexpr(lines.FIELDS)
PHASE_WIDTH = tl.constexpr(2 * lines.N_COLUMNS)
NODES = tl.constexpr(2 * lines.NODES)
ADDERS = tl.constexpr(2 * lines.ADDERS)
TERMS_BY_2 = tl.constexpr(2 * lines.TERMS_BY_2)
TERMS_BY_4 = tl.constexpr(2 * lines.TERMS_BY_4)
TERMS_BY_6 = tl.constexpr(2 * lines.TERMS_BY_6)
RULES = tl.constexpr(2 * lines.RULES)
INDEXES = tl.constexpr(2 * lines.INDEXES)
WANTED_SLOT, WANTED_PLACE = tl.constexpr(lines.WANTED_SLOT), tl.constexpr(lines.WANTED_PLACE)


@triton.jit
def _load_line(p_lines, line, WORKERS: tl.constexpr, WIDE: tl.constexpr):
    """A line as it lies in memory: int64 [WORKERS] twice, the same where fields take 16 bits.

    p_lines: int64 [n_lines, WORKERS], wide [n_lines, 2, WORKERS].
    """
    p_line = p_lines + line * tl.full([], 2 * WORKERS if WIDE else WORKERS, tl.int64) + tl.arange(0, WORKERS)
    b_low = tl.load(p_line)
    b_high = b_low
    if WIDE:
        b_high = tl.load(p_line + WORKERS)
    return b_low, b_high


@triton.jit
def _read_field(b_low, b_high, i: tl.constexpr, WIDE: tl.constexpr):
    """Field `i` of a line: the row and, as all ones or zeros, the flag; int32 [WORKERS] each."""
    if WIDE:
        b_field = ((b_low if i < 2 else b_high) >> (32 * (i % 2))).to(tl.int32)
        return b_field & 0x7FFFFFFF, b_field >> 31
    b_field = (b_low >> (16 * i)).to(tl.int32)
    return b_field & 0x7FFF, (b_field << 16) >> 31


@triton.jit
def _point_to(p_rows, b_rows, BLOCK: tl.constexpr):
    """Pointers [WORKERS, BLOCK] to the rows b_rows, int32 [WORKERS], of p_rows, int32 [n_slots, BLOCK]."""
    return (p_rows + tl.arange(0, BLOCK))[None, :] + b_rows[:, None].to(tl.uint32, bitcast=True).to(tl.int64) * BLOCK


@triton.jit
def _run_nodes(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """Run lines of nodes. p_rows: int32 [n_slots, BLOCK]; p_lines: see `_load_line`."""
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_low, b_high = _load_line(p_lines, first, WORKERS, WIDE)
    for line in range(first, last):
        b_select, b_is_low = _read_field(b_low, b_high, SELECT, WIDE)
        b_other, _ = _read_field(b_low, b_high, OTHER, WIDE)
        b_start, b_starts = _read_field(b_low, b_high, ACC_START, WIDE)
        b_target, b_stores = _read_field(b_low, b_high, TARGET, WIDE)
        b_low, b_high = _load_line(p_lines, line + 1, WORKERS, WIDE)  # ahead of the store, which nothing passes
        b_acc = tl.load(_point_to(p_rows, b_start, BLOCK), mask=b_starts[:, None] != 0, other=b_acc)
        b_bits = tl.load(_point_to(p_rows, b_select, BLOCK)) ^ b_is_low[:, None]
        b_acc = (b_bits & b_acc) | (~b_bits & tl.load(_point_to(p_rows, b_other, BLOCK)))
        tl.store(_point_to(p_rows, b_target, BLOCK), b_acc, mask=b_stores[:, None] != 0)


@triton.jit
def _run_adders(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr):
    """Run lines of full adders. p_rows: int32 [n_slots, BLOCK]; p_lines: see `_load_line`."""
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_low, b_high = _load_line(p_lines, first, WORKERS, WIDE)
    for line in range(first, last):
        b_second, b_stores_sum = _read_field(b_low, b_high, SECOND, WIDE)
        b_third, _ = _read_field(b_low, b_high, THIRD, WIDE)
        b_start, b_starts = _read_field(b_low, b_high, ACC_START, WIDE)
        b_target, b_stores = _read_field(b_low, b_high, TARGET, WIDE)
        b_low, b_high = _load_line(p_lines, line + 1, WORKERS, WIDE)  # ahead of the store, which nothing passes
        b_acc = tl.load(_point_to(p_rows, b_start, BLOCK), mask=b_starts[:, None] != 0, other=b_acc)
        b_left = tl.load(_point_to(p_rows, b_second, BLOCK))
        b_right = tl.load(_point_to(p_rows, b_third, BLOCK))
        b_carry = (b_acc & b_left) | (b_right & (b_acc | b_left))
        b_acc = b_acc ^ b_left ^ b_right
        b_result = (b_stores_sum[:, None] & b_acc) | (~b_stores_sum[:, None] & b_carry)
        tl.store(_point_to(p_rows, b_target, BLOCK), b_result, mask=b_stores[:, None] != 0)


@triton.jit
def _run_terms(
    p_rows, p_lines, first, last, WIDTH: tl.constexpr, WORKERS: tl.constexpr, BLOCK: tl.constexpr, WIDE: tl.constexpr
):
    """Run lines of terms, `WIDTH` values a step. p_rows: int32 [n_slots, BLOCK]; p_lines: see `_load_line`."""
    n_lines: tl.constexpr = 1 if WIDTH == 2 else 2
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_term = tl.full([WORKERS, BLOCK], -1, tl.int32)
    b_low, b_high = _load_line(p_lines, first, WORKERS, WIDE)
    b_low2, b_high2 = b_low, b_high
    if n_lines == 2:
        b_low2, b_high2 = _load_line(p_lines, first + 1, WORKERS, WIDE)
    # Two lines a turn: 43 instructions a pair where one takes 46
    for line in tl.range(first, last, n_lines, loop_unroll_factor=2 if WIDTH == 2 else 1):
        b_row, b_ends = _read_field(b_low, b_high, 0, WIDE)
        b_term &= tl.load(_point_to(p_rows, b_row, BLOCK))
        for i in tl.static_range(1, WIDTH):
            if i < FIELDS:
                b_row, _ = _read_field(b_low, b_high, i, WIDE)
            else:
                b_row, _ = _read_field(b_low2, b_high2, i - FIELDS, WIDE)
            if i % 2:  # the second of a pair is to be false
                b_term &= ~tl.load(_point_to(p_rows, b_row, BLOCK))
            else:
                b_term &= tl.load(_point_to(p_rows, b_row, BLOCK))
        b_target, b_stores = _read_field(b_low2, b_high2, TARGET, WIDE)
        b_low, b_high = _load_line(p_lines, line + n_lines, WORKERS, WIDE)
        b_low2, b_high2 = b_low, b_high
        if n_lines == 2:
            b_low2, b_high2 = _load_line(p_lines, line + 3, WORKERS, WIDE)
        b_acc |= b_term & b_ends[:, None]
        b_term |= b_ends[:, None]
        tl.store(_point_to(p_rows, b_target, BLOCK), b_acc, mask=b_stores[:, None] != 0)
        b_acc &= ~b_stores[:, None]


@triton.jit(do_not_specialize=[
    "first_group", "last_group", "n_groups", "n_slots", "n_inputs", "n_classes", "n_samples", "n_scores", "n_counted",
    "n_indexes", "n_leaves", "n_answers", "n_counters", "n_columns", "n_sums", "n_covered", "covered", "default",
])  # fmt: skip
def evaluate_kernel(
    p_words,
    p_lines, p_phases, p_part_phases, p_input_slots, p_fire_slots, p_class_of_code, p_indexes, p_plane_slots, p_codes,
    p_answer_slots, p_counters, p_units, p_base,
    p_count_lines, p_count_starts, p_count_rules,
    p_tree_weights, p_vote_starts, p_vote_rules, p_vote_weights, p_add_starts, p_adds, p_tree_starts, p_first_groups,
    p_scratch, p_sums, p_most, p_most_rules, p_numbers,
    p_wanted, p_wanted_starts,
    p_classes, p_rules, p_scores, p_truth, p_counts, p_leaves,
    first_group, last_group, n_groups, n_slots, n_inputs, n_classes, n_samples, n_scores, n_counted,
    n_indexes, n_leaves, n_answers, n_counters, n_columns, n_sums, n_covered, covered, default,
    WORKERS: tl.constexpr, BLOCK: tl.constexpr, WITH_ADDERS: tl.constexpr, WIDE: tl.constexpr, DECISION: tl.constexpr,
    BY_SAMPLE: tl.constexpr, GROUP_TREES: tl.constexpr,
):  # fmt: skip
    """Run a whole program over the groups of words `first_group:last_group`.

    After p_words come the fields of named groups, one group below the other, which say what each argument is:
    `lower.RuleTables`, `lower.CountTables`, `VoteTables`, `evaluate.Scratch`, `lower.Wanted`, `evaluate.Outputs`,
    `evaluate.Sizes`. BLOCK is `ROW_WORDS`, BLOCK * BITS `GROUP_SAMPLES`.

    p_words: int32 [n_inputs, n_groups, BLOCK].
    """
    i_part = tl.program_id(1).to(tl.int64)
    i_program = i_part * tl.num_programs(0) + tl.program_id(0)
    i_workers, i_words = tl.arange(0, WORKERS), tl.arange(0, BLOCK)
    o_samples = i_words[:, None] * BITS + tl.arange(0, BITS)[None, :]  # [BLOCK, BITS]
    p_rows = p_scratch + i_program * n_slots * BLOCK
    p_input_slots += i_part * n_inputs
    first_phase, last_phase = load_range(p_part_phases, i_part)
    first_wanted, last_wanted = load_range(p_wanted_starts, i_part)
    p_sums += i_program * n_sums * (BLOCK * BITS)
    p_most += i_program * n_classes * (BLOCK * BITS)
    p_most_rules += i_program * n_classes * (BLOCK * BITS)
    p_numbers += i_program * (GROUP_TREES * BLOCK * BITS)
    tl.store(p_rows + i_words, tl.zeros([BLOCK], tl.int32))
    tl.store(p_rows + BLOCK + i_words, tl.full([BLOCK], -1, tl.int32))
    for group in range(first_group + tl.program_id(0), last_group, tl.num_programs(0)):
        i_group = group * tl.full([], 1, tl.int64)
        for first in range(0, n_inputs, WORKERS):
            o_inputs = first + i_workers
            b_rows = tl.load(p_input_slots + o_inputs, mask=o_inputs < n_inputs, other=-1)
            m_read = (b_rows >= 0)[:, None]
            o_words = (o_inputs.to(tl.int64) * n_groups + i_group)[:, None] * BLOCK + i_words[None, :]
            b_words = tl.load(p_words + o_words, mask=m_read, other=0)
            tl.store(_point_to(p_rows, b_rows, BLOCK), b_words, mask=m_read)
        b_fired = tl.zeros([BLOCK, BITS], tl.int32)
        if DECISION >= VOTE:
            for number in range(n_sums):
                o_sums = number * tl.full([], BLOCK * BITS, tl.int64) + o_samples
                tl.store(p_sums + o_sums, tl.zeros([BLOCK, BITS], tl.float64) + tl.load(p_base + number))
            if DECISION == VOTE_RULES:
                for number in range(n_classes):
                    o_sums = number * tl.full([], BLOCK * BITS, tl.int64) + o_samples
                    tl.store(p_most + o_sums, tl.full([BLOCK, BITS], -float("inf"), tl.float64))
                    tl.store(p_most_rules + o_sums, tl.full([BLOCK, BITS], -1, tl.int32))
        tl.debug_barrier()

        for phase in range(first_phase, last_phase):
            p_phase = p_phases + phase * PHASE_WIDTH
            first, last = load_range(p_phase, NODES)
            _run_nodes(p_rows, p_lines, first, last, WORKERS, BLOCK, WIDE)
            if WITH_ADDERS:
                first, last = load_range(p_phase, ADDERS)
                _run_adders(p_rows, p_lines, first, last, WORKERS, BLOCK, WIDE)
            first, last = load_range(p_phase, TERMS_BY_2)
            _run_terms(p_rows, p_lines, first, last, 2, WORKERS, BLOCK, WIDE)
            first, last = load_range(p_phase, TERMS_BY_4)
            _run_terms(p_rows, p_lines, first, last, 4, WORKERS, BLOCK, WIDE)
            first, last = load_range(p_phase, TERMS_BY_6)
            _run_terms(p_rows, p_lines, first, last, 6, WORKERS, BLOCK, WIDE)
            if DECISION >= VOTE:
                first, last = load_range(p_phase, RULES)
                if first < last:
                    p_starts = p_vote_starts + phase * tl.cast(n_classes, tl.int64)
                    b_fired = add_votes(
                        p_rows, p_fire_slots, first, last, p_starts, p_vote_rules, p_vote_weights, p_sums,
                        p_most, p_most_rules, n_classes, b_fired, o_samples, BLOCK, DECISION,
                    )  # fmt: skip
                first, last = load_range(p_phase, INDEXES)
                if first < last:
                    p_starts = p_add_starts + tl.load(p_first_groups + phase) * tl.cast(n_classes, tl.int64)
                    add_trees(
                        p_rows, first, last, p_indexes, p_plane_slots, p_numbers, p_starts, p_adds, p_tree_weights,
                        p_sums, n_classes, n_columns, o_samples, BLOCK, BY_SAMPLE, GROUP_TREES,
                    )  # fmt: skip
            if n_leaves > 0:
                first, last = load_range(p_phase, INDEXES)
                for tree in range(first, last):
                    b_codes = find_code(p_indexes, tree) + decode(p_rows, p_plane_slots, p_indexes, tree, BLOCK)
                    o_leaves = i_group * (BLOCK * BITS) + o_samples
                    m_leaves = o_leaves < n_samples
                    tl.store(p_leaves + o_leaves * n_leaves + tree, tl.load(p_codes + b_codes), mask=m_leaves)
            tl.debug_barrier()

        o_answers = i_group * (BLOCK * BITS) + o_samples
        if DECISION == FIRST_ANSWERS:
            tl.store(p_classes + o_answers, decode_answers(p_rows, p_answer_slots, n_answers, BLOCK))
        if DECISION == FIRST_RULES:
            b_number = decode(p_rows, p_plane_slots, p_indexes, n_indexes - 1, BLOCK)
            tl.store(p_classes + o_answers, tl.load(p_class_of_code + b_number))
            b_deciding = tl.load(p_codes + find_code(p_indexes, n_indexes - 1) + b_number)
            tl.store(p_rules + o_answers, b_deciding)
        if DECISION >= VOTE:
            b_words = tl.load(p_rows + covered * BLOCK + i_words)
            b_fired |= (b_words[:, None] >> tl.arange(0, BITS)[None, :]) & 1
            if DECISION == VOTE:
                add_counts(p_rows, p_counters, p_units, p_plane_slots, n_counters, p_sums, o_samples, BLOCK)
            m_stored = o_answers < n_samples * (n_scores > 0)
            b_classes, b_most, b_deciding = find_highest(
                p_sums, p_most, p_most_rules, p_scores + o_answers * n_scores, m_stored, n_classes, o_samples, BLOCK,
                DECISION,
            )  # fmt: skip
            if DECISION == VOTE_RULES:
                b_deciding = find_deciding_rules(
                    p_rows, p_indexes, p_plane_slots, p_codes, p_tree_weights, p_tree_starts, n_indexes, n_classes,
                    n_columns, b_classes, b_most, b_deciding, BLOCK, BY_SAMPLE,
                )  # fmt: skip
                tl.store(p_rules + o_answers, tl.where(b_fired != 0, b_deciding, -1))
            tl.store(p_classes + o_answers, tl.where(b_fired != 0, b_classes, default))
            if DECISION == VOTE:
                tl.store(p_rules + o_answers, (b_fired != 0).to(tl.int32) - 1, mask=o_answers < n_samples * n_covered)

        # Bits past the last sample are not counted, and zero in what is stored.
        n_bits = tl.minimum(tl.maximum(n_samples - (i_group * BLOCK + i_words) * BITS, 0), BITS).to(tl.int32)
        b_valid = tl.where(n_bits == BITS, -1, (1 << (n_bits & 31)) - 1)[None, :]  # [1, BLOCK]
        for first in range(first_wanted, last_wanted, WORKERS):
            o_wanted = first + i_workers
            m_wanted = o_wanted < last_wanted
            b_rows = tl.load(p_wanted + 2 * o_wanted + WANTED_SLOT, mask=m_wanted, other=0)
            b_places = tl.load(p_wanted + 2 * o_wanted + WANTED_PLACE, mask=m_wanted, other=0)
            b_flip = b_rows >> 31
            b_truth = (tl.load(_point_to(p_rows, b_rows ^ b_flip, BLOCK)) ^ b_flip[:, None]) & b_valid
            o_truth = (b_places.to(tl.int64) * n_groups + i_group)[:, None] * BLOCK + i_words[None, :]
            tl.store(p_truth + o_truth, b_truth, mask=m_wanted[:, None])
        for number in range(n_counted):
            b_fires = tl.zeros([WORKERS, BLOCK], tl.int32) | b_valid
            first_line, last_line = load_range(p_count_starts, number)
            for line in range(first_line, last_line):
                b_low, b_high = _load_line(p_count_lines, line, WORKERS, WIDE)
                for i in tl.static_range(FIELDS):
                    b_row, b_flip = _read_field(b_low, b_high, i, WIDE)
                    b_fires &= tl.load(_point_to(p_rows, b_row, BLOCK)) ^ b_flip[:, None]
            b_counts = tl.sum(count_ones(b_fires), axis=1)
            b_rules = tl.load(p_count_rules + number * WORKERS + i_workers)
            tl.atomic_add(p_counts + b_rules, b_counts.to(tl.int64), mask=b_rules >= 0, sem="relaxed")
        tl.debug_barrier()
