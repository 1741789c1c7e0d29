"""The launches that `bench sass` compiles: a function for each module of kernels."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import triton

from eric_fast.bits import count_words
from eric_fast.kernels import GREATER
from eric_fast.kernels.gpu import pack_columns as gpu_columns
from eric_fast.kernels.gpu import pack_maps as gpu_maps

POINTERS = {
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.bfloat16: "*bf16",
    torch.float16: "*fp16",
    torch.int8: "*i8",
}
N_IMAGES = 1_281_167
SEVERAL = -1


@dataclass(frozen=True)
class Variant:
    """A kernel as some launch compiles it.

    Attributes:
        name: what the table calls it. kernel: the function under `triton.jit`.
        arguments, constants: see `compile_kernel`.
    """

    name: str
    kernel: Any
    arguments: Mapping[str, Any]
    constants: Mapping[str, Any]
    used: float = 1.0  # the share of its lanes' loads that no mask leaves out


def list_maps() -> Iterator[Variant]:
    """What `pack_maps` launches, from 512 kernels of 7x7 to 64 of 112x112."""
    for dtype in (torch.float32, torch.bfloat16, torch.float16, torch.int8):
        for size, n_kernels in ((7, 512), (14, 256), (32, 64), (112, 64)):
            for layout in (torch.contiguous_format, torch.channels_last):
                maps = torch.empty(1, n_kernels, size, size, dtype=dtype).to(memory_format=layout)
                yield _make_map_variant(maps, "l1", layout == torch.channels_last)
    for norm in ("l2", "max", "mean"):
        for layout in (torch.contiguous_format, torch.channels_last):
            maps = torch.empty(1, 512, 7, 7).to(memory_format=layout)
            yield _make_map_variant(maps, norm, layout == torch.channels_last)
    yield _make_map_variant(torch.empty(1, 64, 32, 32), "max", False)


def _make_map_variant(maps: torch.Tensor, norm: str, last: bool) -> Variant:
    launch = gpu_maps.choose_launch(maps, norm, GREATER)
    n_kernels, n_words = maps.shape[1], count_words(N_IMAGES)
    scale = "*fp32" if maps.dtype == torch.int8 else None
    values = (POINTERS[maps.dtype], scale, "*fp32", "*i8", "*i32", None, N_IMAGES, n_kernels, n_words, *launch.strides)
    name = f"{launch.kernel.__name__} {norm} {str(maps.dtype).removeprefix('torch.')} {maps.shape[2]}x{maps.shape[3]}"
    name += " channels-last" if last else ""
    arguments = dict(zip(launch.kernel.arg_names, values, strict=False))
    settings = launch.constants
    n = settings["N"]
    if launch.kernel is gpu_maps.pack_short:
        used = n * settings["KERNELS"] / triton.next_power_of_2(n * settings["KERNELS"])
    else:
        used = min(1.0, n / settings.get("PIXELS", n))
    return Variant(name, launch.kernel, arguments, settings, used)


def list_columns() -> Iterator[Variant]:
    """What `pack_columns` launches: rows together or columns together, an atom per column or any, one operator or
    several.
    """
    for dtype in (torch.float32, torch.float64):
        for turned in (False, True):
            for column_of_atom, operator in ((None, GREATER), (None, SEVERAL), ("*i64", GREATER)):
                columns = torch.empty(512, 512, dtype=dtype)
                columns = columns.T if turned else columns
                pointer = POINTERS[dtype]
                values = (pointer, column_of_atom, pointer, "*i8", "*i32", N_IMAGES, 512, *columns.stride(), 40064)
                arguments = dict(zip(gpu_columns.pack_columns_kernel.arg_names, values, strict=False))
                name = f"pack_columns {str(dtype).removeprefix('torch.')}{' columns together' if turned else ''}"
                name += ", gathered" if column_of_atom else ", several operators" if operator == SEVERAL else ""
                shape = gpu_columns.choose_shape(columns, 512, operator)
                yield Variant(name, gpu_columns.pack_columns_kernel, arguments, shape)


VARIANTS: list[Callable[[], Iterator[Variant]]] = [list_maps, list_columns]


def list_variants() -> list[Variant]:
    """All of them."""
    return [variant for make in VARIANTS for variant in make()]
