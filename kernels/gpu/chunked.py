"""Bits on the CPU through the GPU, in chunks: while one is computed the next is on its way, so any amount fits."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.gpu.evaluate import evaluate
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.reference.evaluate import count_pairs
from eric_fast.plan import Plan

CHUNK_BYTES = 2**28  # of one chunk and what it gives, about; two are on the device at a time


def evaluate_from_cpu(plan: Plan, words: Tensor, n_samples: int, request: Request, device: torch.device) -> Outcome:
    """As `reference.evaluate`, to the bit; words and results are on the CPU, and `device` computes."""
    check_request(plan, words, n_samples, request)
    asked = replace(request, classes=request.classes or request.truths is not None, truths=None)
    n_wanted = len(request.rows or ())
    classes = torch.empty(n_samples, dtype=request.class_dtype) if asked.classes else None
    rules = torch.empty(n_samples, dtype=torch.int32) if asked.rules else None
    scores = torch.empty(n_samples, plan.n_classes, dtype=torch.float64) if asked.scores else None
    leaves = torch.empty(n_samples, len(plan.trees), dtype=torch.int32) if asked.leaves else None
    counts = torch.zeros(plan.n_rules, dtype=torch.int64) if asked.counts else None
    rows = torch.empty(n_wanted, words.shape[1], dtype=torch.int32) if asked.rows is not None else None
    lanes = [_Lane(device), _Lane(device)]
    for number, (first, last) in enumerate(split_words(plan, words.shape[1], asked)):
        lane = lanes[number % 2]
        lane.finish()
        samples = slice(first * WORD_BITS, min(last * WORD_BITS, n_samples))
        found = lane.start(plan, words[:, first:last], samples.stop - samples.start, asked)
        for whole, part in (
            (classes, found.classes),
            (rules, found.rules),
            (scores, found.scores),
            (leaves, found.leaves),
        ):
            lane.copy(part, None if whole is None else whole[samples])
        lane.copy(found.rows, None if rows is None else rows[:, first:last])
        lane.add(found.counts, counts)
    for lane in lanes:
        lane.finish()
    confusion = None
    if request.truths is not None:
        assert classes is not None
        confusion = count_pairs(plan, request.truths, classes)
    return Outcome(classes if request.classes else None, rules, scores, counts, rows, confusion, leaves)


def split_words(plan: Plan, n_words: int, request: Request) -> Iterator[tuple[int, int]]:
    """First and last word of each chunk, whole groups of `ROW_WORDS`."""
    bytes_per_sample = 8 + (8 * plan.n_classes if request.scores else 0)
    bytes_per_sample += 4 * len(plan.trees) if request.leaves else 0
    bytes_per_word = 4 * (plan.n_inputs + len(request.rows or ())) + WORD_BITS * bytes_per_sample
    step = max(1, CHUNK_BYTES // (bytes_per_word * ROW_WORDS)) * ROW_WORDS
    for first in range(0, n_words, step):
        yield first, min(first + step, n_words)


class _Lane:
    """One of the streams that chunks take in turn, and the memory that a chunk is copied from and to."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.staged = torch.empty(0, dtype=torch.int32)  # pinned, so that copies don't hold the CPU up
        self.copies: list[tuple[Tensor, Tensor, bool]] = []  # from pinned memory, to where, added or not

    def start(self, plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
        """Begin to copy and compute a chunk."""
        if self.staged.shape != words.shape:
            self.staged = torch.empty(words.shape, dtype=torch.int32, pin_memory=self.stream is not None)
        self.staged.copy_(words)
        with self._use():
            there = self.staged.to(self.device, non_blocking=True)
            return evaluate(plan, there, n_samples, request)

    def copy(self, found: Tensor | None, target: Tensor | None, *, added: bool = False) -> None:
        """Begin to copy a result back; `finish` brings it to its place."""
        if found is None or target is None:
            return
        pinned = torch.empty(found.shape, dtype=found.dtype, pin_memory=self.stream is not None)
        with self._use():
            pinned.copy_(found, non_blocking=True)
        self.copies.append((pinned, target, added))

    def add(self, found: Tensor | None, target: Tensor | None) -> None:
        """As `copy`, but the result is added to what is there."""
        self.copy(found, target, added=True)

    def finish(self) -> None:
        """Wait for the chunk at hand."""
        if self.stream is not None:
            self.stream.synchronize()
        for pinned, target, added in self.copies:
            target.copy_(target + pinned if added else pinned)
        self.copies = []

    def _use(self) -> AbstractContextManager[object]:
        return nullcontext() if self.stream is None else torch.cuda.stream(self.stream)
