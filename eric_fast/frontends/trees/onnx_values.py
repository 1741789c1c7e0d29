"""What the tensors of an ONNX graph of trees hold, element by element, as functions of one row."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.trees.onnx_columns import ColumnStep, Feature


@dataclass(frozen=True, eq=False)
class EnsembleOutput:
    """What an ensemble answers, not yet taken apart: element `place` of its scores or sums, or its label."""

    ensemble: int
    role: str
    place: int = 0


@dataclass(frozen=True, eq=False)
class Leaves:
    """A function of the leaf of one tree: `values` `[n_leaves]`, in the runtime's own dtype."""

    tree: int
    values: NDArray[Any]


@dataclass(frozen=True, eq=False)
class LeafSums:
    """`base` plus, for each tree of `terms`, a number of its leaf, float64 `[n_leaves]`."""

    terms: dict[int, NDArray[np.float64]]
    base: float = 0.0


@dataclass(frozen=True, eq=False)
class Linked:
    """A link function of one value; see `LINKS`."""

    link: str
    part: "RowValue"


@dataclass(frozen=True, eq=False)
class Total:
    """The sum of several values that are not sums of leaves, such as that of exponentials.

    Attributes:
        whole: whether it is cast to an integer, which can only be asked whether it is 0.
    """

    parts: tuple["RowValue", ...]
    whole: bool = False


@dataclass(frozen=True, eq=False)
class Share:
    """Element `place` of a link function of several values together."""

    link: str
    parts: tuple["RowValue", ...]
    place: int


@dataclass(frozen=True, eq=False)
class HighestPlace:
    """The place of the highest of several values, or what `table` holds there."""

    parts: tuple["RowValue", ...]
    table: tuple[Any, ...]


FixedValue = np.generic  # a number of NumPy
RowValue = Feature | EnsembleOutput | Leaves | LeafSums | Linked | Total | Share | HighestPlace | FixedValue
_NUMBERS = (Leaves, LeafSums)
_OTHER_STEP = "is not supported here: columns can only be shifted, scaled or bounded, each by one finite constant"
_PLAIN: dict[str, Callable[..., Any]] = {  # computed as they are, of constants and of the leaves of one tree
    **{"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum, "Neg": np.negative},
    **{"Abs": np.abs, "Exp": np.exp, "Log": np.log, "Sqrt": np.sqrt, "Pow": np.power, "Floor": np.floor},
    **{"Equal": np.equal, "Less": np.less, "Greater": np.greater, "LessOrEqual": np.less_equal},
    **{"GreaterOrEqual": np.greater_equal, "Not": np.logical_not, "And": np.logical_and, "Or": np.logical_or},
    **{"Where": np.where, "Identity": np.asarray, "Ceil": np.ceil, "Sign": np.sign},
}


class UnsupportedError(ModelError):
    """What can't be computed from trees; the graph adds the node."""


def compute_plain(operator: str, values: Sequence[Any]) -> NDArray[Any]:
    """An operator of constants, or of what the leaves of one tree hold, in their own dtypes."""
    arrays = [np.asarray(value) for value in values]
    with np.errstate(all="ignore"):
        if operator == "Sigmoid":
            return np.asarray(1 / (1 + np.exp(-arrays[0])), arrays[0].dtype)
        if operator == "Div":
            if arrays[0].dtype.kind != "f":
                raise UnsupportedError("divides integers")
            return np.asarray(np.divide(*arrays), arrays[0].dtype)
        if operator not in _PLAIN:
            raise UnsupportedError("is not supported beside a tree ensemble")
        return np.asarray(_PLAIN[operator](*arrays))


def compute(operator: str, values: Sequence[RowValue]) -> RowValue:
    """An operator of elements. Raises UnsupportedError: it has no meaning here."""
    if all(isinstance(value, FixedValue) for value in values):
        return _scalar(compute_plain(operator, values))
    if any(isinstance(value, Feature) for value in values):
        return _change_feature(operator, values)
    trees = {value.tree for value in values if isinstance(value, Leaves)}
    if len(trees) == 1 and all(isinstance(value, Leaves | FixedValue) for value in values):
        arrays = [value.values if isinstance(value, Leaves) else value for value in values]
        return Leaves(trees.pop(), compute_plain(operator, arrays))
    return _compute_sums(operator, values)


def cast(value: RowValue, dtype: np.dtype[Any]) -> RowValue:
    if isinstance(value, FixedValue):
        return _scalar(np.asarray(value).astype(dtype))
    if isinstance(value, Leaves):
        return Leaves(value.tree, value.values.astype(dtype))
    if isinstance(value, HighestPlace):
        return _cast_choice(value, dtype)
    if isinstance(value, Feature):
        if dtype.name == value.dtype:
            return value
        if dtype.name == "float32" and not value.steps:  # as the column itself is rounded where it is read
            return Feature(value.column, "float32", "float32")
        if dtype.name not in ("float32", "float64") or value.dtype == "int64":
            raise UnsupportedError(f"casts a column from {value.dtype} to {dtype.name}")
        return value.add(ColumnStep("Cast", np.zeros((), dtype)), dtype.name)
    if isinstance(value, Total) and dtype.kind == "i" and _find_least(value) >= 1:
        return Total(value.parts, whole=True)
    if dtype.kind != "f" or (isinstance(value, Total) and value.whole):
        raise UnsupportedError(f"casts a sum to {dtype.name}")
    return value


def _find_least(total: Total) -> float:
    """A number that the sum of n exponentials is never below: n times the exponential of the least mean."""
    sums = [as_sums(part.part) for part in total.parts if isinstance(part, Linked) and part.link == "exp"]
    if not sums or len(sums) < len(total.parts):
        return 0.0
    mean = scale_sums(_add(sums), 1 / len(sums))
    least = mean.base + sum(float(term.min()) for term in mean.terms.values())
    return len(sums) * math.exp(min(least, 0.0)) * (1 - 1e-6)  # runtimes round


def _cast_choice(value: HighestPlace, dtype: np.dtype[Any]) -> RowValue:
    if dtype.kind not in "iuf" or any(isinstance(entry, str) for entry in value.table):
        raise UnsupportedError(f"casts labels to {dtype.name}")
    return HighestPlace(value.parts, tuple(dtype.type(entry) for entry in value.table))


def take_highest(parts: Sequence[RowValue]) -> RowValue:
    """The place of the highest, the first on a tie; of one tree, that at each leaf."""
    trees = {part.tree for part in parts if isinstance(part, Leaves)}
    if len(trees) == 1 and all(isinstance(part, Leaves | FixedValue) for part in parts):
        return Leaves(trees.pop(), stack_leaves(parts).argmax(axis=0).astype(np.int64))
    return HighestPlace(tuple(parts), tuple(np.int64(i) for i in range(len(parts))))


def take_entry(value: RowValue, table: Sequence[Any]) -> RowValue:
    """The entry of a table at a place. Raises UnsupportedError: the value is no place in it."""
    if isinstance(value, Leaves) and value.values.dtype.kind in "iu":
        if len(value.values) and not 0 <= value.values.min() <= value.values.max() < len(table):
            raise UnsupportedError("takes an entry past the end of the table")
        return Leaves(value.tree, np.asarray(table)[value.values])
    if isinstance(value, HighestPlace) and all(np.asarray(place).dtype.kind in "iu" for place in value.table):
        if not all(0 <= place < len(table) for place in value.table):
            raise UnsupportedError("takes an entry past the end of the table")
        return HighestPlace(value.parts, tuple(table[int(place)] for place in value.table))
    raise UnsupportedError("takes an entry at a value that is not a place in the table")


def add_up(values: Sequence[RowValue]) -> RowValue:
    if all(isinstance(value, Linked) for value in values):
        return Total(tuple(values))
    if (
        len({value.tree if isinstance(value, Leaves) else -1 for value in values if not isinstance(value, FixedValue)})
        < 2
    ):
        total = values[0]
        for value in values[1:]:
            total = compute("Add", (total, value))
        return total
    return _add([as_sums(value) for value in values])


def as_sums(value: RowValue) -> LeafSums:
    """Raises UnsupportedError: it is no sum of leaves."""
    if isinstance(value, FixedValue) and np.asarray(value).dtype.kind in "iufb":
        return LeafSums({}, float(value))
    if isinstance(value, Leaves) and value.values.dtype.kind in "iufb":
        return LeafSums({value.tree: value.values.astype(np.float64)})
    if isinstance(value, LeafSums):
        return value
    raise UnsupportedError("takes values that are not sums of leaves")


def count_numbers(made: RowValue, given: Sequence[RowValue]) -> int:
    """How many numbers a value holds that those which it is made of don't share with it."""
    if isinstance(made, Leaves):
        return len(made.values)
    if isinstance(made, LeafSums):
        shared = {id(term) for value in given if isinstance(value, LeafSums) for term in value.terms.values()}
        return 1 + sum(1 if id(term) in shared else len(term) for term in made.terms.values())
    return len(made.parts) if isinstance(made, Total | Share | HighestPlace) else 1


def stack_leaves(parts: Sequence[RowValue]) -> NDArray[Any]:
    """What the leaves of one tree hold, and constants, `[n_parts, n_leaves]`."""
    arrays = [part.values if isinstance(part, Leaves) else np.asarray(part) for part in parts]
    return np.stack(np.broadcast_arrays(*arrays))


def _scalar(array: NDArray[Any]) -> RowValue:
    found: np.generic[Any] = array.reshape(1)[0]
    return found


def _change_feature(operator: str, values: Sequence[RowValue]) -> RowValue:
    constants = [value for value in values if isinstance(value, FixedValue)]
    if operator == "Neg":
        values, operator, constants = (np.float32(0), *values), "Sub", [np.float32(0)]
    if len(values) != 2 or len(constants) != 1 or operator not in ("Add", "Sub", "Mul", "Div", "Max", "Min"):
        raise UnsupportedError(_OTHER_STEP)
    swapped = isinstance(values[0], FixedValue)
    feature = values[1] if swapped else values[0]
    assert isinstance(feature, Feature)
    if feature.dtype == "int64" or not np.isfinite(constants[0]) or (swapped and operator == "Div"):
        raise UnsupportedError(_OTHER_STEP)
    return feature.add(ColumnStep(operator, np.asarray(constants[0]).astype(feature.dtype), swapped), feature.dtype)


def _compute_sums(operator: str, values: Sequence[RowValue]) -> RowValue:
    """Of several trees, or of what they became."""
    first, second = values[0], values[1] if len(values) == 2 else None
    if operator in ("Exp", "Sigmoid") and isinstance(first, _NUMBERS):
        return Linked(operator.lower(), as_sums(first))
    if isinstance(first, Total):
        if operator == "Equal" and isinstance(second, FixedValue) and second == 0:
            return np.bool_(False)  # as exponentials are above 0
        if operator == "Add" and isinstance(second, FixedValue) and second == 0 and not first.whole:
            return first
    if (
        operator == "Div"
        and isinstance(second, Total)
        and not second.whole
        and isinstance(first, Linked)
        and first in second.parts
    ):
        if first.link != "exp" or any(isinstance(part, Linked) and part.link != "exp" for part in second.parts):
            raise UnsupportedError("divides values that are not exponentials")
        parts = tuple(part.part for part in second.parts if isinstance(part, Linked))
        return Share("softmax", parts, second.parts.index(first))
    if operator == "Sub" and first == 1 and isinstance(second, Linked) and second.link == "sigmoid":
        return Linked("sigmoid", scale_sums(as_sums(second.part), -1.0))
    if operator == "Neg":
        return scale_sums(as_sums(first), -1.0)
    if second is None:
        raise UnsupportedError("is supported for a single tree, but not for sums over several")
    if operator in ("Add", "Sub"):
        return _add([as_sums(first), scale_sums(as_sums(second), 1.0 if operator == "Add" else -1.0)])
    if operator == "Mul" and isinstance(first, FixedValue):
        return scale_sums(as_sums(second), float(first))
    if operator == "Mul" and isinstance(second, FixedValue):
        return scale_sums(as_sums(first), float(second))
    if operator == "Div" and isinstance(second, FixedValue) and second != 0:
        divisor = float(second)
        return _map_terms(as_sums(first), lambda term: term / divisor)
    raise UnsupportedError("is not supported for sums over several trees")


def _map_terms(value: LeafSums, function: Callable[[Any], Any]) -> LeafSums:
    return LeafSums({tree: function(term) for tree, term in value.terms.items()}, float(function(value.base)))


def scale_sums(value: LeafSums, factor: float) -> LeafSums:
    """Each number times a factor."""
    return value if factor == 1 else _map_terms(value, partial(np.multiply, factor))


def _add(parts: Sequence[LeafSums]) -> LeafSums:
    terms: dict[int, NDArray[np.float64]] = {}
    for part in parts:
        for tree, term in part.terms.items():
            terms[tree] = terms[tree] + term if tree in terms else term
    return LeafSums(terms, sum(part.base for part in parts))
