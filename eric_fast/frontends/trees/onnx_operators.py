"""Nodes of an ONNX graph that scale, fill, encode or share what a row holds, and those that move elements."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.frontends.fields import Field
from eric_fast.frontends.trees.onnx_attributes import get_array, get_texts
from eric_fast.frontends.trees.onnx_columns import ColumnStep, Feature
from eric_fast.frontends.trees.onnx_symbols import COMBINED, Symbolic, Symbols, cast_tensor
from eric_fast.frontends.trees.onnx_values import HighestPlace, Leaves, RowValue, Share, UnsupportedError, take_entry


def share_tensor(operator: str, tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    """Softmax, or division by the sum of absolute values, along the last axis."""
    axis = int(attributes.value.get("axis", -1))
    norm = attributes.value.get("norm", "L1") if operator == "Normalizer" else attributes.value.get("p", 2)
    if len(tensor.shape) != 2 or axis % 2 != 1 or (operator != "Softmax" and norm not in ("L1", 1)):
        raise UnsupportedError("is not supported beside a tree ensemble")
    link = "softmax" if operator == "Softmax" else "shares"
    symbols.charge_tensor((*tensor.shape, tensor.shape[-1]))

    def share(parts: Sequence[RowValue], place: int) -> RowValue:
        if any(isinstance(part, Feature | HighestPlace | Share) for part in parts):
            raise UnsupportedError("is not supported beside a tree ensemble")
        return Share(link, tuple(parts), place)

    made = [
        [symbols.combine(f"{link} {i}", row, partial(share, place=i)) for i in range(len(row))]
        for row in symbols.lift(tensor).codes.tolist()
    ]
    return Symbolic(np.array(made, np.int64).reshape(tensor.shape))


def scale_tensor(tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    """`(x - offset) * scale` in float32, as runtimes compute it."""
    width = tensor.shape[-1]
    offset, scale = (
        np.broadcast_to(get_array(attributes, name).astype(np.float32), width) for name in ("offset", "scale")
    )
    floats = cast_tensor(tensor, 1, symbols) if _find_dtype(tensor, symbols) == "int64" else tensor
    if _find_dtype(floats, symbols) == "float64":
        raise UnsupportedError("scales columns of float64; only float32 is supported")
    return symbols.map_elements("Mul", [symbols.map_elements("Sub", [floats, offset]), scale])


def _find_dtype(tensor: Any, symbols: Symbols) -> str:
    values = [symbols.get(code) for code in tensor.codes.reshape(-1).tolist()] if isinstance(tensor, Symbolic) else []
    dtypes = {value.dtype if isinstance(value, Feature) else "float32" for value in values}
    if len(dtypes) != 1:
        raise UnsupportedError("takes inputs of several types")
    return dtypes.pop()


def fill_tensor(tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    filling = get_array(attributes, "imputed_value_floats")
    replaced = attributes.value.get("replaced_value_float", 0.0)
    dtype = _find_dtype(tensor, symbols)
    if not np.isnan(replaced) or not len(filling) or dtype == "int64":
        raise UnsupportedError("replaces values other than missing ones, which is not supported")
    constants = np.broadcast_to(filling, tensor.shape[-1]).astype(dtype)

    def fill(value: RowValue, constant: np.floating[Any]) -> RowValue:
        if not isinstance(value, Feature):
            raise UnsupportedError("fills a value that is not a column")
        return value.add(ColumnStep("Fill", constant), dtype)

    symbols.charge_tensor(tensor.shape, COMBINED)
    filled = [
        symbols.map_codes(symbols.make_key("fill"), codes, partial(fill, constant=constant)).codes
        for codes, constant in zip(np.moveaxis(tensor.codes, -1, 0), constants, strict=True)
    ]
    return Symbolic(np.stack(filled, axis=-1))


def encode_tensor(tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    """Labels or numbers of leaves by a table of keys."""
    keys, values = (_read_side(attributes, side) for side in ("keys", "values"))
    if keys is None or values is None or len(keys) != len(values):
        raise UnsupportedError("needs as many keys as values")
    table = dict(zip(keys.tolist(), values, strict=True))

    def encode(value: RowValue) -> RowValue:
        if isinstance(value, Leaves):
            if any(entry not in table for entry in value.values.tolist()):
                raise UnsupportedError("has no key for the values of some leaves")
            return Leaves(value.tree, np.array([table[entry] for entry in value.values.tolist()]))
        if isinstance(value, HighestPlace) and all(np.asarray(entry).item() in table for entry in value.table):
            return HighestPlace(value.parts, tuple(table[np.asarray(entry).item()] for entry in value.table))
        raise UnsupportedError("takes a value that is not one of its keys")

    codes = symbols.lift(tensor).codes
    symbols.charge_tensor(codes.shape, COMBINED)
    return symbols.map_codes(symbols.make_key("encode"), codes, encode)


def _read_side(attributes: Field, side: str) -> NDArray[Any] | None:
    """The keys or the values of a table, the last kind that is given; None if there are none."""
    kind = next((kind for kind in ("floats", "int64s", "strings") if f"{side}_{kind}" in attributes.value), None)
    if kind is None:
        return None
    if kind == "strings":
        return np.asarray(get_texts(attributes, f"{side}_strings"))
    found = get_array(attributes, f"{side}_{kind}", whole=kind == "int64s")
    return found.astype(np.float32) if kind == "floats" else found


def move_tensor(operator: str, given: list[Any], settings: dict[str, Any], symbols: Symbols) -> Any:
    tensor, *others = given
    if any(isinstance(other, Symbolic) for other in others):
        return _look_up(operator, tensor, others[0], settings, symbols)
    array = tensor.codes if isinstance(tensor, Symbolic) else tensor
    moved = _move_array(operator, array, others, settings, symbols)
    return Symbolic(np.asarray(moved)) if isinstance(tensor, Symbolic) else moved


def _move_array(operator: str, array: Any, others: list[Any], settings: dict[str, Any], symbols: Symbols) -> Any:
    axes = [
        int(axis) for axis in (others[0].reshape(-1) if others and others[0] is not None else settings.get("axes", ()))
    ]
    if operator == "Reshape":
        shape = axes or [int(length) for length in settings["shape"]]
        zero = settings.get("allowzero", 0)
        return array.reshape([array.shape[i] if n == 0 and not zero else n for i, n in enumerate(shape)])
    if operator == "Expand":
        expanded = np.broadcast_shapes(array.shape, tuple(axes))
        symbols.charge_tensor(expanded)
        return np.broadcast_to(array, expanded)
    if operator == "Squeeze":
        return np.squeeze(array, tuple(axes) if axes else None)
    if operator == "Unsqueeze":
        return np.expand_dims(array, tuple(axes))
    if operator == "Flatten":
        axis = int(settings.get("axis", 1))
        return array.reshape(int(np.prod(array.shape[:axis])), -1)
    if operator == "Transpose":
        return np.transpose(array, [int(axis) for axis in settings["perm"]] if "perm" in settings else None)
    if operator == "Gather":
        axis = int(settings.get("axis", 0))
        symbols.charge_tensor((*np.delete(array.shape, axis), others[0].size))
        return np.take(array, others[0], axis=axis)
    if operator == "ArrayFeatureExtractor":
        symbols.charge_tensor((*array.shape[:-1], others[0].size))
        return np.take(array if array.ndim > 1 else array[None], others[0].reshape(-1), axis=-1)
    starts, ends = (np.ravel(others[i] if others else settings[name]) for i, name in ((0, "starts"), (1, "ends")))
    along = (
        np.ravel(others[2]) if len(others) > 2 and others[2] is not None else settings.get("axes", range(len(starts)))
    )
    steps = np.ravel(others[3]) if len(others) > 3 else np.ones(len(starts), np.int64)
    index = [slice(None)] * array.ndim
    for start, end, axis, step in zip(starts, ends, along, steps, strict=True):
        if step < 1:
            raise UnsupportedError("slices with a negative step, which is not supported")
        index[int(axis)] = slice(int(start), int(end), int(step))
    return array[tuple(index)]


def _look_up(operator: str, table: Any, places: Any, settings: dict[str, Any], symbols: Symbols) -> Any:
    """The entries of a constant table at places that trees, or the highest of sums, give."""
    if isinstance(table, Symbolic) or operator not in ("Gather", "ArrayFeatureExtractor"):
        raise UnsupportedError("takes columns or sums at computed places, which is not supported")
    axis = int(settings.get("axis", 0)) if operator == "Gather" else -1
    moved = np.moveaxis(table if table.ndim > 1 or operator == "Gather" else table[None], axis, -1)
    codes = places.codes.reshape(-1)
    symbols.charge_tensor((*moved.shape[:-1], len(codes)), COMBINED)
    made = [
        symbols.map_codes(symbols.make_key("look up"), codes, partial(take_entry, table=entries)).codes
        for entries in moved.reshape(-1, moved.shape[-1])
    ]
    if operator == "Gather" and moved.ndim == 1:
        return Symbolic(made[0].reshape(places.shape))
    if operator == "Gather" and axis != moved.ndim - 1:
        raise UnsupportedError("takes elements along an axis other than the last, which is not supported")
    return Symbolic(np.array(made, np.int64).reshape(*moved.shape[:-1], len(codes)))
