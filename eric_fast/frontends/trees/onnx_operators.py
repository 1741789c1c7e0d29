"""Nodes of an ONNX graph that take all of a row: scalers, fillers, encoders of labels, shares of a whole."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from eric_fast.frontends.fields import Field
from eric_fast.frontends.trees.onnx_attributes import get_array, get_texts
from eric_fast.frontends.trees.onnx_columns import ColumnStep, Feature
from eric_fast.frontends.trees.onnx_symbols import COMBINED, Symbolic, Symbols, cast_tensor
from eric_fast.frontends.trees.onnx_values import (
    HighestPlace,
    Leaves,
    RowValue,
    Share,
    UnsupportedError,
)


def share_tensor(operator: str, tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    """Softmax, or division by the sum of absolute values, along the last axis."""
    axis = int(attributes.value.get("axis", -1))
    norm = attributes.value.get("norm", "L1") if operator == "Normalizer" else attributes.value.get("p", 2)
    if len(tensor.shape) != 2 or axis % 2 != 1 or (operator != "Softmax" and norm not in ("L1", 1)):
        raise UnsupportedError("is not supported beside a tree ensemble")
    link = "softmax" if operator == "Softmax" else "shares"
    symbols.charge_tensor((*tensor.shape, tensor.shape[-1]))

    def share(place: int, parts: Sequence[RowValue]) -> RowValue:
        if any(isinstance(part, Feature | HighestPlace | Share) for part in parts):
            raise UnsupportedError("is not supported beside a tree ensemble")
        return Share(link, tuple(parts), place)

    made = [
        [symbols.combine(f"{link} {i}", row, lambda parts, i=i: share(i, parts)) for i in range(len(row))]  # type: ignore[misc]
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
        raise UnsupportedError("scales columns of float64")
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
        raise UnsupportedError("replaces other values than missing ones")
    constants = np.broadcast_to(filling, tensor.shape[-1]).astype(dtype)

    def fill(value: RowValue, constant: Any) -> RowValue:
        if not isinstance(value, Feature):
            raise UnsupportedError("fills what is no column")
        return value.add(ColumnStep("Fill", constant), dtype)

    symbols.charge_tensor(tensor.shape, COMBINED)
    key = symbols.make_key("fill")
    made = [
        symbols.combine(f"{key} {i}", [code], lambda values, i=i: fill(values[0], constants[i]))  # type: ignore[misc]
        for row in tensor.codes.tolist()
        for i, code in enumerate(row)
    ]
    return Symbolic(np.array(made, np.int64).reshape(tensor.shape))


def encode_tensor(tensor: Any, attributes: Field, symbols: Symbols) -> Any:
    """Labels or numbers of leaves by a table of keys."""
    sides: dict[str, Any] = {}
    for side in ("keys", "values"):
        for kind in ("strings", "int64s", "floats"):
            name = f"{side}_{kind}"
            if name in attributes.value:
                found = (
                    get_texts(attributes, name)
                    if kind == "strings"
                    else get_array(attributes, name, whole=kind == "int64s")
                )
                sides[side] = np.asarray(found, np.float32 if kind == "floats" else None)
    if len(sides) < 2 or len(sides["keys"]) != len(sides["values"]):
        raise UnsupportedError("needs as many keys as values")
    table = dict(zip(sides["keys"].tolist(), sides["values"], strict=True))

    def encode(value: RowValue) -> RowValue:
        if isinstance(value, Leaves):
            if any(entry not in table for entry in value.values.tolist()):
                raise UnsupportedError("has no entry for what some nodes hold")
            return Leaves(value.tree, np.array([table[entry] for entry in value.values.tolist()]))
        if isinstance(value, HighestPlace) and all(np.asarray(entry).item() in table for entry in value.table):
            return HighestPlace(value.parts, tuple(table[np.asarray(entry).item()] for entry in value.table))
        raise UnsupportedError("takes what is no label that it knows")

    codes = symbols.lift(tensor).codes
    symbols.charge_tensor(codes.shape, COMBINED)
    key = symbols.make_key("encode")
    made = [symbols.combine(key, [code], lambda values: encode(values[0])) for code in codes.reshape(-1).tolist()]
    return Symbolic(np.array(made, np.int64).reshape(codes.shape))
