"""A plan as the GPU runs it: tensors on its device, made once for each plan, device and kind of request."""

from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.kernels.gpu_lower import FLAG, TRUE_SLOT, lower_steps
from eric_fast.plan import Plan

N_STREAMS = 128  # of a block: 32 warps, eight threads to a stream
COUNTED_VALUES = 4  # literals of a rule in a line
MOST_NARROW_SLOTS = 2**15


@dataclass(frozen=True, eq=False)
class GpuCode:
    """Slots are rows of a block's scratch memory, of `ROW_WORDS` words.

    Attributes:
        n_slots: rows of scratch memory that a block needs.
        is_wide: whether a field takes 32 bits, not 16: there are more slots than 15 bits can number.
        lines: int64 `[n_lines + 2, n_streams]`, wide `[n_lines + 2, 2, n_streams]`: see `gpu_lower`; two of zeros at
            the end.
        phases: int32 `[n_phases, N_COLUMNS]`.
        input_slots: int32 `[n_inputs]`, -1 where nothing reads the input.
        row_slots: int32 `[n_rows]`, `~slot` where the row is the slot's complement; right where rows are kept.
        fire_slots: int32 `[n_class_rules]`.
        class_of_rule: int32 `[n_class_rules]`.
        base: float64 `[n_classes]`.
        vote_starts: int64 `[n_phases * n_classes + 1]`: where votes for a class, of the rules of a phase, start.
        vote_rules, vote_weights: int32 and float64 `[n_votes + 1]`; the last is no vote.
        count_lines: as `lines`, the literals of rules; a flag is a negation.
        count_starts: int64 `[n_counted + 1]`: the lines of the rules that are counted together.
        count_rules: int32 `[n_counted, n_streams]`, -1 where there is none.
    """

    n_slots: int
    is_wide: bool
    lines: Tensor
    phases: Tensor
    input_slots: Tensor
    row_slots: Tensor
    fire_slots: Tensor
    class_of_rule: Tensor
    base: Tensor
    vote_starts: Tensor
    vote_rules: Tensor
    vote_weights: Tensor
    count_lines: Tensor
    count_starts: Tensor
    count_rules: Tensor

    @property
    def n_streams(self) -> int:
        return self.count_rules.shape[1]


_codes: WeakKeyDictionary[Plan, dict[tuple[bool, bool, bool, torch.device], GpuCode]] = WeakKeyDictionary()


def lower_plan(plan: Plan, device: torch.device, *, keep_rows: bool, counts: bool, decides: bool) -> GpuCode:
    """The code of a plan for a device, made once.

    Args:
        keep_rows: the slots of the plan's rows still hold them when a block is done.
        counts: rules are counted.
        decides: class rules are run.
    """
    codes = _codes.setdefault(plan, {})
    key = (keep_rows or counts, counts, decides, device)
    if key not in codes:
        codes[key] = _lower(plan, device, keep_rows or counts, counts, decides)
    return codes[key]


def _lower(plan: Plan, device: torch.device, keep_rows: bool, counts: bool, decides: bool) -> GpuCode:
    steps = plan.steps
    arrays = (steps.nodes, steps.terms, steps.segments, steps.batches, steps.sections, steps.values, steps.fires)
    n_slots, fields, phases, input_slots, row_slots, fire_slots = lower_steps(
        plan.n_inputs, N_STREAMS, keep_rows, decides, *(array.numpy() for array in arrays)
    )
    is_wide = n_slots > MOST_NARROW_SLOTS
    counted = _lower_counts(plan, row_slots, N_STREAMS) if counts else _lower_no_counts(N_STREAMS)
    count_fields, count_starts, count_rules = counted
    tensors = (
        _pack_fields(fields, is_wide),
        phases,
        input_slots,
        row_slots,
        fire_slots,
        plan.heads[plan.n_kernel_rules :].numpy(),
        plan.base.numpy(),
        *_sort_votes(plan, phases),
        _pack_fields(count_fields, is_wide),
        count_starts,
        count_rules,
    )
    return GpuCode(n_slots, is_wide, *(torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in tensors))


def _pack_fields(fields: NDArray[np.int32], is_wide: bool) -> NDArray[np.int64]:
    """int32 `[n_lines, n_streams, 4]` to `GpuCode.lines`: the first field in the lowest bits, the flag in its highest.

    Two lines of zeros follow the last, for loops that read a step ahead.
    """
    fields = np.concatenate([fields, np.zeros((2, *fields.shape[1:]), np.int32)])
    if is_wide:
        return fields.view(np.int64).transpose(0, 2, 1)
    narrow = (fields & 0x7FFF | (fields < 0) << 15).astype(np.uint16)
    return narrow.view(np.int64)[..., 0]


def _sort_votes(
    plan: Plan, phases: NDArray[np.int32]
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """`vote_starts`, `vote_rules` and `vote_weights`: by phase, class and rule."""
    rules = np.repeat(np.arange(plan.n_class_rules), plan.vote_offsets.diff().numpy())
    classes, n_classes = plan.vote_classes.numpy(), plan.n_classes
    phase_of_rule = np.zeros(plan.n_class_rules, np.int64)
    for phase, (first, last) in enumerate(phases[:, 8:10]):
        phase_of_rule[first:last] = phase
    keys = phase_of_rule[rules] * n_classes + classes
    order = np.argsort(keys, kind="stable")
    starts = np.searchsorted(keys[order], np.arange(len(phases) * n_classes + 1))
    weights = np.append(plan.vote_weights.numpy()[order], 0.0)
    return starts.astype(np.int64), np.append(rules[order], -1).astype(np.int32), weights


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
