"""Lines of a plan through a block's workers, in Triton: see `schedule` for what a line does, `lines` for its format.

A worker is a row of a tile `[WORKERS, BLOCK]`: eight threads, or two where a block has few words, of four words each,
so that its loads and stores are 128 bits wide. A line is loaded a step ahead, before the store, which no load passes;
what a worker doesn't need isn't loaded.

In all of these functions `p_rows` is int32 [n_slots, BLOCK], `p_lines` int32 [n_lines, WORKERS, FIELDS], and fields are
loaded one by one: out of wider loads LLVM takes addresses by 64-bit arithmetic, twice as many instructions.
"""

import triton
import triton.language as tl

from eric_fast.kernels.gpu import lines

FIELDS, TARGET = tl.constexpr(lines.FIELDS), tl.constexpr(lines.TARGET)


@triton.jit
def point_to(p_rows, b_rows, BLOCK: tl.constexpr):
    """Pointers [WORKERS, BLOCK] to the rows b_rows, int32 [WORKERS]."""
    return (p_rows + tl.arange(0, BLOCK))[None, :] + b_rows[:, None].to(tl.int64) * BLOCK


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
    """A slot, and, as all ones or zeros, whether it stood complemented: int32 [WORKERS] each."""
    b_flag = b_field >> 31
    return b_field ^ b_flag, b_flag


@triton.jit
def run_node_lines(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr):
    """Run lines of nodes."""
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_select, b_other = b_acc, b_acc  # what isn't loaded stays as it is
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    for _ in tl.range(first, last):
        b_0, b_is_low = _take_flag(b_0)
        p_select, p_other = point_to(p_rows, b_0, BLOCK), point_to(p_rows, b_1, BLOCK)
        p_start, p_target = point_to(p_rows, b_2, BLOCK), point_to(p_rows, b_3, BLOCK)
        m_runs, m_starts, m_stores = (b_1 >= 0)[:, None], (b_2 >= 0)[:, None], (b_3 >= 0)[:, None]
        p_line += WORKERS * FIELDS
        b_0, b_1, b_2, b_3 = _load_fields(p_line)
        b_acc = tl.load(p_start, mask=m_starts, other=b_acc)
        b_select = tl.load(p_select, mask=m_runs, other=b_select)
        b_other = tl.load(p_other, mask=m_runs, other=b_other)
        # The complement where acc is low, by a product: the unit of logic has enough to do
        b_bits = b_select * (b_is_low | 1)[:, None] + b_is_low[:, None]
        b_acc = (b_bits & b_acc) | (~b_bits & b_other)
        tl.store(p_target, b_acc, mask=m_stores)


@triton.jit
def run_adder_lines(p_rows, p_lines, first, last, WORKERS: tl.constexpr, BLOCK: tl.constexpr):
    """Run lines of full adders."""
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_left, b_right = b_acc, b_acc  # what isn't loaded stays as it is
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    for _ in tl.range(first, last):
        b_0, b_is_sum = _take_flag(b_0)
        p_second, p_third = point_to(p_rows, b_0, BLOCK), point_to(p_rows, b_1, BLOCK)
        p_start, p_target = point_to(p_rows, b_2, BLOCK), point_to(p_rows, b_3, BLOCK)
        m_runs, m_starts, m_stores = (b_1 >= 0)[:, None], (b_2 >= 0)[:, None], (b_3 >= 0)[:, None]
        b_is_sum = b_is_sum[:, None]
        p_line += WORKERS * FIELDS
        b_0, b_1, b_2, b_3 = _load_fields(p_line)
        b_acc = tl.load(p_start, mask=m_starts, other=b_acc)
        b_left = tl.load(p_second, mask=m_runs, other=b_left)
        b_right = tl.load(p_third, mask=m_runs, other=b_right)
        b_carry = (b_acc & b_left) | (b_right & (b_acc | b_left))
        b_acc = b_acc ^ b_left ^ b_right
        tl.store(p_target, (b_is_sum & b_acc) | (~b_is_sum & b_carry), mask=m_stores)


@triton.jit
def run_term_lines(p_rows, p_lines, first, last, WIDTH: tl.constexpr, WORKERS: tl.constexpr, BLOCK: tl.constexpr):
    """Run lines of terms, `WIDTH` values a step."""
    N_LINES: tl.constexpr = 1 if WIDTH == 2 else 2
    REST: tl.constexpr = WORKERS * FIELDS  # from a step's first line to its second
    b_acc = tl.zeros([WORKERS, BLOCK], tl.int32)
    b_term = tl.full([WORKERS, BLOCK], -1, tl.int32)
    p_line = _point_to_line(p_lines, first, WORKERS)
    b_0, b_1, b_2, b_3 = _load_fields(p_line)
    b_4, b_5 = b_2, b_3
    if WIDTH == 6:
        b_4, b_5 = tl.load(p_line + REST), tl.load(p_line + REST + 1)
    for _ in tl.range(first, last, N_LINES):
        b_0, b_ends = _take_flag(b_0)
        b_1, b_flags = _take_flag(b_1)
        m_stores, b_ends, b_stores = (b_flags < 0)[:, None], b_ends[:, None], b_flags[:, None]
        p_0, p_1 = point_to(p_rows, b_0, BLOCK), point_to(p_rows, b_1, BLOCK)
        p_2, p_3 = point_to(p_rows, b_2, BLOCK), point_to(p_rows, b_3, BLOCK)
        p_4, p_5 = point_to(p_rows, b_4, BLOCK), point_to(p_rows, b_5, BLOCK)
        p_target = p_3
        if WIDTH > 2:
            b_target = tl.load(p_line + REST + TARGET, mask=b_flags < 0, other=0)
            p_target = point_to(p_rows, b_target, BLOCK)
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
def _and_literal(p_rows, b_field, b_fires, BLOCK: tl.constexpr):
    """b_fires, int32 [WORKERS, BLOCK], where a literal is true, too."""
    b_rows, b_flip = _take_flag(b_field)
    return b_fires & (tl.load(point_to(p_rows, b_rows, BLOCK)) ^ b_flip[:, None])


@triton.jit
def and_literals(p_rows, p_lines, line, b_fires, WORKERS: tl.constexpr, BLOCK: tl.constexpr):
    """b_fires, int32 [WORKERS, BLOCK], where the literals of a line of `CountTables` are true, too."""
    b_0, b_1, b_2, b_3 = _load_fields(_point_to_line(p_lines, line, WORKERS))
    b_fires = _and_literal(p_rows, b_0, b_fires, BLOCK)
    b_fires = _and_literal(p_rows, b_1, b_fires, BLOCK)
    b_fires = _and_literal(p_rows, b_2, b_fires, BLOCK)
    return _and_literal(p_rows, b_3, b_fires, BLOCK)
