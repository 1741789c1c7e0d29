"""Feature maps of every dtype and layout, what they are compared with, and how near engines must come."""

from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import mask_tail, unpack_words
from eric_fast.kernels import packing
from eric_fast.kernels.outcome import expect
from eric_fast.kernels.packing import Packed

DTYPES = (torch.float32, torch.bfloat16, torch.float16, torch.int8)
LAYOUTS = ("contiguous", "channels-last", "cropped", "turned", "stepped", "expanded", "images inside")
NEAR = 1e-5  # of a norm from its constant, relative: where engines may differ
Shape = tuple[int, int, int, int]


class MapsCase(NamedTuple):
    """Arguments of `pack_maps`."""

    maps: Tensor
    constants: Tensor
    operators: Tensor


def make_maps(shape: Shape, dtype: torch.dtype, layout: str, seed: int = 0) -> Tensor:
    """Maps of this shape that lie so in memory, with values up to some 100."""
    n, k, h, w = shape
    generator = torch.Generator().manual_seed(seed)

    def draw(*size: int) -> Tensor:
        return (torch.randn(size, generator=generator) * 30).round(decimals=2).clamp(-128, 127).to(dtype)

    match layout:
        case "channels-last":
            return draw(n, k, h, w).contiguous(memory_format=torch.channels_last)
        case "cropped":
            return draw(n, k, h + 2, w + 3)[:, :, 1:-1, 2:-1]
        case "turned":
            return draw(n, k, w, h).transpose(2, 3)
        case "stepped":
            return draw(n, 2 * k, h, 2 * w)[:, ::2, :, ::2]
        case "expanded":
            return draw(n, 1, h, 1).expand(n, k, h, w)
        case "images inside":
            return draw(h, w, k, n).permute(3, 2, 0, 1)
    return draw(n, k, h, w)


def assert_near(found: Packed, expected: Packed, maps: Tensor, constants: Tensor, scale: float = 1.0) -> int:
    """Equal but for norms as near to their constants as engines may differ; and norms as near to each other."""
    found_norms, norms = expect(found.norms), expect(expected.norms)
    sizes = maps.float().abs().mean((2, 3)) * scale  # what a sum of the map's values is uncertain in proportion to
    sizes = torch.maximum(sizes, norms.abs())
    assert found_norms.dtype == torch.float32
    assert found_norms.shape == norms.shape
    assert bool(((found_norms.cpu() - norms).abs() <= NEAR * sizes).all())
    assert found.words.dtype == torch.int32
    assert found.words.shape == expected.words.shape
    differs = unpack_words(found.words.cpu() ^ expected.words, len(maps))
    near = (norms - constants).abs() <= NEAR * torch.maximum(sizes, constants.abs())
    assert not bool((differs & ~near).any())
    assert torch.equal(mask_tail(found.words.cpu().clone(), len(maps)), found.words.cpu())
    return int(differs.sum())


def make_case(shape: Shape, dtype: torch.dtype, layout: str, norm: str, seed: int) -> MapsCase:
    """Maps, and constants and operators of which about half the bits come out true."""
    maps = make_maps(shape, dtype, layout, seed)
    generator = torch.Generator().manual_seed(seed)
    typical = {"l1": 24.0, "l2": 30.0, "max": 80.0, "mean": 0.0}[norm]
    constants = typical + 4 * torch.randn(shape[1], generator=generator)
    operators = torch.randint(0, packing.N_OPERATORS, (shape[1],), generator=generator).to(torch.int8)
    return MapsCase(maps, constants, operators)
