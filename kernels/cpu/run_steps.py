"""A block of samples through nodes, full adders and terms, in Numba.

Addresses are uint64, vectors are those of `simd_words`, tables those of `Instructions`.
"""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.cpu.lower import ADDER_WIDTH, PAIR_WIDTH, RUN, SEGMENT_SOURCE
from eric_fast.kernels.cpu.simd_words import both, carry_of, either, invert, load, select, store, sum_of
from eric_fast.plan.steps import BATCH, SEGMENT

LOW_HALF = np.uint64(0xFFFFFFFF)


@cached_njit
def run_nodes(base: np.uint64, nodes: Any, first: int, last: int) -> None:
    """target = select ? high : low, for the nodes `first` to `last` of `Instructions.nodes`."""
    for i in range(first, last):
        ends, sides = nodes[i, 0], nodes[i, 1]
        high, low = load(base + (sides & LOW_HALF)), load(base + (sides >> np.uint64(32)))
        store(base + (ends & LOW_HALF), select(load(base + (ends >> np.uint64(32))), high, low))


@cached_njit
def run_units(base: np.uint64, adders: Any, run: Any) -> None:
    """Run chains of full adders, see `CpuCode.adders`. run: int64 `[5]`, of `CpuCode.runs`."""
    one, two = np.uint64(1), np.uint64(2)  # unsigned indices can't mean "from the end"
    place, n_pairs, n_adders, has_sum = np.uint64(run[RUN.place]), run[RUN.n_pairs], run[RUN.n_adders], run[RUN.has_sum]
    for _ in range(run[RUN.n_units]):
        total = load(base + np.uint64(adders[place]))
        place += one
        if n_pairs:
            upper = load(base + np.uint64(adders[place]))
            place += one
            for _ in range(n_pairs):
                second, third = load(base + np.uint64(adders[place])), load(base + np.uint64(adders[place + one]))
                low = carry_of(total, second, third)
                total = sum_of(total, second, third)
                second = load(base + np.uint64(adders[place + two]))
                third = load(base + np.uint64(adders[place + np.uint64(3)]))
                high = carry_of(total, second, third)
                total = sum_of(total, second, third)
                store(base + np.uint64(adders[place + np.uint64(4)]), carry_of(upper, low, high))
                upper = sum_of(upper, low, high)
                place += np.uint64(PAIR_WIDTH)
            store(base + np.uint64(adders[place]), upper)
            place += one
        for _ in range(n_adders):
            second, third = load(base + np.uint64(adders[place])), load(base + np.uint64(adders[place + one]))
            store(base + np.uint64(adders[place + two]), carry_of(total, second, third))
            total = sum_of(total, second, third)
            place += np.uint64(ADDER_WIDTH)
        if has_sum:
            store(base + np.uint64(adders[place]), total)
            place += one


@cached_njit
def run_batch(base: np.uint64, terms: Any, segments: Any, batch: Any) -> None:
    """target = source | OR of terms, for the segments of a batch, int64 `[4]`; a term is an AND of its pairs."""
    one, two = np.uint64(1), np.uint64(2)  # unsigned indices can't mean "from the end"
    width, place = np.uint64(batch[BATCH.width] // 2), np.uint64(batch[BATCH.term_start] // 2)
    for g in range(batch[BATCH.segment_start], batch[BATCH.segment_stop]):
        fired = load(base + np.uint64(segments[g, SEGMENT_SOURCE]))
        for _ in range(segments[g, SEGMENT.n_terms]):
            term = _load_pair(base, terms[place])
            if width > one:
                term = both(term, _load_pair(base, terms[place + one]))
            if width > two:
                term = both(term, _load_pair(base, terms[place + two]))
            for k in range(np.uint64(3), width):
                term = both(term, _load_pair(base, terms[place + k]))
            place += width
            fired = either(fired, term)
        store(base + np.uint64(segments[g, SEGMENT.target]), fired)


@cached_njit
def _load_pair(base: np.uint64, offsets: Any) -> Any:
    """Where the first of a pair is true and the second is false; offsets: their two offsets in a uint64."""
    return both(load(base + (offsets & LOW_HALF)), invert(load(base + (offsets >> np.uint64(32)))))
