"""`evaluate` on the CPU: one thread a core, each takes a block of samples through all steps of a plan at a time."""

from dataclasses import replace
from itertools import count
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS, count_words
from eric_fast.errors import EricError
from eric_fast.kernels.cpu.block_state import (
    Results,
    allocate_workspace,
    count_workspace_bytes,
    make_codes,
    make_instructions,
    make_votes,
)
from eric_fast.kernels.cpu.lower import lower_plan
from eric_fast.kernels.cpu.run import run_blocks
from eric_fast.kernels.cpu.simd_words import BLOCK_SAMPLES, VECTOR_BYTES, VECTOR_WORDS
from eric_fast.kernels.cpu.threads import count_cores, run_workers
from eric_fast.kernels.decision_tables import make_decision_tables
from eric_fast.kernels.liveness import ResultKinds, choose_decision, find_result_kinds
from eric_fast.kernels.memory import allocate_aligned, allocate_result
from eric_fast.kernels.outcome import Outcome, Pack, Request, check_request
from eric_fast.plan import Plan
from eric_fast.processes.memory import find_free_memory, format_bytes

assert ROW_WORDS % (2 * VECTOR_WORDS) == 0  # a row is padded to whole blocks
CHUNK_BLOCKS = 16  # blocks that a thread takes at a time, at most: few enough that no thread waits long for another
SCRATCH_BYTES = 2**27  # of all threads together, if there is more than one
KEPT_BYTES = 2**24  # scratch memory that a plan keeps from one call to the next
SMALL_BYTES = 2**28  # of memory that grows with the classes: what is free isn't asked for less
FIRST_INPUT = 2  # the slot of the first input; the rest follow


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """See `reference.evaluate`; the results are the same to the bit.

    Args:
        words: int32 `[n_inputs, count_words(n_samples)]`.
    """
    check_request(plan, words, n_samples, request)
    if not words.is_contiguous():
        words = words.contiguous()
    return _evaluate(plan, words.numpy().view(np.uint64), None, n_samples, request)


def evaluate_packed(plan: Plan, pack: Pack, n_samples: int, request: Request) -> Outcome:
    """Evaluate words that `pack` makes, a block at a time, so that they never leave the cache."""
    return _evaluate(plan, np.empty((0, count_words(n_samples) // 2), np.uint64), pack, n_samples, request)


def _evaluate(plan: Plan, inputs: NDArray[np.uint64], pack: Pack | None, n_samples: int, request: Request) -> Outcome:
    """inputs: `[n_inputs, n_words]`, or `[0, n_words]` where `pack` makes them."""
    asked = request
    if asked.covered:
        request = replace(asked, rules=True)
    prepared = _prepare(plan, find_result_kinds(plan, request))
    n_blocks = inputs.shape[1] // VECTOR_WORDS
    chunk_blocks = 1 if pack else CHUNK_BLOCKS
    n_threads = min(count_cores(), -(-n_blocks // chunk_blocks))
    n_threads = max(1, min(n_threads, SCRATCH_BYTES // prepared.scratch_bytes))
    n_threads = _limit_threads(n_threads, prepared.workspace_bytes, n_samples, plan, request)
    n_chunks = min(n_blocks, n_threads * -(-n_blocks // (n_threads * chunk_blocks)))  # as many for each thread

    is_narrow = request.class_dtype == torch.int16
    wanted_rows = np.array(request.rows or (), np.int64)
    truths = np.zeros((0, n_samples), np.int64) if request.truths is None else request.truths.contiguous().numpy()
    results = Results(
        classes=np.empty(n_samples if request.classes and not is_narrow else 0, np.int32),
        narrow_classes=np.empty(n_samples if request.classes and is_narrow else 0, np.int16),
        rules=np.empty(n_samples if request.rules else 0, np.int32),
        scores=np.empty((n_samples if request.scores else 0, plan.n_classes), np.float64),
        leaves=np.empty((n_samples if request.leaves else 0, len(plan.trees)), np.int32),
        wanted_rows=wanted_rows,
        rows=allocate_result((len(wanted_rows), inputs.shape[1]), np.uint64),
        truths=truths,
        counts=np.zeros((n_threads, plan.n_rules if request.counts else 0), np.int64),
        confusion=np.zeros((n_threads, len(truths), plan.n_classes, plan.n_classes + 1), np.int64),
    )
    if request.scores and not plan.votes:
        results.scores[:] = plan.base.numpy()

    chunks, targets = count(), tuple(results)

    def run(thread: int) -> None:
        scratch, workspace = prepared.take_memory()
        packed = torch.from_numpy(scratch.view(np.int32)).view(-1, 2 * VECTOR_WORDS)[FIRST_INPUT:][: plan.n_inputs]
        while (chunk := next(chunks)) < n_chunks:
            first, last = (n_blocks * edge // n_chunks for edge in (chunk, chunk + 1))
            if pack:
                pack(first * BLOCK_SAMPLES, min(last * BLOCK_SAMPLES, n_samples), packed)
            run_blocks(thread, first, last, n_samples, inputs, scratch, *prepared.arguments, workspace, targets)
        prepared.keep_memory(scratch, workspace)

    run_workers(run, n_threads)
    return Outcome(
        torch.from_numpy(results.narrow_classes if is_narrow else results.classes) if request.classes else None,
        torch.from_numpy(results.rules) if asked.rules else None,
        torch.from_numpy(results.scores) if request.scores else None,
        torch.from_numpy(results.counts.sum(axis=0)) if request.counts else None,
        torch.from_numpy(results.rows.view(np.int32)) if request.rows is not None else None,
        None if request.truths is None else torch.from_numpy(results.confusion.sum(axis=0)),
        torch.from_numpy(results.leaves) if request.leaves else None,
        torch.from_numpy(results.rules >= 0) if asked.covered else None,
    )


def _limit_threads(n_threads: int, workspace_bytes: int, n_samples: int, plan: Plan, request: Request) -> int:
    """So many threads, or as many as have room for their workspaces. EricError: not even one has."""
    n_truths = 0 if request.truths is None else len(request.truths)
    thread_bytes = workspace_bytes + 8 * n_truths * plan.n_classes * (plan.n_classes + 1)
    result_bytes = 8 * n_samples * plan.n_classes * bool(request.scores)
    if result_bytes + n_threads * thread_bytes <= SMALL_BYTES:
        return n_threads
    free = find_free_memory()
    if result_bytes + thread_bytes > free:
        raise EricError(
            f"the votes of {n_samples:,} samples for {plan.n_classes:,} classes take "
            f"{format_bytes(result_bytes + thread_bytes)} of memory, of {format_bytes(free)} free; "
            "ask for classes alone, or for fewer samples at a time"
        )
    return min(n_threads, (free - result_bytes) // thread_bytes) if thread_bytes else n_threads


class _PreparedPlan:
    """A plan as `run_blocks` takes it, with the memory of threads that are done: touching new pages takes long."""

    def __init__(self, plan: Plan, kinds: ResultKinds) -> None:
        code, self._tables = lower_plan(plan, kinds), make_decision_tables(plan)
        self._kind, self._n_classes = choose_decision(plan, kinds), plan.n_classes
        instructions, codes = make_instructions(plan, code), make_codes(plan, code, self._tables)
        votes = make_votes(plan, kinds, code, self._tables)
        self.arguments = (tuple(instructions), self._kind, tuple(codes), tuple(votes))  # of `run_blocks`
        self.workspace_bytes = count_workspace_bytes(plan.n_classes, self._kind, self._tables)
        self.scratch_bytes = code.n_slots * VECTOR_BYTES
        self._kept: list[tuple[NDArray[np.uint64], tuple[Any, ...]]] = []

    def take_memory(self) -> tuple[NDArray[np.uint64], tuple[Any, ...]]:
        """Scratch memory, uint64 `[n_slots * VECTOR_WORDS]`, uninitialised, and the fields of a `Workspace`."""
        try:
            return self._kept.pop()
        except IndexError:
            scratch = allocate_aligned((self.scratch_bytes // 8,), np.uint64)
            return scratch, tuple(allocate_workspace(self._n_classes, self._kind, self._tables))

    def keep_memory(self, scratch: NDArray[np.uint64], workspace: tuple[Any, ...]) -> None:
        """Keep it for another call, unless it is large."""
        if (1 + len(self._kept)) * self.scratch_bytes <= KEPT_BYTES:
            self._kept.append((scratch, workspace))


_prepared: WeakKeyDictionary[Plan, dict[ResultKinds, _PreparedPlan]] = WeakKeyDictionary()


def _prepare(plan: Plan, kinds: ResultKinds) -> _PreparedPlan:
    """The plan prepared for results of these kinds, once."""
    of_plan = _prepared.setdefault(plan, {})
    if kinds not in of_plan:
        of_plan[kinds] = _PreparedPlan(plan, kinds)
    return of_plan[kinds]
