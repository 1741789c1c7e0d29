"""Trees and chains for the GPU, in Numba: what is needed, where trees are cut, what is read last; see `schedule`."""

from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.adders import ADDER_READS, Chains
from eric_fast.kernels.liveness import StepArrays
from eric_fast.plan.steps import BATCH, KIND_SELECT, SECTION, SEGMENT

MIN_TREE = 4  # nodes: a smaller tree is not cut


class Values(NamedTuple):
    """What is known of each value, in arrays `[n_values]`.

    needed: bool: something needs it. is_root: bool: it is at the root of a tree, or no node.
    is_target: bool: terms are OR-ed into it, so that it is a node in name only.
    section: int64: the section that makes it, or -1.
    level: int64: of a root, the level of its section that makes it; 1 is the first.
    size: int64: how many nodes its tree, or part of one, has.
    """

    needed: Any
    is_root: Any
    is_target: Any
    section: Any
    level: Any
    size: Any


class ChainOrder(NamedTuple):
    """Numbers of chains, and the level of each: int64 `[n]` both."""

    numbers: Any
    levels: Any


@cached_njit
def find_needed(first_node: int, steps: StepArrays, reads: Any) -> Any:
    """`Values`, without levels and sizes; is_root as it is before trees are cut.

    steps: `StepArrays`. reads: int32 `[n_reads]`.
    """
    nodes, kinds, terms, segments, batches, sections = steps
    n_values = first_node + len(nodes)
    section_of = np.full(n_values, -1, np.int64)
    for s in range(len(sections)):
        section_of[first_node + sections[s, SECTION.node_start] : first_node + sections[s, SECTION.node_stop]] = s
    is_target = np.zeros(n_values, np.bool_)
    for g in range(len(segments)):
        is_target[segments[g, SEGMENT.target]] = True
    needed, is_root = np.zeros(n_values, np.bool_), is_target.copy()
    is_root[:first_node] = True
    is_read = np.zeros(n_values, np.bool_)
    for value in reads:
        needed[value] = is_root[value] = True
    for s in range(len(sections) - 1, -1, -1):
        for b in range(sections[s, SECTION.batch_start], sections[s, SECTION.batch_stop]):
            place = batches[b, BATCH.term_start]
            for g in range(batches[b, BATCH.segment_start], batches[b, BATCH.segment_stop]):
                n = batches[b, BATCH.width] * segments[g, SEGMENT.n_terms]
                for value in terms[place : place + (n if needed[segments[g, SEGMENT.target]] else 0)]:
                    needed[value] = is_root[value] = True
                place += n
        for i in range(sections[s, SECTION.node_stop] - 1, sections[s, SECTION.node_start] - 1, -1):
            if needed[first_node + i] and not is_target[first_node + i]:
                is_adder = kinds[i] != KIND_SELECT
                is_root[first_node + i] |= is_adder
                for value in nodes[i]:
                    if is_adder or is_read[value] or section_of[value] != s:
                        is_root[value] = True
                    needed[value] = is_read[value] = True
    return Values(needed, is_root, is_target, section_of, np.zeros(n_values, np.int64), np.zeros(n_values, np.int64))


@cached_njit
def cut_trees(first_node: int, n_workers: int, steps: StepArrays, values: Values, chains: Chains) -> Any:
    """Cut trees that would hold the others up, which makes more roots; fill in levels and sizes.

    steps: `StepArrays`. values: `Values`. chains: `Chains`; the values of one have one level.

    Returns:
        int64 `[n_sections]`: how many levels each section has.
    """
    nodes, sections = steps.nodes, steps.sections
    needed, is_root, is_target, section_of, level, size = values
    chain_levels = np.zeros(len(chains.starts) - 1, np.int64)
    n_levels = np.zeros(len(sections), np.int64)
    for s in range(len(sections)):
        first, last = first_node + sections[s, SECTION.node_start], first_node + sections[s, SECTION.node_stop]
        most = max(MIN_TREE, np.sum(needed[first:last] & ~is_target[first:last]) // (8 * n_workers))
        for value in range(first, last):
            if not needed[value] or is_target[value]:
                continue
            chain = chains.chain_of[value]
            if chain >= 0:
                if chain_levels[chain] == 0:
                    chain_levels[chain] = _find_chain_level(chain, chains, first, level)
                level[value] = chain_levels[chain]
                n_levels[s] = max(n_levels[s], level[value])
                continue
            operands = nodes[value - first_node]
            n, depth = 1, 0
            for operand in operands:
                if section_of[operand] == s:
                    depth = max(depth, level[operand])
                n += 0 if is_root[operand] else size[operand]
            while n > most:
                largest = -1
                for operand in operands:
                    if not is_root[operand] and (largest < 0 or size[operand] > size[largest]):
                        largest = operand
                if largest < 0:
                    break
                is_root[largest] = True
                level[largest] += 1
                depth = max(depth, level[largest])
                n -= size[largest]
            size[value], level[value] = n, depth + is_root[value]
            n_levels[s] = max(n_levels[s], level[value])
    return n_levels


@cached_njit
def _find_chain_level(chain: int, chains: Chains, first: int, level: Any) -> Any:
    """One more than the highest level of what a chain reads.

    first: the first value of its section. level: see `Values`. chains: `Chains`.
    """
    depth = np.int64(0)
    for adder in chains.adders[chains.starts[chain] : chains.starts[chain + 1]]:
        for value in adder[ADDER_READS]:
            if value >= first:
                depth = max(depth, level[value])
    return depth + 1


@cached_njit
def find_last_reads(
    first_node: int, steps: StepArrays, reads: Any, read_sections: Any, values: Values, n_levels: Any, starts: Any
) -> Any:
    """The last phase that reads a value, or -1; of what only its own tree reads, that tree's: int64 `[n_values]`.

    steps: `StepArrays`. values: `Values`. reads: int32, read_sections: int64 `[n_reads]`. n_levels: int64
    `[n_sections]`. starts: int64 `[n_sections + 1]`: the first phase of each section.
    """
    nodes, terms, segments, batches, sections = steps.nodes, steps.terms, steps.segments, steps.batches, steps.sections
    needed, is_root, is_target = values.needed, values.is_root, values.is_target
    last_read, runs = np.full(len(needed), -1, np.int64), np.zeros(len(needed), np.int64)
    for k in range(len(reads)):
        s = read_sections[k]
        phase = starts[s] + n_levels[s] + 2 if s < len(sections) else starts[s]
        last_read[reads[k]] = max(last_read[reads[k]], phase)
    for s in range(len(sections)):
        after_nodes = starts[s] + n_levels[s]
        for b in range(sections[s, SECTION.batch_start], sections[s, SECTION.batch_stop]):
            place = batches[b, BATCH.term_start]
            for g in range(batches[b, BATCH.segment_start], batches[b, BATCH.segment_stop]):
                n = batches[b, BATCH.width] * segments[g, SEGMENT.n_terms]
                for value in terms[place : place + (n if needed[segments[g, SEGMENT.target]] else 0)]:
                    last_read[value] = max(last_read[value], after_nodes)
                place += n
        for i in range(sections[s, SECTION.node_stop] - 1, sections[s, SECTION.node_start] - 1, -1):
            value = first_node + i
            if not needed[value] or is_target[value]:
                continue
            if is_root[value]:
                runs[value] = starts[s] + values.level[value] - 1
            for operand in nodes[i]:
                last_read[operand] = max(last_read[operand], runs[value])
                if not is_root[operand]:
                    runs[operand] = runs[value]
    return last_read


@cached_njit
def sort_roots(first: int, last: int, values: Values, chain_of: Any) -> Any:
    """The roots among the values `first:last`, by level, the largest trees first: int64.

    values: `Values`. chain_of: see `Chains`; what adders make is no tree.
    """
    is_tree = values.needed[first:last] & values.is_root[first:last] & ~values.is_target[first:last]
    roots = first + np.nonzero(is_tree & (chain_of[first:last] < 0))[0]
    return roots[np.argsort((values.level[roots] << 40) - values.size[roots], kind="mergesort")]


@cached_njit
def sort_chains(first: int, last: int, level: Any, chains: Chains) -> Any:
    """The chains whose adders make the values `first:last`, by level, the longest first: a `ChainOrder`.

    level: see `Values`. chains: `Chains`.
    """
    found, levels = np.empty(last - first, np.int64), np.empty(last - first, np.int64)
    n = 0
    for value in range(first, last):
        chain = chains.chain_of[value]
        if chain >= 0 and (n == 0 or found[n - 1] < chain):  # chains are numbered in the order of their first values
            found[n], levels[n] = chain, level[value]
            n += 1
    found = found[:n]
    lengths = chains.starts[found + 1] - chains.starts[found]
    order = np.argsort((levels[:n] << 40) - lengths, kind="mergesort")
    return ChainOrder(found[order], levels[:n][order])
