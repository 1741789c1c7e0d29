"""`python -m tests.soak [SCALE]`: the same work many times, after which memory, files and threads are as before.

At scale 1: 100,000 evaluations, 20,000 calls with a few rows, 1,000 loads of text and of a model file, 100 extractions
of trees and of weight rules, some minutes in all, whose results go into `fault_results.json`.
"""

import gc
import os
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier

import eric_fast as ef
from eric_fast.bits import pack_bits
from eric_fast.compile.program import compile_program
from eric_fast.kernels import evaluate
from eric_fast.text import load_program, save_program
from tests.activations import make_activations
from tests.fault_table import record
from tests.make_programs import count_inputs
from tests.make_rules import make_shared_program

MEASURES = 8  # of memory; what stays is the least of the last half against the least of the first half
MOST_GROWTH = 8 * 2**20  # bytes: what an allocator keeps differs by less


class Growth(NamedTuple):
    """What a piece of work left behind.

    Attributes:
        n_calls: how often it was done, after a warm-up.
        memory: bytes of resident memory.
        files, threads: open descriptors and living threads.
    """

    n_calls: int
    memory: int
    files: int
    threads: int

    @property
    def leaks(self) -> bool:
        return self.memory > MOST_GROWTH or self.files > 0 or self.threads > 0


def measure_growth(work: Callable[[], object], n_calls: int) -> Growth:
    """Do the work `n_calls` times, and measure what each half of them leaves behind."""
    for _ in range(max(2, n_calls // 20)):
        work()
    gc.collect()
    gc.freeze()  # what is there already stays: each collection looks only at what the work leaves behind
    files, threads, sizes = _count_files(), threading.active_count(), []
    for part in range(MEASURES):
        for _ in range(n_calls * part // MEASURES, n_calls * (part + 1) // MEASURES):
            work()
        gc.collect()
        sizes.append(_measure_memory())
    half = MEASURES // 2
    return Growth(
        n_calls, min(sizes[half:]) - min(sizes[:half]), _count_files() - files, threading.active_count() - threads
    )


@contextmanager
def make_works() -> Iterator[dict[str, tuple[int, Callable[[], object]]]]:
    """Pieces of work by name, with how often each is done at scale 1."""
    program = make_shared_program(0)
    plan = compile_program(program)
    words = pack_bits(torch.from_numpy(np.random.default_rng(0).random((500, count_inputs(program))) < 0.5))
    rng = np.random.default_rng(1)
    rows, labels = rng.random((300, 6)), rng.integers(0, 3, 300)
    forest = RandomForestClassifier(10, max_depth=5, random_state=0).fit(rows, labels)
    model = ef.load(forest)
    activations = make_activations()
    with tempfile.TemporaryDirectory() as folder:
        text = Path(folder) / "p.lp"
        save_program(model.program, text)
        yield {
            "evaluate": (100_000, lambda: evaluate(plan, words, 500, engine="cpu")),
            "predict a few rows": (20_000, lambda: model.predict(rows[:5])),
            "load a program": (1_000, lambda: load_program(text)),
            "load a model": (1_000, lambda: ef.load(forest)),
            "extract trees": (100, lambda: ef.approximate_model(activations)),
            "extract votes": (100, lambda: ef.approximate_model(activations, votes="rows", n_votes=8)),
        }


def main(scale: float = 1.0) -> int:
    """Print what each piece of work left behind. The exit code: 1 if any of them leaks."""
    failed = 0
    with make_works() as works:
        for name, (n_calls, work) in works.items():
            growth = measure_growth(work, max(MEASURES, int(n_calls * scale)))
            failed |= growth.leaks
            if scale >= 1 and not growth.leaks:
                found = {"memory": growth.memory, "files": growth.files, "threads": growth.threads}
                record("soak", name, {"calls": growth.n_calls, **found})
            print(
                f"{name}: {growth.n_calls:,} times; {growth.memory / 2**20:+.1f} MiB, {growth.files:+d} files, "
                f"{growth.threads:+d} threads{'  LEAKS' if growth.leaks else ''}",
                flush=True,
            )
    return int(failed)


def _measure_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _count_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


if __name__ == "__main__":
    raise SystemExit(main(*map(float, sys.argv[1:])))
