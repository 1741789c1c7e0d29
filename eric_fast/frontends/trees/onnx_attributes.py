"""The attributes of an ONNX node, by name, each asked for as what it must be."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ProgramError


@dataclass(frozen=True)
class Attributes:
    """A node's attributes: arrays, numbers and texts, by name."""

    values: dict[str, Any]
    place: str

    @classmethod
    def read(cls, node: Any, place: str) -> "Attributes":
        """Raises ProgramError for a tensor that isn't all in the file."""
        values: dict[str, Any] = {}
        for attribute in node.attribute:
            kind = attribute.type
            if kind == 1:
                values[attribute.name] = float(attribute.f)
            elif kind == 2:
                values[attribute.name] = int(attribute.i)
            elif kind == 3:
                values[attribute.name] = attribute.s.decode("utf-8")
            elif kind == 4:
                values[attribute.name] = _read_tensor(attribute.t, f"{place}.{attribute.name}")
            elif kind == 6:
                values[attribute.name] = np.array(attribute.floats, np.float64)
            elif kind == 7:
                values[attribute.name] = np.array(attribute.ints, np.int64)
            elif kind == 8:
                values[attribute.name] = [text.decode("utf-8") for text in attribute.strings]
        return cls(values, place)

    def fail(self, what: str) -> ProgramError:
        return ProgramError(f"{self.place}: {what}")

    def get_array(self, name: str, length: int | None = None, whole: bool = False) -> NDArray[Any]:
        """int64 or float64 `[length]`, also from `name_as_tensor`; empty where there is none and any length will do."""
        value = self.values.get(f"{name}_as_tensor", self.values.get(name))
        if value is None and length is None:
            return np.zeros(0, np.int64 if whole else np.float64)
        if not isinstance(value, np.ndarray) or value.ndim != 1 or (whole and value.dtype.kind not in "iu"):
            raise self.fail(f"'{name}' must be a list of {'whole ' * whole}numbers")
        if length is not None and len(value) != length:
            raise self.fail(f"'{name}' has {len(value)} numbers for {length}")
        return value.astype(np.int64 if whole else np.float64)

    def get_texts(self, name: str) -> list[str]:
        value = self.values.get(name, [])
        if not isinstance(value, list):
            raise self.fail(f"'{name}' must be a list of texts")
        return value

    def get_name(self, name: str, known: Sequence[str], usual: str) -> str:
        """One of the known names, which may be written as its number."""
        value = self.values.get(name, usual)
        if type(value) is int and 0 <= value < len(known):
            value = known[value]
        if value not in known:
            raise self.fail(f"'{name}' is {value!r}, not one of {', '.join(known)}")
        return str(value)


def _read_tensor(tensor: Any, place: str) -> NDArray[Any]:
    if tensor.data_location == 1:
        raise ProgramError(f"{place}: its numbers are in another file; save the model with all data inside")
    try:
        return np.asarray(import_module("onnx.numpy_helper").to_array(tensor))
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise ProgramError(f"{place}: a tensor that isn't whole: {error}") from error
