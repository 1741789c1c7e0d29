"""Lower the steps of a plan for the CPU: values get slots of a scratch memory, which are used again when free."""

from collections import namedtuple
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.jit import cached_njit
from eric_fast.kernels.adders import ADDER, ADDER_READS, find_chains
from eric_fast.kernels.cpu.order import UNIT_START, UNIT_STOP, find_live, order_steps
from eric_fast.kernels.cpu.pairs import IN_REGISTER, pair_chains
from eric_fast.kernels.cpu.simd_words import VECTOR_BYTES
from eric_fast.kernels.liveness import ResultKinds, StepArrays, list_reads, take_steps
from eric_fast.plan import Plan
from eric_fast.plan.steps import BATCH, SECTION, SEGMENT

FALSE_SLOT, TRUE_SLOT = 0, 1
SEGMENT_SOURCE = 2  # the column of `CpuCode.segments` that `Steps.segments` don't have
RUN_START, RUN_STOP = UNIT_START, UNIT_STOP  # the columns of `CpuCode.sections` that `Steps.sections` don't have
_Run = namedtuple("_Run", "n_pairs n_adders has_sum n_units place")
RUN = _Run(*range(5))  # the columns of `CpuCode.runs`
PAIR_WIDTH, ADDER_WIDTH = 5, 3  # offsets in `CpuCode.adders` of a pair, and of an adder
MOST_SLOTS = 2**32 // VECTOR_BYTES  # addresses are 32-bit numbers of bytes


class CpuCode(NamedTuple):
    """What a block runs through, in terms of its scratch memory.

    A *slot* is the number of a vector there, an *offset* the number of a byte.

    Attributes:
        n_slots: vectors of scratch memory that a block needs.
        nodes: uint32 `[n_selects, 4]`: offsets of the target, select, high and low.
        adders: uint32 `[n_adder_offsets]`: one unit after another, see `pairs`: the offset of the value that the lower
            chain begins with; in a unit with pairs that of the upper chain's, then for each pair those of the four
            values that the lower chain adds and of the upper chain's carry, then that of the upper sum; for each other
            adder those of the two values that it adds, and of its carry; of the sum, if something reads it.
        runs: int64 `[n_runs, 5]`: units of one shape, see `Units.shapes`; how many units there are; where they start
            in `adders`.
        terms: uint32 `[n_term_values]`: offsets.
        segments: uint32 `[n_segments, 3]`: the target's offset; how many terms; the offset of the source that they are
            OR-ed with: false for the first segment of a target, whose own node is left out.
        sections: int64 `[n_sections, 10]`: see `Section`; nodes are those of `nodes`, and last come the runs, which
            follow the nodes. A section that isn't needed is empty; one in which nodes wait for adders is several here.
        slots: int64 `[n_values]`: the slot of each value until it is read for the last time, -1 if it isn't made.
    """

    n_slots: int
    nodes: NDArray[np.uint32]
    adders: NDArray[np.uint32]
    runs: NDArray[np.int64]
    terms: NDArray[np.uint32]
    segments: NDArray[np.uint32]
    sections: NDArray[np.int64]
    slots: NDArray[np.int64]


def lower_plan(plan: Plan, kinds: ResultKinds) -> CpuCode:
    """The code that makes results of these kinds."""
    code: CpuCode = _lower(plan.n_inputs, take_steps(plan, kinds), *list_reads(plan, kinds))
    if code.n_slots > MOST_SLOTS:
        raise MemoryError(
            f"the plan needs {code.n_slots:,} vectors of scratch memory at a time; at most {MOST_SLOTS:,} are possible"
        )
    return code


@cached_njit
def _lower(n_inputs: int, steps: StepArrays, reads: Any, read_sections: Any) -> Any:
    """The `CpuCode` of steps.

    Args:
        steps: `StepArrays`.
        reads, read_sections: int32 and int64 `[n_reads]`: as of `list_reads`.
    """
    nodes, terms, segments, batches, first_node = steps.nodes, steps.terms, steps.segments, steps.batches, n_inputs + 2
    n_values, n_steps = first_node + len(nodes), len(steps.sections)
    needed, is_target = find_live(first_node, steps, reads)
    units = pair_chains(find_chains(first_node, steps, needed, reads))
    order, unit_order, sections, last_parts = order_steps(first_node, steps, needed, is_target, units)
    adders, starts, shapes = units.adders, units.starts, units.shapes
    n_sections = len(sections)
    # When a value is read for the last time: time passes with each node, each adder, and at the end of each section,
    # where its terms and rules read.
    last_read = np.full(n_values, -1, np.int64)
    ends = np.empty(n_sections, np.int64)
    time = 0
    for s in range(n_sections):
        for i in range(sections[s, SECTION.node_start], sections[s, SECTION.node_stop]):
            for j in range(3):
                last_read[nodes[order[i], j]] = time
            time += 1
        for unit in unit_order[sections[s, UNIT_START] : sections[s, UNIT_STOP]]:
            for adder in adders[starts[unit] : starts[unit + 1]]:
                for value in adder[ADDER_READS]:
                    if value >= 0:
                        last_read[value] = time
                time += 1
        for b in range(sections[s, SECTION.batch_start], sections[s, SECTION.batch_stop]):
            place = batches[b, BATCH.term_start]
            for g in range(batches[b, BATCH.segment_start], batches[b, BATCH.segment_stop]):
                last_read[segments[g, SEGMENT.target]] = time
                term_end = place + batches[b, BATCH.width] * segments[g, SEGMENT.n_terms]
                for j in range(place, term_end):
                    last_read[terms[j]] = time
                place = term_end
        ends[s] = time
        time += 1
    forever = time
    for r in range(len(reads)):
        s = read_sections[r]
        last_read[reads[r]] = max(last_read[reads[r]], ends[last_parts[s]] if s < n_steps else forever)
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
        section_of_end[ends[s]] = s
    for value in range(n_values):
        if last_read[value] >= 0 and section_of_end[last_read[value]] >= 0:
            s = section_of_end[last_read[value]]
            next_freed[value] = freed[s]
            freed[s] = value
    free = np.empty(n_values, np.int64)
    n_free = 0
    lowered = np.empty((len(order), 4), np.uint32)
    lowered_adders = np.empty(ADDER_WIDTH * len(adders) + 2 * len(starts), np.uint32)
    runs = np.empty((len(starts), 5), np.int64)
    n_offsets, n_runs = 0, 0
    lowered_segments = np.zeros((len(segments), 3), np.uint32)
    time = 0
    for s in range(n_sections):
        for i in range(sections[s, SECTION.node_start], sections[s, SECTION.node_stop]):
            for j in range(3):
                value = nodes[order[i], j]
                lowered[i, 1 + j] = slots[value] * VECTOR_BYTES
                if last_read[value] == time:
                    last_read[value] = -1  # another operand may be the same
                    free[n_free] = slots[value]
                    n_free += 1
            target = first_node + order[i]
            if n_free:
                n_free -= 1
                slots[target] = free[n_free]
            else:
                slots[target] = n_slots
                n_slots += 1
            lowered[i, 0] = slots[target] * VECTOR_BYTES
            time += 1
        first_run = n_runs
        for unit in unit_order[sections[s, UNIT_START] : sections[s, UNIT_STOP]]:
            if n_runs == first_run or (runs[n_runs - 1, : RUN.has_sum + 1] != shapes[unit]).any():
                runs[n_runs, : RUN.has_sum + 1] = shapes[unit]
                runs[n_runs, RUN.n_units], runs[n_runs, RUN.place] = 0, n_offsets
                n_runs += 1
            runs[n_runs - 1, RUN.n_units] += 1
            for adder in adders[starts[unit] : starts[unit + 1]]:
                for value in adder[ADDER_READS]:
                    if value < 0:
                        continue
                    lowered_adders[n_offsets] = slots[value] * VECTOR_BYTES
                    n_offsets += 1
                    if last_read[value] == time:
                        last_read[value] = -1  # both chains may begin with the same value
                        free[n_free] = slots[value]
                        n_free += 1
                for column in range(ADDER.carry, ADDER.sum + 1):
                    value = adder[column]
                    if value == IN_REGISTER or (column == ADDER.sum and value < 0):
                        continue
                    slot = n_slots
                    if n_free:
                        n_free -= 1
                        slot = free[n_free]
                    else:
                        n_slots += 1
                    lowered_adders[n_offsets] = slot * VECTOR_BYTES
                    n_offsets += 1
                    if value >= 0 and last_read[value] >= 0:
                        slots[value] = slot
                    else:  # what nothing reads is stored, too
                        free[n_free] = slot
                        n_free += 1
                time += 1
        sections[s, RUN_START], sections[s, RUN_STOP] = first_run, n_runs
        for b in range(sections[s, SECTION.batch_start], sections[s, SECTION.batch_stop]):
            for g in range(batches[b, BATCH.segment_start], batches[b, BATCH.segment_stop]):
                target, source = segments[g, SEGMENT.target], FALSE_SLOT
                if slots[target] >= 0:
                    source = slots[target]
                elif n_free:
                    n_free -= 1
                    slots[target] = free[n_free]
                else:
                    slots[target] = n_slots
                    n_slots += 1
                lowered_segments[g, SEGMENT.target] = slots[target] * VECTOR_BYTES
                lowered_segments[g, SEGMENT.n_terms] = segments[g, SEGMENT.n_terms]
                lowered_segments[g, SEGMENT_SOURCE] = source * VECTOR_BYTES
        time += 1
        value = freed[s]
        while value >= 0:
            free[n_free] = slots[value]
            n_free += 1
            value = next_freed[value]
    lowered_terms = np.empty(len(terms), np.uint32)
    for j in range(len(terms)):
        lowered_terms[j] = slots[terms[j]] * VECTOR_BYTES
    adders_done, runs_done = lowered_adders[:n_offsets].copy(), runs[:n_runs].copy()
    return CpuCode(n_slots, lowered, adders_done, runs_done, lowered_terms, lowered_segments, sections, slots)
