"""The attributes of an ONNX node as a `Field`, by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError
from eric_fast.frontends.fields import Field


def read_attributes(node: Any, place: str) -> Field:
    """Numbers, strings, lists of strings and arrays; those called `name_as_tensor` are found as `name`.

    Raises:
        ProgramError: a tensor that is incomplete, or in another file; a name that is not UTF-8.
    """
    values: dict[str, Any] = {}
    tensors: dict[str, Any] = {}
    for attribute in node.attribute:
        kind, name = attribute.type, attribute.name
        if not isinstance(name, str):  # protobuf gives bytes for what is not UTF-8
            raise ProgramError(f"{place}: expected UTF-8 text for the name of an attribute, got {name!r}")
        if kind == 1:
            values[name] = float(attribute.f)
        elif kind == 2:
            values[name] = int(attribute.i)
        elif kind == 3:
            values[name] = attribute.s.decode("utf-8")
        elif kind == 4:
            tensors[name.removesuffix("_as_tensor")] = read_tensor(attribute.t, f"{place}.{name}")
        elif kind == 6:
            values[name] = np.array(attribute.floats, np.float64)
        elif kind == 7:
            values[name] = np.array(attribute.ints, np.int64)
        elif kind == 8:
            values[name] = [text.decode("utf-8") for text in attribute.strings]
    return Field({**values, **tensors}, place)


def get_array(attributes: Field, name: str, length: int | None = None, whole: bool = False) -> NDArray[Any]:
    """int64 or float64 `[length]`; empty if it is missing and `length` isn't given."""
    dtype = np.int64 if whole else np.float64
    if length is None and attributes.get(name) is None:
        return np.zeros(0, dtype)
    return attributes[name].as_array(dtype, length)


def get_texts(attributes: Field, name: str) -> list[str]:
    """A list of strings; empty if it is missing."""
    found = attributes.get(name)
    return [] if found is None else found.as_texts()


def get_name(attributes: Field, name: str, known: Sequence[str], usual: str) -> str:
    """One of the known names, which may be given as its number."""
    value = attributes.value.get(name, usual)
    if type(value) is int and 0 <= value < len(known):
        value = known[value]
    if not isinstance(value, str) or value not in known:
        raise attributes.fail(f"'{name}' is {value!r}, not one of {', '.join(known)}")
    return value


def read_tensor(tensor: Any, place: str) -> NDArray[Any]:
    """Raises ProgramError: it is incomplete, or its numbers are in another file."""
    from onnx import numpy_helper

    if tensor.data_location == 1:
        raise ProgramError(f"{place}: its numbers are in another file; save the model with all data in one file")
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ProgramError(f"{place}: the tensor is incomplete: {error}") from error
