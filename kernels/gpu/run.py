"""Blocks of words through the lines of a plan, in Triton: where the GPU's `evaluate` spends its time.

A block has, at a time, a group of `BLOCK` words: 32, or fewer. A row of its scratch memory has so many words, and the
rows stay in the multiprocessor's own cache. `run_lines` has the loops over lines, and says what a tile of rows is; a
thread reads back there the words that it wrote itself. Nothing is masked along words, rows being padded to whole
groups. Addresses are 64-bit, but for words of a program's scratch memory, see `lower.MOST_SLOTS`.
"""

import triton
import triton.language as tl

from eric_fast.kernels.gpu import lines
from eric_fast.kernels.gpu.count import count_ones
from eric_fast.kernels.gpu.decide import (
    BITS,
    FIRST_ANSWERS,
    FIRST_RULES,
    SUM_TILE,
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
    start_sums,
)
from eric_fast.kernels.gpu.run_lines import (
    WORKERS_FIRST,
    and_literals,
    make_zeros,
    number_words,
    point_to,
    run_adder_lines,
    run_node_lines,
    run_term_lines,
    spread,
)

# The format of phases, for Triton.
PHASE_WIDTH = tl.constexpr(2 * lines.N_COLUMNS)
NODES = tl.constexpr(2 * lines.NODES)
ADDERS = tl.constexpr(2 * lines.ADDERS)
TERMS_BY_2 = tl.constexpr(2 * lines.TERMS_BY_2)
TERMS_BY_4 = tl.constexpr(2 * lines.TERMS_BY_4)
TERMS_BY_6 = tl.constexpr(2 * lines.TERMS_BY_6)
RULES = tl.constexpr(2 * lines.RULES)
INDEXES = tl.constexpr(2 * lines.INDEXES)
WANTED_SLOT, WANTED_PLACE = tl.constexpr(lines.WANTED_SLOT), tl.constexpr(lines.WANTED_PLACE)


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
    WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr, WITH_ADDERS: tl.constexpr,
    DECISION: tl.constexpr, BY_SAMPLE: tl.constexpr, GROUP_TREES: tl.constexpr,
):  # fmt: skip
    """Run a whole program over the groups of words `first_group:last_group`.

    After p_words come the fields of named groups, one group below the other, which say what each argument is:
    `lower.RuleTables`, `lower.CountTables`, `VoteTables`, `evaluate.Scratch`, `lower.Wanted`, `evaluate.Outputs`,
    `evaluate.Sizes`. BLOCK is `choose_words`' choice.

    p_words: int32 [n_inputs, n_groups, BLOCK].
    """
    if BY_SAMPLE:  # so that Triton knows how rows are aligned
        n_columns = n_columns // SUM_TILE * SUM_TILE
        n_sums = n_columns
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
            m_read = spread(b_rows >= 0)
            p_given = point_to(p_words, o_inputs.to(tl.int64) * n_groups + i_group, BLOCK, STRIPES)
            tl.store(point_to(p_rows, b_rows, BLOCK, STRIPES), tl.load(p_given, mask=m_read, other=0), mask=m_read)
        b_fired = tl.zeros([BLOCK, BITS], tl.int32)
        if DECISION >= VOTE:
            start_sums(p_base, p_sums, n_sums, o_samples, BLOCK, BY_SAMPLE)
            if DECISION == VOTE_RULES:
                for number in range(n_classes):
                    o_sums = number * tl.full([], BLOCK * BITS, tl.int64) + o_samples
                    tl.store(p_most + o_sums, tl.full([BLOCK, BITS], -float("inf"), tl.float64))
                    tl.store(p_most_rules + o_sums, tl.full([BLOCK, BITS], -1, tl.int32))
        tl.debug_barrier()

        for phase in range(first_phase, last_phase):
            p_phase = p_phases + phase * PHASE_WIDTH
            first, last = load_range(p_phase, NODES)
            run_node_lines(p_rows, p_lines, first, last, WORKERS, BLOCK, STRIPES)
            if WITH_ADDERS:
                first, last = load_range(p_phase, ADDERS)
                run_adder_lines(p_rows, p_lines, first, last, WORKERS, BLOCK, STRIPES)
            first, last = load_range(p_phase, TERMS_BY_2)
            run_term_lines(p_rows, p_lines, first, last, 2, WORKERS, BLOCK, STRIPES)
            first, last = load_range(p_phase, TERMS_BY_4)
            run_term_lines(p_rows, p_lines, first, last, 4, WORKERS, BLOCK, STRIPES)
            first, last = load_range(p_phase, TERMS_BY_6)
            run_term_lines(p_rows, p_lines, first, last, 6, WORKERS, BLOCK, STRIPES)
            if DECISION >= VOTE:
                first, last = load_range(p_phase, RULES)
                if first < last:
                    p_starts = p_vote_starts + phase * tl.cast(n_classes, tl.int64)
                    b_fired = add_votes(
                        p_rows, p_fire_slots, first, last, p_starts, p_vote_rules, p_vote_weights, p_sums,
                        p_most, p_most_rules, n_classes, n_sums, b_fired, o_samples, BLOCK, DECISION, BY_SAMPLE,
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
                add_counts(
                    p_rows, p_counters, p_units, p_plane_slots, n_counters, p_sums, n_sums, o_samples, BLOCK, BY_SAMPLE,
                )  # fmt: skip
            m_stored = o_answers < n_samples * (n_scores > 0)
            b_classes, b_most, b_deciding = find_highest(
                p_sums, p_most, p_most_rules, p_scores + o_answers * n_scores, m_stored, n_classes, n_sums, o_samples,
                BLOCK, DECISION, BY_SAMPLE,
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
        o_words = i_group * BLOCK + number_words(BLOCK, STRIPES)
        n_bits = tl.minimum(tl.maximum(n_samples - o_words * BITS, 0), BITS).to(tl.int32)
        b_valid = tl.where(n_bits == BITS, -1, (1 << (n_bits & 31)) - 1)
        for first in range(first_wanted, last_wanted, WORKERS):
            o_wanted = first + i_workers
            m_wanted = o_wanted < last_wanted
            b_rows = tl.load(p_wanted + 2 * o_wanted + WANTED_SLOT, mask=m_wanted, other=0)
            b_places = tl.load(p_wanted + 2 * o_wanted + WANTED_PLACE, mask=m_wanted, other=0)
            b_flip = b_rows >> 31
            b_truth = tl.load(point_to(p_rows, b_rows ^ b_flip, BLOCK, STRIPES)) ^ spread(b_flip)
            p_wanted_words = point_to(p_truth, b_places.to(tl.int64) * n_groups + i_group, BLOCK, STRIPES)
            tl.store(p_wanted_words, b_truth & b_valid, mask=spread(m_wanted))
        for number in range(n_counted):
            b_fires = make_zeros(WORKERS, BLOCK, STRIPES) | b_valid
            first_line, last_line = load_range(p_count_starts, number)
            for line in range(first_line, last_line):
                b_fires = and_literals(p_rows, p_count_lines, line, b_fires, WORKERS, BLOCK, STRIPES)
            b_counts = tl.sum(tl.sum(count_ones(b_fires), axis=2), axis=1 if WORKERS_FIRST else 0)
            b_rules = tl.load(p_count_rules + number * WORKERS + i_workers)
            tl.atomic_add(p_counts + b_rules, b_counts.to(tl.int64), mask=b_rules >= 0, sem="relaxed")
        tl.debug_barrier()
