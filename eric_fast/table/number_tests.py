"""`NumberTests`: a program's comparisons with numbers as arrays, with the kernels' operators."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast import kernels
from eric_fast.program.table_atoms import TABLE_OPERATORS, TableAtom, TableAtoms

# By the indices of TABLE_OPERATORS, which ends with that of sets.
_OPERATORS = np.array(
    [kernels.GREATER, kernels.LESS_EQUAL, kernels.EQUAL, kernels.LESS, kernels.GREATER_EQUAL, kernels.UNEQUAL],
    np.int8,
)


class NumberTests(NamedTuple):
    """Comparisons with numbers, `[n]` each.

    Attributes:
        rows: int64: their indices among all atoms.
        columns: int64.
        constants: float64.
        operators: int8: the outcomes under which each holds, as bits; see `kernels.LESS` and so on.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    constants: NDArray[np.float64]
    operators: NDArray[np.int8]


def list_number_tests(atoms: Sequence[TableAtom]) -> NumberTests:
    """All atoms that compare with a number, in order; sets are left out."""
    if isinstance(atoms, TableAtoms):
        rows, columns, constants = np.arange(len(atoms)), atoms.columns.astype(np.int64), atoms.constants
        operators, missing = atoms.operators, atoms.missing
    else:
        rows = np.array([row for row, atom in enumerate(atoms) if atom.operator != "in"], np.int64)
        kept = [atoms[row] for row in rows.tolist()]
        columns = np.array([atom.column for atom in kept], np.int64)
        constants = np.array([atom.constant for atom in kept], np.float64)
        operators = np.array([TABLE_OPERATORS.index(atom.operator) for atom in kept], np.int8)
        missing = np.array([atom.missing for atom in kept], np.bool_)
    holds = _OPERATORS[operators] + np.int8(kernels.MISSING) * missing.astype(np.int8)
    return NumberTests(rows, columns, constants, holds)
