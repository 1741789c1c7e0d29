"""`pack_maps` on the GPU: one pass, one program for a word of 32 images and a few kernels.

There are three Triton kernels, by the memory format of the maps: `pack_runs` adds along a map and takes any strides;
`pack_short` does so for maps whose size suits no vector (7x7), loaded as one flat piece and transposed on the chip;
`pack_pixels` adds pixel by pixel where kernels lie side by side (channels-last).

All three take the same pointers:

- `p_maps`: float32, bfloat16, float16 or int8, `[n_images, n_kernels, height, width]` by the strides.
- `p_scale`: float32 `[n_kernels]`, or None; `p_constants`: float32, `p_operators`: int8 `[n_kernels]`.
- `p_words`: int32 `[n_kernels, n_words]`, written; `p_norms`: float32 `[n_images, n_kernels]`, written, or None.

A map is `n_runs` runs, `run_stride` elements apart, of `N` pixels, `stride` apart. `KERNELS` is how many kernels of the
network a program takes; `EVEN` says that it divides `n_kernels`: an open mask splits wide loads.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from eric_fast.bits import WORD_BITS, count_words
from eric_fast.kernels.devices import launch_on
from eric_fast.kernels.gpu.add_pixels import add_values, finish_norm, fold_lanes, larger
from eric_fast.kernels.gpu.pack_columns import compare_to, find_operator
from eric_fast.kernels.packing import Packed, check_maps, merge_pixels, spread_scale

SHORT, FLAT = 256, 4096  # pixels of the largest map that is transposed on the chip; elements transposed together
SHORT_WARPS = 2  # one warp alone transposes through shuffles, with eight times the instructions
_TILE = 1024  # elements that a warp holds of one image


class Launch(NamedTuple):
    """A Triton kernel, how many kernels of the network a program takes, its last arguments and its constants."""

    kernel: Any
    n_kernels: int
    strides: tuple[int, ...]
    constants: Mapping[str, Any]


def pack_maps(
    maps: Tensor,
    constants: Tensor,
    operators: Tensor,
    *,
    norm: str = "l1",
    scale: float | Tensor | None = None,
    with_norms: bool = False,
) -> Packed:
    """As `reference.pack_maps`, to the bit, except where a norm is as near to its constant as it says."""
    check_maps(maps, constants, operators, norm, scale)
    n_images, n_kernels = maps.shape[:2]
    words = torch.empty(n_kernels, count_words(n_images), dtype=torch.int32, device=maps.device)
    norms = torch.empty(n_images, n_kernels, dtype=torch.float32, device=maps.device) if with_norms else None
    n_words = triton.cdiv(n_images, WORD_BITS)
    words[:, n_words:] = 0
    if words.numel():
        launch = choose_launch(maps, norm, find_operator(operators))
        with launch_on(maps.device):
            launch.kernel[n_words, triton.cdiv(n_kernels, launch.n_kernels)](
                maps.detach(),
                None if scale is None else spread_scale(scale, maps),
                constants.detach().contiguous(),
                operators.contiguous(),
                words,
                norms,
                n_images,
                n_kernels,
                words.shape[1],
                *launch.strides,
                **launch.constants,
            )
    return Packed(words, norms)


def choose_launch(maps: Tensor, norm: str, operator: int) -> Launch:
    """Choose the kernel for the memory format of these maps, and its constants. operator: see `find_operator`."""
    n_kernels = maps.shape[1]
    image_stride, kernel_stride = maps.stride()[:2]
    n_runs, run_stride, n, stride = merge_pixels(maps)
    settings = {"N": n, "NORM": norm, "OPERATOR": operator}
    if kernel_stride == 1:
        width = min(128, max(16, triton.next_power_of_2(n_kernels)))
        unroll = 8 // maps.element_size()  # as many bytes on their way whatever the dtype
        settings |= {"KERNELS": width, "EVEN": n_kernels % width == 0, "UNROLL": unroll, "num_warps": width // 16}
        return Launch(pack_pixels, width, (image_stride, n_runs, run_stride, stride), settings)
    packed = n_runs == 1 and stride == 1 and kernel_stride == n  # map behind map
    if packed and n <= SHORT and n & (n - 1):
        width = min(64, FLAT // triton.next_power_of_2(n))
        while n_kernels % width and width > 16:
            width //= 2
        settings |= {"KERNELS": width, "EVEN": n_kernels % width == 0, "num_warps": SHORT_WARPS}
        return Launch(pack_short, width, (image_stride,), settings)
    pixels = min(_TILE, triton.next_power_of_2(n))
    width = _TILE // pixels
    settings |= {"PIXELS": pixels, "KERNELS": width, "EVEN": n_kernels % width == 0, "PACKED": packed, "num_warps": 1}
    return Launch(pack_runs, width, (image_stride, kernel_stride, n_runs, run_stride, stride), settings)


@triton.jit
def pack_runs(
    p_maps,
    p_scale,
    p_constants,
    p_operators,
    p_words,
    p_norms,
    n_images,
    n_kernels,
    n_words,
    image_stride,
    kernel_stride,
    n_runs,
    run_stride,
    stride,
    N: tl.constexpr,
    NORM: tl.constexpr,
    OPERATOR: tl.constexpr,
    PIXELS: tl.constexpr,
    KERNELS: tl.constexpr,
    EVEN: tl.constexpr,
    PACKED: tl.constexpr,
):
    """Pack maps of any strides; pointers as above. PACKED: kernel_stride is N, which tells how maps are aligned."""
    i_word = tl.program_id(0).to(tl.int64)
    o_kernels = tl.program_id(1) * KERNELS + tl.arange(0, KERNELS)  # [KERNELS]
    m_kernels = o_kernels < n_kernels
    b_constants = tl.load(p_constants + o_kernels, mask=m_kernels, other=0)
    b_operators = tl.load(p_operators + o_kernels, mask=m_kernels, other=0).to(tl.int32)
    b_scale = 1.0 if p_scale is None else tl.load(p_scale + o_kernels, mask=m_kernels, other=0)
    o_pixels = tl.arange(0, PIXELS)
    step = N if PACKED else kernel_stride
    o_tile = o_kernels[:, None].to(tl.int64) * step + o_pixels[None, :].to(tl.int64) * stride
    m_tile = tl.full([KERNELS, PIXELS], True, tl.int1) if EVEN else m_kernels[:, None] & (o_pixels >= 0)[None, :]
    other: tl.constexpr = float("-inf") if NORM == "max" else 0.0
    REST: tl.constexpr = N % PIXELS
    b_word = tl.zeros([KERNELS], tl.int32)
    n_rows = tl.minimum(32, n_images - i_word * 32).to(tl.int32)  # of this word
    for i in range(0, n_rows):
        b_totals = tl.full([KERNELS, PIXELS], other, tl.float32)
        p_image = p_maps + (i_word * 32 + i) * image_stride
        for run in range(n_runs):
            p_tile = p_image + tl.cast(run, tl.int64) * run_stride + o_tile
            for j in range(0, N - REST, PIXELS):
                p_values = p_tile + tl.cast(j, tl.int64) * stride
                if EVEN:
                    b_totals = add_values(b_totals, tl.load(p_values), NORM)
                else:
                    b_totals = add_values(b_totals, tl.load(p_values, mask=m_tile, other=0), NORM)
            if REST:
                m_rest = m_tile & (o_pixels < REST)[None, :]
                b_raw = tl.load(p_tile + tl.cast(N - REST, tl.int64) * stride, mask=m_rest, other=0)
                b_totals = tl.where((o_pixels < REST)[None, :], add_values(b_totals, b_raw, NORM), b_totals)
        b_norms = finish_norm(fold_lanes(b_totals, 1, NORM), n_runs * N, b_scale, NORM)
        b_word |= compare_to(b_norms, b_constants, b_operators, OPERATOR).to(tl.int32) << i
        if p_norms is not None:
            tl.store(p_norms + (i_word * 32 + i) * n_kernels + o_kernels, b_norms, mask=m_kernels)
    tl.store(p_words + o_kernels.to(tl.int64) * n_words + i_word, b_word, mask=m_kernels)


@triton.jit
def pack_short(
    p_maps,
    p_scale,
    p_constants,
    p_operators,
    p_words,
    p_norms,
    n_images,
    n_kernels,
    n_words,
    image_stride,
    N: tl.constexpr,
    NORM: tl.constexpr,
    OPERATOR: tl.constexpr,
    KERNELS: tl.constexpr,
    EVEN: tl.constexpr,
):
    """Pack maps of `N` pixels that follow one another; pointers as above."""
    i_word = tl.program_id(0).to(tl.int64)
    i_kernel = tl.program_id(1) * KERNELS
    o_kernels = i_kernel + tl.arange(0, KERNELS)
    m_kernels = o_kernels < n_kernels
    b_constants = tl.load(p_constants + o_kernels, mask=m_kernels, other=0)
    b_operators = tl.load(p_operators + o_kernels, mask=m_kernels, other=0).to(tl.int32)
    b_scale = 1.0 if p_scale is None else tl.load(p_scale + o_kernels, mask=m_kernels, other=0)
    PIXELS: tl.constexpr = 1 << (N - 1).bit_length()
    LOADED: tl.constexpr = 1 << (KERNELS * N - 1).bit_length()
    o_flat = tl.arange(0, LOADED)
    o_pixels = tl.arange(0, PIXELS)
    m_flat = o_flat < KERNELS * N
    if not EVEN:
        m_flat = o_flat < tl.minimum(KERNELS, n_kernels - i_kernel) * N
    o_transposed = tl.arange(0, KERNELS)[None, :] * N + tl.minimum(o_pixels, N - 1)[:, None]  # [PIXELS, KERNELS]
    o_transposed = tl.reshape(o_transposed, [PIXELS * KERNELS])
    other: tl.constexpr = float("-inf") if NORM == "max" else 0.0
    b_word = tl.zeros([KERNELS], tl.int32)
    n_rows = tl.minimum(32, n_images - i_word * 32).to(tl.int32)
    for i in range(0, n_rows):
        p_image = p_maps + (i_word * 32 + i) * image_stride + i_kernel.to(tl.int64) * N
        b_flat = tl.load(p_image + o_flat, mask=m_flat, other=0)
        b_raw = tl.reshape(tl.gather(b_flat, o_transposed, 0), [PIXELS, KERNELS])  # a map lies in one thread
        b_totals = add_values(tl.full([PIXELS, KERNELS], other, tl.float32), b_raw, NORM)
        b_totals = tl.where((o_pixels < N)[:, None], b_totals, other)
        b_norms = finish_norm(fold_lanes(b_totals, 0, NORM), N, b_scale, NORM)
        b_word |= compare_to(b_norms, b_constants, b_operators, OPERATOR).to(tl.int32) << i
        if p_norms is not None:
            tl.store(p_norms + (i_word * 32 + i) * n_kernels + o_kernels, b_norms, mask=m_kernels)
    tl.store(p_words + o_kernels.to(tl.int64) * n_words + i_word, b_word, mask=m_kernels)


@triton.jit
def pack_pixels(
    p_maps,
    p_scale,
    p_constants,
    p_operators,
    p_words,
    p_norms,
    n_images,
    n_kernels,
    n_words,
    image_stride,
    n_runs,
    run_stride,
    stride,
    N: tl.constexpr,
    NORM: tl.constexpr,
    OPERATOR: tl.constexpr,
    KERNELS: tl.constexpr,
    EVEN: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Pack maps whose kernels lie side by side; pointers as above."""
    i_word = tl.program_id(0).to(tl.int64)
    i_rows = tl.arange(0, 32)
    o_kernels = tl.program_id(1) * KERNELS + tl.arange(0, KERNELS)
    m_kernels = o_kernels < n_kernels
    b_constants = tl.load(p_constants + o_kernels, mask=m_kernels, other=0)
    b_operators = tl.load(p_operators + o_kernels, mask=m_kernels, other=0).to(tl.int32)
    b_scale = 1.0 if p_scale is None else tl.load(p_scale + o_kernels, mask=m_kernels, other=0)[None, :]
    o_images = i_word * 32 + i_rows
    m_images = o_images < n_images
    m_tile = m_images[:, None] & (o_kernels >= 0)[None, :] if EVEN else m_images[:, None] & m_kernels[None, :]
    p_tile = p_maps + o_images[:, None] * image_stride + o_kernels[None, :]  # [32, KERNELS]
    other: tl.constexpr = float("-inf") if NORM == "max" else 0.0
    b_norms = tl.full([32, KERNELS], other, tl.float32)
    BLOCK: tl.constexpr = 128  # pixels that are added to each other before they are added to the rest
    for run in range(n_runs):
        for first in range(0, N, BLOCK):
            b_totals = tl.full([32, KERNELS], other, tl.float32)
            p_block = p_tile + tl.cast(run, tl.int64) * run_stride
            for j in tl.range(first, tl.minimum(first + BLOCK, N), loop_unroll_factor=UNROLL):
                p_values = p_block + tl.cast(j, tl.int64) * stride
                b_totals = add_values(b_totals, tl.load(p_values, mask=m_tile, other=0), NORM)
            if NORM == "max":
                b_norms = larger(b_norms, b_totals)
            else:
                b_norms += b_totals
    b_norms = finish_norm(b_norms, n_runs * N, b_scale, NORM)
    m_true = compare_to(b_norms, b_constants[None, :], b_operators[None, :], OPERATOR) & m_images[:, None]
    b_words = tl.sum(m_true.to(tl.int32) << i_rows[:, None], axis=0)  # no bit is set twice
    tl.store(p_words + o_kernels.to(tl.int64) * n_words + i_word, b_words, mask=m_kernels)
    if p_norms is not None:
        tl.store(p_norms + o_images[:, None] * n_kernels + o_kernels[None, :], b_norms, mask=m_tile)
