"""`pack_columns` on the GPU: a thread holds a word and sees its 32 samples one after another."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.kernels import packing
from eric_fast.kernels.devices import find_range, launch_on
from eric_fast.kernels.packing import check_columns

EQUAL, GREATER = tl.constexpr(packing.EQUAL), tl.constexpr(packing.GREATER)
LESS, MISSING = tl.constexpr(packing.LESS), tl.constexpr(packing.MISSING)
SAMPLES_A_STEP = tl.constexpr(8)  # samples one after another, without a jump
WORDS, ATOMS = 8, 64  # of a program: 32 bytes of each row, so that whole sectors are written


def pack_columns(columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor) -> Tensor:
    """As `reference.pack_columns`, to the bit, on the device of `columns`."""
    check_columns(columns, column_of_atom, constants, operators)
    n_samples, n_atoms = len(columns), len(constants)
    words = torch.empty(n_atoms, count_words(n_samples), dtype=torch.int32, device=columns.device)
    if words.numel():
        with launch_on(columns.device):
            pack_columns_kernel[words.shape[1] // WORDS, triton.cdiv(n_atoms, ATOMS)](
                columns.detach(),
                column_of_atom,
                constants.detach().contiguous(),
                operators.contiguous(),
                words,
                n_samples,
                n_atoms,
                *columns.stride(),
                words.shape[1],
                **choose_shape(columns, n_atoms, find_operator(operators)),
            )
    return words


def choose_shape(columns: Tensor, n_atoms: int, operator: int) -> dict[str, Any]:
    """Choose the constants that the kernel is compiled with for these columns. operator: see `find_operator`."""
    across = columns.stride(0) < columns.stride(1)
    even = n_atoms % ATOMS == 0
    return {"ACROSS": across, "EVEN": even, "OPERATOR": operator, "WORDS": WORDS, "ATOMS": ATOMS, "num_warps": 4}


def find_operator(operators: Tensor) -> int:
    """The operator of all atoms, for which the kernel is compiled: one comparison instead of three; or -1, of several.

    operators: int8, on a device read once; see `find_range`.
    """
    low, high = find_range(operators)
    return int(low) if low == high else -1


@triton.jit
def compare_to(b_values, b_constants, b_operators, OPERATOR: tl.constexpr):
    """int1, where `value operator constant`, of b_values and b_constants.

    b_operators: int32, see `packing`. OPERATOR: all of them, or -1.
    """
    if OPERATOR >= 0:
        # What is true of NaN is the opposite of what is false of it.
        ORDERED: tl.constexpr = 15 - OPERATOR if OPERATOR >= 8 else OPERATOR
        if ORDERED == 0:
            m_true = (b_values > b_constants) & (b_values < b_constants)
        elif ORDERED == 1:
            m_true = b_values == b_constants
        elif ORDERED == 2:
            m_true = b_values > b_constants
        elif ORDERED == 3:
            m_true = b_values >= b_constants
        elif ORDERED == 4:
            m_true = b_values < b_constants
        elif ORDERED == 5:
            m_true = b_values <= b_constants
        elif ORDERED == 6:
            m_true = (b_values < b_constants) | (b_values > b_constants)
        else:
            m_true = (b_values <= b_constants) | (b_values > b_constants)
        if OPERATOR >= 8:
            return m_true == 0
        return m_true
    b_outcome = tl.where(b_values > b_constants, GREATER, tl.where(b_values < b_constants, LESS, MISSING))
    b_outcome = tl.where(b_values == b_constants, EQUAL, b_outcome)
    return (b_outcome & b_operators) != 0


@triton.jit
def _pack_across(
    p_values, o_samples, n_samples, sample_stride, m_atoms, b_constants, b_operators, MASKED: tl.constexpr,
    EVEN: tl.constexpr, OPERATOR: tl.constexpr,
):  # fmt: skip
    """A word of each atom, int32 [ATOMS], of a tile of 32 samples, `o_samples`, that lie side by side.

    p_values: pointers [ATOMS, 1] to their columns. m_atoms, b_constants, b_operators: [ATOMS].
    """
    i_bits = tl.arange(0, 32)
    p_values = p_values + o_samples[None, :] * sample_stride
    m_values = tl.full([1, 32], True, tl.int1)
    if MASKED:
        m_values = (o_samples < n_samples)[None, :]
    if MASKED or not EVEN:  # noqa: SIM108
        b_values = tl.load(p_values, mask=m_values & m_atoms[:, None], other=0)  # [ATOMS, 32]
    else:
        b_values = tl.load(p_values)
    m_true = compare_to(b_values, b_constants[:, None], b_operators[:, None], OPERATOR)
    if MASKED:
        m_true = m_true & m_values
    return tl.sum(tl.where(m_true, (1 << i_bits)[None, :], 0), axis=1)  # no bit is set twice


@triton.jit
def _pack_down(
    p_values, o_words, n_samples, sample_stride, m_atoms, b_constants, b_operators, MASKED: tl.constexpr,
    EVEN: tl.constexpr, OPERATOR: tl.constexpr, WORDS: tl.constexpr, ATOMS: tl.constexpr,
):  # fmt: skip
    """The words `o_words`, int32 [WORDS, ATOMS], sample by sample: a step of them lies side by side.

    p_values: pointers [1, ATOMS] to the atoms' columns. m_atoms, b_constants, b_operators: [ATOMS].
    """
    b_words = tl.zeros([WORDS, ATOMS], tl.int32)
    o_first = o_words * 32
    p_values = p_values + o_first[:, None] * sample_stride
    for first in range(0, 32, SAMPLES_A_STEP):
        b_part = tl.zeros([WORDS, ATOMS], tl.int32)
        for i in tl.static_range(SAMPLES_A_STEP):
            m_values = tl.full([1, 1], True, tl.int1)
            if MASKED:
                m_values = (o_first + first + i < n_samples)[:, None]
            if MASKED or not EVEN:
                b_values = tl.load(p_values, mask=m_values & m_atoms[None, :], other=0)  # [WORDS, ATOMS]
            else:
                b_values = tl.load(p_values)
            m_true = compare_to(b_values, b_constants[None, :], b_operators[None, :], OPERATOR)
            if MASKED:
                m_true = m_true & m_values
            b_part |= tl.where(m_true, 1 << i, 0)
            p_values += sample_stride
        b_words |= b_part << first
    return b_words


@triton.jit
def pack_columns_kernel(
    p_columns,
    p_column_of_atom,
    p_constants,
    p_operators,
    p_words,
    n_samples,
    n_atoms,
    sample_stride,
    column_stride,
    n_words,
    ACROSS: tl.constexpr,
    EVEN: tl.constexpr,
    OPERATOR: tl.constexpr,
    WORDS: tl.constexpr,
    ATOMS: tl.constexpr,
):
    """Compare and pack `WORDS` words of `ATOMS` atoms.

    p_columns: float32 or float64 [n_samples, n_columns], by the strides. p_column_of_atom: int32 or int64 [n_atoms], or
    None: atom k compares column k. p_constants: as the columns, p_operators: int8 [n_atoms]. p_words: int32
    [n_atoms, n_words], written. ACROSS: threads side by side have samples, not atoms: a column lies together. EVEN:
    ATOMS divides n_atoms. OPERATOR: of all atoms, or -1. Programs whose samples are all there mask none.
    """
    # The rows of words are padded to whole programs; addresses are 64-bit.
    o_words = tl.program_id(0).to(tl.int64) * WORDS + tl.arange(0, WORDS)  # [WORDS]
    o_atoms = tl.program_id(1) * ATOMS + tl.arange(0, ATOMS)  # [ATOMS]
    m_atoms = o_atoms < n_atoms
    b_constants = tl.load(p_constants + o_atoms, mask=m_atoms, other=0)
    b_operators = tl.load(p_operators + o_atoms, mask=m_atoms, other=0).to(tl.int32)
    if p_column_of_atom is None:
        o_columns = o_atoms.to(tl.int64) * column_stride
    else:
        o_columns = tl.load(p_column_of_atom + o_atoms, mask=m_atoms, other=0).to(tl.int64) * column_stride
    i_first = tl.program_id(0).to(tl.int64) * WORDS
    is_whole = (i_first + WORDS) * 32 <= n_samples
    if ACROSS:
        p_rows = p_columns + o_columns[:, None]
        p_word = p_words + o_atoms.to(tl.int64) * n_words + i_first
        for i in range(WORDS):
            o_samples = (i_first + i) * 32 + tl.arange(0, 32)
            if is_whole:
                b_word = _pack_across(
                    p_rows, o_samples, n_samples, sample_stride, m_atoms, b_constants, b_operators, False, EVEN,
                    OPERATOR,
                )  # fmt: skip
            else:
                b_word = _pack_across(
                    p_rows, o_samples, n_samples, sample_stride, m_atoms, b_constants, b_operators, True, EVEN,
                    OPERATOR,
                )  # fmt: skip
            tl.store(p_word + i, b_word, mask=m_atoms)
    else:
        p_rows = p_columns + o_columns[None, :]
        if is_whole:
            b_words = _pack_down(
                p_rows, o_words, n_samples, sample_stride, m_atoms, b_constants, b_operators, False, EVEN, OPERATOR,
                WORDS, ATOMS,
            )  # fmt: skip
        else:
            b_words = _pack_down(
                p_rows, o_words, n_samples, sample_stride, m_atoms, b_constants, b_operators, True, EVEN, OPERATOR,
                WORDS, ATOMS,
            )  # fmt: skip
        p_targets = p_words + o_atoms[None, :].to(tl.int64) * n_words + o_words[:, None]
        tl.store(p_targets, b_words, mask=m_atoms[None, :])
