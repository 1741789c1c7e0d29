"""Steps to workers for the GPU, in Numba: which phase and worker runs what, and which row of scratch memory holds it.

A block of the GPU has `n_workers` workers at once, each of a few threads, and a barrier after each phase. What a worker
runs in a phase depends on rows of earlier phases, or on what it wrote itself. A *tree* is a node that more than one
node reads, or that something else needs, and the nodes below it that nothing else does: one worker runs it, deepest
side first, its result in an accumulator. Large trees are cut in two and more, so that the workers have equal work.

A *line* holds four fields for each worker; a field is a row, and a flag in its highest bit. A line of zeros does
nothing. A node is a line:

    select | acc is low, other, high | the node starts: acc is read from here, target | store

and leaves `select ? acc : other` (or with acc on the low side) in acc. A full adder is a line, too, of a chain that one
worker runs:

    second | the sum is stored, third, the chain starts: acc is read from here, target | store

and leaves the sum of acc, second and third in acc. A step of terms takes up to 2, 4 or 6 values:

    value | the term ends, value, ..., target | store

that is one line or two; it ANDs them to the term, every second one negated, and a term that ends is OR-ed into acc,
which a store clears.
"""

from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.adders import ADDER, Chains, find_chains
from eric_fast.kernels.gpu.lines import (
    ACC_START,
    ADDERS,
    FIELDS,
    INDEXES,
    N_COLUMNS,
    NODES,
    OTHER,
    RULES,
    SECOND,
    SELECT,
    TARGET,
    THIRD,
)
from eric_fast.kernels.gpu.slots import (
    N_SLOTS,
    Lines,
    SlotMemory,
    give_slot,
    release_slots,
    reserve_lines,
    set_flag,
    set_range,
    share_out,
    start_slots,
    take_slot,
)
from eric_fast.kernels.gpu.terms import write_terms
from eric_fast.kernels.gpu.trees import Values, cut_trees, find_last_reads, find_needed, sort_chains, sort_roots
from eric_fast.kernels.liveness import StepArrays
from eric_fast.plan.steps import NODE, SECTION

NO_SIDE = -1  # which side of a node is in acc: `NODE.high`, `NODE.low`, or none, where both are in memory


class Schedule(NamedTuple):
    """What `lower_steps` gives.

    n_slots: rows of scratch memory.
    fields: int32 `[n_lines, n_workers, FIELDS]`.
    phases: int32 `[n_phases, N_COLUMNS, 2]`: see `lines`.
    slots: int32 `[n_values]`, -1 where nothing needs the value.
    """

    n_slots: Any
    fields: Any
    phases: Any
    slots: Any


@cached_njit
def lower_steps(n_inputs: int, n_workers: int, steps: StepArrays, reads: Any, read_sections: Any) -> Any:
    """A `Schedule` of `StepArrays`. reads: int32, read_sections: int64 `[n_reads]`: see `list_reads`."""
    sections, first_node, n_sections = steps.sections, n_inputs + 2, len(steps.sections)
    values = find_needed(first_node, steps, reads)
    chains = find_chains(first_node, steps, values.needed, reads)
    n_levels = cut_trees(first_node, n_workers, steps, values, chains)
    starts = np.zeros(n_sections + 1, np.int64)  # a section's first phase: its levels, terms, their rest, the decision
    starts[1:] = np.cumsum(n_levels + 3)
    last_read = find_last_reads(first_node, steps, reads, read_sections, values, n_levels, starts)
    forever = starts[-1]
    last_read[n_inputs] = last_read[n_inputs + 1] = forever

    memory = start_slots(n_inputs, last_read, forever, len(steps.terms))
    lines = Lines(np.zeros((64, n_workers, FIELDS), np.int32), np.int64(0))
    phases = np.zeros((forever, N_COLUMNS, 2), np.int32)
    temporaries = np.full((n_workers, max(2, values.size.max() + 1) if len(values.size) else 2), -1, np.int64)
    for s in range(n_sections):
        phase = starts[s]
        node_start, node_stop = sections[s, SECTION.node_start], sections[s, SECTION.node_stop]
        roots = sort_roots(first_node + node_start, first_node + node_stop, values, chains.chain_of)
        numbers, levels = sort_chains(first_node + node_start, first_node + node_stop, values.level, chains)
        begin = first_chain = 0
        for level in range(1, n_levels[s] + 1):
            end = begin
            while end < len(roots) and values.level[roots[end]] == level:
                end += 1
            release_slots(phase - 1, memory)
            for root in roots[begin:end]:
                give_slot(root, memory)
            shares = share_out(values.size[roots[begin:end]], n_workers)
            lines = reserve_lines(lines, shares.n_lines)
            for k in range(end - begin):
                worker = shares.workers[k]
                of_worker = lines.fields[lines.n_lines + shares.places[k] :, worker]
                _write_tree(roots[begin + k], first_node, steps.nodes, values, of_worker, temporaries[worker], memory)
            start, lines = lines.n_lines, Lines(lines.fields, lines.n_lines + shares.n_lines)
            set_range(phases, phase, NODES, start, lines.n_lines)
            last_chain = first_chain
            while last_chain < len(numbers) and levels[last_chain] == level:
                last_chain += 1
            start = lines.n_lines
            lines = _write_chains(numbers[first_chain:last_chain], n_workers, chains, lines, memory)
            set_range(phases, phase, ADDERS, start, lines.n_lines)
            begin, first_chain, phase = end, last_chain, phase + 1
        lines = write_terms(s, phase, n_workers, steps, values.needed, lines, phases, memory)
        phase += 2
        release_slots(phase - 1, memory)
        set_range(phases, phase, RULES, sections[s, SECTION.rule_start], sections[s, SECTION.rule_stop])
        set_range(phases, phase, INDEXES, sections[s, SECTION.index_start], sections[s, SECTION.index_stop])
    works = np.zeros(forever, np.bool_)
    for column in range(N_COLUMNS):
        works |= phases[:, column, 1] > phases[:, column, 0]
    fields = lines.fields[: lines.n_lines].copy()
    return Schedule(memory.sizes[N_SLOTS], fields, phases[works], memory.slots.astype(np.int32))


@cached_njit
def _write_chains(numbers: Any, n_workers: int, chains: Chains, lines: Lines, memory: SlotMemory) -> Any:
    """Share chains, the longest first, among the workers, and write them: `Lines`.

    numbers: int64 `[n_chains]`. chains: `Chains`. memory: `SlotMemory`.
    """
    adders, starts, slots = chains.adders, chains.starts, memory.slots
    sizes = np.empty(len(numbers), np.int64)
    for k in range(len(numbers)):
        last = adders[starts[numbers[k] + 1] - 1]
        # Where both are stored, the sum takes a line that adds nothing.
        sizes[k] = starts[numbers[k] + 1] - starts[numbers[k]] + (min(last[ADDER.carry], last[ADDER.sum]) >= 0)
        for adder in adders[starts[numbers[k]] : starts[numbers[k] + 1]]:
            for value in adder[ADDER.carry :]:
                if value >= 0:
                    give_slot(value, memory)
    shares = share_out(sizes, n_workers)
    lines = reserve_lines(lines, shares.n_lines)
    for k in range(len(numbers)):
        place, worker = lines.n_lines + shares.places[k], shares.workers[k]
        for adder in adders[starts[numbers[k]] : starts[numbers[k] + 1]]:
            line = lines.fields[place, worker]
            line[SECOND], line[THIRD] = slots[adder[ADDER.second]], slots[adder[ADDER.third]]
            if adder[ADDER.first] >= 0:
                line[ACC_START] = set_flag(slots[adder[ADDER.first]])
            place += 1
            if adder[ADDER.carry] >= 0:
                line[TARGET] = set_flag(slots[adder[ADDER.carry]])
            if adder[ADDER.sum] >= 0:
                if adder[ADDER.carry] >= 0:
                    line = lines.fields[place, worker]
                    place += 1
                line[SECOND] = set_flag(line[SECOND])
                line[TARGET] = set_flag(slots[adder[ADDER.sum]])
    return Lines(lines.fields, lines.n_lines + shares.n_lines)


@cached_njit
def _write_tree(
    root: int, first_node: int, nodes: Any, values: Values, fields: Any, temporaries: Any, memory: SlotMemory
) -> None:
    """Write a tree's lines: of a node's sides the larger comes last and stays in acc.

    What else it needs is stored before, in slots that only this worker uses.

    Args:
        nodes: int32 `[n_nodes, 3]`. values: `Values`. memory: `SlotMemory`.
        fields: int32 `[at least the tree's size, FIELDS]`, of one worker, zero; written.
        temporaries: int64 `[more than the tree's size]`: the worker's own slots, -1 for those not yet taken; written.
    """
    is_root, size, slots = values.is_root, values.size, memory.slots
    most = size[root] + 1
    path, next_operand = np.empty(most, np.int64), np.zeros(most, np.int64)
    depth = n_written = n_held = 0
    path[0] = root
    while depth >= 0:
        value = path[depth]
        select, high, low = nodes[value - first_node]
        if is_root[high] and is_root[low]:
            acc = NO_SIDE
        elif is_root[low] or (not is_root[high] and size[high] >= size[low]):
            acc = NODE.high
        else:
            acc = NODE.low
        if next_operand[depth] < 4:
            k = next_operand[depth]  # the three operands, then the one that stays in acc
            next_operand[depth] += 1
            if k == 3 and acc == NO_SIDE:
                continue
            operand = nodes[value - first_node, k if k < 3 else acc]
            if is_root[operand] or k == acc:
                continue
            slots[operand] = -1
            if k < 3:
                if temporaries[n_held] < 0:
                    temporaries[n_held] = take_slot(memory)
                slots[operand] = temporaries[n_held]
                n_held += 1
            depth += 1
            path[depth], next_operand[depth] = operand, 0
            continue
        line = fields[n_written]
        line[SELECT] = set_flag(slots[select]) if acc == NODE.low else slots[select]
        line[OTHER] = slots[high] if acc == NODE.low else slots[low]
        if acc == NO_SIDE:
            line[ACC_START] = set_flag(slots[high])
        if slots[value] >= 0:
            line[TARGET] = set_flag(slots[value])
        n_held -= (not is_root[select]) + (not is_root[high] and not is_root[low])
        n_written += 1
        depth -= 1
