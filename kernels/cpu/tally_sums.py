"""`tally_sums` on the CPU: bits become bytes, a block of samples at a time, and are added up in plain loops."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.count import view_words
from eric_fast.kernels.cpu.threads import run_parts
from eric_fast.kernels.tallies import WeightedBodies, check_tally

BLOCK_WORDS = 32  # of 64 samples: the bytes of a few hundred atoms then stay in the L2 cache


def tally_sums(words: Tensor, targets: Tensor, n_samples: int, bodies: WeightedBodies) -> Tensor:
    """As `reference.tally_sums`."""
    check_tally(words, targets, bodies)
    columns, goals = view_words(words), view_words(targets)
    out = np.zeros((len(goals), 2, bodies.find_most() + 1), np.int64)

    def run(first: int, last: int) -> None:
        _tally_bodies(columns, goals, n_samples, *bodies, first, last, out)

    if len(goals):
        run_parts(run, len(goals), len(bodies.literals) * n_samples)
    return torch.from_numpy(out)


@cached_njit
def _tally_bodies(
    columns: Any, goals: Any, n_samples: int, literals: Any, weights: Any, offsets: Any, first: int, last: int, out: Any
) -> None:
    """Fill `out`, int64 `[n_bodies, 2, most + 1]`, for the bodies from `first` to `last`.

    columns, goals: uint64 `[n_atoms, n_words]` and `[n_bodies, n_words]`. literals, weights, offsets: those of
    `WeightedBodies`.
    """
    size = 64 * BLOCK_WORDS
    octets = np.empty((len(columns), size), np.uint8)
    sums = np.empty(size, np.int32)
    for start in range(0, -(-n_samples // 64), BLOCK_WORDS):
        n_words = min(BLOCK_WORDS, columns.shape[1] - start)
        for a in range(len(columns)):
            for w in range(n_words):
                word = columns[a, start + w]
                for k in range(64):
                    octets[a, 64 * w + k] = (word >> np.uint64(k)) & np.uint64(1)
        n = min(64 * n_words, n_samples - 64 * start)
        for body in range(first, last):
            base = np.int32(0)
            for place in range(offsets[body], offsets[body + 1]):
                base += weights[place] if literals[place] < 0 else np.int32(0)
            for s in range(n):
                sums[s] = base
            for place in range(offsets[body], offsets[body + 1]):
                literal = literals[place]
                row = octets[literal if literal >= 0 else ~literal]
                weight = weights[place] if literal >= 0 else -weights[place]
                for s in range(n):
                    sums[s] += weight * np.int32(row[s])
            for s in range(n):
                goal = (goals[body, start + s // 64] >> np.uint64(s % 64)) & np.uint64(1)
                out[body, goal, sums[s]] += 1
