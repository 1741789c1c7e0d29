"""Rules on packed words in plain NumPy, one literal at a time: what a user writes who thinks in bits."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from bench.harness import N_CORES
from eric_fast.bits import mask_tail
from eric_fast.plan import Plan


def evaluate(plan: Plan, words: NDArray[np.uint64], n_samples: int, rows: range | None) -> NDArray[np.int32]:
    """The words of these rows, int32 `[n_wanted, n_words]`, or the class of each sample where none are wanted.

    words: uint64 `[n_inputs, n_words / 2]`. Threads share them out by columns. Under `first` alone.
    """
    cuts = np.linspace(0, words.shape[1], N_CORES + 1).astype(int)
    program = (plan.literals.tolist(), plan.offsets.tolist(), plan.heads.tolist(), plan.strata.tolist())
    with ThreadPoolExecutor(N_CORES) as pool:
        parts = list(
            pool.map(lambda i: _run_part(plan, program, words[:, cuts[i] : cuts[i + 1]], rows), range(N_CORES))
        )
    joined = np.concatenate(parts, axis=1)
    if rows is not None:
        return mask_tail(torch.from_numpy(joined.view(np.int32)), n_samples).numpy()
    bits = np.unpackbits(joined.view(np.uint8), axis=1, count=n_samples, bitorder="little")  # [n_classes, n_samples]
    return np.where(bits.any(axis=0), bits.argmax(axis=0), plan.default).astype(np.int32)


def _run_part(
    plan: Plan, program: tuple[list[int], ...], words: NDArray[np.uint64], rows: range | None
) -> NDArray[np.uint64]:
    """uint64 `[n_wanted, n_words]`; without rows, `[n_classes, n_words]`: where each class is the answer."""
    literals, offsets, heads, strata = program
    truth = np.zeros((plan.n_rows, words.shape[1]), np.uint64)
    truth[: plan.n_inputs] = words
    falsity = ~truth  # a row for each literal, so that a negation costs what an atom does
    fired = np.empty(words.shape[1], np.uint64)
    negated = plan.negated.numpy()

    def fire(rule: int) -> None:
        fired.fill(0xFFFFFFFFFFFFFFFF)
        for i in range(offsets[rule], offsets[rule + 1]):
            literal = literals[i]
            np.bitwise_and(fired, truth[literal] if literal >= 0 else falsity[~literal], out=fired)

    for atom in np.flatnonzero(negated):
        truth[atom], falsity[atom] = falsity[atom].copy(), truth[atom].copy()
    for first, last in pairwise(strata):
        for rule in range(first, last):
            fire(rule)
            head = heads[rule]
            target = falsity[head] if negated[head] else truth[head]
            np.bitwise_or(target, fired, out=target)
        for head in set(heads[first:last]):
            if negated[head]:
                np.invert(falsity[head], out=truth[head])
            else:
                np.invert(truth[head], out=falsity[head])
    if rows is not None:
        return truth[list(rows)]
    answers = np.zeros((plan.n_classes, words.shape[1]), np.uint64)
    undecided = np.full(words.shape[1], 0xFFFFFFFFFFFFFFFF, np.uint64)
    for rule in range(strata[-1], len(heads)):
        fire(rule)
        fired &= undecided
        answers[heads[rule]] |= fired
        undecided ^= fired
    return answers
