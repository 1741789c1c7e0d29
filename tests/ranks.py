"""Several processes, played by threads of one: whatever takes a `Combine` is tested without starting any."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any, TypeVar

from torch import Tensor

from eric_fast.processes import Combine

T = TypeVar("T")
PATIENCE = 120  # seconds until a thread that waits for one that failed gives up


def run_ranks(count: int, work: Callable[[int, Combine], T]) -> list[T]:
    """What `work(rank, combine)` gives back, for each of so many ranks; the first failure is raised."""
    barrier = Barrier(count, timeout=PATIENCE)
    parts: list[Any] = [None] * count
    results: list[Any] = [None] * count
    failures: list[BaseException] = []

    def combine_of(rank: int) -> Combine:
        def combine(numbers: Tensor) -> Tensor:
            assert not numbers.dtype.is_floating_point
            parts[rank] = numbers
            barrier.wait()
            shapes = {(part.shape, part.dtype) for part in parts}
            total: Tensor = sum(part.long() for part in parts).to(numbers.dtype)
            barrier.wait()
            assert len(shapes) == 1, f"ranks add up what doesn't fit together: {shapes}"
            return total

        return combine

    def run(rank: int) -> None:
        try:
            results[rank] = work(rank, combine_of(rank))
        except BaseException as error:
            failures.append(error)
            barrier.abort()

    threads = [Thread(target=run, args=(rank,)) for rank in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
