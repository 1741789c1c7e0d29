"""A plan as the GPU runs it: tensors on its device, made once for each plan, device and kind of request."""

from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.decision_tables import make_decision_tables
from eric_fast.kernels.gpu.schedule import LINE_COLUMNS, lower_steps
from eric_fast.kernels.gpu.slots import FLAG, TRUE_SLOT
from eric_fast.kernels.gpu.vote_tables import VoteTables, tabulate_votes
from eric_fast.kernels.liveness import ResultKinds, find_lone_rules, list_reads
from eric_fast.plan import Plan

N_STREAMS = 128  # of a block: 32 warps, eight threads to a stream
COUNTED_VALUES = 4  # literals of a rule in a line
MOST_NARROW_SLOTS = 2**15
MOST_PARTS = 16
PART_LITERALS = 2**13  # of a part at least: 64 of each stream, beside which reading the inputs is little


@dataclass(frozen=True, eq=False)
class GpuCode:
    """Slots are rows of a block's scratch memory, of `ROW_WORDS` words.

    A program of one stratum may be split over the grid: each part makes its own rows, from inputs that all parts read.

    Attributes:
        n_slots: rows of scratch memory that a block needs.
        is_wide: whether a field takes 32 bits, not 16: there are more slots than 15 bits can number.
        covered_slot: of `Steps.covered`.
        votes: what is added to sums, and in which order.
        row_slots: int32 `[n_rows]`, `~slot` where the row is the slot's complement; right where rows are kept.
        row_parts: int64 `[n_rows]`: which part makes a row. These two aren't on the device.
        lines: int64 `[n_lines + 2, n_streams]`, wide `[n_lines + 2, 2, n_streams]`: see `gpu_lower`; two of zeros at
            the end.
        phases: int32 `[n_phases, N_COLUMNS]`, those of each part together.
        part_phases: int32 `[n_parts + 1]`: where the phases of each part start.
        input_slots: int32 `[n_parts, n_inputs]`, -1 where nothing reads the input.
        fire_slots: int32 `[n_class_rules]`; of false where a rule doesn't take part by itself.
        class_of_code: int32: see `DecisionTables`.
        indexes: int32 `[n_indexes, 6]`, plane_slots: int32 `[n_planes]`, codes: int32 `[n_codes]`, answer_slots:
            int32 `[n_answers]`, counters: int32 `[n_counters, 4]`, units: float64 `[n_counters]`: see `Steps`.
        count_lines: as `lines`, the literals of rules; a flag is a negation.
        count_starts: int64 `[n_counted + 1]`: the lines of the rules that are counted together.
        count_rules: int32 `[n_counted, n_streams]`, -1 where there is none.
        base: float64 `[n_sums]`: of each class, and of what pads a sample's sums.
    """

    n_slots: int
    is_wide: bool
    covered_slot: int
    votes: VoteTables
    row_slots: NDArray[np.int32]
    row_parts: NDArray[np.int64]
    lines: Tensor
    phases: Tensor
    part_phases: Tensor
    input_slots: Tensor
    fire_slots: Tensor
    class_of_code: Tensor
    indexes: Tensor
    plane_slots: Tensor
    codes: Tensor
    answer_slots: Tensor
    counters: Tensor
    units: Tensor
    count_lines: Tensor
    count_starts: Tensor
    count_rules: Tensor
    base: Tensor

    @property
    def n_streams(self) -> int:
        return self.count_rules.shape[1]

    @property
    def n_parts(self) -> int:
        return len(self.part_phases) - 1

    def list_wanted(self, rows: list[int]) -> tuple[Tensor, Tensor]:
        """What the kernel stores of these rows, part by part: int32 `[n_wanted, 2]`, a row's slot and its place among
        them, and int32 `[n_parts + 1]`, where those of each part start."""
        places = np.argsort(self.row_parts[rows], kind="stable")
        starts = np.searchsorted(self.row_parts[rows][places], np.arange(self.n_parts + 1))
        wanted = np.stack([self.row_slots[rows][places], places], axis=1)
        to_device = partial(torch.as_tensor, dtype=torch.int32, device=self.lines.device)
        return to_device(wanted), to_device(starts)


def count_parts(plan: Plan, kinds: ResultKinds, n_groups: int, n_multiprocessors: int, *, counts: bool) -> int:
    """Into how many parts a program is split over the grid: as many as there are multiprocessors for, a power of two.

    1, unless all that is asked for are rows, and rules make them of inputs alone: a part would run lower strata again.
    """
    if kinds.decision or kinds.leaves or counts or len(plan.strata) != 2 or not n_groups:
        return 1
    most = min(n_multiprocessors // n_groups, len(plan.literals) // PART_LITERALS, MOST_PARTS)
    return 1 << (max(1, most).bit_length() - 1)


_codes: WeakKeyDictionary[Plan, dict[tuple[ResultKinds, bool, torch.device, int], GpuCode]] = WeakKeyDictionary()


def lower_plan(plan: Plan, device: torch.device, kinds: ResultKinds, *, counts: bool, n_parts: int = 1) -> GpuCode:
    """The code of a plan for a device and what is needed of it, made once; counts: rules are counted; n_parts: see
    `count_parts`."""
    codes = _codes.setdefault(plan, {})
    key = (kinds, counts, device, n_parts)
    if key not in codes:
        codes[key] = _lower(plan, device, kinds, counts, n_parts)
    return codes[key]


def _lower(plan: Plan, device: torch.device, kinds: ResultKinds, counts: bool, n_parts: int) -> GpuCode:
    steps = plan.steps
    sections = steps.sections.numpy().copy()
    if not kinds.decision and not kinds.leaves:
        sections[len(plan.strata) - 1 :] = 0
    arrays = [array.numpy() for array in (steps.nodes, steps.terms, steps.segments, steps.batches)]
    values = steps.values.numpy()
    row_parts = _share_rows(plan, n_parts)
    reads = [list_reads(plan, kinds, row_parts == part) for part in range(n_parts)]
    parts = [lower_steps(plan.n_inputs, N_STREAMS, *arrays, sections, *of_part) for of_part in reads]
    n_slots = max(part[0] for part in parts)
    fields = np.concatenate([part[1] for part in parts])
    phases, part_phases = _join_phases([part[1:3] for part in parts])
    part_slots = np.stack([part[3] for part in parts])  # [n_parts, n_values]
    slots = part_slots[0]  # of what the class rules decide by, which is never split
    is_wide = n_slots > MOST_NARROW_SLOTS
    alone = find_lone_rules(plan, kinds)
    row_slots = part_slots[row_parts, np.where(values >= 0, values, ~values)]
    row_slots = np.where(values >= 0, row_slots, ~row_slots)
    counted = _lower_counts(plan, row_slots, N_STREAMS) if counts else _lower_no_counts(N_STREAMS)
    count_fields, count_starts, count_rules = counted
    tensors = (
        _pack_fields(fields, is_wide),
        phases,
        part_phases,
        part_slots[:, : plan.n_inputs],
        np.where(alone, slots[steps.fires.numpy()], 0),
        make_decision_tables(plan).class_of_code,
        steps.indexes.numpy().astype(np.int32),
        slots[steps.planes.numpy()],
        steps.codes.numpy(),
        slots[steps.answers.numpy()],
        steps.counters.numpy().astype(np.int32),
        steps.units.numpy(),
        _pack_fields(count_fields, is_wide),
        count_starts,
        count_rules,
        np.append(plan.base.numpy(), np.zeros(max(0, make_decision_tables(plan).n_columns - plan.n_classes))),
    )
    return GpuCode(
        n_slots,
        is_wide,
        int(slots[steps.covered]),
        tabulate_votes(plan, alone, phases, device),
        row_slots,
        row_parts,
        *(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in tensors),
    )


def _share_rows(plan: Plan, n_parts: int) -> NDArray[np.int64]:
    """int64 `[n_rows]`: the part of each row, neighbours together, each part with about as many literals."""
    heads = plan.heads[: plan.n_kernel_rules].numpy()
    lengths = plan.offsets.diff()[: plan.n_kernel_rules].numpy()
    costs = 1 + np.bincount(np.repeat(heads, lengths), minlength=plan.n_rows)
    shares: NDArray[np.int64] = (np.cumsum(costs) - costs) * n_parts // max(1, costs.sum())
    return shares


def _join_phases(
    parts: list[tuple[NDArray[np.int32], NDArray[np.int32]]],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The phases of parts whose fields are put one below the other, and where those of each part start."""
    n_lines = np.cumsum([0] + [len(fields) for fields, _ in parts])
    joined = [phases.copy() for _, phases in parts]
    for phases, first_line in zip(joined, n_lines, strict=False):
        phases[:, :LINE_COLUMNS] += first_line
    return np.concatenate(joined), np.cumsum([0] + [len(phases) for phases in joined]).astype(np.int32)


def _pack_fields(fields: NDArray[np.int32], is_wide: bool) -> NDArray[np.int64]:
    """int32 `[n_lines, n_streams, 4]` to `GpuCode.lines`: the first field in the lowest bits, the flag in its highest.

    Two lines of zeros follow the last, for loops that read a step ahead.
    """
    fields = np.concatenate([fields, np.zeros((2, *fields.shape[1:]), np.int32)])
    if is_wide:
        return fields.view(np.int64).transpose(0, 2, 1)
    narrow = (fields & 0x7FFF | (fields < 0) << 15).astype(np.uint16)
    return narrow.view(np.int64)[..., 0]


def _lower_counts(
    plan: Plan, row_slots: NDArray[np.int32], n_streams: int
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    """Fields `[n_lines, n_streams, 4]`, `count_starts` and `count_rules`: rules of about one length side by side."""
    offsets, literals = plan.offsets.numpy(), plan.literals.numpy()
    rows = np.where(literals < 0, ~literals, literals)
    slots = row_slots[rows]
    is_negated = (literals < 0) ^ (slots < 0)
    fields = np.where(slots < 0, ~slots, slots) | np.where(is_negated, FLAG, 0)
    lengths = np.diff(offsets)
    n_counted = -(-plan.n_rules // n_streams)
    order = np.full(n_counted * n_streams, -1)
    order[: plan.n_rules] = np.argsort(lengths, kind="stable")
    count_rules = order.reshape(n_counted, n_streams)
    n_lines = -(-np.where(count_rules < 0, 0, lengths[count_rules]).max(axis=1, initial=0) // COUNTED_VALUES)
    starts = np.concatenate([[0], np.cumsum(n_lines)])
    lines = np.full((starts[-1], n_streams, COUNTED_VALUES), TRUE_SLOT, np.int32)
    place = np.empty(plan.n_rules, np.int64)
    place[order[: plan.n_rules]] = np.arange(plan.n_rules)
    rule = np.repeat(np.arange(plan.n_rules), lengths)
    number = np.arange(len(literals)) - offsets[rule]  # of a literal in its rule
    counted, stream = place[rule] // n_streams, place[rule] % n_streams
    lines[starts[counted] + number // COUNTED_VALUES, stream, number % COUNTED_VALUES] = fields
    return lines, starts.astype(np.int64), count_rules.astype(np.int32)


def _lower_no_counts(n_streams: int) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32]]:
    return np.zeros((0, n_streams, 4), np.int32), np.zeros(1, np.int64), np.zeros((0, n_streams), np.int32)
