"""Packed words on the GPU: one launch of one Triton kernel runs a whole program, every block its words through all."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.gpu_code import GpuCode, lower_plan
from eric_fast.kernels.gpu_run import evaluate_kernel
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.reference import count_pairs
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
    wanted = torch.tensor(list(request.rows or ()), dtype=torch.int32)
    with_scores = request.scores and plan.votes
    classes = torch.empty(n_padded if request.decides else 0, dtype=torch.int32, device=device)
    rules = torch.empty(n_padded if request.decides else 0, dtype=torch.int32, device=device)
    scores = torch.empty(n_padded if with_scores else 0, n_classes, dtype=torch.float64, device=device)
    truth = torch.empty(len(wanted), words.shape[1], dtype=torch.int32, device=device)
    counts = torch.zeros(plan.n_rules if request.counts else 0, dtype=torch.int64, device=device)
    code = lower_plan(plan, device, keep_rows=request.rows is not None, counts=request.counts, decides=request.decides)
    outputs = (classes, rules, scores, wanted.to(device), truth, counts)
    launch(plan, code, words.contiguous(), n_samples, range(n_groups), outputs, pick_decision(plan, request))
    classes = classes[:n_samples]
    if request.scores and not plan.votes:
        scores = plan.base.to(device).repeat(n_samples, 1)
    return Outcome(
        classes if request.classes else None,
        rules[:n_samples] if request.rules else None,
        scores[:n_samples] if request.scores else None,
        counts if request.counts else None,
        truth if request.rows is not None else None,
        None if request.truths is None else count_pairs(plan, request.truths, classes),
    )


def pick_decision(plan: Plan, request: Request) -> int:
    """What the kernel decides: nothing, by `first`, by `vote`, by `vote` with the deciding rule."""
    if not request.decides:
        return 0
    return 1 if not plan.votes else 3 if request.rules else 2


def launch(
    plan: Plan,
    code: GpuCode,
    words: Tensor,
    n_samples: int,
    groups: range,
    outputs: tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor],
    decision: int,
) -> None:
    """Run the groups of `ROW_WORDS` words whose numbers are in `groups`.

    outputs: classes and rules, int32 `[n_padded]`; scores, float64 `[n_padded, n_classes]` or empty; the rows that are
    wanted, int32 `[n_wanted]`; their truth, int32 `[n_wanted, n_words]`; counts, int64 `[n_rules]`, zero, or empty.
    """
    if not groups:
        return
    device, n_classes = words.device, plan.n_classes
    scores, wanted = outputs[2], outputs[3]
    n_sums = n_classes * GROUP_SAMPLES if decision >= 2 else 0
    bytes_per_block = 4 * ROW_WORDS * code.n_slots + (20 if decision == 3 else 8) * n_sums
    n_blocks = max(1, min(len(groups), _count_multiprocessors(device), MOST_SCRATCH // bytes_per_block))
    scratch = torch.empty(n_blocks * code.n_slots * ROW_WORDS, dtype=torch.int32, device=device)
    sums = torch.empty(n_blocks * n_sums, dtype=torch.float64, device=device)
    most = torch.empty(n_blocks * n_sums if decision == 3 else 0, dtype=torch.float64, device=device)
    most_rules = torch.empty(len(most), dtype=torch.int32, device=device)
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():  # where Triton launches
        evaluate_kernel[(n_blocks,)](
            words,
            scratch,
            code.lines,
            code.phases,
            code.input_slots,
            code.row_slots,
            code.fire_slots,
            code.class_of_rule,
            code.base,
            code.vote_starts,
            code.vote_rules,
            code.vote_weights,
            code.count_lines,
            code.count_starts,
            code.count_rules,
            sums,
            most,
            most_rules,
            *outputs,
            groups.start,
            groups.stop,
            words.shape[1] // ROW_WORDS,
            code.n_slots,
            plan.n_inputs,
            len(code.phases),
            n_classes,
            n_samples,
            n_classes if len(scores) else 0,
            len(wanted),
            len(code.count_rules),
            plan.default,
            **pick_constants(code.n_streams, is_wide=code.is_wide, decision=decision),
        )


def pick_constants(n_streams: int, *, is_wide: bool, decision: int) -> dict[str, Any]:
    """What a launch compiles for."""
    return {
        "STREAMS": n_streams,
        "STREAM_BITS": n_streams.bit_length() - 1,
        "BLOCK": ROW_WORDS,
        "WIDE": is_wide,
        "DECISION": decision,
        "num_warps": N_WARPS,
    }


def _count_multiprocessors(device: torch.device) -> int:
    if device.type != "cuda":
        return INTERPRETED_BLOCKS
    return int(torch.cuda.get_device_properties(device).multi_processor_count)
