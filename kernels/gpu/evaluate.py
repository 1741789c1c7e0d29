"""`evaluate` on the GPU: one launch of one Triton kernel takes each block's words through the whole program.

Where there are few words, blocks have fewer at a time, see `choose_words`, and a program of one stratum is split among
blocks, too: see `count_parts`.
After the first call for a plan and a request nothing is copied to the device and nothing waits for it, so that calls
can be captured in a CUDA graph, which needs the plan for as long as it is replayed.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.kernels.devices import count_multiprocessors, launch_on, share_empty
from eric_fast.kernels.gpu.lower import GpuCode, Wanted
from eric_fast.kernels.gpu.questions import prepare_question
from eric_fast.kernels.gpu.run import evaluate_kernel
from eric_fast.kernels.gpu.vote_tables import GROUP_TREES
from eric_fast.kernels.liveness import VOTE, VOTE_RULES
from eric_fast.kernels.outcome import Outcome, Request, check_inputs, check_truths
from eric_fast.kernels.reference.evaluate import count_confusion
from eric_fast.plan import Plan

GROUP_SAMPLES = ROW_WORDS * WORD_BITS  # what a block has at a time, unless there are few words
N_STRIPES = 2  # of its rows, see `run_lines`
STRIPE_WORDS, WARP_THREADS = 4, 32  # a thread's words of a stripe: 128 bits
N_REGISTERS = 128  # of a thread: all that a multiprocessor has for such a block, or for two of few words
FEW_WORDS = 8  # of a block where there are few in all, so that more multiprocessors share them
MOST_SCRATCH = 2**29  # bytes; fewer blocks run at once where they would need more: sums of 1,000 classes are 8 MB each


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit, on the device of `words` and its current stream."""
    check_inputs(plan, words, n_samples)
    check_truths(plan, words, n_samples, request.truths)
    device = words.device
    n_groups = words.shape[1] // ROW_WORDS
    n_padded = n_groups * GROUP_SAMPLES
    question = prepare_question(plan, device, request)
    lowered = question.lower(plan, n_groups)

    def allocate(needed: bool, dtype: torch.dtype, *shape: int) -> Tensor:
        if needed:
            return torch.empty(shape, dtype=dtype, device=device)
        return share_empty(dtype, device)

    n_wanted = len(request.rows or ())
    decides, rules = question.kinds.decision, question.kinds.rules
    outputs = Outputs(
        classes=allocate(decides, request.class_dtype, n_padded),
        rules=allocate(request.covered or (decides and rules), torch.int32, n_padded),
        scores=allocate(request.scores and question.votes, torch.float64, n_padded, plan.n_classes),
        truth=allocate(n_wanted > 0, torch.int32, n_wanted, words.shape[1]),
        counts=torch.zeros(question.n_rules, dtype=torch.int64, device=device)
        if request.counts
        else share_empty(torch.int64, device),
        leaves=allocate(request.leaves, torch.int32, n_samples, question.n_trees),
    )
    groups = range(n_groups)
    launch(plan, lowered.code, words.contiguous(), n_samples, groups, lowered.wanted, outputs, question.decision)
    classes, scores, truth = outputs.classes[:n_samples], None, outputs.truth
    if request.scores:
        scores = outputs.scores[:n_samples] if question.votes else question.base.repeat(n_samples, 1)
    if request.rows is not None and not n_wanted:
        truth = truth.new_empty(0, words.shape[1])
    return Outcome(
        classes=classes if request.classes else None,
        rules=outputs.rules[:n_samples] if request.rules else None,
        scores=scores,
        counts=outputs.counts if request.counts else None,
        rows=truth if request.rows is not None else None,
        confusion=None if request.truths is None else count_confusion(plan, request.truths, classes),
        leaves=outputs.leaves if request.leaves else None,
        covered=outputs.rules[:n_samples] >= 0 if request.covered else None,
    )


class Scratch(NamedTuple):
    """Memory of a launch's programs, a block's part each: arguments of the kernel; empty where it isn't needed.

    scratch: int32 `[n_programs, n_slots, block_words]`: rows.
    sums: float64 `[n_programs, n_sums, block_samples]`: under `vote`; by sample with the last two axes exchanged.
    most: float64, most_rules: int32 `[n_programs, n_classes, block_samples]`: what one rule added most, and which.
    numbers: int32 `[n_programs, GROUP_TREES, block_samples]`: of a group of trees.
    """

    scratch: Tensor
    sums: Tensor
    most: Tensor
    most_rules: Tensor
    numbers: Tensor


class Outputs(NamedTuple):
    """What a launch writes: arguments of the kernel; empty where it isn't wanted.

    classes: int16 or int32 `[n_padded]`.
    rules: int32 `[n_padded]`; -1 where none fires. Where sums decide and no rule is looked for, 0 where one fires.
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

    first_group, last_group: which groups of words to run, of `n_groups`; a group is what a block has at a time.
    n_scores, n_leaves, n_covered: what is stored for each sample; 0 for nothing.
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
    n_covered: int
    covered: int
    default: int


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
    device, n_parts = words.device, code.sizes.n_parts
    n_multiprocessors = count_multiprocessors(device)
    block_words = choose_words(len(groups) * n_parts, n_multiprocessors)
    scale, block_samples = ROW_WORDS // block_words, block_words * WORD_BITS
    adds = decision in (VOTE, VOTE_RULES)
    n_sums = code.sizes.n_sums * block_samples if adds else 0
    n_most = plan.n_classes * block_samples if decision == VOTE_RULES else 0
    n_numbers = GROUP_TREES * block_samples if code.sizes.n_indexes and adds else 0
    bytes_per_block = 4 * block_words * code.n_slots + 8 * n_sums + 12 * n_most + 4 * n_numbers
    # Small blocks share a multiprocessor, so that each runs once
    n_blocks = min(len(groups) * scale, n_multiprocessors * scale, MOST_SCRATCH // (n_parts * bytes_per_block))
    grid = (max(1, n_blocks), n_parts)

    def allocate(n: int, dtype: torch.dtype) -> Tensor:
        if n:
            return torch.empty(grid[0] * n_parts * n, dtype=dtype, device=device)
        return share_empty(dtype, device)

    scratch = Scratch(
        scratch=allocate(code.n_slots * block_words, torch.int32),
        sums=allocate(n_sums, torch.float64),
        most=allocate(n_most, torch.float64),
        most_rules=allocate(n_most, torch.int32),
        numbers=allocate(n_numbers, torch.int32),
    )
    sizes = Sizes(
        first_group=groups.start * scale,
        last_group=groups.stop * scale,
        n_groups=words.shape[1] // block_words,
        n_slots=code.n_slots,
        n_inputs=plan.n_inputs,
        n_classes=plan.n_classes,
        n_samples=n_samples,
        n_scores=plan.n_classes if len(outputs.scores) else 0,
        n_counted=code.sizes.n_counted,
        n_indexes=code.sizes.n_indexes,
        n_leaves=outputs.leaves.shape[1] if outputs.leaves.numel() else 0,
        n_answers=code.sizes.n_answers,
        n_counters=code.sizes.n_counters,
        n_columns=code.n_columns,
        n_sums=code.sizes.n_sums,
        n_covered=min(1, outputs.rules.numel()),
        covered=code.covered_slot,
        default=plan.default,
    )
    constants = pick_constants(
        code.sizes.n_workers,
        has_adders=code.has_adders,
        decision=decision,
        by_sample=code.by_sample,
        block_words=block_words,
    )
    with launch_on(device):
        # By position, which takes 18 us of the CPU's time where 61 keywords take 41
        evaluate_kernel[grid](words, *code.tables, *scratch, *wanted, *outputs, *sizes, **constants)


def choose_words(n_works: int, n_multiprocessors: int) -> int:
    """How many words a block has at a time: fewer where multiprocessors would have nothing to do.

    n_works: groups of `ROW_WORDS` words, of all parts.
    """
    return FEW_WORDS if n_works * ROW_WORDS // FEW_WORDS < 2 * n_multiprocessors else ROW_WORDS


def pick_constants(
    n_workers: int, *, has_adders: bool, decision: int, by_sample: bool, block_words: int
) -> dict[str, Any]:
    """Return what a launch compiles for: the kernel's constants and how many warps a block has."""
    n_stripes = N_STRIPES if block_words == ROW_WORDS else 1
    return {
        "WORKERS": n_workers,
        "BLOCK": block_words,
        "STRIPES": n_stripes,
        "WITH_ADDERS": has_adders,
        "DECISION": decision,
        "BY_SAMPLE": by_sample and decision in (VOTE, VOTE_RULES),
        "GROUP_TREES": GROUP_TREES,
        "num_warps": n_workers * block_words // (n_stripes * STRIPE_WORDS * WARP_THREADS),
        "maxnreg": N_REGISTERS,
    }
