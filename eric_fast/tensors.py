"""Tensors from outside: which kinds hold values that can be read, and what the others need first."""

from typing import TYPE_CHECKING

from eric_fast.errors import DataError
from eric_fast.processes.memory import find_free_memory, format_bytes

if TYPE_CHECKING:
    from torch import Tensor

_MANY_ROWS = 2**24  # fewer are not worth asking how much memory is free
_ANSWER_BYTES = 4  # of a row, at least


def read_plain(tensor: "Tensor", what: str) -> "Tensor":
    """The same values as a dense tensor whose memory can be read; no copy where it is one.

    Args:
        tensor: of any kind.
        what: it is called in errors: `the table`.

    Raises:
        DataError: a tensor without values (meta, fake), a sparse, nested or quantised one, or more rows than there is
            memory for answers, as a view may have that repeats one row.
    """
    import torch

    if tensor.is_meta or type(tensor).__name__ in ("FakeTensor", "FunctionalTensor"):
        raise DataError(f"{what} is a tensor without values ({type(tensor).__name__} on meta); give one with values")
    if tensor.is_nested or tensor.layout != torch.strided:
        name = "nested" if tensor.is_nested else str(tensor.layout).removeprefix("torch.").strip("_")
        raise DataError(f"{what} is a tensor of layout {name}; make it dense first, with .to_dense() or padding")
    if tensor.is_quantized:
        raise DataError(f"{what} is a quantised tensor ({tensor.dtype}); call .dequantize() first")
    check_rows(tensor.shape[0] if tensor.ndim else 0, what)
    return (tensor.detach() if tensor.requires_grad else tensor).resolve_neg().resolve_conj()


def check_rows(n_rows: int, what: str) -> None:
    """Refuse more rows than there is memory for answers. Raises DataError."""
    if n_rows > _MANY_ROWS and n_rows * _ANSWER_BYTES > (free := find_free_memory()):
        needed = format_bytes(n_rows * _ANSWER_BYTES)
        raise DataError(f"{what} has {n_rows:,} rows: answers take {needed}, of {format_bytes(free)} free; cut it")
