"""What tensors of an ONNX graph of rules stand for in each row."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.trees.onnx_values import UnsupportedError
from eric_fast.program.table_atoms import TableAtom


class SignedAtom(NamedTuple):
    """A comparison or the number of a derived atom, or its opposite."""

    atom: TableAtom | int
    negated: bool = False

    def negate(self) -> "SignedAtom":
        return SignedAtom(self.atom, not self.negated)


class LinearBody(NamedTuple):
    """Literals of which all are true; or whose weights reach the bound, where there is one."""

    literals: tuple[SignedAtom, ...]
    weights: tuple[int, ...] = ()
    bound: int = 0


class GivenColumns(NamedTuple):
    """The values of columns, `[n_rows, n_columns]`."""

    places: tuple[int, ...]


class MissingBits(NamedTuple):
    """Whether columns are missing, `[n_rows, n_columns]`; only where the mask says."""

    places: tuple[int, ...]
    mask: tuple[bool, ...]


class TruthValues(NamedTuple):
    """Truth values, `[n_rows, n_literals]`.

    Attributes:
        or_missing: whether each is also true of a missing value.
    """

    literals: tuple[SignedAtom, ...]
    or_missing: bool = False


class WeightedSums(NamedTuple):
    """Weighted literals, `[n_rows, n_sums]`: `base` and the weights `[n_literals, n_sums]` of those that are true."""

    literals: tuple[SignedAtom, ...]
    weights: NDArray[Any]
    base: NDArray[Any]


class ChosenPlace(NamedTuple):
    """An entry of `table`, `[n_rows]`: at the first true literal, or at the highest sum; `default` where none is true.

    Attributes:
        table: of integers, or of texts.
    """

    source: TruthValues | WeightedSums
    table: NDArray[Any] | None = None
    default: int | None = None
    names: NDArray[Any] | None = None


class AnyTrue(NamedTuple):
    """Whether some literal is true, `[n_rows]`."""

    literals: tuple[SignedAtom, ...]


def as_bits(value: Any) -> TruthValues:
    """Sums that are one literal each, or its opposite, as truth values. Raises UnsupportedError: they are not."""
    if isinstance(value, TruthValues) and not value.or_missing:
        return value
    if not isinstance(value, WeightedSums):
        raise UnsupportedError("takes a value that is neither true nor false")
    literals = []
    for weights, base in zip(value.weights.T, np.ravel(value.base), strict=True):
        used = np.flatnonzero(weights)
        if len(used) != 1 or (weights[used[0]], base) not in ((1, 0), (-1, 1)):
            raise UnsupportedError("takes a sum that is not always 0 or 1")
        literal = value.literals[used[0]]
        literals.append(literal.negate() if base else literal)
    return TruthValues(tuple(literals))


def find_sum(literals: tuple[SignedAtom, ...], weights: NDArray[Any], bound: float) -> LinearBody | None:
    """The body that is true where these weights reach the bound; None if they never do.

    A negative weight of a literal is a positive one of its opposite, and a higher bound.

    Raises:
        UnsupportedError: a weight or bound that is no whole number of 31 bits.
    """
    used = np.flatnonzero(weights)
    positive = weights[used] > 0
    of_body = np.abs(weights[used])
    bound = bound + of_body[~positive].sum()
    if not ((of_body == np.floor(of_body)).all() and bound == np.floor(bound) and of_body.sum() < 2**31):
        raise UnsupportedError("compares sums that are not whole numbers of 31 bits")
    chosen = [literals[i] if keep else literals[i].negate() for i, keep in zip(used.tolist(), positive, strict=True)]
    if bound <= 0:
        return LinearBody(())
    if bound > of_body.sum():
        return None
    if bound == of_body.sum():
        return LinearBody(tuple(chosen))
    return LinearBody(tuple(chosen), tuple(of_body.astype(int).tolist()), int(bound))
