"""Steps to streams for the GPU, in Numba: which phase and stream runs what, and which row of scratch memory holds it.

A block of the GPU runs `n_streams` streams at once, a barrier after each phase. What a stream runs in a phase depends
on rows of earlier phases, or on what it wrote itself. A *tree* is a node that more than one node reads, or that
something else needs, and the nodes below it that nothing else does: one stream runs it, deepest side first, its result
in an accumulator. Large trees are cut in two and more, so that the streams have equal work.

A *line* holds four fields for each stream; a field is a row, and a flag in its highest bit. A line of zeros does
nothing. A node is a line:

    select | acc is low, other, high | the node starts: acc is read from here, target | store

and leaves `select ? acc : other` (or with acc on the low side) in acc. A step of terms takes up to 2, 4 or 6 values:

    value | the term ends, value, ..., target | store

that is one line or two; it ANDs them to the term, every second one negated, and a term that ends is OR-ed into acc,
which a store clears.
"""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.gpu.slots import (
    FLAG,
    give_slot,
    release_slots,
    reserve_lines,
    share_out,
    start_slots,
    take_slot,
)
from eric_fast.kernels.gpu.terms import write_terms

MIN_TREE = 4  # nodes: what is smaller isn't cut
# Columns of the table of phases: first and last line of the nodes, of terms by 2, by 4 and by 6, then first and last
# class rule, first and last index of a section that is done.
LINE_COLUMNS, N_COLUMNS = 8, 12


@njit(nogil=True, cache=True)
def lower_steps(
    n_inputs: Any,
    n_streams: Any,
    nodes: Any,
    terms: Any,
    segments: Any,
    batches: Any,
    sections: Any,
    reads: Any,
    read_sections: Any,
) -> Any:
    """`(n_slots, fields [n_lines, n_streams, 4], phases [n_phases, N_COLUMNS], slots [n_values])`, all int32.

    A slot is -1 where nothing needs the value. reads, read_sections: see `list_reads`.
    """
    steps = (nodes, terms, segments, batches, sections)
    first_node, n_sections = n_inputs + 2, len(sections)
    n_values = first_node + len(nodes)
    section_of = np.full(n_values, -1, np.int64)
    is_target = np.zeros(n_values, np.bool_)  # of terms: a node in name only
    for s in range(n_sections):
        section_of[first_node + sections[s, 0] : first_node + sections[s, 1]] = s
    for g in range(len(segments)):
        is_target[segments[g, 0]] = True
    needed, is_root = _find_needed(first_node, steps, reads, section_of, is_target)
    trees = (needed, is_root, is_target, section_of)
    level, size, n_levels = _cut_trees(first_node, n_streams, steps, trees)
    starts = np.zeros(n_sections + 1, np.int64)  # a section's first phase: its levels, terms, their rest, the decision
    starts[1:] = np.cumsum(n_levels + 3)
    last_read = _find_last_reads(first_node, steps, reads, read_sections, trees, level, n_levels, starts)
    forever = starts[-1]
    last_read[n_inputs] = last_read[n_inputs + 1] = forever

    memory = start_slots(n_inputs, last_read, forever, len(terms))
    slots, sizes = memory[0], memory[5]
    fields = np.zeros((64, n_streams, 4), np.int32)
    phases = np.zeros((forever, N_COLUMNS), np.int32)
    temporaries = np.full((n_streams, max(2, size.max() + 1) if len(size) else 2), -1, np.int64)
    n_lines = 0
    for s in range(n_sections):
        phase = starts[s]
        roots = _sort_roots(first_node + sections[s, 0], first_node + sections[s, 1], trees, level, size)
        begin = 0
        for depth in range(1, n_levels[s] + 1):
            end = begin
            while end < len(roots) and level[roots[end]] == depth:
                end += 1
            release_slots(phase - 1, memory)
            for root in roots[begin:end]:
                give_slot(root, memory)
            streams, places, n = share_out(size[roots[begin:end]], n_streams)
            fields = reserve_lines(fields, n_lines + n)
            for k in range(end - begin):
                stream = streams[k]
                lines = fields[n_lines + places[k] :, stream]
                _write_tree(roots[begin + k], first_node, nodes, trees, size, lines, temporaries[stream], memory)
            phases[phase, 0], phases[phase, 1] = n_lines, n_lines + n
            n_lines += n
            begin, phase = end, phase + 1
        fields, n_lines = write_terms(s, phase, n_streams, steps, needed, fields, n_lines, phases, memory)
        phase += 2
        release_slots(phase - 1, memory)
        phases[phase, 8:] = sections[s, 4:]
    works = phases[:, 1] > phases[:, 0]
    for column in range(2, N_COLUMNS, 2):
        works |= phases[:, column + 1] > phases[:, column]
    return sizes[1], fields[:n_lines].copy(), phases[works], slots.astype(np.int32)


@njit(nogil=True, cache=True)
def _find_needed(first_node: Any, steps: Any, reads: Any, section_of: Any, is_target: Any) -> Any:
    """bool `[n_values]` twice: which values something needs, and which stand at the root of a tree (or are no node)."""
    nodes, terms, segments, batches, sections = steps
    needed, is_root = np.zeros(len(section_of), np.bool_), is_target.copy()
    is_root[:first_node] = True
    is_read = np.zeros(len(section_of), np.bool_)
    for value in reads:
        needed[value] = is_root[value] = True
    for s in range(len(sections) - 1, -1, -1):
        for b in range(sections[s, 2], sections[s, 3]):
            width, first, last, place = batches[b]
            for g in range(first, last):
                n = width * segments[g, 1]
                for value in terms[place : place + (n if needed[segments[g, 0]] else 0)]:
                    needed[value] = is_root[value] = True
                place += n
        for i in range(sections[s, 1] - 1, sections[s, 0] - 1, -1):
            if needed[first_node + i] and not is_target[first_node + i]:
                for value in nodes[i]:
                    if is_read[value] or section_of[value] != s:
                        is_root[value] = True
                    needed[value] = is_read[value] = True
    return needed, is_root


@njit(nogil=True, cache=True)
def _cut_trees(first_node: Any, n_streams: Any, steps: Any, trees: Any) -> Any:
    """Cut trees that would hold the others up: more roots. Gives the level of each root (1 is first), how many nodes
    each tree or part of one has, and how many levels each section."""
    nodes, _, _, _, sections = steps
    needed, is_root, is_target, section_of = trees
    level, size = np.zeros(len(needed), np.int64), np.zeros(len(needed), np.int64)
    n_levels = np.zeros(len(sections), np.int64)
    for s in range(len(sections)):
        first, last = first_node + sections[s, 0], first_node + sections[s, 1]
        most = max(MIN_TREE, np.sum(needed[first:last] & ~is_target[first:last]) // (8 * n_streams))
        for value in range(first, last):
            if not needed[value] or is_target[value]:
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
    return level, size, n_levels


@njit(nogil=True, cache=True)
def _find_last_reads(
    first_node: Any,
    steps: Any,
    reads: Any,
    read_sections: Any,
    trees: Any,
    level: Any,
    n_levels: Any,
    starts: Any,
) -> Any:
    """int64 `[n_values]`: the last phase that reads a value, or -1; of what only its own tree reads, that tree's."""
    nodes, terms, segments, batches, sections = steps
    needed, is_root, is_target, _ = trees
    last_read, runs = np.full(len(needed), -1, np.int64), np.zeros(len(needed), np.int64)
    for k in range(len(reads)):
        s = read_sections[k]
        phase = starts[s] + n_levels[s] + 2 if s < len(sections) else starts[s]
        last_read[reads[k]] = max(last_read[reads[k]], phase)
    for s in range(len(sections)):
        after_nodes = starts[s] + n_levels[s]
        for b in range(sections[s, 2], sections[s, 3]):
            width, first, last, place = batches[b]
            for g in range(first, last):
                n = width * segments[g, 1]
                for value in terms[place : place + (n if needed[segments[g, 0]] else 0)]:
                    last_read[value] = max(last_read[value], after_nodes)
                place += n
        for i in range(sections[s, 1] - 1, sections[s, 0] - 1, -1):
            value = first_node + i
            if not needed[value] or is_target[value]:
                continue
            if is_root[value]:
                runs[value] = starts[s] + level[value] - 1
            for operand in nodes[i]:
                last_read[operand] = max(last_read[operand], runs[value])
                if not is_root[operand]:
                    runs[operand] = runs[value]
    return last_read


@njit(nogil=True, cache=True)
def _sort_roots(first: Any, last: Any, trees: Any, level: Any, size: Any) -> Any:
    """The roots among the nodes `first:last`, by level, the largest trees first."""
    needed, is_root, is_target = trees[:3]
    roots = first + np.nonzero(needed[first:last] & is_root[first:last] & ~is_target[first:last])[0]
    return roots[np.argsort((level[roots] << 40) - size[roots], kind="mergesort")]


@njit(nogil=True, cache=True)
def _write_tree(
    root: Any, first_node: Any, nodes: Any, trees: Any, size: Any, lines: Any, temporaries: Any, memory: Any
) -> None:
    """Lines `[size of the tree, 4]`: of a node's sides the larger comes last and stays in acc; what else it needs is
    stored before, in rows that only this stream uses."""
    is_root, slots = trees[1], memory[0]
    most = size[root] + 1
    path, next_operand = np.empty(most, np.int64), np.zeros(most, np.int64)
    depth = n_written = n_held = 0
    path[0] = root
    while depth >= 0:
        value = path[depth]
        select, high, low = nodes[value - first_node]
        sides = 0 if is_root[high] and is_root[low] else 1 if is_root[low] else 2 if is_root[high] else 3
        acc = 1 if sides == 1 or (sides == 3 and size[high] >= size[low]) else 2 if sides else -1  # the side in acc
        if next_operand[depth] < 4:
            k = next_operand[depth]
            next_operand[depth] += 1
            if k == 3 and acc < 0:
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
        line = lines[n_written]
        line[0] = slots[select] | (FLAG if acc == 2 else 0)
        line[1] = slots[high] if acc == 2 else slots[low]
        if acc < 0:
            line[2] = slots[high] | FLAG
        if slots[value] >= 0:
            line[3] = slots[value] | FLAG
        n_held -= (not is_root[select]) + (sides == 3)
        n_written += 1
        depth -= 1
