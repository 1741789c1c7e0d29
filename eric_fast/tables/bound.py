"""`BoundTable`: a table whose columns a program has found, of which any rows are packed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import count_words
from eric_fast.quantiser import TableAtom

Check = Callable[[Tensor, int], Tensor]  # rows of a matrix, and the place of the first -> the rows, or an error


class Numbers(NamedTuple):
    """What is compared with numbers: a matrix `[n_rows, n]`, which of its columns (all for None), as which type."""

    matrix: Tensor
    columns: list[int] | None
    dtype: torch.dtype
    comparisons: kernels.Comparisons


class Sets(NamedTuple):
    """What is looked up in sets: places of values, float32 `[n_rows]`, of these values, by the atoms of these rows."""

    codes: Tensor
    values: Sequence[float | str]
    atoms: Sequence[TableAtom]
    rows: Tensor


class BoundTable:
    """A table's values where its program needs them; nothing is packed yet.

    Attributes:
        n_rows: of the table.
        device: where the words are made.
    """

    def __init__(
        self,
        n_rows: int,
        n_atoms: int,
        device: torch.device,
        numbers: Sequence[Numbers],
        sets: Sequence[Sets],
        *,
        engine: str,
        check: Check | None,
    ) -> None:
        self.n_rows = n_rows
        self.device = device
        self._n_atoms = n_atoms
        self._numbers = numbers
        self._sets = sets
        self._engine = engine
        self._check = check

    def pack(self, first: int, last: int, out: Tensor | None = None) -> Tensor:
        """The words of these rows, int32 `[n_atoms, count_words(last - first)]`, in `out` if given; see `kernels.Pack`.

        Raises:
            DataError: a value that the check refuses.
        """
        if out is None:
            out = torch.empty(self._n_atoms, count_words(last - first), dtype=torch.int32, device=self.device)
        for matrix, columns, dtype, comparisons in self._numbers:
            part = matrix[first:last]
            if self._check is not None:
                part = self._check(part, first)
            if columns is not None:
                part = part[:, columns]
            kernels.pack_comparisons(part.to(self.device, dtype), comparisons, out=out, engine=self._engine)
        for codes, values, atoms, rows in self._sets:
            part = codes[first:last, None].to(self.device)
            out[rows.to(self.device)] = _pack_sets(part, values, atoms, self._engine)
        return out


def _pack_sets(codes: Tensor, values: Sequence[float | str], atoms: Sequence[TableAtom], engine: str) -> Tensor:
    """int32 words `[n_atoms, n_words]`: a row for each value, OR-ed where a set has several."""
    n = len(values)
    constants = torch.tensor([*range(n), 0.0], dtype=torch.float32, device=codes.device)
    operators = torch.tensor([kernels.EQUAL] * n + [kernels.MISSING], dtype=torch.int8, device=codes.device)
    columns = torch.zeros(n + 1, dtype=torch.int64, device=codes.device)
    singles = kernels.pack_columns(codes, columns, constants, operators, engine=engine)
    row_of_value = {value: row for row, value in enumerate(values)}
    words = torch.zeros(len(atoms), singles.shape[1], dtype=torch.int32, device=codes.device)
    for row, atom in enumerate(atoms):
        for value in atom.constant:  # type: ignore[union-attr]
            words[row] |= singles[row_of_value[value]]
        if atom.missing:
            words[row] |= singles[n]
    return words
