"""What class rules decide on a block's words, in Triton: numbers from their binary digits, looked up and added.

A tile is `[BLOCK, BITS]`: the words of a row, and the bits of each. Sums lie output by output; where trees add to many
outputs, sample by sample, and threads side by side add a row of weights to those of a sample. A sum is read after a
barrier, whichever thread wrote it. Votes are added in the order of the rules, as on every device.

Pointers of the same name point to the same in all of these functions:

- `p_rows`: int32 `[n_slots, BLOCK]`, a program's part of `Scratch.scratch`; `p_sums`, `p_most`, `p_most_rules` and
  `p_numbers`: its parts of the others, `[..., BLOCK * BITS]`; see `evaluate.Scratch`.
- `p_fire_slots`, `p_indexes`, `p_plane_slots`, `p_codes`, `p_answer_slots`, `p_counters`, `p_units`: see
  `lower.RuleTables`.
- `p_vote_starts` and `p_add_starts`: int64, a phase's or a group's part of `VoteTables.vote_starts` and `add_starts`;
  `p_vote_rules`, `p_vote_weights`, `p_adds`, `p_tree_weights`, `p_tree_starts`: see `VoteTables`.

`o_samples`: int32 `[BLOCK, BITS]`, the number of each sample in the block. Tiles of the same size: `b_fired`, int32,
not 0 where a rule fires; `b_classes`, int32, the class that won; `b_most` and `b_rules`, float64 and int32, the most
that one rule added to it, and which.
"""

import triton
import triton.language as tl

from eric_fast.kernels import liveness
from eric_fast.kernels.gpu import lines
from eric_fast.plan import steps

BITS = tl.constexpr(32)  # of a word
FIRST_ANSWERS, FIRST_RULES = tl.constexpr(liveness.FIRST_ANSWERS), tl.constexpr(liveness.FIRST_RULES)
VOTE, VOTE_RULES = tl.constexpr(liveness.VOTE), tl.constexpr(liveness.VOTE_RULES)
SUM_TILE = tl.constexpr(lines.SUM_TILE)
SAMPLE_TILE = tl.constexpr(256)  # samples whose sums are in registers at a time

# Columns of tables, for Triton.
INDEX_WIDTH = tl.constexpr(len(steps.Index._fields))
INDEX_PLANES = tl.constexpr(steps.INDEX.plane_start)
INDEX_CODES = tl.constexpr(steps.INDEX.code_start)
COUNTER_WIDTH = tl.constexpr(len(steps.Counter._fields))
COUNTER_OUTPUT = tl.constexpr(steps.COUNTER.output)
COUNTER_PLANES = tl.constexpr(steps.COUNTER.plane_start)
COUNTER_OFFSET = tl.constexpr(steps.COUNTER.offset)
ADD_NUMBER, ADD_START = tl.constexpr(lines.ADD_NUMBER), tl.constexpr(lines.ADD_START)


@triton.jit
def load_range(p_row, START: tl.constexpr):
    """The start of a range, in this column of a table's row, and its stop, in the next. p_row: integers."""
    return tl.load(p_row + START), tl.load(p_row + START + 1)


@triton.jit
def _read_bits(p_rows, row, BLOCK: tl.constexpr):
    """A row of scratch memory sample by sample: int32 [BLOCK, BITS], 0 or 1."""
    b_words = tl.load(p_rows + row * BLOCK + tl.arange(0, BLOCK))
    return (b_words[:, None] >> tl.arange(0, BITS)[None, :]) & 1


@triton.jit
def _decode_planes(p_rows, p_slots, first, last, BLOCK: tl.constexpr):
    """Numbers from their digits, in the slots `first:last` of p_slots, int32, the lowest first: int32 [BLOCK, BITS]."""
    b_number = tl.zeros([BLOCK, BITS], tl.int32)
    for i in range(first, last):
        b_number |= _read_bits(p_rows, tl.load(p_slots + i), BLOCK) << (i - first)
    return b_number


@triton.jit
def decode(p_rows, p_plane_slots, p_indexes, number, BLOCK: tl.constexpr):
    """The numbers of an index: int32 [BLOCK, BITS]."""
    first, last = load_range(p_indexes + number * INDEX_WIDTH, INDEX_PLANES)
    return _decode_planes(p_rows, p_plane_slots, first, last, BLOCK)


@triton.jit
def find_code(p_indexes, number):
    """Where the codes of an index start."""
    return tl.load(p_indexes + number * INDEX_WIDTH + INDEX_CODES)


@triton.jit
def decode_answers(p_rows, p_answer_slots, n_answers, BLOCK: tl.constexpr):
    """Classes from their digits, -1 where the last says so: int32 [BLOCK, BITS]."""
    b_none = _read_bits(p_rows, tl.load(p_answer_slots + n_answers - 1), BLOCK)
    return _decode_planes(p_rows, p_answer_slots, 0, n_answers - 1, BLOCK) | -b_none


@triton.jit
def _place_sums(number, o_samples, n_sums, BLOCK: tl.constexpr, BY_SAMPLE: tl.constexpr):
    """Where the sums of an output are: integers [BLOCK, BITS]. n_sums: of a sample, used where they lie by sample."""
    if BY_SAMPLE:
        return o_samples * n_sums + number
    else:  # noqa: RET505  Triton looks at one branch alone
        return number * tl.full([], BLOCK * BITS, tl.int64) + o_samples


@triton.jit
def start_sums(p_base, p_sums, n_sums, o_samples, BLOCK: tl.constexpr, BY_SAMPLE: tl.constexpr):
    """Set every sum to its base. p_base: float64 [n_sums]."""
    for number in range(n_sums):
        o_sums = _place_sums(number, o_samples, n_sums, BLOCK, BY_SAMPLE)
        tl.store(p_sums + o_sums, tl.zeros([BLOCK, BITS], tl.float64) + tl.load(p_base + number))


@triton.jit
def _point_to_sums(p_sums, sample, o_columns, n_sums):
    """Pointers [SAMPLE_TILE, SUM_TILE] to sums of the samples from this one on, by sample; o_columns: [SUM_TILE]."""
    o_rows = (sample + tl.arange(0, SAMPLE_TILE)) * n_sums
    return p_sums + o_rows[:, None] + o_columns[None, :]


@triton.jit
def add_votes(
    p_rows, p_fire_slots, first, last, p_vote_starts, p_vote_rules, p_vote_weights, p_sums, p_most, p_most_rules,
    n_classes, n_sums, b_fired, o_samples, BLOCK: tl.constexpr, DECISION: tl.constexpr, BY_SAMPLE: tl.constexpr,
):  # fmt: skip
    """Add the votes of the class rules `first:last`, class by class, so that each sum keeps the order of the rules."""
    for number in range(n_classes):
        o_sums = _place_sums(number, o_samples, n_sums, BLOCK, BY_SAMPLE)
        b_sums = tl.load(p_sums + o_sums)
        vote, last_vote = load_range(p_vote_starts, number)
        if DECISION == VOTE:
            for i in range(vote, last_vote):
                m_fired = _read_bits(p_rows, tl.load(p_fire_slots + tl.load(p_vote_rules + i)), BLOCK) != 0
                b_sums = tl.where(m_fired, b_sums + tl.load(p_vote_weights + i), b_sums)
                b_fired |= m_fired.to(tl.int32)
        else:
            # What a rule adds to a class that it doesn't vote for is 0, and may be the most.
            o_most = _place_sums(number, o_samples, n_classes, BLOCK, False)
            b_most, b_most_rules = tl.load(p_most + o_most), tl.load(p_most_rules + o_most)
            for rule in range(first, last):
                m_votes = (vote < last_vote) & (tl.load(p_vote_rules + vote) == rule)
                weight = tl.load(p_vote_weights + vote) * m_votes.to(tl.float64)
                vote += m_votes.to(tl.int64)
                m_fired = _read_bits(p_rows, tl.load(p_fire_slots + rule), BLOCK) != 0
                b_sums = tl.where(m_fired, b_sums + weight, b_sums)
                b_fired |= m_fired.to(tl.int32)
                m_more = m_fired & (weight > b_most)
                b_most = tl.where(m_more, weight, b_most)
                b_most_rules = tl.where(m_more, rule, b_most_rules)
            tl.store(p_most + o_most, b_most)
            tl.store(p_most_rules + o_most, b_most_rules)
        tl.store(p_sums + o_sums, b_sums)
    return b_fired


@triton.jit
def add_trees(
    p_rows, first, last, p_indexes, p_plane_slots, p_numbers, p_add_starts, p_adds, p_tree_weights, p_sums, n_classes,
    n_columns, o_samples, BLOCK: tl.constexpr, BY_SAMPLE: tl.constexpr, GROUP_TREES: tl.constexpr,
):  # fmt: skip
    """Add what the trees `first:last` give: the numbers of a group of trees first, then sum by sum.

    By sample there are `n_columns` sums, the padding's too.
    """
    for begin in range(first, last, GROUP_TREES):
        end = tl.minimum(last, begin + GROUP_TREES)
        for tree in range(begin, end):
            b_number = decode(p_rows, p_plane_slots, p_indexes, tree, BLOCK)
            tl.store(p_numbers + (tree - begin) * (BLOCK * BITS) + o_samples, b_number)
        tl.debug_barrier()  # whichever threads read them
        if BY_SAMPLE:
            for column in range(0, n_columns, SUM_TILE):
                o_columns = column + tl.arange(0, SUM_TILE)
                for sample in tl.range(0, BLOCK * BITS, SAMPLE_TILE, disable_licm=True):
                    p_tile = _point_to_sums(p_sums, sample, o_columns, n_columns)
                    b_sums = tl.load(p_tile)
                    for tree in range(begin, end):
                        o_numbers = (tree - begin) * (BLOCK * BITS) + sample + tl.arange(0, SAMPLE_TILE)
                        b_codes = find_code(p_indexes, tree) + tl.load(p_numbers + o_numbers)
                        o_rows = b_codes.to(tl.int64) * n_columns
                        b_sums += tl.load(p_tree_weights + o_rows[:, None] + o_columns[None, :])
                    tl.store(p_tile, b_sums)
        else:
            for number in range(n_classes):
                add, last_add = load_range(p_add_starts, number)
                if add < last_add:
                    o_sums = _place_sums(number, o_samples, n_columns, BLOCK, False)
                    b_sums = tl.load(p_sums + o_sums)
                    for i in range(add, last_add):
                        b_number = tl.load(
                            p_numbers + tl.load(p_adds + 2 * i + ADD_NUMBER) * (BLOCK * BITS) + o_samples
                        )
                        b_sums += tl.load(p_tree_weights + tl.load(p_adds + 2 * i + ADD_START) + b_number)
                    tl.store(p_sums + o_sums, b_sums)
            p_add_starts += n_classes
        tl.debug_barrier()  # before the next group's numbers


@triton.jit
def add_counts(
    p_rows, p_counters, p_units, p_plane_slots, n_counters, p_sums, n_sums, o_samples, BLOCK: tl.constexpr,
    BY_SAMPLE: tl.constexpr,
):  # fmt: skip
    """Add each counter's number, in its unit, to the sum of its output."""
    for i in range(n_counters):
        p_counter = p_counters + i * COUNTER_WIDTH
        first, last = load_range(p_counter, COUNTER_PLANES)
        b_count = _decode_planes(p_rows, p_plane_slots, first, last, BLOCK)
        b_count += tl.load(p_counter + COUNTER_OFFSET)
        o_sums = _place_sums(tl.load(p_counter + COUNTER_OUTPUT), o_samples, n_sums, BLOCK, BY_SAMPLE)
        b_sums = tl.load(p_sums + o_sums) + b_count.to(tl.float64) * tl.load(p_units + i)
        tl.store(p_sums + o_sums, b_sums)
        tl.debug_barrier()  # whichever threads read them


@triton.jit
def find_highest(
    p_sums, p_most, p_most_rules, p_scores, m_stored, n_classes, n_sums, o_samples, BLOCK: tl.constexpr,
    DECISION: tl.constexpr, BY_SAMPLE: tl.constexpr,
):  # fmt: skip
    """The class with the highest sum, and what it was given most by a single rule, and by which; scores are stored.

    p_scores: float64 pointers [BLOCK, BITS], to each sample's scores. m_stored: whether these are stored.
    """
    b_best = tl.full([BLOCK, BITS], -float("inf"), tl.float64)
    b_classes = tl.zeros([BLOCK, BITS], tl.int32)
    b_most, b_rules = b_best, b_classes - 1
    for number in range(n_classes):
        o_sums = _place_sums(number, o_samples, n_sums, BLOCK, BY_SAMPLE)
        b_sums = tl.load(p_sums + o_sums)
        m_more = b_sums > b_best
        b_best = tl.where(m_more, b_sums, b_best)
        b_classes = tl.where(m_more, number, b_classes)
        if DECISION == VOTE_RULES:
            o_most = _place_sums(number, o_samples, n_classes, BLOCK, False)
            b_most = tl.where(m_more, tl.load(p_most + o_most), b_most)
            b_rules = tl.where(m_more, tl.load(p_most_rules + o_most), b_rules)
        tl.store(p_scores + number, b_sums, mask=m_stored)
    return b_classes, b_most, b_rules


@triton.jit
def find_deciding_rules(
    p_rows, p_indexes, p_plane_slots, p_codes, p_tree_weights, p_tree_starts, n_trees, n_classes, n_columns, b_classes,
    b_most, b_rules, BLOCK: tl.constexpr, BY_SAMPLE: tl.constexpr,
):  # fmt: skip
    """Which rule of a tree adds more to the class that won than the single rule that adds most: the first of equals."""
    for tree in range(n_trees):
        b_number = decode(p_rows, p_plane_slots, p_indexes, tree, BLOCK)
        b_codes = find_code(p_indexes, tree) + b_number
        b_leaves = tl.load(p_codes + b_codes)
        if BY_SAMPLE:
            b_added = tl.load(p_tree_weights + b_codes.to(tl.int64) * n_columns + b_classes)
        else:
            b_starts = tl.load(p_tree_starts + tree * tl.cast(n_classes, tl.int64) + b_classes)
            b_added = tl.load(p_tree_weights + b_starts + b_number, mask=b_starts >= 0, other=0.0)
        m_more = (b_rules < 0) | (b_added > b_most) | ((b_added == b_most) & (b_leaves < b_rules))
        m_more &= b_leaves >= 0
        b_most = tl.where(m_more, b_added, b_most)
        b_rules = tl.where(m_more, b_leaves, b_rules)
    return b_rules
