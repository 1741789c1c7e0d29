"""Work in equal parts over the CPU's cores."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

SMALL_BYTES = 2**19  # less isn't worth a second thread: starting one takes as long as reading this

_worker = threading.local()  # what a worker runs has one core


def count_cores() -> int:
    """How many threads may share the work at hand."""
    return 1 if getattr(_worker, "busy", False) else len(os.sched_getaffinity(0))


def run_parts(run: Callable[[int, int], None], n_units: int, n_bytes: int) -> None:
    """`run(first, last)` over `n_units` units that read `n_bytes` in all; a part for each core."""
    n_threads = max(1, min(count_cores(), n_units, n_bytes // SMALL_BYTES))
    cuts = [n_units * i // n_threads for i in range(n_threads + 1)]
    run_workers(lambda thread: run(cuts[thread], cuts[thread + 1]), n_threads)


def run_workers(run: Callable[[int], None], n_threads: int) -> None:
    """`run(thread)` for each of so many threads, in which `count_cores` is 1."""
    if n_threads == 1:
        run(0)
        return

    def work(thread: int) -> None:
        _worker.busy, before = True, getattr(_worker, "busy", False)
        try:
            run(thread)
        finally:
            _worker.busy = before

    with ThreadPoolExecutor(n_threads - 1) as pool:
        others = pool.map(work, range(1, n_threads))
        work(0)  # the calling thread works, too
        list(others)
