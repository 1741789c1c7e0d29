"""Threads of the CPU's kernels: kept from one call to the next, and waited for whatever happens."""

import os
import threading
import time

import pytest

from eric_fast.kernels.cpu import threads
from eric_fast.kernels.cpu.threads import count_cores, run_workers


def test_threads_are_kept():
    seen = []
    for _ in range(3):
        both = threading.Barrier(2)
        run_workers(lambda thread, both=both: (both.wait(10), seen.append((thread, threading.get_ident()))), 2)
    assert len(seen) == 6
    assert {ident for thread, ident in seen if thread == 0} == {threading.get_ident()}
    assert threading.get_ident() not in {ident for thread, ident in seen if thread == 1}
    n_before = threading.active_count()
    run_workers(lambda thread: None, 2)
    assert threading.active_count() == n_before


def test_a_worker_has_one_core():
    seen = []
    run_workers(lambda thread: seen.append(count_cores()), 2)
    assert seen == [1, 1]


def test_where_all_threads_are_busy_the_caller_does_the_work():
    go_on, seen = threading.Event(), []
    executor = threads._pool.get_executor()
    busy = [executor.submit(go_on.wait, 10) for _ in range(os.cpu_count())]
    run_workers(lambda thread: seen.append((thread, threading.get_ident())), 3)
    assert seen == [(thread, threading.get_ident()) for thread in range(3)]
    assert not any(one.done() for one in busy)
    go_on.set()


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_raised_once_all_are_done(failing):
    both, done = threading.Barrier(2), []

    def run(thread):
        both.wait(10)
        if thread == failing:
            raise ValueError("no")
        time.sleep(0.05)
        done.append(thread)

    with pytest.raises(ValueError, match="no"):
        run_workers(run, 2)
    assert done == [1 - failing]
