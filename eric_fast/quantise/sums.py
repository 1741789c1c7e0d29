"""Sums of columns that don't depend on the order of rows, or on how they are cut into parts."""

import math
from fractions import Fraction

import torch
from torch import Tensor

_ROWS, _COLUMNS = 16_384, 64  # of a block in float64: 8 MB
_DIGITS = 53  # of a float64


class ColumnSums:
    """The number of rows, and sum, sum of squares, minimum and maximum of each column.

    Values are split at a power of two into a part whose sums have no rounding error, and a rest below the last digit of
    any sum (Demmel and Nguyen, "Fast reproducible floating-point summation", 2013). So parts can be added in any order,
    or by several processes and merged.
    """

    def __init__(self, n_columns: int) -> None:
        self.n_rows = 0
        self._high = torch.zeros(2, n_columns, dtype=torch.float64)  # of values, of squares
        self._low = torch.zeros(2, n_columns, dtype=torch.float64)
        self._least = torch.full((n_columns,), math.inf, dtype=torch.float64)
        self._greatest = torch.full((n_columns,), -math.inf, dtype=torch.float64)

    def add(self, values: Tensor) -> None:
        """Add rows: float16 or float32 `[n, n_columns]`, finite."""
        for rows in values.split(_ROWS):
            if not len(rows):
                continue
            first = 0
            for block in rows.split(_COLUMNS, dim=1):
                exact = block.double()  # its square is exact as well
                columns = slice(first, first + exact.shape[1])
                first = columns.stop
                for power, terms in enumerate((exact, exact.square())):
                    self._add_sums(power, columns, *_sum_in_two(terms))
                self._least[columns] = torch.minimum(self._least[columns], exact.amin(dim=0))
                self._greatest[columns] = torch.maximum(self._greatest[columns], exact.amax(dim=0))
            self.n_rows += len(rows)

    def merge(self, other: "ColumnSums") -> None:
        """Add the rows of other sums."""
        for power in range(2):
            self._add_sums(power, slice(None), other._high[power], other._low[power])
        self._least = torch.minimum(self._least, other._least)
        self._greatest = torch.maximum(self._greatest, other._greatest)
        self.n_rows += other.n_rows

    def to_integers(self) -> Tensor:
        """The state bit for bit, int64 `[7, n_columns]`: processes exchange only integers."""
        n_rows = torch.full_like(self._least, self.n_rows, dtype=torch.int64)
        bounds = torch.stack([self._least, self._greatest])
        return torch.cat([torch.cat([self._high, self._low, bounds]).view(torch.int64), n_rows[None]])

    @classmethod
    def from_integers(cls, state: Tensor) -> "ColumnSums":
        """The inverse of `to_integers`."""
        sums = cls(state.shape[1])
        floats = state[:6].contiguous().view(torch.float64).clone()
        sums._high, sums._low, (sums._least, sums._greatest) = floats[:2], floats[2:4], floats[4:]
        sums.n_rows = int(state[6].max()) if state.shape[1] else 0
        return sums

    def find_constant(self) -> list[int]:
        """List the columns whose value never changes."""
        return (self._least == self._greatest).nonzero().flatten().tolist()

    def find_negative(self) -> list[bool]:
        """Whether each column has a negative value."""
        return (self._least < 0).tolist()

    def list_moments(self) -> tuple[Tensor, Tensor]:
        """Mean and population standard deviation, float64 `[n_columns]`, rounded once from the exact values."""
        means, stds = [], []
        for column in range(self._high.shape[1]):
            parts = ((self._high[power, column].item(), self._low[power, column].item()) for power in range(2))
            total, squares = (Fraction(high) + Fraction(low) for high, low in parts)
            mean = total / self.n_rows
            means.append(float(mean))
            stds.append(math.sqrt(max(Fraction(0), squares / self.n_rows - mean * mean)))
        return torch.tensor(means, dtype=torch.float64), torch.tensor(stds, dtype=torch.float64)

    def _add_sums(self, power: int, columns: slice, high: Tensor, low: Tensor) -> None:
        before = self._high[power, columns]
        total = before + high
        shift = total - before
        lost = (before - (total - shift)) + (high - shift)  # Knuth: the exact rounding error of the total
        self._high[power, columns] = total
        self._low[power, columns] += lost + low


def _sum_in_two(terms: Tensor) -> tuple[Tensor, Tensor]:
    """Sum each column of float64 `[n, n_columns]`, as two numbers.

    The first is a sum of multiples of a power of two that is so large that all its digits fit a float64: it is exact.
    """
    digits_of_sums = math.ceil(math.log2(len(terms))) if len(terms) > 1 else 0
    exponents = torch.frexp(terms.abs().amax(dim=0)).exponent  # terms lie below 2**exponent
    unit = torch.ldexp(torch.ones_like(terms[0]), exponents + (digits_of_sums - _DIGITS))
    high = (terms / unit).round() * unit
    return high.sum(dim=0), (terms - high).sum(dim=0)
