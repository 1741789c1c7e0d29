"""Columns of a table as an ONNX graph prepares them for its trees: scaled, clipped, rounded, missing ones replaced.

Each step never decreases or never increases with its argument, rounding included, so a comparison of a prepared value
is one of the column itself. Where that changes its truth is found among all floats, by the runtime's own arithmetic.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.trees.nodes import StoredTree

_TWO = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Div": np.divide, "Max": np.maximum, "Min": np.minimum}


@dataclass(frozen=True)
class ColumnStep:
    """One step of a column: `operator` of the value and `constant`, or of these two in turn if it is `swapped`.

    Attributes:
        operator: of `_TWO`; `Cast` to the constant's dtype; or `Fill`, which replaces missing values.
    """

    operator: str
    constant: Any
    swapped: bool = False

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        if self.operator == "Cast":
            return values.astype(self.constant.dtype)
        if self.operator == "Fill":
            return np.where(np.isnan(values), self.constant, values)
        pair = (self.constant, values) if self.swapped else (values, self.constant)
        result: NDArray[Any] = _TWO[self.operator](*pair)
        return result


@dataclass(frozen=True)
class Feature:
    """A column of the graph's inputs, and what is done to it.

    Attributes:
        column: its place among the columns of all inputs.
        kind: `float32` or `float64`: what its values are made before all else.
        dtype: of the value after all steps; `int64` before integers are cast.
    """

    column: int
    kind: str
    dtype: str
    steps: tuple[ColumnStep, ...] = ()

    def add(self, step: ColumnStep, dtype: str) -> "Feature":
        return replace(self, steps=(*self.steps, step), dtype=dtype)

    @property
    def only_widens(self) -> bool:
        """Whether float32 becomes float64, and nothing else is done."""
        is_cast = len(self.steps) == 1 and self.steps[0].operator == "Cast"
        return is_cast and (self.kind, self.dtype) == ("float32", "float64")

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        with np.errstate(all="ignore"):
            for step in self.steps:
                values = step.apply(values)
        return values


def map_tree(tree: StoredTree, features: Sequence[Feature], place: str) -> StoredTree:
    """The tree with its comparisons moved to the columns themselves.

    Args:
        tree: it compares prepared values.
        features: these values.
        place: what errors call the graph.

    Raises:
        ModelError: a step after which values can't be ordered, or a node that asks whether a prepared value equals one.
    """
    column, constant = np.array(tree.column, np.int64), np.array(tree.constant, np.float64)
    operator = np.array(np.broadcast_to(np.asarray(tree.operator), len(column)))
    missing = np.array(tree.missing, np.bool_)
    for number in np.unique(column[column >= 0]).tolist():
        feature = features[number]
        nodes = np.flatnonzero(tree.column == number)
        column[nodes] = feature.column
        if not feature.steps:
            continue
        if feature.only_widens:  # what float32 holds equals the same number in float64
            held = constant[nodes] == constant[nodes].astype(np.float32)
            nodes = nodes[~(held & np.isin(operator[nodes], ("==", "!=")))]
        plain = np.isin(operator[nodes], ("<", "<=", ">", ">="))
        if not plain.all() or any(node in tree.sets for node in nodes.tolist()):
            raise ModelError(f"{place}: a node asks whether a column that the graph has changed equals a number")
        filled = feature.apply(np.full(1, np.nan, feature.kind))
        if not np.isnan(filled[0]):
            missing[nodes] = _compare(np.broadcast_to(filled, len(nodes)), operator[nodes], constant[nodes])
        constant[nodes], operator[nodes] = _move_thresholds(feature, operator[nodes], constant[nodes], place)
    return replace(tree, column=column, constant=constant, operator=operator, missing=missing)


def _compare(values: NDArray[Any], operators: NDArray[Any], constants: NDArray[Any]) -> NDArray[np.bool_]:
    values = values.astype(np.float64)
    known = {"<": values < constants, "<=": values <= constants, ">": values > constants, ">=": values >= constants}
    return np.select([operators == name for name in known], list(known.values()))


def _move_thresholds(
    feature: Feature, operators: NDArray[Any], constants: NDArray[Any], place: str
) -> tuple[NDArray[np.float64], NDArray[Any]]:
    """The constants and operators that ask the same of the column itself, by bisection over all floats in order."""
    dtype = np.dtype(feature.kind)
    ends = feature.apply(np.array([-np.inf, np.inf], dtype))
    if np.isnan(ends).any():
        raise ModelError(f"{place}: column {feature.column} is multiplied or divided by 0, so it can't be ordered")
    least, most = (_rank(np.array([end], dtype))[0] for end in (-np.inf, np.inf))

    def holds(ranks: NDArray[np.int64]) -> NDArray[np.bool_]:
        return _compare(feature.apply(_unrank(ranks, dtype)), operators, constants)

    low, high = np.full(len(constants), least), np.full(len(constants), most)
    at_low, at_high = holds(low), holds(high)
    while (low + 1 < high).any():  # what holds at `low` and at `high` stays as it is; they may hold the same
        middle = low // 2 + high // 2 + (low % 2 + high % 2) // 2  # their sum might overflow
        same = holds(middle) == at_low
        low, high = np.where(same, middle, low), np.where(same, high, middle)
    changes = at_low != at_high
    constant = _unrank(np.where(at_low, low, high), dtype).astype(np.float64)
    # It holds up to `low`, or from `high` on; or of all values (at least -inf), or of none (below -inf).
    operator = np.where(at_low, "<=", ">=")
    operator = np.where(changes, operator, np.where(at_low, ">=", "<"))
    return np.where(changes, constant, -np.inf), operator


def _rank(values: NDArray[Any]) -> NDArray[np.int64]:
    """The place of each float in the order of all: those below zero by their bits, turned round."""
    bits = values.view(f"i{values.dtype.itemsize}").astype(np.int64)
    lowest = np.int64(np.iinfo(f"i{values.dtype.itemsize}").min)
    return np.where(bits < 0, lowest - bits, bits)


def _unrank(ranks: NDArray[np.int64], dtype: np.dtype[Any]) -> NDArray[Any]:
    size = dtype.itemsize
    lowest = np.int64(np.iinfo(f"i{size}").min)
    bits = np.where(ranks < 0, lowest - ranks, ranks).astype(f"i{size}")
    return bits.view(dtype)
