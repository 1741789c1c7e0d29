"""Terms as lines for the GPU's workers, in Numba; see `schedule`."""

from typing import Any

import numpy as np

from eric_fast.jit import cached_njit
from eric_fast.kernels.gpu.lines import FALSE_SLOT, FIELDS, TARGET, TERM_WIDTHS, TERMS_BY_2
from eric_fast.kernels.gpu.slots import (
    Lines,
    SlotMemory,
    free_slot,
    give_slot,
    release_slots,
    reserve_lines,
    set_flag,
    set_range,
    share_out,
    take_slot,
)
from eric_fast.kernels.liveness import StepArrays
from eric_fast.plan.steps import SECTION

MIN_PIECE = 8  # steps: a piece of fewer is not cut
# The columns of a table of pieces: the value that its terms are OR-ed into; which of `TERM_WIDTHS` a step takes; where
# its terms start in `Steps.terms`, and how many values each has; how many steps it takes; the slot it stores to, once
# known; into how many pieces the target's terms are cut.
PIECE_TARGET, PIECE_KIND, PIECE_TERM_START, PIECE_WIDTH, PIECE_N_STEPS, PIECE_SLOT, PIECE_N_PARTS = range(7)


@cached_njit
def write_terms(
    section: int,
    phase: int,
    n_workers: int,
    steps: StepArrays,
    needed: Any,
    lines: Lines,
    phases: Any,
    memory: SlotMemory,
) -> Any:
    """Write a section's terms; in the next phase, OR what several workers, or loops, found of one target.

    Args:
        steps: `StepArrays`. needed: bool `[n_values]`. lines: `Lines`. memory: `SlotMemory`.
        phases: int32 `[n_phases, N_COLUMNS, 2]`; those of `phase` and the next are written.

    Returns:
        `Lines`, with the section's.
    """
    slots = memory.slots
    release_slots(phase - 1, memory)
    pieces = _cut_terms(section, n_workers, steps, needed)
    for piece in pieces:
        if piece[PIECE_N_PARTS] > 1:
            piece[PIECE_SLOT] = take_slot(memory)
        else:
            give_slot(piece[PIECE_TARGET], memory)
            piece[PIECE_SLOT] = slots[piece[PIECE_TARGET]]
    for kind in range(len(TERM_WIDTHS)):
        chosen = pieces[pieces[:, PIECE_KIND] == kind]
        chosen = chosen[np.argsort(-chosen[:, PIECE_N_STEPS], kind="mergesort")]
        start = lines.n_lines
        lines = _write_pieces(chosen, kind, n_workers, steps.terms, lines, slots)
        set_range(phases, phase, TERMS_BY_2 + kind, start, lines.n_lines)

    release_slots(phase, memory)
    split = pieces[pieces[:, PIECE_N_PARTS] > 1]
    split = split[np.argsort(split[:, PIECE_TARGET], kind="mergesort")]
    start = lines.n_lines
    lines = _join_pieces(split, n_workers, lines, memory)
    set_range(phases, phase + 1, TERMS_BY_2, start, lines.n_lines)
    return lines


@cached_njit
def _write_pieces(pieces: Any, kind: int, n_workers: int, terms: Any, lines: Lines, slots: Any) -> Any:
    """Share pieces of one kind, the longest first, among the workers, and write them: `Lines`.

    pieces: int64 `[n_pieces, 7]`. terms: int32, see `Steps`. slots: int64 `[n_values]`.
    """
    step_width, step_lines = TERM_WIDTHS[kind], 1 if kind == 0 else 2
    shares = share_out(pieces[:, PIECE_N_STEPS], n_workers)
    lines = reserve_lines(lines, shares.n_lines * step_lines)
    for k in range(len(pieces)):
        piece, fields = pieces[k], lines.fields[:, shares.workers[k]]
        line = lines.n_lines + shares.places[k] * step_lines
        term_start, width = piece[PIECE_TERM_START], piece[PIECE_WIDTH]
        at = 0  # in the term
        for _ in range(piece[PIECE_N_STEPS]):
            for j in range(step_width):
                value = terms[term_start + min(at + j, width - 2 + j % 2)]  # the last pair again, to the step's end
                fields[line + j // FIELDS, j % FIELDS] = slots[value]
            at += step_width
            if at >= width:
                fields[line, 0] = set_flag(fields[line, 0])
                term_start, at = term_start + width, 0
            line += step_lines
        fields[line - 1, TARGET] = set_flag(piece[PIECE_SLOT])
    return Lines(lines.fields, lines.n_lines + shares.n_lines * step_lines)


@cached_njit
def _join_pieces(pieces: Any, n_workers: int, lines: Lines, memory: SlotMemory) -> Any:
    """Write the OR of each target's pieces and free their slots: `Lines`.

    pieces: int64 `[n_pieces, 7]`, those of one target together. memory: `SlotMemory`.
    """
    targets = pieces[:, PIECE_TARGET]
    is_first = np.ones(len(pieces), np.bool_)  # of its target
    is_first[1:] = targets[1:] != targets[:-1]
    starts = np.nonzero(is_first)[0]
    counts = pieces[starts, PIECE_N_PARTS]
    shares = share_out(counts, n_workers)
    lines = reserve_lines(lines, shares.n_lines)
    for k in range(len(starts)):
        target = targets[starts[k]]
        give_slot(target, memory)
        for j in range(counts[k]):
            line = lines.fields[lines.n_lines + shares.places[k] + j, shares.workers[k]]
            line[0], line[1] = set_flag(pieces[starts[k] + j, PIECE_SLOT]), FALSE_SLOT
            if j + 1 == counts[k]:
                line[TARGET] = set_flag(memory.slots[target])
    for piece in pieces:
        free_slot(piece[PIECE_SLOT], memory)
    return Lines(lines.fields, lines.n_lines + shares.n_lines)


@cached_njit
def _cut_terms(section: int, n_workers: int, steps: StepArrays, needed: Any) -> Any:
    """Cut a section's terms into pieces of about equal work: int64 `[n_pieces, 7]`.

    steps: `StepArrays`. needed: bool `[n_values]`.
    """
    segments, batches, sections = steps.segments, steps.batches, steps.sections
    totals = np.zeros(3, np.int64)
    pieces, n_pieces = np.empty((0, 7), np.int64), 0
    for counting in (True, False):
        if not counting:
            pieces = np.empty((n_pieces, 7), np.int64)
            n_pieces = 0
        for b in range(sections[section, SECTION.batch_start], sections[section, SECTION.batch_stop]):
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
                    most = max(1, max(MIN_PIECE, totals[kind] // (2 * n_workers)) // term_steps)
                    rest = n_terms - done
                    n = -(-rest // -(-rest // most))  # equal parts
                    start = place + done * width
                    pieces[n_pieces] = (np.int64(target), kind, start, width, n * term_steps, -1, 1)
                    n_pieces += 1
                    done += n
                place += width * n_terms
    pieces = pieces[:n_pieces]
    order = np.argsort(pieces[:, PIECE_TARGET], kind="mergesort")
    begin = 0
    for k in range(1, n_pieces + 1):
        if k == n_pieces or pieces[order[k], PIECE_TARGET] != pieces[order[begin], PIECE_TARGET]:
            for i in order[begin:k]:
                pieces[i, PIECE_N_PARTS] = k - begin
            begin = k
    return pieces
