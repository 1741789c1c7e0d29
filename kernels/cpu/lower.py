"""The steps of a plan as the CPU runs them: values become slots of a block's scratch memory, used again when free."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numba import njit
from numpy.typing import NDArray

from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES
from eric_fast.kernels.liveness import ResultKinds, list_reads
from eric_fast.plan import Plan

FALSE_SLOT, TRUE_SLOT = 0, 1
STREAMS = 8  # parts of a section that take turns: 70 us a block of cifar10_vgg in one, 39 in eight, 37 in sixteen
MOST_SLOTS = 2**32 // VECTOR_BYTES  # places are 32-bit numbers of bytes


@dataclass(frozen=True, eq=False)
class CpuCode:
    """Places are bytes from the start of the scratch memory; slots are numbers of vectors.

    Attributes:
        n_slots: vectors of scratch memory that a block needs.
        nodes: uint32 `[n_nodes, 4]`: places of the target, select, high and low.
        terms: uint32 `[n_term_literals]`: places.
        segments: uint32 `[n_segments, 3]`: place of the target, how many terms, and the place of what they are OR-ed
            to: false for the first of a target, whose own node is left out.
        sections: int64 `[n_sections, 8]`: as in `Steps`, of these nodes; those that nothing needs have nothing.
        slots: int64 `[n_values]`, -1 where a value isn't made; right until it is read last.
    """

    n_slots: int
    nodes: NDArray[np.uint32]
    terms: NDArray[np.uint32]
    segments: NDArray[np.uint32]
    sections: NDArray[np.int64]
    slots: NDArray[np.int64]


def lower_plan(plan: Plan, kinds: ResultKinds) -> CpuCode:
    """The code of a plan for what is needed of it."""
    steps = plan.steps
    sections = steps.sections.numpy().copy()
    if not kinds.decision and not kinds.leaves:
        sections[len(plan.strata) - 1 :] = 0
    arrays = (array.numpy() for array in (steps.nodes, steps.terms, steps.segments, steps.batches))
    n_slots, *lowered = _lower(plan.n_inputs, *arrays, sections, *list_reads(plan, kinds))
    if n_slots > MOST_SLOTS:
        raise MemoryError(f"the plan needs {n_slots:,} rows of scratch memory at a time, {MOST_SLOTS:,} at most")
    return CpuCode(n_slots, *lowered)


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
    n_values, n_sections = n_inputs + 2 + len(nodes), len(sections)
    needed, is_target = _find_live(n_inputs, nodes, terms, segments, batches, sections, reads)
    order, sections = _interleave(n_inputs, nodes, sections, needed & ~is_target)
    n_nodes = len(order)
    forever = n_nodes + n_sections + 1
    # When a value is read last: by the i-th node at time i + its section, by a section's terms and rules at its end.
    last_read = np.full(n_values, -1, np.int64)
    for s in range(n_sections):
        for i in range(sections[s, 0], sections[s, 1]):
            for j in range(3):
                last_read[nodes[order[i], j]] = i + s
        end = sections[s, 1] + s
        for b in range(sections[s, 2], sections[s, 3]):
            width, first, last, place = batches[b]
            for g in range(first, last):
                last_read[segments[g, 0]] = end
                for j in range(place, place + width * segments[g, 1]):
                    last_read[terms[j]] = end
                place += width * segments[g, 1]
    for r in range(len(reads)):
        s = read_sections[r]
        last_read[reads[r]] = max(last_read[reads[r]], sections[s, 1] + s if s < n_sections else forever)
    last_read[n_inputs] = last_read[n_inputs + 1] = forever

    slots = np.full(n_values, -1, np.int64)
    slots[n_inputs], slots[n_inputs + 1] = FALSE_SLOT, TRUE_SLOT
    n_slots = 2
    # What is read last by the end of a section is freed there: a chain of values for each section.
    next_freed = np.full(n_values, -1, np.int64)
    freed = np.full(n_sections, -1, np.int64)
    for value in range(n_inputs):  # those that nothing reads, too: the inputs of a block can be packed where they are
        slots[value] = n_slots
        n_slots += 1
    section_of_end = np.full(forever + 1, -1, np.int64)
    for s in range(n_sections):
        section_of_end[sections[s, 1] + s] = s
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
        for i in range(sections[s, 0], sections[s, 1]):
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
        for b in range(sections[s, 2], sections[s, 3]):
            for g in range(batches[b, 1], batches[b, 2]):
                target, source = segments[g, 0], FALSE_SLOT
                if slots[target] >= 0:
                    source = slots[target]
                elif n_free:
                    n_free -= 1
                    slots[target] = free[n_free]
                else:
                    slots[target] = n_slots
                    n_slots += 1
                lowered_segments[g, 0], lowered_segments[g, 1] = slots[target] * VECTOR_BYTES, segments[g, 1]
                lowered_segments[g, 2] = source * VECTOR_BYTES
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
    """bool `[n_values]` twice: what is read at the end, or by what is needed, and all that terms are, and are made of;
    and what terms are OR-ed into."""
    needed = np.zeros(n_inputs + 2 + len(nodes), np.bool_)
    is_target = np.zeros(len(needed), np.bool_)
    for value in reads:
        needed[value] = True
    for s in range(len(sections) - 1, -1, -1):
        for b in range(sections[s, 2], sections[s, 3]):
            width, first, last, place = batches[b]
            for g in range(first, last):
                needed[segments[g, 0]] = is_target[segments[g, 0]] = True
                for j in range(place, place + width * segments[g, 1]):
                    needed[terms[j]] = True
                place += width * segments[g, 1]
        for i in range(sections[s, 1] - 1, sections[s, 0] - 1, -1):
            if needed[n_inputs + 2 + i]:
                for operand in nodes[i]:
                    needed[operand] = True
    return needed, is_target


@njit(nogil=True, cache=True)
def _interleave(n_inputs: Any, nodes: Any, sections: Any, needed: Any) -> Any:
    """The nodes that are needed, in an order in which one seldom waits for the one before it; and the sections of them.

    A tree's nodes come children first, each read by the next: a processor would wait for every store to reach the load.
    So `STREAMS` parts of a section take turns; what a part needs of another is made when it is needed.
    """
    order = np.empty(len(nodes), np.int64)
    sections = sections.copy()
    made = ~needed  # or never to be
    made[: n_inputs + 2] = True
    nexts, ends = np.empty(STREAMS, np.int64), np.empty(STREAMS, np.int64)
    n_done = n_left = 0
    for s in range(len(sections)):
        first, last = sections[s, 0], sections[s, 1]
        for k in range(STREAMS):
            nexts[k] = first + (last - first) * k // STREAMS
            ends[k] = first + (last - first) * (k + 1) // STREAMS
        sections[s, 0] = n_done
        for i in range(first, last):
            n_left += needed[n_inputs + 2 + i]
        while n_left:
            for k in range(STREAMS):
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
        sections[s, 1] = n_done
    return order[:n_done].copy(), sections
