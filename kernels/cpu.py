"""Packed words on the CPU: Numba, one thread a core, a block of words through all steps of a plan at a time."""

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS
from eric_fast.kernels.cpu_code import lower_plan
from eric_fast.kernels.cpu_run import run_blocks
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.vectors import ALIGNMENT, VECTOR_WORDS
from eric_fast.plan import Plan

assert ROW_WORDS == 2 * VECTOR_WORDS  # a block is one unit of a row's padding, so every block is whole
CHUNK_BLOCKS = 16  # what a thread takes at a time: small enough that none waits long for another


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit."""
    check_request(plan, words, n_samples, request)
    steps = plan.steps
    code = lower_plan(plan, keep_rows=bool(request.rows) or request.counts)
    if not words.is_contiguous():
        words = words.contiguous()
    inputs = words.numpy().view(np.uint64)  # [n_inputs, n_words]
    n_blocks = inputs.shape[1] // VECTOR_WORDS
    n_threads = max(1, min(len(os.sched_getaffinity(0)), -(-n_blocks // CHUNK_BLOCKS)))

    classes = np.empty(n_samples if request.classes else 0, np.int32)
    rules = np.empty(n_samples if request.rules else 0, np.int32)
    scores = np.empty((n_samples if request.scores else 0, plan.n_classes), np.float64)
    wanted_rows = np.array(request.rows or (), np.int64)
    rows = np.empty((len(wanted_rows), inputs.shape[1]), np.uint64)
    truths = np.zeros((0, n_samples), np.int64) if request.truths is None else request.truths.contiguous().numpy()
    counts = np.zeros((n_threads, plan.n_rules if request.counts else 0), np.int64)
    if request.scores and not plan.votes:
        scores[:] = plan.base.numpy()
    confusion = np.zeros((n_threads, len(truths), plan.n_classes, plan.n_classes + 1), np.int64)

    decision = (
        plan.heads[plan.n_kernel_rules :].numpy(),
        plan.votes,
        np.int32(plan.default),
        *(array.numpy() for array in (plan.base, plan.vote_offsets, plan.vote_classes, plan.vote_weights)),
        request.decides,
    )
    instructions = (
        code.nodes,
        code.terms,
        code.segments,
        steps.batches.numpy(),
        steps.sections.numpy(),
        code.input_slots,
        code.row_slots,
        code.fire_slots,
        (plan.literals.numpy(), plan.offsets.numpy()),
    )
    chunks = count()

    def run(thread: int) -> None:
        scratch = _allocate_aligned(code.n_slots * VECTOR_WORDS)
        out = (classes, rules, scores, wanted_rows, rows, counts[thread], truths, confusion[thread], n_samples)
        while (first := CHUNK_BLOCKS * next(chunks)) < n_blocks:
            run_blocks(first, min(first + CHUNK_BLOCKS, n_blocks), inputs, scratch, instructions, decision, out)

    if n_threads == 1:
        run(0)
    else:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(run, range(n_threads)))
    return Outcome(
        torch.from_numpy(classes) if request.classes else None,
        torch.from_numpy(rules) if request.rules else None,
        torch.from_numpy(scores) if request.scores else None,
        torch.from_numpy(counts.sum(axis=0)) if request.counts else None,
        torch.from_numpy(rows.view(np.int32)) if request.rows is not None else None,
        None if request.truths is None else torch.from_numpy(confusion.sum(axis=0)),
    )


def _allocate_aligned(n_words: int) -> NDArray[np.uint64]:
    """uint64 `[n_words]` at an address that vectors can be loaded from."""
    memory = np.empty(n_words + ALIGNMENT // 8, np.uint64)
    first = -memory.ctypes.data % ALIGNMENT // 8
    return memory[first : first + n_words]
