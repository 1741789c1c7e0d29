"""Work in equal parts over the CPU's cores."""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import count

THREAD_BYTES = 2**19  # less isn't worth a second thread: waking one takes as long as reading this
PARTS = 8  # of each thread's work: whoever is slowed down, by threads of others that still spin, takes fewer

_worker = threading.local()  # what a worker runs has one core


class _Pool:
    """Threads that wait for work: starting one anew takes as long as evaluating some hundred rows."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the threads, which a forked child doesn't have."""
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def get_executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="eric_fast")
            return self._executor


_pool = _Pool()
os.register_at_fork(after_in_child=_pool.reset)


def count_cores() -> int:
    """How many threads may share the work at hand."""
    return 1 if getattr(_worker, "busy", False) else len(os.sched_getaffinity(0))


def run_parts(run: Callable[[int, int], None], n_units: int, n_bytes: int) -> None:
    """`run(first, last)` over `n_units` units that read `n_bytes` in all; each core takes parts while there are any."""
    n_threads = max(1, min(count_cores(), n_units, n_bytes // THREAD_BYTES))
    n_parts = 1 if n_threads == 1 else min(n_units, n_threads * PARTS, -(-2 * n_bytes // THREAD_BYTES))
    parts = count()

    def work(_thread: int) -> None:
        while (part := next(parts)) < n_parts:
            run(n_units * part // n_parts, n_units * (part + 1) // n_parts)

    run_workers(work, n_threads)


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

    executor = _pool.get_executor()
    others = [executor.submit(work, thread) for thread in range(1, n_threads)]
    try:
        work(0)  # the calling thread works, too
        for thread, other in enumerate(others, 1):
            if other.cancel():  # all threads are at the work of other callers
                work(thread)
    finally:
        begun = [other for other in others if not other.cancel()]
        wait(begun)  # they use the caller's memory, whatever happens here
    for other in begun:
        other.result()
