"""In which order a core runs the nodes of a plan, in Numba: what is needed, what waits for what, what runs together."""

from typing import Any, NamedTuple

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.adders import ADDER_READS
from eric_fast.kernels.cpu.pairs import SHAPE, Units
from eric_fast.kernels.liveness import StepArrays
from eric_fast.plan.steps import BATCH, KIND_SELECT, SECTION, SEGMENT, Section

N_STRANDS = 8  # parts of a section that take turns: cifar10_vgg takes 70 us a block in one, 39 in eight, 37 in sixteen
GROUP_ADDERS = (
    8192  # whose carries are in memory at a time: with fewer, loops end more often in other places than guessed
)
UNIT_START, UNIT_STOP = range(len(Section._fields), len(Section._fields) + 2)  # further columns of a section
N_SECTION_COLUMNS = len(Section._fields) + 2
MOST_ADDERS = 2**16  # of a unit, in a key to sort by; longer ones are sorted as if they had as many


class Live(NamedTuple):
    """needed, is_target: bool `[n_values]`: the values that are needed, and those that terms are OR-ed into."""

    needed: Any
    is_target: Any


class Order(NamedTuple):
    """What runs when. Sections in which nodes and adders wait for one another in turn are several here.

    nodes: int64 `[n_selects]`: nodes `select ? high : low`. units: int64 `[n_units]`: see `pairs`.
    sections: int64 `[n_sections, 10]`: as in `Steps`, of the nodes and units in these orders: nodes run first.
    last: int64 `[n_sections of the plan]`: which of them is the last of each.
    """

    nodes: Any
    units: Any
    sections: Any
    last: Any


@cached_njit
def find_live(first_node: int, steps: StepArrays, reads: Any) -> Any:
    """The `Live` values: those that a result reads, the targets of terms, and whatever those are made of.
    steps: `StepArrays`. reads: int32 `[n_reads]`.
    """
    nodes, terms, segments, batches, sections = steps.nodes, steps.terms, steps.segments, steps.batches, steps.sections
    needed = np.zeros(first_node + len(nodes), np.bool_)
    is_target = np.zeros(len(needed), np.bool_)
    for value in reads:
        needed[value] = True
    for s in range(len(sections) - 1, -1, -1):
        for b in range(sections[s, SECTION.batch_start], sections[s, SECTION.batch_stop]):
            place = batches[b, BATCH.term_start]
            for g in range(batches[b, BATCH.segment_start], batches[b, BATCH.segment_stop]):
                target = segments[g, SEGMENT.target]
                needed[target] = is_target[target] = True
                term_end = place + batches[b, BATCH.width] * segments[g, SEGMENT.n_terms]
                for j in range(place, term_end):
                    needed[terms[j]] = True
                place = term_end
        for i in range(sections[s, SECTION.node_stop] - 1, sections[s, SECTION.node_start] - 1, -1):
            if needed[first_node + i]:
                for operand in nodes[i]:
                    needed[operand] = True
    return Live(needed, is_target)


@cached_njit
def order_steps(first_node: int, steps: StepArrays, needed: Any, is_target: Any, units: Units) -> Any:
    """The `Order` of the needed nodes.

    Args:
        steps: `StepArrays`. needed, is_target: see `find_live`. units: `Units`.
    """
    sections, n_units = steps.sections, len(units.shapes)
    stages = _find_stages(first_node, steps, needed, is_target, units)
    due, is_due = np.zeros(len(needed), np.bool_), np.zeros(n_units, np.bool_)  # nodes, and units
    order = np.empty(len(steps.nodes), np.int64)
    unit_order = np.empty(n_units, np.int64)
    n_done = n_placed = n_parts = 0
    last = np.empty(len(sections), np.int64)
    n_stages = np.zeros(len(sections), np.int64)
    for s in range(len(sections)):
        first, stop = first_node + sections[s, SECTION.node_start], first_node + sections[s, SECTION.node_stop]
        n_stages[s] = stages[first:stop].max() + 1 if stop > first else 1
        n_stages[s] = max(1, n_stages[s])
    parts = np.zeros((n_stages.sum(), N_SECTION_COLUMNS), np.int64)
    for s in range(len(sections)):
        first, stop = sections[s, SECTION.node_start], sections[s, SECTION.node_stop]
        for stage in range(n_stages[s]):
            part = parts[n_parts]
            part[SECTION.node_start], part[UNIT_START] = n_done, n_placed
            begin, lowest, highest = n_placed, n_units, -1
            for value in range(first_node + first, first_node + stop):
                if stages[value] != stage:
                    continue
                unit = units.unit_of[value]
                if unit < 0:
                    due[value] = True
                else:
                    is_due[unit] = True
                    lowest, highest = min(lowest, unit), max(highest, unit)
            for unit in range(lowest, highest + 1):
                if is_due[unit]:
                    unit_order[n_placed] = unit
                    n_placed += 1
                    is_due[unit] = False
            n_done = _interleave(first_node, steps.nodes, first, stop, due, order, n_done)
            _group_units(units, unit_order[begin:n_placed])
            part[SECTION.node_stop], part[UNIT_STOP] = n_done, n_placed
            n_parts += 1
        parts[n_parts - 1, SECTION.batch_start : UNIT_START] = sections[s, SECTION.batch_start :]
        last[s] = n_parts - 1
    return Order(order[:n_done].copy(), unit_order, parts, last)


@cached_njit
def _find_stages(first_node: int, steps: StepArrays, needed: Any, is_target: Any, units: Units) -> Any:
    """How often, before a value is made, a section turns from adders to nodes that wait for them: int64 `[n_values]`.

    -1 for what no node of a section makes. Arguments are those of `order_steps`.
    """
    nodes, kinds, sections = steps.nodes, steps.kinds, steps.sections
    adders, starts, unit_of = units.adders, units.starts, units.unit_of
    stages = np.full(len(needed), -1, np.int64)
    for s in range(len(sections)):
        first = first_node + sections[s, SECTION.node_start]
        for value in range(first, first_node + sections[s, SECTION.node_stop]):
            if not needed[value] or is_target[value]:
                continue
            stage = 0
            if kinds[value - first_node] == KIND_SELECT:
                for operand in nodes[value - first_node]:
                    if operand >= first:
                        stage = max(stage, stages[operand] + (unit_of[operand] >= 0))
                stages[value] = stage
                continue
            if stages[value] >= 0:
                continue  # of a unit that was seen before
            unit = unit_of[value]
            for adder in adders[starts[unit] : starts[unit + 1]]:
                for operand in adder[ADDER_READS]:
                    if operand >= first:
                        stage = max(stage, stages[operand])
            stages[value] = stage
            for adder in adders[starts[unit] : starts[unit + 1]]:
                for made in adder[ADDER_READS.stop :]:
                    if made >= 0:
                        stages[made] = stage
    return stages


@cached_njit
def _interleave(first_node: int, nodes: Any, first: int, last: int, due: Any, order: Any, n_done: int) -> Any:
    """Write the nodes that are due in an order in which one seldom waits for the one before it.

    A tree's nodes come children first, and each is read by the next: in that order the processor would wait for every
    store to reach the load. So `N_STRANDS` parts of a section take turns; a node of another part is made when needed.

    Args:
        nodes: int32 `[n_nodes, 3]`. first, last: the section's nodes.
        due: bool `[n_values]`: those that are to be made now; false afterwards.
        order: int64 `[n_nodes]`, of which `n_done` are written before.

    Returns:
        How many are written then.
    """
    nexts, ends = np.empty(N_STRANDS, np.int64), np.empty(N_STRANDS, np.int64)
    n_left = due[first_node + first : first_node + last].sum()
    # Of each strand, the nodes that its next one waits for, each read by the one before it
    paths, lengths = np.empty((N_STRANDS, n_left), np.int32), np.zeros(N_STRANDS, np.int64)
    for k in range(N_STRANDS):
        nexts[k] = first + (last - first) * k // N_STRANDS
        ends[k] = first + (last - first) * (k + 1) // N_STRANDS
    while n_left:
        for k in range(N_STRANDS):
            path, length = paths[k], lengths[k]
            while length and not due[first_node + path[length - 1]]:
                length -= 1
            if length == 0:
                while nexts[k] < ends[k] and not due[first_node + nexts[k]]:
                    nexts[k] += 1
                if nexts[k] == ends[k]:
                    lengths[k] = 0
                    continue
                path[0] = nexts[k]
                length = 1
            node, wanted = np.int64(-1), np.int64(path[length - 1])
            while node != wanted:
                node = wanted
                for operand in nodes[node]:
                    if due[operand]:
                        wanted = np.int64(operand) - first_node
                if node != wanted:
                    path[length] = wanted
                    length += 1
            lengths[k] = length
            order[n_done] = node
            due[first_node + node] = False
            n_done += 1
            n_left -= 1
    return n_done


@cached_njit
def _group_units(units: Units, order: Any) -> None:
    """Bring units of one shape together that don't wait for one another, in groups of `GROUP_ADDERS` adders.

    A processor that guesses where a loop over adders ends is then seldom wrong. units: `Units`. order: int64
    `[n]`: ascending numbers of units; written.
    """
    adders, starts, unit_of, shapes = units
    levels = np.zeros(len(shapes), np.int64)  # in a group, from 1 on
    begin = 0
    while begin < len(order):
        end, n_adders = begin, 0
        while end < len(order) and n_adders < GROUP_ADDERS:
            n_adders += 3 * shapes[order[end], SHAPE.n_pairs] + shapes[order[end], SHAPE.n_adders]
            end += 1
        group = order[begin:end].copy()
        keys = np.empty(len(group), np.int64)
        for k in range(len(group)):
            unit = group[k]
            level = 0
            for adder in adders[starts[unit] : starts[unit + 1]]:
                for operand in adder[ADDER_READS]:
                    if operand >= 0 and unit_of[operand] >= group[0]:
                        level = max(level, levels[unit_of[operand]])
            levels[unit] = keys[k] = level + 1
            for column in (SHAPE.n_pairs, SHAPE.n_adders):
                keys[k] = keys[k] * MOST_ADDERS + min(shapes[unit, column], MOST_ADDERS - 1)
            keys[k] = keys[k] * 2 + shapes[unit, SHAPE.has_sum]
        order[begin:end] = group[np.argsort(keys, kind="mergesort")]
        begin = end
