"""Terms as lines for the GPU's streams, in Numba; see `gpu_lower`."""

from typing import Any

import numpy as np
from numba import njit

from eric_fast.kernels.gpu.slots import (
    FALSE_SLOT,
    FLAG,
    free_slot,
    give_slot,
    release_slots,
    reserve_lines,
    share_out,
    take_slot,
)

TERM_WIDTHS = (2, 4, 6)  # values that a step takes at most
MIN_PIECE = 8  # steps: what is smaller isn't cut


@njit(nogil=True, cache=True)
def write_terms(
    s: Any, phase: Any, n_streams: Any, steps: Any, needed: Any, fields: Any, n_lines: Any, phases: Any, memory: Any
) -> Any:
    """A section's terms, and in the next phase the OR of what more than one stream, or loop, found of a target."""
    terms, slots = steps[1], memory[0]
    release_slots(phase - 1, memory)
    pieces, parts = _cut_terms(s, n_streams, steps, needed)
    for k in range(len(pieces)):
        target = pieces[k, 0]
        if parts[k] > 1:
            pieces[k, 5] = take_slot(memory)
        else:
            give_slot(target, memory)
            pieces[k, 5] = slots[target]
    for kind in range(3):
        step_width, step_lines = TERM_WIDTHS[kind], 1 if kind == 0 else 2
        chosen = np.nonzero(pieces[:, 1] == kind)[0]
        chosen = chosen[np.argsort(-pieces[chosen, 4], kind="mergesort")]
        streams, places, n = share_out(pieces[chosen, 4], n_streams)
        fields = reserve_lines(fields, n_lines + n * step_lines)
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

    release_slots(phase, memory)
    split = np.nonzero(parts > 1)[0]
    split = split[np.argsort(pieces[split, 0], kind="mergesort")]
    starts = [k for k in range(len(split)) if k == 0 or pieces[split[k], 0] != pieces[split[k - 1], 0]]
    counts = np.array([parts[split[k]] for k in starts] + [0], np.int64)[: len(starts)]
    streams, places, n = share_out(counts, n_streams)
    fields = reserve_lines(fields, n_lines + n)
    for k in range(len(starts)):
        target = pieces[split[starts[k]], 0]
        give_slot(target, memory)
        for j in range(counts[k]):
            part = pieces[split[starts[k] + j], 5]
            line = fields[n_lines + places[k] + j, streams[k]]
            line[0], line[1] = part | FLAG, FALSE_SLOT
            if j + 1 == counts[k]:
                line[3] = slots[target] | FLAG
    for piece in split:
        free_slot(pieces[piece, 5], memory)
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
