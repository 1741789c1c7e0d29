"""`pack_columns` on the GPU: a thread holds a word and sees its 32 samples one after another."""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.kernels import packing
from eric_fast.kernels.gpu.devices import launch_on
from eric_fast.kernels.packing import check_columns

EQUAL, GREATER = tl.constexpr(packing.EQUAL), tl.constexpr(packing.GREATER)
LESS, MISSING = tl.constexpr(packing.LESS), tl.constexpr(packing.MISSING)
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
                **choose_shape(columns),
            )
    return words


def choose_shape(columns: Tensor) -> dict[str, Any]:
    """Choose the constants that the kernel is compiled with for these columns."""
    return {"ACROSS": columns.stride(0) < columns.stride(1), "WORDS": WORDS, "ATOMS": ATOMS, "num_warps": 4}


@triton.jit
def compare_to(b_values, b_constants, b_operators):
    """int32, 1 where `value operator constant`, else 0. b_operators: int32; see `packing`."""
    b_outcome = tl.where(b_values > b_constants, GREATER, tl.where(b_values < b_constants, LESS, MISSING))
    b_outcome = tl.where(b_values == b_constants, EQUAL, b_outcome)
    return ((b_outcome & b_operators) != 0).to(tl.int32)


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
    WORDS: tl.constexpr,
    ATOMS: tl.constexpr,
):
    """Compare and pack `WORDS` words of `ATOMS` atoms.

    p_columns: float32 or float64 [n_samples, n_columns], by the strides. p_column_of_atom: int32 or int64 [n_atoms], or
    None: atom k compares column k. p_constants: as the columns, p_operators: int8 [n_atoms]. p_words: int32
    [n_atoms, n_words], written. ACROSS: threads side by side have samples, not atoms: a column lies together.
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
    p_targets = p_words + o_atoms[None, :].to(tl.int64) * n_words + o_words[:, None]
    if ACROSS:
        i_bits = tl.arange(0, 32)
        for i in range(WORDS):
            o_samples = (tl.program_id(0).to(tl.int64) * WORDS + i) * 32 + i_bits  # [32]
            m_samples = o_samples < n_samples
            p_values = p_columns + o_columns[:, None] + o_samples[None, :] * sample_stride
            b_values = tl.load(p_values, mask=m_atoms[:, None] & m_samples[None, :], other=0)  # [ATOMS, 32]
            b_bits = compare_to(b_values, b_constants[:, None], b_operators[:, None]) & m_samples[None, :].to(tl.int32)
            b_word = tl.sum(b_bits << i_bits[None, :], axis=1)  # no bit is set twice
            p_word = p_words + o_atoms.to(tl.int64) * n_words + tl.program_id(0).to(tl.int64) * WORDS + i
            tl.store(p_word, b_word, mask=m_atoms)
    else:
        b_words = tl.zeros([WORDS, ATOMS], tl.int32)
        for i in range(32):
            o_samples = o_words * 32 + i
            m_samples = o_samples < n_samples
            p_values = p_columns + o_samples[:, None] * sample_stride + o_columns[None, :]
            b_values = tl.load(p_values, mask=m_samples[:, None] & m_atoms[None, :], other=0)  # [WORDS, ATOMS]
            b_bits = compare_to(b_values, b_constants[None, :], b_operators[None, :]) & m_samples[:, None].to(tl.int32)
            b_words |= b_bits << i
        tl.store(p_targets, b_words, mask=m_atoms[None, :])
