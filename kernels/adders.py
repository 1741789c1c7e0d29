"""Full adders of a plan's steps in chains, in Numba: what one adds goes on to the next, and needn't be stored."""

from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.liveness import StepArrays
from eric_fast.plan.steps import KIND_CARRY, KIND_SELECT, KIND_SUM, SECTION

# The columns of `Chains.adders`: three values that are added, the first of them -1 where it is the sum of the adder
# before; the values that are their carry and their sum, -1 where nothing reads it, or only the next adder does.
_Adder = namedtuple("_Adder", "first second third carry sum")
ADDER = _Adder(*range(5))
ADDER_READS = slice(ADDER.first, ADDER.carry)


class Chains(NamedTuple):
    """What an engine runs at once: adders, each of which adds two values to the sum of the one before.

    A chain reads nothing that is made after its first adder, so chains may run in their order, each whole.

    adders: int64 `[n_adders, 5]`, the chains one after another. starts: int64 `[n_chains + 1]`.
    chain_of: int64 `[n_values]`: of values that adders make, the chain; else -1.
    is_read_once: bool `[n_values]`: by one adder, and by nothing else. section_of: int64 `[n_values]`: of nodes.
    """

    adders: Any
    starts: Any
    chain_of: Any
    is_read_once: Any
    section_of: Any


@cached_njit
def find_chains(first_node: int, steps: StepArrays, needed: Any, reads: Any) -> Any:
    """The `Chains` of the adders that make needed values.

    Args:
        steps: `StepArrays`. needed: bool `[n_values]`. reads: int32 `[n_reads]`: the values that results read.
    """
    nodes, kinds, sections, n_values = steps.nodes, steps.kinds, steps.sections, first_node + len(steps.nodes)
    adders = np.empty((len(nodes), 5), np.int64)
    n_adders = 0
    n_reads = np.zeros(n_values, np.int64)  # of adders one each; of others more
    section_of = np.full(n_values, -1, np.int64)
    for s in range(len(sections)):
        section_of[first_node + sections[s, SECTION.node_start] : first_node + sections[s, SECTION.node_stop]] = s
    for value in reads:
        n_reads[value] += 2
    for value in steps.terms:
        n_reads[value] += 2
    for i in range(len(nodes)):
        value = first_node + i
        if not needed[value] or (kinds[i] == KIND_CARRY and n_adders and adders[n_adders - 1, ADDER.carry] == value):
            continue
        weight = 2 if kinds[i] == KIND_SELECT else 1
        for j in range(3):
            n_reads[nodes[i, j]] += weight
        if kinds[i] == KIND_SELECT:
            continue
        adder = adders[n_adders]
        adder[ADDER.carry] = adder[ADDER.sum] = -1
        for j in range(3):
            adder[j] = nodes[i, j]
        adder[ADDER.carry if kinds[i] == KIND_CARRY else ADDER.sum] = value
        is_followed = kinds[i] == KIND_SUM and i + 1 < len(nodes) and kinds[i + 1] == KIND_CARRY and needed[value + 1]
        if is_followed and section_of[value] == section_of[value + 1] and (nodes[i] == nodes[i + 1]).all():
            adder[ADDER.carry] = value + 1
        n_adders += 1
    return _link_adders(adders[:n_adders], n_reads, section_of)


@cached_njit
def _link_adders(adders: Any, n_reads: Any, section_of: Any) -> Any:
    """The `Chains` of these adders, which are in order and written to.

    n_reads: int64 `[n_values]`: how often a value is read, 1 for one adder alone. section_of: int64 `[n_values]`.
    """
    n_adders = len(adders)
    adder_of = np.full(len(n_reads), -1, np.int64)
    following, first = np.full(n_adders, -1, np.int64), np.arange(n_adders)  # of each adder, in its chain
    starts_at = np.empty(n_adders, np.int64)
    for k in range(n_adders):
        adder = adders[k]
        carry, total = adder[ADDER.carry], adder[ADDER.sum]
        starts_at[k] = max(carry, total) if min(carry, total) < 0 else min(carry, total)
        for j in range(3):
            before = adder_of[adder[j]]
            if before < 0 or n_reads[adder[j]] > 1 or section_of[adder[j]] != section_of[starts_at[k]]:
                continue
            start = starts_at[first[before]]
            others = max(adder[(j + 1) % 3], adder[(j + 2) % 3])
            if others < start:
                following[before], first[k] = k, first[before]
                adder[j], adder[ADDER.first] = adder[ADDER.first], -1
                break
        if total >= 0:
            adder_of[total] = k
    chained = np.empty_like(adders)
    starts, chain_of = np.empty(n_adders + 1, np.int64), np.full(len(n_reads), -1, np.int64)
    n, n_chains = 0, 0
    for k in range(n_adders):
        if first[k] != k:
            continue
        starts[n_chains] = n
        while k >= 0:
            chained[n] = adders[k]
            for value in adders[k, ADDER.carry :]:
                if value >= 0:
                    chain_of[value] = n_chains
            if following[k] >= 0:
                chained[n, ADDER.sum] = -1
            n += 1
            k = following[k]
        n_chains += 1
    starts[n_chains] = n
    return Chains(chained, starts[: n_chains + 1].copy(), chain_of, n_reads == 1, section_of)
