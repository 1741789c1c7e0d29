"""Packed words on the GPU: one Triton kernel runs a whole program; a block carries its words through all strata."""

import torch
import triton
import triton.language as tl
from torch import Tensor

from eric_fast.bits import ROW_WORDS, WORD_BITS, mask_tail, unpack_words
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.kernels.reference import CHUNK_SAMPLES, count_pairs, decide
from eric_fast.plan import Plan


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """As `reference.evaluate`, to the bit, on the device of `words`."""
    check_request(plan, words, n_samples, request)
    device, n_words = words.device, words.shape[1]
    rows = torch.zeros(plan.n_rows, n_words, dtype=torch.int32, device=device)
    rows[: plan.n_inputs] = words
    fires = torch.empty(plan.n_class_rules if plan.votes else 0, n_words, dtype=torch.int32, device=device)
    rules = torch.empty(0 if plan.votes else n_words * WORD_BITS, dtype=torch.int32, device=device)
    # Rules of a negated row say where it is false: the row holds that, and literals about it change their sign.
    flips = plan.negated[torch.where(plan.literals < 0, ~plan.literals, plan.literals).long()]
    evaluate_kernel[(n_words // ROW_WORDS,)](
        rows,
        fires,
        rules,
        torch.where(flips, ~plan.literals, plan.literals).to(device),
        plan.offsets.to(device),
        plan.heads.to(device),
        plan.n_kernel_rules,
        plan.n_rules,
        n_words,
        VOTES=plan.votes,
        BLOCK=ROW_WORDS,
        num_warps=1,
    )
    if plan.votes:
        step = CHUNK_SAMPLES // WORD_BITS
        chunks = [
            decide(
                plan,
                unpack_words(fires[:, w : w + step], min(CHUNK_SAMPLES, n_samples - w * WORD_BITS)),
                request.scores,
            )
            for w in range(0, max(n_samples, 1), step)
        ]
        classes, decided, scores = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    else:
        decided = rules[:n_samples]
        class_of_rule = torch.cat([plan.heads[plan.n_kernel_rules :], torch.tensor([plan.default], dtype=torch.int32)])
        classes = class_of_rule.to(device)[decided]  # -1, no rule, is the last: the default
        scores = plan.base.to(device).repeat(n_samples if request.scores else 0, 1)
    rows[plan.negated.to(device)] ^= -1
    return Outcome(
        classes if request.classes else None,
        decided if request.rules else None,
        scores if request.scores else None,
        None,
        None if request.rows is None else mask_tail(rows[list(request.rows)], n_samples),
        None if request.truths is None else count_pairs(plan, request.truths, classes),
    )


@triton.jit
def _fire_rule(p_rows, p_literals, p_offsets, rule, o_words, stride, BLOCK: tl.constexpr):
    """The AND of a rule's literals: int32 [BLOCK]."""
    b_fired = tl.full([BLOCK], -1, tl.int32)
    for i in range(tl.load(p_offsets + rule), tl.load(p_offsets + rule + 1)):
        literal = tl.load(p_literals + i)
        sign = literal >> 31  # all ones for a negation, where the row is ~literal and its words are flipped
        b_fired &= tl.load(p_rows + (literal ^ sign) * stride + o_words) ^ sign
    return b_fired


@triton.jit
def evaluate_kernel(
    p_rows,  # int32 [n_rows, stride]: inputs given, derived rows zero
    p_fires,  # int32 [n_class_rules, stride]: written under vote
    p_rules,  # int32 [stride * 32]: the first class rule that fires, written under first
    p_literals,
    p_offsets,
    p_heads,
    n_kernel_rules,
    n_rules,
    stride,
    VOTES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    # Rows are padded to whole blocks, so nothing is masked; addresses are 64-bit.
    stride = tl.cast(stride, tl.int64)
    o_words = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)  # [BLOCK]
    for rule in range(n_kernel_rules):
        b_fired = _fire_rule(p_rows, p_literals, p_offsets, rule, o_words, stride, BLOCK)
        p_head = p_rows + tl.load(p_heads + rule) * stride + o_words
        tl.store(p_head, tl.load(p_head) | b_fired)
        tl.debug_barrier()  # a later rule may read these words through another thread
    i_bits = tl.arange(0, 32)
    b_rules = tl.full([BLOCK, 32], -1, tl.int32)  # [BLOCK, 32]: word, bit
    b_undecided = tl.full([BLOCK], -1, tl.int32)
    for number in range(n_rules - n_kernel_rules):
        b_fired = _fire_rule(p_rows, p_literals, p_offsets, n_kernel_rules + number, o_words, stride, BLOCK)
        if VOTES:
            tl.store(p_fires + number * stride + o_words, b_fired)
        else:
            b_new = b_fired & b_undecided
            b_rules = tl.where(((b_new[:, None] >> i_bits[None, :]) & 1) != 0, number, b_rules)
            b_undecided &= ~b_fired
    if not VOTES:
        tl.store(p_rules + o_words[:, None] * 32 + i_bits[None, :], b_rules)
