"""`evaluate` on the GPU: one launch of one Triton kernel takes each block's words through the whole program.

Where there are too few words for all blocks, a program of one stratum is split among them, too: see `count_parts`.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.gpu.decide import FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES
from eric_fast.kernels.gpu.devices import launch_on
from eric_fast.kernels.gpu.lower import GpuCode, Wanted, count_parts, lower_plan
from eric_fast.kernels.gpu.run import evaluate_kernel
from eric_fast.kernels.gpu.vote_tables import GROUP_TREES
from eric_fast.kernels.liveness import ResultKinds, find_result_kinds
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.reference.evaluate import count_confusion
from eric_fast.plan import Plan

GROUP_SAMPLES = ROW_WORDS * WORD_BITS  # what a block has at a time
N_WARPS = 32
INTERPRETED_BLOCKS = 2  # at once, where Triton's interpreter stands in for a GPU
MOST_SCRATCH = 2**32  # bytes; fewer blocks run at once where they would need more


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit, on the device of `words`."""
    check_request(plan, words, n_samples, request)
    device, n_classes = words.device, plan.n_classes
    n_groups = words.shape[1] // ROW_WORDS
    n_padded = n_groups * GROUP_SAMPLES
    kinds = find_result_kinds(plan, request)
    n_parts = count_parts(plan, kinds, n_groups, _count_multiprocessors(device), counts=request.counts)
    code = lower_plan(plan, device, kinds, counts=request.counts, n_parts=n_parts)
    wanted = code.list_wanted(list(request.rows or ()))
    with_scores = request.scores and plan.votes
    outputs = Outputs(
        classes=torch.empty(n_padded if kinds.decision else 0, dtype=request.class_dtype, device=device),
        rules=torch.empty(n_padded if kinds.decision and kinds.rules else 0, dtype=torch.int32, device=device),
        scores=torch.empty(n_padded if with_scores else 0, n_classes, dtype=torch.float64, device=device),
        truth=torch.empty(len(wanted.wanted), words.shape[1], dtype=torch.int32, device=device),
        counts=torch.zeros(plan.n_rules if request.counts else 0, dtype=torch.int64, device=device),
        leaves=torch.empty(n_samples if request.leaves else 0, len(plan.trees), dtype=torch.int32, device=device),
    )
    decision = pick_decision(plan, kinds)
    launch(plan, code, words.contiguous(), n_samples, range(n_groups), wanted, outputs, decision)
    classes, scores = outputs.classes[:n_samples], outputs.scores[:n_samples]
    if request.scores and not plan.votes:
        scores = plan.base.to(device).repeat(n_samples, 1)
    return Outcome(
        classes=classes if request.classes else None,
        rules=outputs.rules[:n_samples] if request.rules else None,
        scores=scores if request.scores else None,
        counts=outputs.counts if request.counts else None,
        rows=outputs.truth if request.rows is not None else None,
        confusion=None if request.truths is None else count_confusion(plan, request.truths, classes),
        leaves=outputs.leaves if request.leaves else None,
    )


class Scratch(NamedTuple):
    """Memory of a launch's programs, a block's part each: arguments of the kernel; empty where it isn't needed.

    scratch: int32 `[n_programs, n_slots, ROW_WORDS]`: rows.
    sums: float64 `[n_programs, n_sums, GROUP_SAMPLES]`: under `vote`.
    most: float64, most_rules: int32 `[n_programs, n_classes, GROUP_SAMPLES]`: what one rule added most, and which.
    numbers: int32 `[n_programs, GROUP_TREES, GROUP_SAMPLES]`: of a group of trees.
    """

    scratch: Tensor
    sums: Tensor
    most: Tensor
    most_rules: Tensor
    numbers: Tensor


class Outputs(NamedTuple):
    """What a launch writes: arguments of the kernel; empty where it isn't wanted.

    classes: int16 or int32 `[n_padded]`.
    rules: int32 `[n_padded]`.
    scores: float64 `[n_padded, n_classes]`.
    truth: int32 `[n_wanted, n_words]`, the bits of what is wanted.
    counts: int64 `[n_rules]`, zero.
    leaves: int32 `[n_samples, n_trees]`.
    """

    classes: Tensor
    rules: Tensor
    scores: Tensor
    truth: Tensor
    counts: Tensor
    leaves: Tensor


class Sizes(NamedTuple):
    """The numbers that a launch is given: arguments of the kernel.

    first_group, last_group: the groups of `ROW_WORDS` words to run, of `n_groups`.
    n_scores, n_leaves: what is stored for each sample; 0 for nothing.
    covered: the slot of `Steps.covered`. default: the class where no rule fires, or -1.
    """

    first_group: int
    last_group: int
    n_groups: int
    n_slots: int
    n_inputs: int
    n_classes: int
    n_samples: int
    n_scores: int
    n_counted: int
    n_indexes: int
    n_leaves: int
    n_answers: int
    n_counters: int
    n_columns: int
    n_sums: int
    covered: int
    default: int


def pick_decision(plan: Plan, kinds: ResultKinds) -> int:
    """Return what the kernel decides, see `decide`; 0 for nothing."""
    if not kinds.decision:
        return 0
    answers, rules = (VOTE, VOTE_RULES) if plan.votes and kinds.sums else (FIRST_ANSWERS, FIRST_RULES)
    return int((rules if kinds.rules else answers).value)


def launch(
    plan: Plan,
    code: GpuCode,
    words: Tensor,
    n_samples: int,
    groups: range,
    wanted: Wanted,
    outputs: Outputs,
    decision: int,
) -> None:
    """Run the groups of `ROW_WORDS` words whose numbers are in `groups`."""
    if not groups:
        return
    adds = decision in (VOTE.value, VOTE_RULES.value)
    n_sums = len(code.rules.base) * GROUP_SAMPLES if adds else 0
    n_most = plan.n_classes * GROUP_SAMPLES if decision == VOTE_RULES.value else 0
    n_numbers = GROUP_TREES * GROUP_SAMPLES if adds and len(plan.trees) else 0
    bytes_per_block = 4 * ROW_WORDS * code.n_slots + 8 * n_sums + 12 * n_most + 4 * n_numbers
    n_blocks = min(len(groups), _count_multiprocessors(words.device), MOST_SCRATCH // (code.n_parts * bytes_per_block))
    grid = (max(1, n_blocks), code.n_parts)

    def allocate(n: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(math.prod(grid) * n, dtype=dtype, device=words.device)

    scratch = Scratch(
        scratch=allocate(code.n_slots * ROW_WORDS, torch.int32),
        sums=allocate(n_sums, torch.float64),
        most=allocate(n_most, torch.float64),
        most_rules=allocate(n_most, torch.int32),
        numbers=allocate(n_numbers, torch.int32),
    )
    sizes = Sizes(
        first_group=groups.start,
        last_group=groups.stop,
        n_groups=words.shape[1] // ROW_WORDS,
        n_slots=code.n_slots,
        n_inputs=plan.n_inputs,
        n_classes=plan.n_classes,
        n_samples=n_samples,
        n_scores=plan.n_classes if len(outputs.scores) else 0,
        n_counted=len(code.counts.count_rules),
        n_indexes=len(code.rules.indexes),
        n_leaves=len(plan.trees) if len(outputs.leaves) else 0,
        n_answers=len(code.rules.answer_slots),
        n_counters=len(code.rules.counters),
        n_columns=code.n_columns,
        n_sums=len(code.rules.base),
        covered=code.covered_slot,
        default=plan.default,
    )
    tables = (*code.rules, *code.counts, *code.votes)
    constants = pick_constants(
        code.n_workers, has_adders=code.has_adders, is_wide=code.is_wide, decision=decision, by_sample=code.by_sample
    )
    with launch_on(words.device):
        # By position, which takes 18 us of the CPU's time where 61 keywords take 41
        evaluate_kernel[grid](words, *tables, *scratch, *wanted, *outputs, *sizes, **constants)


def pick_constants(
    n_workers: int, *, has_adders: bool, is_wide: bool, decision: int, by_sample: bool
) -> dict[str, Any]:
    """Return what a launch compiles for: the kernel's constants and how many warps a block has."""
    return {
        "WORKERS": n_workers,
        "BLOCK": ROW_WORDS,
        "WITH_ADDERS": has_adders,
        "WIDE": is_wide,
        "DECISION": decision,
        "BY_SAMPLE": by_sample and decision in (VOTE.value, VOTE_RULES.value),
        "GROUP_TREES": GROUP_TREES,
        "num_warps": N_WARPS,
    }


def _count_multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return INTERPRETED_BLOCKS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
