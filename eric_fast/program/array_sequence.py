"""`ArraySequence`: many things of one kind as arrays."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, overload

import numpy as np

from eric_fast.errors import ProgramError

_Item = TypeVar("_Item")


class ArraySequence(Sequence[_Item]):
    """A sequence whose elements lie in arrays and are made when they are asked for; it equals a tuple of the same."""

    @abstractmethod
    def _make(self, index: int) -> _Item:
        """The element at a place from 0."""

    @overload
    def __getitem__(self, index: int) -> _Item: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[_Item, ...]: ...
    def __getitem__(self, index: int | slice) -> _Item | tuple[_Item, ...]:
        if isinstance(index, slice):
            return tuple(self[i] for i in range(*index.indices(len(self))))
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} elements, so none at place {index}")
        return self._make(index % len(self))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, type(self) | tuple):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    def __hash__(self) -> int:
        return hash(tuple(self))

    def _freeze(self, dtypes: Mapping[str, type[np.generic]], what: str) -> None:
        """Make the arrays of these attributes read-only. Raises ProgramError: another dtype, or several dimensions."""
        for name, dtype in dtypes.items():
            array: Any = getattr(self, name)
            if array.dtype != dtype or array.ndim != 1:
                raise ProgramError(
                    f"the {name} of {what} must be {np.dtype(dtype)} [n], not {array.dtype} {list(array.shape)}"
                )
            array = array.view()
            array.flags.writeable = False
            object.__setattr__(self, name, array)
