"""Nodes of an ONNX graph that move elements, or take them from a table."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np

from eric_fast.frontends.trees.onnx_symbols import COMBINED, Symbolic, Symbols
from eric_fast.frontends.trees.onnx_values import (
    RowValue,
    UnsupportedError,
    take_entry,
)


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
            raise UnsupportedError("slices backwards")
        index[int(axis)] = slice(int(start), int(end), int(step))
    return array[tuple(index)]


def _look_up_first(entries: Sequence[Any], values: Sequence[RowValue]) -> RowValue:
    return take_entry(values[0], entries)


def _look_up(operator: str, table: Any, places: Any, settings: dict[str, Any], symbols: Symbols) -> Any:
    """The entries of a constant table at places that trees or their sums take_highest."""
    if isinstance(table, Symbolic) or operator not in ("Gather", "ArrayFeatureExtractor"):
        raise UnsupportedError("looks up columns or sums by place")
    axis = int(settings.get("axis", 0)) if operator == "Gather" else -1
    moved = np.moveaxis(table if table.ndim > 1 or operator == "Gather" else table[None], axis, -1)
    codes = places.codes.reshape(-1).tolist()
    symbols.charge_tensor((*moved.shape[:-1], len(codes)), COMBINED)
    made = []
    for entries in moved.reshape(-1, moved.shape[-1]):
        key = symbols.make_key("look up")
        take = partial(_look_up_first, entries)
        made += [symbols.combine(key, [code], take) for code in codes]
    if operator == "Gather" and moved.ndim == 1:
        return Symbolic(np.array(made, np.int64).reshape(places.shape))
    if operator == "Gather" and axis != moved.ndim - 1:
        raise UnsupportedError("looks up along another axis than the last")
    return Symbolic(np.array(made, np.int64).reshape(*moved.shape[:-1], len(codes)))
