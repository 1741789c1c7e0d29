"""Lines of a plan through a block's workers, in Triton: see `schedule` for what a line does, `lines` for its format.

A tile is `[STRIPES, WORKERS, BLOCK // STRIPES]`: the words of a row, cut into stripes, for every worker. A thread has
four words of each stripe, so that its loads and stores are 128 bits wide, and reads a field once for all. For that
stripes must come last when Triton gives words, then other axes, to threads: with Triton 3.6 the first two axes change
places. A line is loaded a step ahead, before the store, which no load passes; what a worker doesn't need isn't loaded.

In all of these functions `p_rows` is int32 [n_slots, BLOCK], `p_lines` int32 [n_lines, WORKERS, FIELDS], and fields are
loaded one by one: out of wider loads LLVM takes addresses by 64-bit arithmetic, twice as many instructions.
"""

import triton
import triton.language as tl

from eric_fast.kernels.gpu import lines

FIELDS, TARGET = tl.constexpr(lines.FIELDS), tl.constexpr(lines.TARGET)
WORKERS_FIRST = tl.constexpr(tuple(map(int, triton.__version__.split(".")[:2])) < (3, 9))


@triton.jit
def spread(b_workers):
    """What each worker has, b_workers [WORKERS], as a tile of one stripe and one word."""
    return b_workers[:, None, None] if WORKERS_FIRST else b_workers[None, :, None]


@triton.jit
def number_words(BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """The numbers of a row's words, int32, as a tile of one worker."""
    WIDTH: tl.constexpr = BLOCK // STRIPES
    o_stripes = tl.arange(0, STRIPES) * WIDTH
    o_stripes = o_stripes[None, :, None] if WORKERS_FIRST else o_stripes[:, None, None]
    return o_stripes + tl.arange(0, WIDTH)[None, None, :]


@triton.jit
def point_to(p_rows, b_rows, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """Pointers, a tile, to the rows b_rows, int32 or int64 [WORKERS], of memory with BLOCK words a row."""
    return p_rows + number_words(BLOCK, STRIPES) + spread(b_rows).to(tl.int64) * BLOCK


@triton.jit
def make_zeros(WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """A tile of zeros, int32."""
    return spread(tl.zeros([WORKERS], tl.int32)) + number_words(BLOCK, STRIPES) * 0


@triton.jit
def _point_to_line(p_lines, line, WORKERS: tl.constexpr):
    """Pointers [WORKERS] to the first fields of a line."""
    return p_lines + line * tl.full([], WORKERS * FIELDS, tl.int64) + tl.arange(0, WORKERS) * FIELDS


@triton.jit
def _load_fields(p_line):
    """The four fields of a line: int32 [WORKERS] each."""
    return tl.load(p_line), tl.load(p_line + 1), tl.load(p_line + 2), tl.load(p_line + 3)


@triton.jit
def _take_flag(b_field):
    """Of b_field the slot, and, as all ones or zeros, whether it stood complemented: int32 [WORKERS] each."""
    b_flag = b_field >> 31
    return b_field ^ b_flag, b_flag


@triton.jit
def run_node_lines(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """Run lines of nodes."""
    b_acc = make_zeros(WORKERS, BLOCK, STRIPES)
    b_select, b_other = b_acc, b_acc  # what isn't loaded stays as it is
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    for _ in tl.range(first, last):
        b_0, b_is_low = _take_flag(b_0)
        b_is_low = spread(b_is_low)
        p_select, p_other = point_to(p_rows, b_0, BLOCK, STRIPES), point_to(p_rows, b_1, BLOCK, STRIPES)
        p_start, p_target = point_to(p_rows, b_2, BLOCK, STRIPES), point_to(p_rows, b_3, BLOCK, STRIPES)
        m_runs, m_starts, m_stores = spread(b_1 >= 0), spread(b_2 >= 0), spread(b_3 >= 0)
        p_line += WORKERS * FIELDS
        b_0, b_1, b_2, b_3 = _load_fields(p_line)
        b_acc = tl.load(p_start, mask=m_starts, other=b_acc)
        b_select = tl.load(p_select, mask=m_runs, other=b_select)
        b_other = tl.load(p_other, mask=m_runs, other=b_other)
        # The complement where acc is low, by a product: the unit of logic has enough to do
        b_bits = b_select * (b_is_low | 1) + b_is_low
        b_acc = (b_bits & b_acc) | (~b_bits & b_other)
        tl.store(p_target, b_acc, mask=m_stores)


@triton.jit
def run_adder_lines(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """Run lines of full adders."""
    b_acc = make_zeros(WORKERS, BLOCK, STRIPES)
    b_left, b_right = b_acc, b_acc  # what isn't loaded stays as it is
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    for _ in tl.range(first, last):
        b_0, b_is_sum = _take_flag(b_0)
        p_second, p_third = point_to(p_rows, b_0, BLOCK, STRIPES), point_to(p_rows, b_1, BLOCK, STRIPES)
        p_start, p_target = point_to(p_rows, b_2, BLOCK, STRIPES), point_to(p_rows, b_3, BLOCK, STRIPES)
        m_runs, m_starts, m_stores = spread(b_1 >= 0), spread(b_2 >= 0), spread(b_3 >= 0)
        b_is_sum = spread(b_is_sum)
        p_line += WORKERS * FIELDS
        b_0, b_1, b_2, b_3 = _load_fields(p_line)
        b_acc = tl.load(p_start, mask=m_starts, other=b_acc)
        b_left = tl.load(p_second, mask=m_runs, other=b_left)
        b_right = tl.load(p_third, mask=m_runs, other=b_right)
        b_carry = (b_acc & b_left) | (b_right & (b_acc | b_left))
        b_acc = b_acc ^ b_left ^ b_right
        tl.store(p_target, (b_is_sum & b_acc) | (~b_is_sum & b_carry), mask=m_stores)


@triton.jit
def run_term_lines(
    p_rows, p_lines, first, last, WIDTH: tl.constexpr, WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr
):
    """Run lines of terms, `WIDTH` values a step."""
    N_LINES: tl.constexpr = 1 if WIDTH == 2 else 2
    REST: tl.constexpr = WORKERS * FIELDS  # from a step's first line to its second
    b_acc = make_zeros(WORKERS, BLOCK, STRIPES)
    b_term = b_acc - 1
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    b_4, b_5 = b_2, b_3
    if WIDTH == 6:
        b_4, b_5 = tl.load(p_line + REST), tl.load(p_line + REST + 1)
    for _ in tl.range(first, last, N_LINES):
        b_0, b_ends = _take_flag(b_0)
        b_1, b_flags = _take_flag(b_1)
        m_stores, b_ends, b_stores = spread(b_flags < 0), spread(b_ends), spread(b_flags)
        p_0, p_1 = point_to(p_rows, b_0, BLOCK, STRIPES), point_to(p_rows, b_1, BLOCK, STRIPES)
        p_2, p_3 = point_to(p_rows, b_2, BLOCK, STRIPES), point_to(p_rows, b_3, BLOCK, STRIPES)
        p_4, p_5 = point_to(p_rows, b_4, BLOCK, STRIPES), point_to(p_rows, b_5, BLOCK, STRIPES)
        p_target = p_3
        if WIDTH > 2:
            b_target = tl.load(p_line + REST + TARGET, mask=b_flags < 0, other=0)
            p_target = point_to(p_rows, b_target, BLOCK, STRIPES)
        p_line += N_LINES * WORKERS * FIELDS
        b_0, b_1, b_2, b_3 = _load_fields(p_line)
        if WIDTH == 6:
            b_4, b_5 = tl.load(p_line + REST), tl.load(p_line + REST + 1)
        b_term = b_term & tl.load(p_0) & ~tl.load(p_1)  # the second of a pair is to be false
        if WIDTH > 2:
            b_term = b_term & tl.load(p_2) & ~tl.load(p_3)
        if WIDTH == 6:
            b_term = b_term & tl.load(p_4) & ~tl.load(p_5)
        b_acc |= b_term & b_ends
        b_term |= b_ends
        tl.store(p_target, b_acc, mask=m_stores)
        b_acc &= ~b_stores


@triton.jit
def _and_literal(p_rows, b_field, b_fires, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """b_fires, a tile of int32, where a literal is true, too. b_field: int32 [WORKERS]."""
    b_rows, b_flip = _take_flag(b_field)
    return b_fires & (tl.load(point_to(p_rows, b_rows, BLOCK, STRIPES)) ^ spread(b_flip))


@triton.jit
def and_literals(p_rows, p_lines, line, b_fires, WORKERS: tl.constexpr, BLOCK: tl.constexpr, STRIPES: tl.constexpr):
    """b_fires, a tile of int32, where the literals of a line of `CountTables` are true, too."""
    b_0, b_1, b_2, b_3 = _load_fields(_point_to_line(p_lines, line, WORKERS))
    b_fires = _and_literal(p_rows, b_0, b_fires, BLOCK, STRIPES)
    b_fires = _and_literal(p_rows, b_1, b_fires, BLOCK, STRIPES)
    b_fires = _and_literal(p_rows, b_2, b_fires, BLOCK, STRIPES)
    return _and_literal(p_rows, b_3, b_fires, BLOCK, STRIPES)
