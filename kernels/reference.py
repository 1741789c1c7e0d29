"""The meaning of every operation, in plain tensors and boolean masks, on any device."""

import torch
from torch import Tensor

from eric_fast.bits import pack_bits, unpack_words
from eric_fast.kernels.outcome import Outcome, check_words
from eric_fast.plan import Plan

GREATER, LESS_EQUAL, EQUAL = 0, 1, 2
CHUNK_SAMPLES = 8192
CHUNK_RULES = 4096


def pack(columns: Tensor, constants: Tensor, operators: Tensor) -> Tensor:
    """Compare and pack: float32 `[n_samples, n_atoms]` -> int32 words `[n_atoms, n_words]`.

    `constants` is float32 `[n_atoms]`; `operators` int8 `[n_atoms]`: `GREATER`, `LESS_EQUAL`, `EQUAL`.
    A comparison with NaN is false.
    """
    bits = columns > constants
    for operator, compare in ((LESS_EQUAL, torch.le), (EQUAL, torch.eq)):
        others = operators == operator
        if bool(others.any()):
            bits[:, others] = compare(columns[:, others], constants[others])
    return pack_bits(bits)


def evaluate(
    plan: Plan, words: Tensor, n_samples: int, *, with_scores: bool = False, with_rows: bool = False
) -> Outcome:
    """A whole program over packed inputs: int32 words `[n_inputs, n_words]`.

    A rule fires where every positive atom is true and no negative one is; a derived row is true where some rule
    of it fires. Under `first` the first class rule that fires decides. Under `vote` every rule that fires adds its
    weights to its classes, in the order of the rules, in float64; the highest sum wins, the lowest index on a tie;
    the deciding rule is the fired one that adds most to the winner, the first of equals.
    """
    check_words(plan, words, n_samples)
    bits = unpack_words(words, n_samples)  # [n_samples, n_inputs]
    decisions, truths = [], []
    for chunk in bits.split(CHUNK_SAMPLES):
        truth = _derive_rows(plan, chunk)
        decisions.append(decide(plan, fire_rules(plan, plan.n_kernel_rules, plan.n_rules, truth), with_scores))
        if with_rows:
            truths.append(truth)
    classes, rules, scores = (torch.cat(parts) for parts in zip(*decisions, strict=True))
    return Outcome(classes, rules, scores if with_scores else None, pack_bits(torch.cat(truths)) if with_rows else None)


def _derive_rows(plan: Plan, bits: Tensor) -> Tensor:
    """bool `[n, n_inputs]` -> truth of all rows, bool `[n, n_rows]`."""
    truth = torch.zeros(len(bits), plan.n_rows, dtype=torch.bool, device=bits.device)
    truth[:, : plan.n_inputs] = bits
    for first, last in zip(plan.strata[:-1].tolist(), plan.strata[1:].tolist(), strict=True):
        heads = plan.heads[first:last].to(bits.device)
        fires = fire_rules(plan, first, last, truth)  # [n, n_rules of the stratum]
        n_fired = torch.zeros(plan.n_rows, len(bits), dtype=torch.int32, device=bits.device)
        n_fired.index_add_(0, heads, fires.T.to(torch.int32))
        truth |= n_fired.T > 0
    return truth


def decide(plan: Plan, fires: Tensor, with_scores: bool) -> tuple[Tensor, Tensor, Tensor]:
    """bool `[n, n_class_rules]` -> classes `[n]`, deciding rules `[n]`, scores `[n, n_classes]` (or `[n, 0]`)."""
    covered = fires.any(dim=1)
    scores = _add_votes(plan, fires)
    if not plan.n_class_rules:
        classes = rules = torch.full((len(fires),), -1, dtype=torch.int64, device=fires.device)
    elif plan.votes:
        classes = scores.argmax(dim=1)
        adds = _vote_matrix(plan).to(fires.device)[:, classes].T  # [n, n_class_rules], to the winner
        rules = adds.where(fires, -torch.inf).argmax(dim=1)
    else:
        rules = fires.to(torch.uint8).argmax(dim=1)  # the first of equals
        classes = plan.heads[plan.n_kernel_rules :].to(fires.device).long()[rules]
    classes, rules = torch.where(covered, classes, plan.default), torch.where(covered, rules, -1)
    return classes, rules, scores if with_scores else scores[:, :0]


def fire_rules(plan: Plan, first: int, last: int, truth: Tensor) -> Tensor:
    """bool `[n, last - first]`: where the bodies of these rules are true, given the rows `[n, n_rows]` they mention."""
    parts = [torch.zeros(len(truth), 0, dtype=torch.bool, device=truth.device)]
    holds, fails = truth.float(), (~truth).float()
    for start in range(first, last, CHUNK_RULES):
        positive, negative = plan.rule_masks(start, min(start + CHUNK_RULES, last))
        # Counts of at most n_rows, exact in float32: [n, n_rows] @ [n_rows, n_rules]
        violated = fails @ positive.to(truth.device).T.float() + holds @ negative.to(truth.device).T.float()
        parts.append(violated == 0)
    return torch.cat(parts, dim=1)


def _add_votes(plan: Plan, fires: Tensor) -> Tensor:
    """float64 `[n, n_classes]`: the sums, added rule by rule so that every engine rounds alike."""
    scores = plan.base.to(fires.device).repeat(len(fires), 1)
    if plan.votes:
        offsets = plan.vote_offsets.tolist()
        for rule in range(plan.n_class_rules):
            for vote in range(offsets[rule], offsets[rule + 1]):
                scores[:, int(plan.vote_classes[vote])] += fires[:, rule] * float(plan.vote_weights[vote])
    return scores


def _vote_matrix(plan: Plan) -> Tensor:
    """float64 `[n_class_rules, n_classes]`: what each rule adds to each class."""
    matrix = torch.zeros(plan.n_class_rules, plan.n_classes, dtype=torch.float64)
    rules = torch.repeat_interleave(torch.arange(plan.n_class_rules), plan.vote_offsets.diff())
    matrix[rules, plan.vote_classes.long()] = plan.vote_weights
    return matrix
