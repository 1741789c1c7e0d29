"""Packed words on the CPU: Numba, one thread a core, a block of words through all steps of a plan at a time."""

from itertools import count

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS, count_words
from eric_fast.kernels.cpu_code import lower_plan
from eric_fast.kernels.cpu_run import run_blocks
from eric_fast.kernels.outcome import Outcome, Pack, Request, check_request
from eric_fast.kernels.threads import count_cores, run_workers
from eric_fast.kernels.vectors import ALIGNMENT, VECTOR_BYTES, VECTOR_WORDS
from eric_fast.plan import Plan

assert ROW_WORDS == 2 * VECTOR_WORDS  # a block is one unit of a row's padding, so every block is whole
CHUNK_BLOCKS = 16  # what a thread takes at a time: small enough that none waits long for another
SCRATCH_BYTES = 2**27  # of all threads together, if more than one
BLOCK_SAMPLES = 64 * VECTOR_WORDS
FIRST_INPUT = 2  # the slot of the first input; the rest follow


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit."""
    check_request(plan, words, n_samples, request)
    if not words.is_contiguous():
        words = words.contiguous()
    return _evaluate(plan, words.numpy().view(np.uint64), None, n_samples, request)


def evaluate_packed(plan: Plan, pack: Pack, n_samples: int, request: Request) -> Outcome:
    """The same on words that `pack` makes, a block at a time, where they are evaluated: they never leave the cache."""
    return _evaluate(plan, np.empty((0, count_words(n_samples) // 2), np.uint64), pack, n_samples, request)


def _evaluate(plan: Plan, inputs: NDArray[np.uint64], pack: Pack | None, n_samples: int, request: Request) -> Outcome:
    """inputs: `[n_inputs, n_words]`; none of them where `pack` makes them."""
    steps = plan.steps
    code = lower_plan(plan, keep_rows=bool(request.rows) or request.counts)
    n_blocks = inputs.shape[1] // VECTOR_WORDS
    chunk_blocks = 1 if pack else CHUNK_BLOCKS
    n_threads = min(count_cores(), -(-n_blocks // chunk_blocks))
    n_threads = max(1, min(n_threads, SCRATCH_BYTES // (code.n_slots * VECTOR_BYTES)))

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
        packed = torch.from_numpy(scratch.view(np.int32)).view(-1, 2 * VECTOR_WORDS)[FIRST_INPUT:][: plan.n_inputs]
        while (first := chunk_blocks * next(chunks)) < n_blocks:
            if pack:
                pack(first * BLOCK_SAMPLES, min((first + 1) * BLOCK_SAMPLES, n_samples), packed)
            run_blocks(first, min(first + chunk_blocks, n_blocks), inputs, scratch, instructions, decision, out)

    run_workers(run, n_threads)
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
