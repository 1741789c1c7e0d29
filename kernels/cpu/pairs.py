"""Chains of full adders in pairs, in Numba: while one adds up a column, another adds its carries to the next column.

Two adders of the lower chain make two carries, which the next adder of the upper chain adds to its own sum. Both sums
and both carries stay in registers: three adders read four values and write one, where alone they read six and write
three.
"""

from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np
from numba import njit

from eric_fast.jit import cached_njit
from eric_fast.kernels.adders import ADDER, ADDER_READS, Chains

NO_VALUE, IN_REGISTER = -1, -2  # no value; a carry that isn't stored
_Shape = namedtuple("_Shape", "n_pairs n_adders has_sum")
SHAPE = _Shape(*range(3))  # the columns of `Units.shapes`


class Units(NamedTuple):
    """What a core runs at once: the rest of a chain, with the beginning of the chain that takes its carries.

    A unit reads nothing that is made after its first adder, so units may run in their order, each whole.

    adders: int64 `[n_rows, 5]`: see `Chains.adders`, -1 where nothing is read or made. In a unit with pairs: a row that
        reads what both chains begin with; for each pair two rows of the lower chain and one of the upper; a row that
        makes the upper sum; the other adders of the lower chain; a row that makes its sum, if something reads it.
    starts: int64 `[n_units + 1]`.
    unit_of: int64 `[n_values]`: of values that adders make, a unit, the last if several make parts of the value; else
        -1.
    shapes: int64 `[n_units, 3]`: pairs; adders that follow them; 1 where the sum is stored, else 0.
    """

    adders: Any
    starts: Any
    unit_of: Any
    shapes: Any


@cached_njit
def pair_chains(chains: Chains) -> Any:
    """The `Units` of `Chains`."""
    adders, starts = chains.adders, chains.starts
    n_chains = len(starts) - 1
    reader = np.full(len(chains.chain_of), NO_VALUE, np.int64)  # the adder that alone reads a value
    chain_of_adder = np.empty(len(adders), np.int64)
    for chain in range(n_chains):
        for k in range(starts[chain], starts[chain + 1]):
            chain_of_adder[k] = chain
            for value in adders[k, ADDER_READS]:
                if value >= 0 and chains.is_read_once[value]:
                    reader[value] = k
    rows = np.full((len(adders) + 3 * n_chains, 5), NO_VALUE, np.int64)
    unit_starts, shapes = np.zeros(n_chains + 1, np.int64), np.empty((n_chains, 3), np.int64)
    nexts, sums = starts[:-1].copy(), np.full(n_chains, NO_VALUE, np.int64)  # of chains: the next adder; the sum so far
    last_unit = np.full(n_chains, NO_VALUE, np.int64)
    n_rows = n_units = 0
    for chain in range(n_chains):
        first, stop = nexts[chain], starts[chain + 1]
        if first == stop:
            continue
        last_unit[chain] = n_units
        lower_sum = sums[chain] if sums[chain] >= 0 else adders[first, ADDER.first]
        upper, upper_sum, n_pairs = _find_pairs(chains, first, stop, chain, reader, chain_of_adder, nexts, sums)
        if n_pairs:
            rows[n_rows, ADDER.first], rows[n_rows, ADDER.second] = lower_sum, upper_sum
            rows[n_rows, ADDER.carry] = IN_REGISTER
            n_rows += 1
            for k in range(n_pairs):
                for adder in adders[first + 2 * k : first + 2 * k + 2]:
                    rows[n_rows, ADDER.second : ADDER.carry] = adder[ADDER.second : ADDER.carry]
                    rows[n_rows, ADDER.carry] = IN_REGISTER
                    n_rows += 1
                rows[n_rows, ADDER.carry] = adders[nexts[upper] + k, ADDER.carry]
                n_rows += 1
            nexts[upper] += n_pairs
            # The sum so far needs a number: that of a carry which stays in a register is free.
            sums[upper] = adders[first, ADDER.carry]
            if nexts[upper] == starts[upper + 1] and adders[nexts[upper] - 1, ADDER.sum] >= 0:
                sums[upper] = adders[nexts[upper] - 1, ADDER.sum]
            rows[n_rows, ADDER.carry], rows[n_rows, ADDER.sum] = IN_REGISTER, sums[upper]
            n_rows += 1
            last_unit[upper] = n_units
        n_adders, total = stop - first - 2 * n_pairs, adders[stop - 1, ADDER.sum]
        rows[n_rows : n_rows + n_adders] = adders[stop - n_adders : stop]
        if n_adders:
            rows[n_rows, ADDER.first] = NO_VALUE if n_pairs else lower_sum
        n_rows += n_adders
        if total >= 0 and not n_adders:
            rows[n_rows, ADDER.carry], rows[n_rows, ADDER.sum] = IN_REGISTER, total
            n_rows += 1
        shapes[n_units, SHAPE.n_pairs], shapes[n_units, SHAPE.n_adders] = n_pairs, n_adders
        shapes[n_units, SHAPE.has_sum] = total >= 0
        n_units += 1
        unit_starts[n_units] = n_rows
    return _number_values(chains, rows[:n_rows], unit_starts[: n_units + 1], shapes[:n_units], last_unit)


@njit(inline="always")
def _find_pairs(
    chains: Chains, first: int, stop: int, chain: int, reader: Any, chain_of_adder: Any, nexts: Any, sums: Any
) -> Any:
    """The chain whose next adders take the carries of `first:stop`, two each; its sum so far; how many adders do.

    reader: int64 `[n_values]`: the adder that alone reads a value. chain_of_adder: int64 `[n_adders]`. nexts, sums:
    int64 `[n_chains]`: the next adder of each chain, and the value of its sum so far.
    """
    adders, starts = chains.adders, chains.starts
    carry = adders[first, ADDER.carry]
    if carry < 0 or reader[carry] < 0:
        return NO_VALUE, NO_VALUE, 0
    upper = chain_of_adder[reader[carry]]
    begin, n_pairs, total = nexts[upper], 0, sums[upper]
    while first + 2 * n_pairs + 1 < stop and begin + n_pairs < starts[upper + 1]:
        k = begin + n_pairs
        low, high = adders[first + 2 * n_pairs, ADDER.carry], adders[first + 2 * n_pairs + 1, ADDER.carry]
        if min(low, high, adders[k, ADDER.carry]) < 0 or reader[low] != k or reader[high] != k:
            break
        if k == starts[upper]:
            total = adders[k, ADDER_READS].sum() - low - high
        n_pairs += 1
    if n_pairs:  # the upper chain begins with what is there, and is of the same section
        is_early = total < carry and chains.chain_of[total] < chain
        if not is_early or chains.section_of[adders[begin, ADDER.carry]] != chains.section_of[carry]:
            n_pairs = 0
    return upper, total, n_pairs


@njit(inline="always")
def _number_values(chains: Chains, rows: Any, starts: Any, shapes: Any, last_unit: Any) -> Any:
    """The `Units` of these rows. last_unit: int64 `[n_chains]`: the last unit with adders of each chain."""
    unit_of = np.full(len(chains.chain_of), NO_VALUE, np.int64)
    for value in range(len(unit_of)):
        if chains.chain_of[value] >= 0:
            unit_of[value] = last_unit[chains.chain_of[value]]
    for unit in range(len(starts) - 1):
        for row in rows[starts[unit] : starts[unit + 1]]:
            for value in row[ADDER.carry :]:
                if value >= 0:
                    unit_of[value] = unit
    return Units(rows, starts, unit_of, shapes)
