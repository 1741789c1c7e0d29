"""Several processes, played by threads of one: whatever takes a `Combine` is tested without starting any."""

from threading import Barrier, Thread


def run_ranks(count, work):
    """What `work(rank, combine)` gives back, for each of so many ranks; the first failure is raised."""
    barrier = Barrier(count)
    parts, results, failures = [None] * count, [None] * count, []

    def combine_of(rank):
        def combine(numbers):
            assert not numbers.dtype.is_floating_point
            parts[rank] = numbers
            barrier.wait()
            shapes = {(part.shape, part.dtype) for part in parts}
            total = sum(part.long() for part in parts).to(numbers.dtype)
            barrier.wait()
            assert len(shapes) == 1, f"ranks add up what doesn't fit together: {shapes}"
            return total

        return combine

    def run(rank):
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
