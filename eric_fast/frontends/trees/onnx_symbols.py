"""Tensors of an ONNX graph as symbols: each element is a value of one row of a table."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.fields import NUMBERS, check_claim
from eric_fast.frontends.trees.onnx_values import (
    EnsembleOutput,
    FixedValue,
    RowValue,
    UnsupportedError,
    cast,
    compute,
    compute_plain,
    count_numbers,
)

N_ROWS = 11  # of the table of symbols, so that the axis of rows is seen whatever a graph does with its axes
COMBINED = 8  # numbers that the code of an element counts as, if it is computed
_DTYPES = {1: "float32", 11: "float64", 6: "int32", 7: "int64", 9: "bool", 10: "float16"}  # of TensorProto


class Shape(np.ndarray[Any, Any]):
    """The shape of a tensor with the rows in it, which may only make other tensors as large."""


class Symbols:
    """Tensors as int64 arrays of codes, `value * N_ROWS + row`; constants are arrays of their own dtype.

    Args:
        size: of the file in bytes; it limits memory.
        expand: takes an ensemble's output apart.
    """

    def __init__(self, size: int, name: str, expand: Callable[[EnsembleOutput], RowValue]) -> None:
        self.values: list[RowValue] = []
        self.size, self.name, self.expand = size, name, expand
        self.known: dict[Any, int] = {}
        self.n_numbers = self.n_keys = 0

    def make_key(self, what: str) -> str:
        """A key for `combine` that no other call has."""
        self.n_keys += 1
        return f"{what} {self.n_keys}"

    def add(self, value: RowValue) -> int:
        self.values.append(value)
        return len(self.values) - 1

    def make(self, values: Sequence[RowValue]) -> "Symbolic":
        """A tensor `[N_ROWS, len(values)]` with these values in each row."""
        codes = np.array([self.add(value) for value in values], np.int64)
        return Symbolic(codes * N_ROWS + np.arange(N_ROWS)[:, None])

    def lift(self, tensor: Any) -> "Symbolic":
        """A constant tensor as a symbolic one."""
        if isinstance(tensor, Symbolic):
            return tensor
        self.charge_tensor(tensor.shape, COMBINED)
        codes = [self._add_constant(entry) * N_ROWS for entry in np.asarray(tensor).reshape(-1)]
        return Symbolic(np.array(codes, np.int64).reshape(tensor.shape))

    def _add_constant(self, entry: Any) -> int:
        """The place of a constant, which is added once."""
        key = ("constant", entry.dtype.str, entry.tobytes())
        if key not in self.known:
            self.known[key] = self.add(entry)
        return self.known[key]

    def get(self, code: int, *, whole: bool = False) -> RowValue:
        """The value of a code; an ensemble's output is taken apart unless it is wanted `whole`."""
        value = self.values[code // N_ROWS]
        if isinstance(value, EnsembleOutput) and not whole:
            value = self.values[code // N_ROWS] = self.expand(value)
        return value

    def combine(self, key: str, codes: Sequence[int], function: Callable[[Sequence[RowValue]], RowValue]) -> int:
        """The code of a function of values of one row; computed once. Raises UnsupportedError: of several rows."""
        values = [self.get(code) for code in codes]
        rows = {code % N_ROWS for code, value in zip(codes, values, strict=True) if not isinstance(value, FixedValue)}
        if len(rows) > 1:
            raise UnsupportedError("combines values of different rows")
        found = self.known.get((key, *(code // N_ROWS for code in codes)))
        if found is None:
            made = function(values)
            self.charge(count_numbers(made, values))
            found = self.known[(key, *(code // N_ROWS for code in codes))] = self.add(made)
        return found * N_ROWS + (rows.pop() if rows else 0)

    def map_codes(self, key: str, codes: NDArray[np.int64], function: Callable[[RowValue], RowValue]) -> "Symbolic":
        """A function, called `key`, of the value of each code; the caller charges for them."""
        made = [self.combine(key, [code], lambda values: function(values[0])) for code in codes.reshape(-1).tolist()]
        return Symbolic(np.array(made, np.int64).reshape(codes.shape))

    def map_elements(self, operator: str, tensors: Sequence[Any]) -> Any:
        """An operator of each element, with the axes of tensors matched as in NumPy."""
        shape = np.broadcast_shapes(*(tensor.shape for tensor in tensors))
        if not any(isinstance(tensor, Symbolic) for tensor in tensors):
            self.charge_tensor(shape)
            return compute_plain(operator, tensors)
        self.charge_tensor(shape, COMBINED * len(tensors))
        arrays = [np.broadcast_to(self.lift(tensor).codes, shape).reshape(-1).tolist() for tensor in tensors]
        codes = [
            self.combine(operator, each, lambda values: compute(operator, values)) for each in zip(*arrays, strict=True)
        ]
        return Symbolic(np.array(codes, np.int64).reshape(shape))

    def reduce(
        self, key: str, tensor: Any, axis: int, function: Callable[[Sequence[RowValue]], RowValue], keep: bool
    ) -> Any:
        """A function of all values along an axis."""
        codes = np.moveaxis(self.lift(tensor).codes, axis, -1)
        self.charge_tensor(codes.shape, COMBINED)
        flat = codes.reshape(-1, codes.shape[-1]).tolist()
        made = np.array([self.combine(key, each, function) for each in flat], np.int64).reshape(codes.shape[:-1])
        return Symbolic(np.expand_dims(made, axis) if keep else made)

    def charge(self, n: int) -> None:
        """Count numbers that are made. Raises ProgramError: the graph makes too many for its file's size."""
        self.n_numbers += n
        check_claim(self.n_numbers, self.size, "elements of tensors", self.name, NUMBERS)

    def charge_tensor(self, shape: Sequence[int], each: int = 1) -> None:
        """Count the elements of a tensor, before it is made."""
        self.charge(math.prod(max(int(length), 0) for length in shape) * each)


class Symbolic:
    """A tensor of codes; see `Symbols`."""

    def __init__(self, codes: NDArray[np.int64]) -> None:
        self.codes = codes

    @property
    def shape(self) -> tuple[int, ...]:
        return self.codes.shape


def cast_tensor(tensor: Any, to: int, symbols: Symbols) -> Any:
    if to not in _DTYPES:
        raise UnsupportedError(f"casts to type {to}")
    dtype = np.dtype(_DTYPES[to])
    if not isinstance(tensor, Symbolic):
        return tensor.astype(dtype)
    symbols.charge_tensor(tensor.shape, COMBINED)
    whole = [symbols.get(code, whole=True) for code in tensor.codes.reshape(-1).tolist()]
    if all(isinstance(value, EnsembleOutput) for value in whole):  # labels and scores keep their values
        roles = {value.role for value in whole if isinstance(value, EnsembleOutput)}
        if dtype.kind == "i" and roles == {"label"} and dtype.itemsize >= 4:
            return tensor
        if dtype.kind == "f" and dtype.itemsize >= 4 and "label" not in roles:
            return tensor
    return symbols.map_codes(f"Cast {to}", tensor.codes, lambda value: cast(value, dtype))
