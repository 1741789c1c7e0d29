"""Compile what most tests call, on two cores, before they start: each of pytest's workers would compile it again.

`python -m tests.compile_first`; Numba keeps what it compiles on disk, where the workers find it.
"""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.kernels.cpu import evaluate as cpu
from eric_fast.kernels.gpu import lower as gpu_lower
from eric_fast.kernels.liveness import find_result_kinds
from eric_fast.program import Program
from tests.engines import ask_everything
from tests.make_forests import make_forest_program
from tests.make_programs import count_inputs
from tests.make_rules import make_shared_program


def list_programs() -> list[Program]:
    return [make_shared_program(0), *(make_forest_program(seed) for seed in range(4))]


def compile_plans() -> None:
    for program in list_programs():
        compile_program(program)


def grow_trees() -> None:
    bits = pack_bits(torch.from_numpy(np.random.default_rng(0).random((200, 70)) < 0.5))
    for targets in (bits[:2], torch.arange(400).view(2, 200) % 3):
        kernels.grow(bits, 200, targets, kernels.Limits(), n_values=None if targets.dtype == torch.int32 else 3)


def evaluate_plans() -> None:
    for program in list_programs():
        plan = compile_program(program)
        words = pack_bits(torch.zeros(40, count_inputs(program), dtype=torch.bool))
        cpu.evaluate(plan, words, 40, ask_everything(plan, 40))


def pack_and_lower() -> None:
    maps, signs = torch.rand(3, 5, 4, 4), torch.ones(5, dtype=torch.int8)
    for layout in (torch.contiguous_format, torch.channels_last):
        kernels.pack_maps(maps.contiguous(memory_format=layout), torch.zeros(5), signs, engine="cpu")
    for dtype in (torch.float32, torch.float64):
        kernels.pack_columns(torch.rand(40, 5, dtype=dtype), None, torch.zeros(5, dtype=dtype), signs, engine="cpu")
    for program in list_programs():
        plan = compile_program(program)
        gpu_lower.lower_plan(plan, torch.device("cpu"), find_result_kinds(plan, ask_everything(plan, 40)), counts=True)


def main() -> None:
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        for stage in ((compile_plans, grow_trees), (evaluate_plans, pack_and_lower)):
            for done in [pool.submit(work) for work in stage]:
                done.result()


if __name__ == "__main__":
    main()
