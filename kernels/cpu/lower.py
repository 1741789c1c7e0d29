"""Lower the steps of a plan for the CPU: values get slots of a scratch memory, which are used again when free."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES
from eric_fast.kernels.liveness import ResultKinds, list_reads
from eric_fast.plan import Plan
from eric_fast.plan.steps import (
    BATCH_SEGMENT_START,
    BATCH_SEGMENT_STOP,
    BATCH_TERM_START,
    BATCH_WIDTH,
    SECTION_BATCH_START,
    SECTION_BATCH_STOP,
    SECTION_NODE_START,
    SECTION_NODE_STOP,
    SEGMENT_N_TERMS,
    SEGMENT_TARGET,
)

FALSE_SLOT, TRUE_SLOT = 0, 1
SEGMENT_SOURCE = 2  # the column of `CpuCode.segments` that `Steps.segments` don't have
N_STRANDS = 8  # parts of a section that take turns: cifar10_vgg takes 70 us a block in one, 39 in eight, 37 in sixteen
MOST_SLOTS = 2**32 // VECTOR_BYTES  # addresses are 32-bit numbers of bytes


@dataclass(frozen=True, eq=False)
class CpuCode:
    """What a block runs through, in terms of its scratch memory.

    A *slot* is the number of a vector there, an *offset* the number of a byte.

    Attributes:
        n_slots: vectors of scratch memory that a block needs.
        nodes: uint32 `[n_nodes, 4]`: offsets of the target, select, high and low.
        terms: uint32 `[n_term_values]`: offsets.
        segments: uint32 `[n_segments, 3]`: the target's offset; how many terms; the offset of the source that they are
            OR-ed with: false for the first segment of a target, whose own node is left out.
        sections: int64 `[n_sections, 8]`: see `Section`; nodes are those of `nodes`. A section that isn't needed is
            empty.
        slots: int64 `[n_values]`: the slot of each value until it is read for the last time, -1 if it isn't made.
    """

    n_slots: int
    nodes: NDArray[np.uint32]
    terms: NDArray[np.uint32]
    segments: NDArray[np.uint32]
    sections: NDArray[np.int64]
    slots: NDArray[np.int64]


def lower_plan(plan: Plan, kinds: ResultKinds) -> CpuCode:
    """The code that makes results of these kinds."""
    steps = plan.steps
    sections = steps.sections.numpy().copy()
    if not kinds.decision and not kinds.leaves:
        sections[plan.n_row_sections :] = 0
    arrays = (array.numpy() for array in (steps.nodes, steps.terms, steps.segments, steps.batches))
    code = CpuCode(*_lower(plan.n_inputs, *arrays, sections, *list_reads(plan, kinds)))
    if code.n_slots > MOST_SLOTS:
        raise MemoryError(
            f"the plan needs {code.n_slots:,} vectors of scratch memory at a time; at most {MOST_SLOTS:,} are possible"
        )
    return code


@njit(nogil=True, cache=True)
def _lower(
    n_inputs: Any,
    nodes: Any,
    terms: Any,
    segments: Any,
    batches: Any,
    sections: Any,
    reads: Any,
    read_sections: Any,
) -> Any:
    """The fields of `CpuCode`.

    Args:
        nodes, terms, segments, batches, sections: as in `Steps`.
        reads, read_sections: int32 and int64 `[n_reads]`: as of `list_reads`.
    """
    n_values, n_sections = n_inputs + 2 + len(nodes), len(sections)
    needed, is_target = _find_live(n_inputs, nodes, terms, segments, batches, sections, reads)
    order, sections = _interleave(n_inputs, nodes, sections, needed & ~is_target)
    n_nodes = len(order)
    forever = n_nodes + n_sections + 1
    # When a value is read for the last time: the i-th node reads at time i + the number of its section, a section's
    # terms and rules read at its end.
    last_read = np.full(n_values, -1, np.int64)
    for s in range(n_sections):
        for i in range(sections[s, SECTION_NODE_START], sections[s, SECTION_NODE_STOP]):
            for j in range(3):
                last_read[nodes[order[i], j]] = i + s
        end = sections[s, SECTION_NODE_STOP] + s
        for b in range(sections[s, SECTION_BATCH_START], sections[s, SECTION_BATCH_STOP]):
            place = batches[b, BATCH_TERM_START]
            for g in range(batches[b, BATCH_SEGMENT_START], batches[b, BATCH_SEGMENT_STOP]):
                last_read[segments[g, SEGMENT_TARGET]] = end
                term_end = place + batches[b, BATCH_WIDTH] * segments[g, SEGMENT_N_TERMS]
                for j in range(place, term_end):
                    last_read[terms[j]] = end
                place = term_end
    for r in range(len(reads)):
        s = read_sections[r]
        last_read[reads[r]] = max(
            last_read[reads[r]], sections[s, SECTION_NODE_STOP] + s if s < n_sections else forever
        )
    last_read[n_inputs] = last_read[n_inputs + 1] = forever

    slots = np.full(n_values, -1, np.int64)
    slots[n_inputs], slots[n_inputs + 1] = FALSE_SLOT, TRUE_SLOT
    n_slots = 2
    # What is read last at the end of a section is freed there: a linked list of values for each section.
    next_freed = np.full(n_values, -1, np.int64)
    freed = np.full(n_sections, -1, np.int64)
    for value in range(n_inputs):  # even if nothing reads it: inputs can be packed right into their slots
        slots[value] = n_slots
        n_slots += 1
    section_of_end = np.full(forever + 1, -1, np.int64)
    for s in range(n_sections):
        section_of_end[sections[s, SECTION_NODE_STOP] + s] = s
    for value in range(n_values):
        if last_read[value] >= 0 and section_of_end[last_read[value]] >= 0:
            s = section_of_end[last_read[value]]
            next_freed[value] = freed[s]
            freed[s] = value
    free = np.empty(n_values, np.int64)
    n_free = 0
    lowered = np.empty((n_nodes, 4), np.uint32)
    lowered_segments = np.zeros((len(segments), 3), np.uint32)
    for s in range(n_sections):
        for i in range(sections[s, SECTION_NODE_START], sections[s, SECTION_NODE_STOP]):
            for j in range(3):
                value = nodes[order[i], j]
                lowered[i, 1 + j] = slots[value] * VECTOR_BYTES
                if last_read[value] == i + s:
                    last_read[value] = -1  # another operand may be the same
                    free[n_free] = slots[value]
                    n_free += 1
            target = n_inputs + 2 + order[i]
            if n_free:
                n_free -= 1
                slots[target] = free[n_free]
            else:
                slots[target] = n_slots
                n_slots += 1
            lowered[i, 0] = slots[target] * VECTOR_BYTES
        for b in range(sections[s, SECTION_BATCH_START], sections[s, SECTION_BATCH_STOP]):
            for g in range(batches[b, BATCH_SEGMENT_START], batches[b, BATCH_SEGMENT_STOP]):
                target, source = segments[g, SEGMENT_TARGET], FALSE_SLOT
                if slots[target] >= 0:
                    source = slots[target]
                elif n_free:
                    n_free -= 1
                    slots[target] = free[n_free]
                else:
                    slots[target] = n_slots
                    n_slots += 1
                lowered_segments[g, SEGMENT_TARGET] = slots[target] * VECTOR_BYTES
                lowered_segments[g, SEGMENT_N_TERMS] = segments[g, SEGMENT_N_TERMS]
                lowered_segments[g, SEGMENT_SOURCE] = source * VECTOR_BYTES
        value = freed[s]
        while value >= 0:
            free[n_free] = slots[value]
            n_free += 1
            value = next_freed[value]
    lowered_terms = np.empty(len(terms), np.uint32)
    for j in range(len(terms)):
        lowered_terms[j] = slots[terms[j]] * VECTOR_BYTES
    return n_slots, lowered, lowered_terms, lowered_segments, sections, slots


@njit(nogil=True, cache=True)
def _find_live(n_inputs: Any, nodes: Any, terms: Any, segments: Any, batches: Any, sections: Any, reads: Any) -> Any:
    """Two bool `[n_values]`: the values that are needed, and those that terms are OR-ed into.

    Needed are the values that a result reads, the targets of terms, and whatever those are made of.
    """
    needed = np.zeros(n_inputs + 2 + len(nodes), np.bool_)
    is_target = np.zeros(len(needed), np.bool_)
    for value in reads:
        needed[value] = True
    for s in range(len(sections) - 1, -1, -1):
        for b in range(sections[s, SECTION_BATCH_START], sections[s, SECTION_BATCH_STOP]):
            place = batches[b, BATCH_TERM_START]
            for g in range(batches[b, BATCH_SEGMENT_START], batches[b, BATCH_SEGMENT_STOP]):
                target = segments[g, SEGMENT_TARGET]
                needed[target] = is_target[target] = True
                term_end = place + batches[b, BATCH_WIDTH] * segments[g, SEGMENT_N_TERMS]
                for j in range(place, term_end):
                    needed[terms[j]] = True
                place = term_end
        for i in range(sections[s, SECTION_NODE_STOP] - 1, sections[s, SECTION_NODE_START] - 1, -1):
            if needed[n_inputs + 2 + i]:
                for operand in nodes[i]:
                    needed[operand] = True
    return needed, is_target


@njit(nogil=True, cache=True)
def _interleave(n_inputs: Any, nodes: Any, sections: Any, needed: Any) -> Any:
    """The needed nodes in an order in which one seldom waits for the one before it, and the sections of them.

    A tree's nodes come children first, and each is read by the next: in that order the processor would wait for every
    store to reach the load. So `N_STRANDS` parts of a section take turns; a node of another part is made when needed.

    Args:
        nodes, sections: as in `Steps`.
        needed: bool `[n_values]`.

    Returns:
        int64 `[n_needed]`, numbers of nodes; int64 `[n_sections, 8]`, whose nodes are numbers in that order.
    """
    order = np.empty(len(nodes), np.int64)
    sections = sections.copy()
    made = ~needed  # or never to be
    made[: n_inputs + 2] = True
    nexts, ends = np.empty(N_STRANDS, np.int64), np.empty(N_STRANDS, np.int64)
    n_done = n_left = 0
    for s in range(len(sections)):
        first, last = sections[s, SECTION_NODE_START], sections[s, SECTION_NODE_STOP]
        for k in range(N_STRANDS):
            nexts[k] = first + (last - first) * k // N_STRANDS
            ends[k] = first + (last - first) * (k + 1) // N_STRANDS
        sections[s, SECTION_NODE_START] = n_done
        for i in range(first, last):
            n_left += needed[n_inputs + 2 + i]
        while n_left:
            for k in range(N_STRANDS):
                while nexts[k] < ends[k] and made[n_inputs + 2 + nexts[k]]:
                    nexts[k] += 1
                if nexts[k] == ends[k]:
                    continue
                node, wanted = np.int64(-1), nexts[k]
                while node != wanted:
                    node = wanted
                    for operand in nodes[node]:
                        if not made[operand]:
                            wanted = np.int64(operand) - n_inputs - 2
                order[n_done] = node
                made[n_inputs + 2 + node] = True
                n_done += 1
                n_left -= 1
        sections[s, SECTION_NODE_STOP] = n_done
    return order[:n_done].copy(), sections
