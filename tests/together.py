"""Processes of a run as threads of one: each learns from its images, and their sums meet."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import torch
from torch import Tensor

from eric_fast.processes import Combine

PATIENCE = 120  # seconds until a thread that waits for one that failed gives up


def run_together(learn: Callable[[int, Combine], Any], n: int) -> list[Any]:
    """`learn(rank, combine)` for each of `n` ranks at the same time; `combine` adds up what all of them give it."""
    barrier = Barrier(n, timeout=PATIENCE)
    given: dict[int, Tensor] = {}

    def run(rank: int) -> Any:
        def combine(numbers: Tensor) -> Tensor:
            given[rank] = numbers.clone()
            barrier.wait()
            total = torch.stack([given[other] for other in range(n)]).sum(dim=0, dtype=numbers.dtype)
            barrier.wait()
            return total

        try:
            return learn(rank, combine)
        except BaseException:
            barrier.abort()
            raise

    with ThreadPoolExecutor(n) as pool:
        return list(pool.map(run, range(n)))
