"""`pack_columns`: what it means, in plain tensors on any device."""

import torch
from torch import Tensor

from eric_fast.bits import pack_bits
from eric_fast.kernels.packing import EQUAL, GREATER, LESS, MISSING, check_columns


def pack_columns(columns: Tensor, column_of_atom: Tensor | None, constants: Tensor, operators: Tensor) -> Tensor:
    """Compare and pack: atom `a` is `columns[:, column_of_atom[a]] operators[a] constants[a]`.

    Args:
        columns: float32 or float64 `[n_samples, n_columns]`, any strides; the comparison is made in its dtype.
        column_of_atom: int32 or int64 `[n_atoms]`, any order, any column any number of times; None for an atom per
            column, in order.
        constants: of the dtype of `columns`, `[n_atoms]`.
        operators: int8 `[n_atoms]`: `GREATER`, `LESS_EQUAL`, `EQUAL`, ...; `+ MISSING` for a bit that is true where
            the value (or the constant) is NaN, where it is false otherwise.

    Returns:
        int32 words `[n_atoms, count_words(n_samples)]`, zero past `n_samples`, on the device of `columns`.

    Raises:
        EricError: a wrong dtype, shape or device, or an atom of a column that doesn't exist.
    """
    check_columns(columns, column_of_atom, constants, operators)
    values = columns if column_of_atom is None else columns[:, column_of_atom.long()]
    bits = torch.zeros(values.shape, dtype=torch.bool, device=columns.device)
    bits |= (values == constants) & (operators & EQUAL != 0)
    bits |= (values > constants) & (operators & GREATER != 0)
    bits |= (values < constants) & (operators & LESS != 0)
    bits |= (values.isnan() | constants.isnan()) & (operators & MISSING != 0)
    return pack_bits(bits)
