"""Packed words on the CPU: Numba, one thread a core, a block of words through all strata at a time."""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from numba import njit
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS, mask_tail
from eric_fast.kernels.outcome import Outcome, check_words
from eric_fast.plan import Plan

BLOCK = ROW_WORDS // 2  # 64-bit words a block: one unit of a row's padding, so every block is whole


def evaluate(
    plan: Plan, words: Tensor, n_samples: int, *, with_scores: bool = False, with_rows: bool = False
) -> Outcome:
    """As `reference.evaluate`, to the bit."""
    check_words(plan, words, n_samples)
    inputs = words.contiguous().numpy().view(np.uint64)  # [n_inputs, n_words]
    n_words = words.shape[1] // 2
    classes = np.full(n_samples, plan.default, np.int64)
    rules = np.full(n_samples, -1, np.int64)
    scores = np.zeros((n_samples if with_scores else 0, plan.n_classes), np.float64)
    rows = np.zeros((plan.n_rows if with_rows else 0, n_words), np.uint64)
    arrays = [plan.literals, plan.offsets, plan.heads, plan.base, plan.vote_offsets, plan.vote_classes]
    numbers = (plan.n_rows, plan.n_kernel_rules, plan.votes)

    def run(first_block: int, last_block: int) -> None:
        _evaluate_blocks(
            first_block,
            last_block,
            inputs,
            *(array.numpy() for array in (*arrays, plan.vote_weights)),
            *numbers,
            classes,
            rules,
            scores,
            rows,
        )

    n_blocks = n_words // BLOCK
    n_threads = min(len(os.sched_getaffinity(0)), n_blocks)
    cuts = [n_blocks * i // max(n_threads, 1) for i in range(n_threads + 1)]
    if n_threads > 1:
        with ThreadPoolExecutor(n_threads) as pool:
            list(pool.map(run, cuts[:-1], cuts[1:]))
    elif n_threads == 1:
        run(0, n_blocks)
    return Outcome(
        torch.from_numpy(classes),
        torch.from_numpy(rules),
        torch.from_numpy(scores) if with_scores else None,
        mask_tail(torch.from_numpy(rows.view(np.int32)), n_samples) if with_rows else None,
    )


@njit(nogil=True, cache=True)
def _fire(body: NDArray[np.int32], truth: NDArray[np.uint64], fired: NDArray[np.uint64]) -> Any:
    """fired[:] = AND of the body's literals over one block; truth is `[n_rows, BLOCK]`. Whether any bit is set."""
    fired[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
    for literal in body:
        if literal >= 0:
            for w in range(BLOCK):
                fired[w] &= truth[literal, w]
        else:
            for w in range(BLOCK):
                fired[w] &= ~truth[~literal, w]
    some = np.uint64(0)
    for w in range(BLOCK):
        some |= fired[w]
    return some != np.uint64(0)


@njit(nogil=True, cache=True)
def _evaluate_blocks(
    first_block: Any,
    last_block: Any,
    inputs: Any,
    literals: Any,
    offsets: Any,
    heads: Any,
    base: Any,
    vote_offsets: Any,
    vote_classes: Any,
    vote_weights: Any,
    n_rows: Any,
    n_kernel_rules: Any,
    votes: Any,
    classes: Any,
    rules: Any,
    scores: Any,
    rows: Any,
) -> None:
    n_samples = len(classes)
    n_inputs = len(inputs)
    n_rules = len(heads)
    truth = np.zeros((n_rows, BLOCK), np.uint64)
    fired = np.zeros(BLOCK, np.uint64)
    undecided = np.zeros(BLOCK, np.uint64)
    sums = np.zeros((64 * BLOCK if votes else 0, len(base)), np.float64)
    best = np.zeros(64 * BLOCK, np.float64)  # under vote: what the deciding rule adds to the winner
    for block in range(first_block, last_block):
        w0 = block * BLOCK
        truth[:n_inputs] = inputs[:, w0 : w0 + BLOCK]
        truth[n_inputs:] = np.uint64(0)
        for r in range(n_kernel_rules):
            if _fire(literals[offsets[r] : offsets[r + 1]], truth, fired):
                for w in range(BLOCK):
                    truth[heads[r], w] |= fired[w]
        if len(rows):
            rows[:, w0 : w0 + BLOCK] = truth
        s0 = 64 * w0
        n = min(64 * BLOCK, n_samples - s0)  # samples of this block; the last may hold fewer, or none
        for s in range(len(sums)):
            sums[s] = base
        undecided[:] = np.uint64(0xFFFFFFFFFFFFFFFF)
        for r in range(n_kernel_rules, n_rules):
            if not _fire(literals[offsets[r] : offsets[r + 1]], truth, fired):
                continue
            c = r - n_kernel_rules
            some = np.uint64(0)
            for w in range(BLOCK):
                if not votes:
                    fired[w] &= undecided[w]
                undecided[w] &= ~fired[w]
                some |= fired[w]
            for s in range(n if some else 0):
                if not fired[s >> 6] & (np.uint64(1) << np.uint64(s & 63)):
                    continue
                if votes:
                    for v in range(vote_offsets[c], vote_offsets[c + 1]):
                        sums[s, vote_classes[v]] += vote_weights[v]
                else:
                    classes[s0 + s] = heads[r]
                    rules[s0 + s] = c
        if not votes:
            continue
        if len(scores):
            scores[s0 : s0 + n] = sums[:n]
        best[:] = -np.inf
        for s in range(n):
            if not undecided[s >> 6] & (np.uint64(1) << np.uint64(s & 63)):
                classes[s0 + s] = np.argmax(sums[s])
        for r in range(n_kernel_rules, n_rules):
            if not _fire(literals[offsets[r] : offsets[r + 1]], truth, fired):
                continue
            c = r - n_kernel_rules
            for s in range(n):
                if not fired[s >> 6] & (np.uint64(1) << np.uint64(s & 63)):
                    continue
                adds = 0.0
                for v in range(vote_offsets[c], vote_offsets[c + 1]):
                    if vote_classes[v] == classes[s0 + s]:
                        adds = vote_weights[v]
                if adds > best[s]:
                    best[s] = adds
                    rules[s0 + s] = c
