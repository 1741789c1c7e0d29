"""How objects go to another process: by their fields alone, with tensors as NumPy arrays.

multiprocessing's own pickler would move a tensor's memory away from under whoever looks at it, such as compiled code.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import MappingProxyType
from typing import Any, NamedTuple

from numpy.typing import NDArray


class _PickledTensor(NamedTuple):
    array: NDArray[Any]
    device: str


class _PickledMapping(NamedTuple):
    items: dict[Any, Any]


class PickledByFields:
    """A dataclass whose pickle holds its fields; what it computed from them is computed again where it is needed."""

    def __reduce__(self) -> tuple[Any, ...]:
        state = {field.name: _pack(getattr(self, field.name)) for field in fields(self)}  # type: ignore[arg-type]
        return _rebuild, (type(self), state)

    def __copy__(self) -> Any:
        copied = object.__new__(type(self))
        copied.__dict__.update(self.__dict__)
        return copied


def _rebuild(kind: type, state: dict[str, Any]) -> Any:
    made: Any = object.__new__(kind)
    made.__dict__.update({name: _unpack(value) for name, value in state.items()})
    return made


def _pack(value: Any) -> Any:
    from torch import Tensor  # the command line answers --help without torch

    if isinstance(value, Tensor):
        return _PickledTensor(value.detach().cpu().numpy(), str(value.device))
    if isinstance(value, Mapping):
        mapping = {key: _pack(item) for key, item in value.items()}
        return _PickledMapping(mapping) if isinstance(value, MappingProxyType) else mapping
    return _over_items(_pack, value) if isinstance(value, tuple | list) else value


def _unpack(value: Any) -> Any:
    import torch

    if isinstance(value, _PickledTensor):
        array = value.array if value.array.flags.writeable else value.array.copy()  # joblib maps files read-only
        return torch.from_numpy(array).to(value.device)
    if isinstance(value, _PickledMapping):
        return MappingProxyType({key: _unpack(item) for key, item in value.items.items()})
    if isinstance(value, dict):
        return {key: _unpack(item) for key, item in value.items()}
    return _over_items(_unpack, value) if isinstance(value, tuple | list) else value


def _over_items(function: Callable[[Any], Any], values: Any) -> Any:
    items = [function(item) for item in values]
    return type(values)._make(items) if hasattr(values, "_make") else type(values)(items)
