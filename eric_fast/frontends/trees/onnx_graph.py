"""The nodes of an ONNX graph beside its ensembles, run on symbols, which stand for functions of one row."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import EricError, ModelError, ProgramError
from eric_fast.frontends.fields import Field
from eric_fast.frontends.trees.onnx_attributes import read_attributes, read_tensor
from eric_fast.frontends.trees.onnx_operators import (
    encode_tensor,
    fill_tensor,
    move_tensor,
    scale_tensor,
    share_tensor,
)
from eric_fast.frontends.trees.onnx_symbols import Shape, Symbolic, Symbols, cast_tensor
from eric_fast.frontends.trees.onnx_values import UnsupportedError, add_up, take_highest

MOVES = (
    *("Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Gather", "Slice", "ArrayFeatureExtractor"),
    "Expand",
)
KEEPS = ("Identity", "ZipMap", "Dropout")
ELEMENTWISE = (
    *("Add", "Sub", "Mul", "Div", "Neg", "Abs", "Exp", "Log", "Sqrt", "Pow", "Sigmoid", "Floor", "Ceil", "Sign"),
    *("Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual", "Not", "And", "Or", "Where"),
)


def run_node(node: Any, given: Sequence[Any], symbols: Symbols, place: str) -> list[Any]:
    """The outputs of a node that is no ensemble.

    Raises:
        ModelError: it is not supported here, with its name.
    """
    attributes = read_attributes(node, f"{place}: {node.op_type}")
    with locate_errors(node, place), np.errstate(all="ignore"):
        return _run(node.op_type, list(given), attributes, symbols)


@contextmanager
def locate_errors(node: Any, place: str) -> Iterator[None]:
    """Errors name the node; those of NumPy and Python mean that its inputs are of other shapes or types."""
    try:
        yield
    except UnsupportedError as error:
        raise ModelError(f"{place}: {describe_node(node)} {error}") from error
    except EricError:
        raise
    except (ValueError, IndexError, TypeError, AttributeError, OverflowError, KeyError) as error:
        raise ProgramError(f"{place}: {describe_node(node)} doesn't fit its inputs: {error}") from error


def describe_node(node: Any) -> str:
    """How errors call a node: `op 'Gather' (node 'first')`."""
    return f"op '{node.op_type}'" + (f" (node '{node.name}')" if node.name else "")


def _run(operator: str, given: list[Any], attributes: Field, symbols: Symbols) -> list[Any]:
    settings = attributes.value
    if operator == "Constant":
        return [_read_constant(attributes)]
    if any(isinstance(tensor, Shape) for tensor in given) and operator not in ("Reshape", "ConstantOfShape", "Expand"):
        raise UnsupportedError("uses the number of rows, which only Reshape, Expand and ConstantOfShape may")
    if operator == "Shape":
        return [np.array(given[0].shape, np.int64).view(Shape)]
    if operator == "ConstantOfShape":
        symbols.charge_tensor(given[0].tolist())
        value = settings.get("value", np.zeros(1, np.float32))
        return [np.full(given[0].tolist(), np.ravel(value)[0])]
    if operator in KEEPS:
        return [given[0]]
    if operator == "Cast":
        return [cast_tensor(given[0], int(settings.get("to", 0)), symbols)]
    if operator in MOVES:
        return [move_tensor(operator, given, settings, symbols)]
    if operator in ("Concat", "FeatureVectorizer"):
        symbols.charge(sum(int(np.prod(tensor.shape)) for tensor in given))
        axis = int(settings.get("axis", 1)) if operator == "Concat" else 1
        if not any(isinstance(tensor, Symbolic) for tensor in given):
            return [np.concatenate(given, axis)]
        return [Symbolic(np.concatenate([symbols.lift(tensor).codes for tensor in given], axis))]
    if operator in ELEMENTWISE:
        return [symbols.map_elements(operator, given)]
    if operator in ("Sum", "Max", "Min", "Mean"):
        return [_fold(operator, given, symbols)]
    if operator == "Clip":
        made, *bounds = given
        if not bounds:  # up to version 6 they were attributes
            bounds = [np.float32(settings[name]) if name in settings else None for name in ("min", "max")]
        for bound, name in zip(bounds, ("Max", "Min"), strict=False):
            made = made if bound is None else symbols.map_elements(name, [made, bound])
        return [made]
    if operator in ("ReduceSum", "ReduceMean"):
        return [_reduce(operator, given, settings, symbols)]
    if operator in ("ArgMax", "ArgMin"):
        if operator == "ArgMin" or settings.get("select_last_index", 0):
            raise UnsupportedError("is not supported beside a tree ensemble")
        return [
            symbols.reduce("ArgMax", given[0], int(settings.get("axis", 0)), take_highest, settings.get("keepdims", 1))
        ]
    if operator in ("Softmax", "LpNormalization", "Normalizer"):
        return [share_tensor(operator, given[0], attributes, symbols)]
    if operator == "Scaler":
        return [scale_tensor(given[0], attributes, symbols)]
    if operator == "Imputer":
        return [fill_tensor(given[0], attributes, symbols)]
    if operator == "LabelEncoder":
        return [encode_tensor(given[0], attributes, symbols)]
    raise UnsupportedError("is not supported beside a tree ensemble")


def _read_constant(attributes: Field) -> NDArray[Any]:
    if len(attributes.value) != 1:
        raise attributes.fail(f"expected one value, got {len(attributes.value)}")
    [(name, found)] = attributes.value.items()
    kinds = {"value_floats": np.float32, "value_float": np.float32, "value_ints": np.int64, "value_int": np.int64}
    return np.asarray(found, kinds.get(name))


def read_constant(tensor: Any, place: str) -> NDArray[Any]:
    """An initializer; strings as Python's."""
    array = read_tensor(tensor, place)
    if array.dtype.kind not in "OS":
        return array
    return np.array([text.decode("utf-8") if isinstance(text, bytes) else str(text) for text in array.reshape(-1)])


def _fold(operator: str, given: list[Any], symbols: Symbols) -> Any:
    made = given[0]
    for tensor in given[1:]:
        made = symbols.map_elements("Add" if operator in ("Sum", "Mean") else operator, [made, tensor])
    return symbols.map_elements("Div", [made, np.float32(len(given))]) if operator == "Mean" else made


def _reduce(operator: str, given: list[Any], settings: dict[str, Any], symbols: Symbols) -> Any:
    tensor = given[0]
    axes = given[1] if len(given) > 1 and given[1] is not None else settings.get("axes", ())
    keep = bool(settings.get("keepdims", 1))
    if len(axes) != 1:
        raise UnsupportedError("sums along several axes, which is not supported")
    axis = int(axes[0])
    if not isinstance(tensor, Symbolic):
        return (np.sum if operator == "ReduceSum" else np.mean)(tensor, axis, keepdims=keep)
    made = symbols.reduce("ReduceSum", tensor, axis, add_up, keep)
    if operator == "ReduceSum":
        return made
    return symbols.map_elements("Div", [made, np.float32(tensor.shape[axis])])
