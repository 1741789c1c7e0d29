"""Counts of pairs of atoms: popcounts of packed words against a float32 matrix product, exact up to 2**24 samples."""

from collections.abc import Callable
from typing import Any

import torch

from bench.harness import describe_machine, run_tests_first, time_runs
from bench.programs import make_random_words
from eric_fast import kernels
from eric_fast.bits import unpack_words
from eric_fast.show.console import stdout

SIZES = ((256, 50_000), (512, 1_281_167), (2048, 50_000))
MOST_FLOATS = 2**28  # a matrix of more isn't made


def run_case(full: bool = False) -> dict[str, Any]:
    """Print seconds for all pairs of so many atoms, and words of 512 bits a second."""
    run_tests_first("test_count.py")
    rows = []
    for n_atoms, n_samples in SIZES:
        words = make_random_words(n_atoms, n_samples)
        others = words.clone()
        ways: dict[str, Callable[[], object]] = {
            "eric_fast, each pair once": lambda words=words: kernels.count(words, words),  # type: ignore[misc]
            "eric_fast, other rows": lambda words=words, others=others: kernels.count(words, others),  # type: ignore[misc]
        }
        if n_atoms * n_samples <= MOST_FLOATS or full:
            floats = unpack_words(words, n_samples).T.float().contiguous()
            ways["torch, float32"] = lambda floats=floats: floats @ floats.T  # type: ignore[misc]
        for who, run in ways.items():
            timing = time_runs(run, n_runs=5)
            n_pairs = n_atoms * (n_atoms + 1) // 2 if "once" in who else n_atoms**2
            size = {"n_atoms": n_atoms, "n_samples": n_samples}
            rows.append(
                {
                    "who": who,
                    **size,
                    **timing._asdict(),
                    "pairs_of_samples_per_s": n_pairs * n_samples / timing.median_s,
                }
            )
            stdout.print(f"{n_atoms} atoms, {n_samples:,} samples, {who}: {1e3 * timing.median_s:.1f} ms", markup=False)
    return {"machine": describe_machine(), "n_threads": torch.get_num_threads(), "rows": rows}
