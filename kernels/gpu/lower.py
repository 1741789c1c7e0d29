"""A plan as the GPU runs it: tensors on its device, made once for each plan, device and kind of request."""

from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import ROW_WORDS
from eric_fast.errors import EricError
from eric_fast.kernels.decision_tables import make_decision_tables
from eric_fast.kernels.gpu.lines import ADDERS, FIELDS, LINE_COLUMNS, TRUE_SLOT, pack_lines
from eric_fast.kernels.gpu.schedule import Schedule, lower_steps
from eric_fast.kernels.gpu.vote_tables import VoteTables, count_columns, tabulate_votes
from eric_fast.kernels.liveness import ResultKinds, find_lone_rules, list_reads, take_steps
from eric_fast.plan import Plan
from eric_fast.plan.negation import is_negated, negate, strip_negation

N_WORKERS = 128  # of a block: eight threads each where it has 32 warps, two where it has 8
MOST_PARTS = 16
MOST_SLOTS = 2**31 // ROW_WORDS  # words of a block's scratch memory are numbered in 32 bits
PART_LITERALS = 2**13  # of a part at least: 64 of each worker, beside which reading the inputs is little


class RuleTables(NamedTuple):
    """What makes rows and decides, on a device: arguments of the kernel.

    lines: int32 `[n_lines + 2, n_workers, FIELDS]`: see `lines`; two lines of zeros at the end.
    phases: int32 `[n_phases, N_COLUMNS, 2]`: see `lines`; those of each part together.
    part_phases: int32 `[n_parts + 1]`: where the phases of each part start.
    input_slots: int32 `[n_parts, n_inputs]`, -1 where nothing reads the input.
    fire_slots: int32 `[n_class_rules]`; of false where a rule doesn't take part by itself.
    class_of_code: int32: see `DecisionTables`.
    indexes: int32 `[n_indexes, 6]`, codes: int32 `[n_codes]`, counters: int32 `[n_counters, 4]`, units: float64
        `[n_counters]`: see `Steps`.
    plane_slots: int32 `[n_planes]`, answer_slots: int32 `[n_answers]`: the slots of `Steps.planes` and `answers`.
    base: float64 `[n_sums]`: of each class, and of what pads a sample's sums.
    """

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
    base: Tensor


class CountTables(NamedTuple):
    """The bodies of all rules, to be counted, on a device: arguments of the kernel.

    count_lines: as `RuleTables.lines`, the literals of rules.
    count_starts: int64 `[n_counted + 1]`: the lines of the rules that are counted together.
    count_rules: int32 `[n_counted, n_workers]`, -1 where there is none.
    """

    count_lines: Tensor
    count_starts: Tensor
    count_rules: Tensor


class Wanted(NamedTuple):
    """Which rows the kernel stores, part by part, on a device: arguments of the kernel.

    wanted: int32 `[n_wanted, 2]`: a row's slot, negated where the row is its complement; its place in the request.
    wanted_starts: int32 `[n_parts + 1]`: where those of each part start.
    """

    wanted: Tensor
    wanted_starts: Tensor


class CodeSizes(NamedTuple):
    """How much there is of what the kernel loops over, asked once, as asking a tensor takes the CPU's time."""

    n_counted: int
    n_indexes: int
    n_answers: int
    n_counters: int
    n_sums: int
    n_workers: int
    n_parts: int


@dataclass(frozen=True, eq=False)
class GpuCode:
    """Slots are rows of a block's scratch memory; how many words a row has is chosen at launch.

    A program of one stratum may be split over the grid: each part makes its own rows, from inputs that all parts read.

    Attributes:
        n_slots: rows of scratch memory that a block needs.
        has_adders: whether there are lines of adders.
        covered_slot: of `Steps.covered`.
        by_sample: see `DecisionTables`. n_columns: see `count_columns`.
        row_slots: int32 `[n_rows]`, negated where the row is the slot's complement; right where rows are kept.
        row_parts: int64 `[n_rows]`: which part makes a row. These two aren't on the device.
        rules, counts, votes: the kernel's tables.
    """

    n_slots: int
    has_adders: bool
    covered_slot: int
    by_sample: bool
    n_columns: int
    row_slots: NDArray[np.int32]
    row_parts: NDArray[np.int64]
    rules: RuleTables
    counts: CountTables
    votes: VoteTables

    @cached_property
    def sizes(self) -> CodeSizes:
        return CodeSizes(
            n_counted=len(self.counts.count_rules),
            n_indexes=len(self.rules.indexes),
            n_answers=len(self.rules.answer_slots),
            n_counters=len(self.rules.counters),
            n_sums=len(self.rules.base),
            n_workers=self.counts.count_rules.shape[1],
            n_parts=len(self.rules.part_phases) - 1,
        )

    @cached_property
    def tables(self) -> tuple[Tensor, ...]:
        """Of all groups, in the order of the kernel's arguments."""
        return (*self.rules, *self.counts, *self.votes)

    def list_wanted(self, rows: list[int]) -> Wanted:
        """What the kernel stores of these rows."""
        places = np.argsort(self.row_parts[rows], kind="stable")
        starts = np.searchsorted(self.row_parts[rows][places], np.arange(self.sizes.n_parts + 1))
        wanted = np.stack([self.row_slots[rows][places], places], axis=1)
        to_device = partial(torch.as_tensor, dtype=torch.int32, device=self.rules.lines.device)
        return Wanted(to_device(wanted), to_device(starts))


def may_split(plan: Plan, kinds: ResultKinds, *, counts: bool) -> bool:
    """Whether a program may be split over the grid.

    All that is asked for are rows, and rules make them of inputs alone: a part would run lower strata again.
    """
    return not (kinds.decision or kinds.leaves or counts) and len(plan.strata) == 2


def count_parts(plan: Plan, n_groups: int, n_multiprocessors: int) -> int:
    """Into how many parts a program that may be split is: as many as there are multiprocessors for, a power of two."""
    if not n_groups:
        return 1
    most = min(n_multiprocessors // n_groups, len(plan.literals) // PART_LITERALS, MOST_PARTS)
    return 1 << (max(1, most).bit_length() - 1)


_codes: WeakKeyDictionary[Plan, dict[tuple[ResultKinds, bool, torch.device, int], GpuCode]] = WeakKeyDictionary()


def lower_plan(plan: Plan, device: torch.device, kinds: ResultKinds, *, counts: bool, n_parts: int = 1) -> GpuCode:
    """Return the code of a plan for a device and a kind of request, made once.

    counts: whether rules are counted. n_parts: see `count_parts`.
    """
    codes = _codes.setdefault(plan, {})
    key = (kinds, counts, device, n_parts)
    if key not in codes:
        codes[key] = _lower(plan, device, kinds, counts, n_parts)
    return codes[key]


def _lower(plan: Plan, device: torch.device, kinds: ResultKinds, counts: bool, n_parts: int) -> GpuCode:
    steps = plan.steps
    values = steps.values.numpy()
    row_parts = _share_rows(plan, n_parts)
    arrays = take_steps(plan, kinds)
    reads = [list_reads(plan, kinds, row_parts == part) for part in range(n_parts)]
    parts = [lower_steps(plan.n_inputs, N_WORKERS, arrays, *of_part) for of_part in reads]
    n_slots = max(part.n_slots for part in parts)
    if n_slots > MOST_SLOTS:
        raise EricError(
            f"the program has {n_slots:,} values at once, more than the {MOST_SLOTS:,} that the GPU takes; "
            "evaluate it with engine='cpu'"
        )
    phases, part_phases = _join_phases(parts)
    part_slots = np.stack([part.slots for part in parts])  # [n_parts, n_values]
    slots = part_slots[0]  # of what the class rules decide by, which is never split
    alone = find_lone_rules(plan, kinds)
    tables = make_decision_tables(plan)
    row_slots = part_slots[row_parts, strip_negation(values)]
    row_slots = np.where(is_negated(values), negate(row_slots), row_slots)

    def send(array: NDArray[Any]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    return GpuCode(
        n_slots=n_slots,
        has_adders=bool((phases[:, ADDERS, 1] > phases[:, ADDERS, 0]).any()),
        covered_slot=int(slots[steps.covered]),
        by_sample=tables.by_sample,
        n_columns=count_columns(tables),
        row_slots=row_slots,
        row_parts=row_parts,
        rules=RuleTables(
            lines=send(pack_lines(np.concatenate([part.fields for part in parts]), phases)),
            phases=send(phases),
            part_phases=send(part_phases),
            input_slots=send(part_slots[:, : plan.n_inputs]),
            fire_slots=send(np.where(alone, slots[steps.fires.numpy()], 0)),
            class_of_code=send(tables.class_of_code),
            indexes=send(steps.indexes.numpy().astype(np.int32)),
            plane_slots=send(slots[steps.planes.numpy()]),
            codes=send(steps.codes.numpy()),
            answer_slots=send(slots[steps.answers.numpy()]),
            counters=send(steps.counters.numpy().astype(np.int32)),
            units=send(steps.units.numpy()),
            base=send(np.append(plan.base.numpy(), np.zeros(max(0, count_columns(tables) - plan.n_classes)))),
        ),
        counts=CountTables(*(send(array) for array in _lower_counts(plan, row_slots, N_WORKERS, counts))),
        votes=tabulate_votes(plan, alone, phases, device),
    )


def _share_rows(plan: Plan, n_parts: int) -> NDArray[np.int64]:
    """int64 `[n_rows]`: the part of each row, neighbours together, each part with about as many literals."""
    heads = plan.heads[: plan.n_kernel_rules].numpy()
    lengths = plan.offsets.diff()[: plan.n_kernel_rules].numpy()
    costs = 1 + np.bincount(np.repeat(heads, lengths), minlength=plan.n_rows)
    shares: NDArray[np.int64] = (np.cumsum(costs) - costs) * n_parts // max(1, costs.sum())
    return shares


class _Phases(NamedTuple):
    """See `RuleTables`."""

    phases: NDArray[np.int32]
    part_phases: NDArray[np.int32]


def _join_phases(parts: list[Schedule]) -> _Phases:
    """The phases of parts whose lines are put one below the other."""
    first_lines = np.cumsum([0] + [len(part.fields) for part in parts])
    joined = [part.phases.copy() for part in parts]
    for phases, first_line in zip(joined, first_lines, strict=False):
        phases[:, LINE_COLUMNS] += first_line
    return _Phases(np.concatenate(joined), np.cumsum([0] + [len(phases) for phases in joined]).astype(np.int32))


class _Counted(NamedTuple):
    """See `CountTables`."""

    count_lines: NDArray[np.int32]
    count_starts: NDArray[np.int64]
    count_rules: NDArray[np.int32]


def _lower_counts(plan: Plan, row_slots: NDArray[np.int32], n_workers: int, counts: bool) -> _Counted:
    """Rules of about one length are counted side by side; without `counts`, none is."""
    n_rules = plan.n_rules if counts else 0
    offsets, literals = plan.offsets.numpy()[: n_rules + 1], plan.literals.numpy()[: int(plan.offsets[n_rules])]
    slots = row_slots[strip_negation(literals)]
    negated = is_negated(literals) ^ is_negated(slots)
    lengths = np.diff(offsets)
    n_counted = -(-n_rules // n_workers)
    order = np.full(n_counted * n_workers, -1)
    order[:n_rules] = np.argsort(lengths, kind="stable")
    count_rules = order.reshape(n_counted, n_workers)
    most = np.where(count_rules < 0, 0, lengths[count_rules]).max(axis=1, initial=0)
    starts = np.concatenate([[0], np.cumsum(-(-most // FIELDS))])
    fields = np.full((starts[-1], n_workers, FIELDS), TRUE_SLOT, np.int32)
    place = np.empty(n_rules, np.int64)
    place[order[:n_rules]] = np.arange(n_rules)
    rule = np.repeat(np.arange(n_rules), lengths)
    number = np.arange(len(literals)) - offsets[rule]  # of a literal in its rule
    counted, worker = np.divmod(place[rule], n_workers)
    slots = strip_negation(slots)
    fields[starts[counted] + number // FIELDS, worker, number % FIELDS] = np.where(negated, negate(slots), slots)
    return _Counted(fields, starts.astype(np.int64), count_rules.astype(np.int32))
