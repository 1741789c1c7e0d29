"""Kernels that are wrong, in ways that no interpreter of Triton's own language sees."""

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from tests.ptx.launch import Runner
from tests.ptx.memory import FaultError


@triton.jit
def read_back(p_in, p_scratch, p_out):  # type: ignore[no-untyped-def]
    """Store a tile as float32 and read it back: threads have other elements of 2 bytes than of 4."""
    o_tile = tl.arange(0, 8)[:, None] * 256 + tl.arange(0, 256)[None, :]
    tl.store(p_scratch + o_tile, tl.load(p_in + o_tile).to(tl.float32))
    tl.store(p_out + o_tile, tl.load(p_scratch + o_tile))


@triton.jit
def share_scratch(p_in, p_scratch, p_out):  # type: ignore[no-untyped-def]
    """Every program has the same scratch memory."""
    o_tile = tl.arange(0, 256)
    tl.store(p_scratch + o_tile, tl.load(p_in + tl.program_id(0) * 256 + o_tile).to(tl.float32))
    tl.store(p_out + tl.program_id(0) * 256 + o_tile, tl.load(p_scratch + o_tile))


@triton.jit
def read_before_it_is_written(p_in, p_scratch, p_out):  # type: ignore[no-untyped-def]
    o_tile = tl.arange(0, 256)
    tl.store(p_out + o_tile, tl.load(p_scratch + o_tile) * 0.0 + tl.load(p_in + o_tile))


@triton.jit
def read_too_far(p_in, p_scratch, p_out):  # type: ignore[no-untyped-def]
    o_tile = tl.arange(0, 256)
    tl.store(p_out + o_tile, tl.load(p_in + o_tile * 9).to(tl.float32))


BROKEN = {
    "read back in another layout": read_back,
    "scratch memory that blocks share": share_scratch,
    "read of what nobody wrote": read_before_it_is_written,
    "read past the end": read_too_far,
}


def run_broken(runner: Runner, kernel: Callable[..., object]) -> str:
    """What the runner says of one of `BROKEN`."""
    runner.clear()
    half, scratch, out = torch.randn(2048).half(), torch.zeros(2048), torch.zeros(2048)
    try:
        with runner.take_launches():
            kernel[(2 if kernel is share_scratch else 1,)](half, scratch, out, num_warps=4)  # type: ignore[index]
    except FaultError as error:
        return str(error)
    return runner.reports[0] if runner.reports else ""
