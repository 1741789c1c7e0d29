"""A mode in which nothing may wait for a device: no value is read, and nothing is copied from one device to another."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

READING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "bincount", "is_nonzero", "equal")


class NoWaits(TorchDispatchMode):
    """Raises AssertionError where an operation would wait; notes the names of all operations."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.names.append(name)
        given = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        assert name not in READING, f"{name} reads a value, which waits for the device"
        is_index = name in ("index", "index_put", "index_put_") and any(x.dtype == torch.bool for x in given[1:])
        assert not is_index, f"{name} by bools counts them, which waits for the device"
        result = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        devices = {tensor.device.type for tensor in given + made}
        assert len(devices) <= 1, f"{name} copies between {' and '.join(sorted(devices))}"
        return result
