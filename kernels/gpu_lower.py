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

FALSE_SLOT, TRUE_SLOT = 0, 1
FLAG = -(2**31)
MIN_TREE, MIN_PIECE = 4, 8  # nodes, steps: what is smaller isn't cut
# Columns of the table of phases: first and last line of the nodes, of terms by 2, by 4 and by 6, then first and last
# class rule, first and last index of a section that is done.
TERM_WIDTHS, LINE_COLUMNS, N_COLUMNS = (2, 4, 6), 8, 12


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

    memory = (
        np.full(n_values, -1, np.int64),  # the slot of a value
        last_read,
        np.full(forever + 1, -1, np.int64),  # a phase -> a value that it reads last
        np.full(n_values, -1, np.int64),  # and the next of that phase
        np.empty(2 * n_values + len(terms), np.int64),  # free slots
        np.array([0, 2], np.int64),  # how many are free; how many slots there are
    )
    slots, sizes = memory[0], memory[5]
    slots[n_inputs], slots[n_inputs + 1] = FALSE_SLOT, TRUE_SLOT
    for value in range(n_inputs):
        if last_read[value] >= 0:
            _give_slot(value, memory)
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
            _release_slots(phase - 1, memory)
            for root in roots[begin:end]:
                _give_slot(root, memory)
            streams, places, n = _balance(size[roots[begin:end]], n_streams)
            fields = _reserve(fields, n_lines + n)
            for k in range(end - begin):
                stream = streams[k]
                lines = fields[n_lines + places[k] :, stream]
                _write_tree(roots[begin + k], first_node, nodes, trees, size, lines, temporaries[stream], memory)
            phases[phase, 0], phases[phase, 1] = n_lines, n_lines + n
            n_lines += n
            begin, phase = end, phase + 1
        fields, n_lines = _write_terms(s, phase, n_streams, steps, needed, fields, n_lines, phases, memory)
        phase += 2
        _release_slots(phase - 1, memory)
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
def _take_slot(memory: Any) -> Any:
    free, sizes = memory[4], memory[5]
    if sizes[0]:
        sizes[0] -= 1
        return free[sizes[0]]
    sizes[1] += 1
    return sizes[1] - 1


@njit(nogil=True, cache=True)
def _give_slot(value: Any, memory: Any) -> None:
    """A slot for a value, until the phase is over that reads it last."""
    slots, last_read, latest, following = memory[:4]
    slots[value] = _take_slot(memory)
    following[value] = latest[last_read[value]]
    latest[last_read[value]] = value


@njit(nogil=True, cache=True)
def _free_slot(slot: Any, memory: Any) -> None:
    free, sizes = memory[4], memory[5]
    free[sizes[0]] = slot
    sizes[0] += 1


@njit(nogil=True, cache=True)
def _release_slots(phase: Any, memory: Any) -> None:
    slots, _, latest, following = memory[:4]
    value = latest[phase] if phase >= 0 else -1
    while value >= 0:
        _free_slot(slots[value], memory)
        value = following[value]


@njit(nogil=True, cache=True)
def _sort_roots(first: Any, last: Any, trees: Any, level: Any, size: Any) -> Any:
    """The roots among the nodes `first:last`, by level, the largest trees first."""
    needed, is_root, is_target = trees[:3]
    roots = first + np.nonzero(needed[first:last] & is_root[first:last] & ~is_target[first:last])[0]
    return roots[np.argsort((level[roots] << 40) - size[roots], kind="mergesort")]


@njit(nogil=True, cache=True)
def _balance(sizes: Any, n_streams: Any) -> Any:
    """Each of these, the largest first, to the stream with the least so far: streams, places in them, the longest."""
    loads = np.zeros(n_streams, np.int64)
    streams, places = np.empty(len(sizes), np.int64), np.empty(len(sizes), np.int64)
    for k in range(len(sizes)):
        streams[k] = np.argmin(loads)
        places[k] = loads[streams[k]]
        loads[streams[k]] += sizes[k]
    return streams, places, loads.max()


@njit(nogil=True, cache=True)
def _reserve(fields: Any, n_lines: Any) -> Any:
    if n_lines <= len(fields):
        return fields
    larger = np.zeros((max(n_lines, 2 * len(fields)), *fields.shape[1:]), np.int32)
    larger[: len(fields)] = fields
    return larger


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
                    temporaries[n_held] = _take_slot(memory)
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


@njit(nogil=True, cache=True)
def _write_terms(
    s: Any, phase: Any, n_streams: Any, steps: Any, needed: Any, fields: Any, n_lines: Any, phases: Any, memory: Any
) -> Any:
    """A section's terms, and in the next phase the OR of what more than one stream, or loop, found of a target."""
    terms, slots = steps[1], memory[0]
    _release_slots(phase - 1, memory)
    pieces, parts = _cut_terms(s, n_streams, steps, needed)
    for k in range(len(pieces)):
        target = pieces[k, 0]
        if parts[k] > 1:
            pieces[k, 5] = _take_slot(memory)
        else:
            _give_slot(target, memory)
            pieces[k, 5] = slots[target]
    for kind in range(3):
        step_width, step_lines = TERM_WIDTHS[kind], 1 if kind == 0 else 2
        chosen = np.nonzero(pieces[:, 1] == kind)[0]
        chosen = chosen[np.argsort(-pieces[chosen, 4], kind="mergesort")]
        streams, places, n = _balance(pieces[chosen, 4], n_streams)
        fields = _reserve(fields, n_lines + n * step_lines)
        for k in range(len(chosen)):
            _, _, place, width, n_steps, slot = pieces[chosen[k]]
            line = n_lines + places[k] * step_lines
            at = 0  # in the term
            for _ in range(n_steps):
                for j in range(step_width):
                    value = terms[place + min(at + j, width - 2 + j % 2)]  # the last pair again, to the step's end
                    fields[line + j // 4, streams[k], j % 4] = slots[value]
                at += step_width
                if at >= width:
                    fields[line, streams[k], 0] |= FLAG
                    place, at = place + width, 0
                line += step_lines
            fields[line - 1, streams[k], 3] = slot | FLAG
        phases[phase, 2 + 2 * kind], phases[phase, 3 + 2 * kind] = n_lines, n_lines + n * step_lines
        n_lines += n * step_lines

    _release_slots(phase, memory)
    split = np.nonzero(parts > 1)[0]
    split = split[np.argsort(pieces[split, 0], kind="mergesort")]
    starts = [k for k in range(len(split)) if k == 0 or pieces[split[k], 0] != pieces[split[k - 1], 0]]
    counts = np.array([parts[split[k]] for k in starts] + [0], np.int64)[: len(starts)]
    streams, places, n = _balance(counts, n_streams)
    fields = _reserve(fields, n_lines + n)
    for k in range(len(starts)):
        target = pieces[split[starts[k]], 0]
        _give_slot(target, memory)
        for j in range(counts[k]):
            part = pieces[split[starts[k] + j], 5]
            line = fields[n_lines + places[k] + j, streams[k]]
            line[0], line[1] = part | FLAG, FALSE_SLOT
            if j + 1 == counts[k]:
                line[3] = slots[target] | FLAG
    for piece in split:
        _free_slot(pieces[piece, 5], memory)
    phases[phase + 1, 2], phases[phase + 1, 3] = n_lines, n_lines + n
    return fields, n_lines + n


@njit(nogil=True, cache=True)
def _cut_terms(s: Any, n_streams: Any, steps: Any, needed: Any) -> Any:
    """int64 `[n_pieces, 6]`: target, which of the widths a step takes, first place in the terms, values of a term,
    steps, room for a slot; and `[n_pieces]`: how many pieces the target has."""
    _, _, segments, batches, sections = steps
    totals = np.zeros(3, np.int64)
    pieces, n_pieces = np.empty((0, 6), np.int64), 0
    for counting in (True, False):
        if not counting:
            pieces = np.empty((n_pieces, 6), np.int64)
            n_pieces = 0
        for b in range(sections[s, 2], sections[s, 3]):
            width, first, last, place = batches[b]
            kind = 0
            for k in range(3):
                step_width = TERM_WIDTHS[k]
                cost = -(-width // step_width) * (step_width + 1)
                if cost <= -(-width // TERM_WIDTHS[kind]) * (TERM_WIDTHS[kind] + 1):
                    kind = k
            term_steps = -(-width // TERM_WIDTHS[kind])
            for g in range(first, last):
                target, n_terms = segments[g]
                if needed[target] and counting:
                    totals[kind] += n_terms * term_steps
                    n_pieces += n_terms
                done = 0
                while needed[target] and not counting and done < n_terms:
                    most = max(1, max(MIN_PIECE, totals[kind] // (2 * n_streams)) // term_steps)
                    rest = n_terms - done
                    n = -(-rest // -(-rest // most))  # equal parts
                    pieces[n_pieces] = (np.int64(target), kind, place + done * width, width, n * term_steps, -1)
                    n_pieces += 1
                    done += n
                place += width * n_terms
    pieces = pieces[:n_pieces]
    parts = np.zeros(n_pieces, np.int64)
    order = np.argsort(pieces[:, 0], kind="mergesort")
    begin = 0
    for k in range(1, n_pieces + 1):
        if k == n_pieces or pieces[order[k], 0] != pieces[order[begin], 0]:
            parts[order[begin:k]] = k - begin
            begin = k
    return pieces, parts
