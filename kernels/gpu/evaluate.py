"""Packed words on the GPU: one launch of one Triton kernel runs a whole program, every block its words through all.

Where there are too few words for all blocks, a program of one stratum is split among them, too: see `count_parts`.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.gpu.decide import FIRST_ANSWERS, FIRST_RULES, VOTE, VOTE_RULES
from eric_fast.kernels.gpu.devices import launch_on
from eric_fast.kernels.gpu.lower import GpuCode, count_parts, lower_plan
from eric_fast.kernels.gpu.run import evaluate_kernel
from eric_fast.kernels.gpu.vote_tables import GROUP_TREES
from eric_fast.kernels.liveness import ResultKinds, find_result_kinds
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.reference.evaluate import count_pairs
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
    wanted, wanted_starts = code.list_wanted(list(request.rows or ()))
    with_scores = request.scores and plan.votes
    outputs = Outputs(
        classes=torch.empty(n_padded if kinds.decision else 0, dtype=request.class_dtype, device=device),
        rules=torch.empty(n_padded if kinds.decision and kinds.rules else 0, dtype=torch.int32, device=device),
        scores=torch.empty(n_padded if with_scores else 0, n_classes, dtype=torch.float64, device=device),
        wanted=wanted,
        wanted_starts=wanted_starts,
        truth=torch.empty(len(wanted), words.shape[1], dtype=torch.int32, device=device),
        counts=torch.zeros(plan.n_rules if request.counts else 0, dtype=torch.int64, device=device),
        leaves=torch.empty(n_samples if request.leaves else 0, len(plan.trees), dtype=torch.int32, device=device),
    )
    launch(plan, code, words.contiguous(), n_samples, range(n_groups), outputs, pick_decision(plan, kinds))
    classes, scores = outputs.classes[:n_samples], outputs.scores[:n_samples]
    if request.scores and not plan.votes:
        scores = plan.base.to(device).repeat(n_samples, 1)
    return Outcome(
        classes if request.classes else None,
        outputs.rules[:n_samples] if request.rules else None,
        scores if request.scores else None,
        outputs.counts if request.counts else None,
        outputs.truth if request.rows is not None else None,
        None if request.truths is None else count_pairs(plan, request.truths, classes),
        outputs.leaves if request.leaves else None,
    )


class Outputs(NamedTuple):
    """What a launch writes; empty where it isn't wanted.

    classes: int16 or int32 `[n_padded]`. rules: int32 `[n_padded]`. scores: float64 `[n_padded, n_classes]`. wanted,
    wanted_starts: see `GpuCode.list_wanted`. truth: int32 `[n_wanted, n_words]`, the bits of what is wanted. counts:
    int64 `[n_rules]`, zero. leaves: int32 `[n_samples, n_trees]`.
    """

    classes: Tensor
    rules: Tensor
    scores: Tensor
    wanted: Tensor
    wanted_starts: Tensor
    truth: Tensor
    counts: Tensor
    leaves: Tensor


def pick_decision(plan: Plan, kinds: ResultKinds) -> int:
    """What the kernel decides: see `gpu_decide`; 0 for nothing."""
    if not kinds.decision:
        return 0
    answers, rules = (VOTE, VOTE_RULES) if plan.votes else (FIRST_ANSWERS, FIRST_RULES)
    return int((rules if kinds.rules else answers).value)


def launch(
    plan: Plan, code: GpuCode, words: Tensor, n_samples: int, groups: range, outputs: Outputs, decision: int
) -> None:
    """Run the groups of `ROW_WORDS` words whose numbers are in `groups`."""
    if not groups:
        return
    device, n_classes, votes = words.device, plan.n_classes, code.votes
    adds = decision in (VOTE.value, VOTE_RULES.value)
    n_sums = len(code.base) * GROUP_SAMPLES if adds else 0
    n_most = n_classes * GROUP_SAMPLES if decision == VOTE_RULES.value else 0
    n_numbers = GROUP_TREES * GROUP_SAMPLES if adds and len(plan.trees) else 0
    bytes_per_block = 4 * ROW_WORDS * code.n_slots + 8 * n_sums + 12 * n_most + 4 * n_numbers
    n_blocks = min(len(groups), _count_multiprocessors(device), MOST_SCRATCH // (code.n_parts * bytes_per_block))
    grid = (max(1, n_blocks), code.n_parts)
    n_programs = math.prod(grid)
    scratch = torch.empty(n_programs * code.n_slots * ROW_WORDS, dtype=torch.int32, device=device)
    sums = torch.empty(n_programs * n_sums, dtype=torch.float64, device=device)
    most = torch.empty(n_programs * n_most, dtype=torch.float64, device=device)
    most_rules = torch.empty(len(most), dtype=torch.int32, device=device)
    numbers = torch.empty(n_programs * n_numbers, dtype=torch.int32, device=device)
    with launch_on(device):
        evaluate_kernel[grid](
            words,
            scratch,
            code.lines,
            code.phases,
            code.part_phases,
            code.input_slots,
            code.fire_slots,
            code.class_of_code,
            code.indexes,
            code.plane_slots,
            code.codes,
            code.answer_slots,
            code.counters,
            code.units,
            code.count_lines,
            code.count_starts,
            code.count_rules,
            code.base,
            votes.weights,
            votes.starts,
            votes.rules,
            votes.rule_weights,
            votes.add_starts,
            votes.adds,
            votes.tree_starts,
            votes.first_groups,
            sums,
            most,
            most_rules,
            numbers,
            *outputs,
            groups.start,
            groups.stop,
            words.shape[1] // ROW_WORDS,
            code.n_slots,
            plan.n_inputs,
            n_classes,
            n_samples,
            n_classes if len(outputs.scores) else 0,
            len(code.count_rules),
            len(code.indexes),
            len(plan.trees) if len(outputs.leaves) else 0,
            len(code.answer_slots),
            len(code.counters),
            votes.n_columns,
            len(code.base),
            code.covered_slot,
            plan.default,
            **pick_constants(code.n_streams, is_wide=code.is_wide, decision=decision, by_sample=votes.by_sample),
        )


def pick_constants(n_streams: int, *, is_wide: bool, decision: int, by_sample: bool) -> dict[str, Any]:
    """What a launch compiles for."""
    return {
        "STREAMS": n_streams,
        "BLOCK": ROW_WORDS,
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
