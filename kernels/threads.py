"""Work in equal parts over the CPU's cores."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SMALL_BYTES = 2**19  # less isn't worth a second thread: starting one takes as long as reading this


def run_parts(run: Callable[[int, int], None], n_units: int, n_bytes: int) -> None:
    """`run(first, last)` over `n_units` units that read `n_bytes` in all; a part for each core."""
    n_threads = min(len(os.sched_getaffinity(0)), n_units, max(1, n_bytes // SMALL_BYTES))
    if n_threads <= 1:
        run(0, n_units)
        return
    cuts = [n_units * i // n_threads for i in range(n_threads + 1)]
    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(run, cuts[:-1], cuts[1:]))
