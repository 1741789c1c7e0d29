"""`evaluate` of words on the CPU by the GPU, in chunks: one is computed while the next is copied."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.chunks import SUMS, JoinedOutcome
from eric_fast.kernels.gpu.evaluate import evaluate
from eric_fast.kernels.outcome import Outcome, Request, check_request, expect
from eric_fast.kernels.reference.evaluate import count_confusion
from eric_fast.plan import Plan

COPIED_BYTES = 2**28  # of one chunk and its results, about; two are on the device at a time


def evaluate_from_cpu(plan: Plan, words: Tensor, n_samples: int, request: Request, device: torch.device) -> Outcome:
    """As `reference.evaluate`, to the bit; words and results are on the CPU, and `device` computes."""
    check_request(plan, words, n_samples, request)
    asked = replace(request, classes=request.classes or request.truths is not None, truths=None)
    joined = JoinedOutcome(n_samples, words.device)
    buffers = [ChunkBuffer(device), ChunkBuffer(device)]
    for number, part in enumerate(split_words(plan, words.shape[1], asked)):
        buffer = buffers[number % 2]
        buffer.finish()
        first, last = part.start * WORD_BITS, min(part.stop * WORD_BITS, n_samples)
        found = buffer.start(plan, words[:, part.start : part.stop], last - first, asked)
        for name, result in found._asdict().items():
            if result is not None:
                buffer.copy(result, joined.find_place(name, result, first), is_sum=name in SUMS)
    for buffer in buffers:
        buffer.finish()
    outcome = joined.to_outcome()
    if request.truths is None:
        return outcome
    confusion = count_confusion(plan, request.truths, expect(outcome.classes))
    return outcome._replace(classes=outcome.classes if request.classes else None, confusion=confusion)


def split_words(plan: Plan, n_words: int, request: Request) -> Iterator[range]:
    """The words of each chunk, whole groups of `ROW_WORDS`; one chunk where there are no words."""
    bytes_per_sample = 8 + (8 * plan.n_classes if request.scores else 0)
    bytes_per_sample += 4 * len(plan.trees) if request.leaves else 0
    bytes_per_word = 4 * (plan.n_inputs + len(request.rows or ())) + WORD_BITS * bytes_per_sample
    step = max(1, COPIED_BYTES // (bytes_per_word * ROW_WORDS)) * ROW_WORDS
    for first in range(0, max(1, n_words), step):
        yield range(first, min(first + step, n_words))


class ChunkBuffer:
    """A CUDA stream for every second chunk, and the memory that chunks are copied from and to."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.staged = torch.empty(0, dtype=torch.int32)  # pinned, so that copies don't hold the CPU up
        self.copies: list[tuple[Tensor, Tensor, bool]] = []  # from pinned memory, to where, whether it is added

    def start(self, plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
        """Begin to copy and compute a chunk."""
        if self.staged.shape != words.shape:
            self.staged = torch.empty(words.shape, dtype=torch.int32, pin_memory=self.stream is not None)
        self.staged.copy_(words)
        with self._use_stream():
            there = self.staged.to(self.device, non_blocking=True)
            return evaluate(plan, there, n_samples, request)

    def copy(self, found: Tensor, place: Tensor, *, is_sum: bool) -> None:
        """Begin to copy a result back; `finish` brings it to its place, or adds it to what is there."""
        pinned = torch.empty(found.shape, dtype=found.dtype, pin_memory=self.stream is not None)
        with self._use_stream():
            pinned.copy_(found, non_blocking=True)
        self.copies.append((pinned, place, is_sum))

    def finish(self) -> None:
        """Wait for the chunk at hand."""
        if self.stream is not None:
            self.stream.synchronize()
        for pinned, place, is_sum in self.copies:
            place.copy_(place + pinned if is_sum else pinned)
        self.copies = []

    def _use_stream(self) -> AbstractContextManager[object]:
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
