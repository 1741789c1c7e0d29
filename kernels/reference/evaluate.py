"""`evaluate`: what it means, in plain tensors and boolean masks on any device."""

from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import pack_bits, unpack_words
from eric_fast.kernels.outcome import Outcome, Request, check_request
from eric_fast.plan import Plan

CHUNK_SAMPLES = 8192
CHUNK_RULES = 4096


def evaluate(plan: Plan, words: Tensor, n_samples: int, request: Request) -> Outcome:
    """Run a whole program over packed inputs: int32 words `[n_inputs, n_words]`.

    A rule fires where every positive atom is true and no negative one is; a derived row is true where some rule
    of it fires, or, negated, where none does. Under `first` the first class rule that fires decides. Under `vote` every
    rule that fires adds its weights to its classes, in the order of the rules, in float64; the highest sum wins, the
    lowest index on a tie; the deciding rule is the fired one that adds most to the winner, the first of equals.
    """
    check_request(plan, words, n_samples, request)
    bits = unpack_words(words, n_samples)  # [n_samples, n_inputs]
    decisions, truths, leaves = [], [], []
    counts = torch.zeros(plan.n_rules, dtype=torch.int64, device=words.device)
    for chunk in bits.split(CHUNK_SAMPLES):
        truth = _derive_rows(plan, chunk)
        fires = fire_rules(plan, plan.n_kernel_rules, plan.n_rules, truth)
        decisions.append(decide(plan, fires, request.scores))
        if request.counts:
            counts += torch.cat([fire_rules(plan, 0, plan.n_kernel_rules, truth), fires], dim=1).sum(dim=0)
        truths.append(truth[:, list(request.rows or ())])
        leaves.append(find_leaves(plan, fires))
    classes, rules, scores = (torch.cat(parts) for parts in zip(*decisions, strict=True))
    return Outcome(
        classes=classes.to(request.class_dtype) if request.classes else None,
        rules=rules if request.rules else None,
        scores=scores if request.scores else None,
        counts=counts if request.counts else None,
        rows=pack_bits(torch.cat(truths)) if request.rows is not None else None,
        confusion=None if request.truths is None else count_confusion(plan, request.truths, classes),
        leaves=torch.cat(leaves) if request.leaves else None,
        covered=rules >= 0 if request.covered else None,
    )


def find_leaves(plan: Plan, fires: Tensor) -> Tensor:
    """bool `[n, n_class_rules]` -> int32 `[n, n_trees]`: the class rule of each tree that fires, or -1."""
    leaves = torch.full((len(fires), len(plan.trees)), -1, dtype=torch.int32, device=fires.device)
    for tree, (first, last) in enumerate(plan.trees.tolist()):
        rules = first + fires[:, first:last].to(torch.uint8).argmax(dim=1)
        leaves[:, tree] = torch.where(fires[:, first:last].any(dim=1), rules, -1)
    return leaves


def count_confusion(plan: Plan, truths: Tensor, classes: Tensor) -> Tensor:
    """int64 `[n_truths, n_classes, n_classes + 1]`: how often each true class meets each answer, the last for none."""
    n = plan.n_classes
    answers = classes.masked_fill(classes < 0, n)
    # What is unknown goes to a place of its own: `bincount`, or choosing the known, would wait for a device.
    pairs = (truths * (n + 1) + answers).masked_fill(truths < 0, n * (n + 1))
    counts = truths.new_zeros(len(truths), n * (n + 1) + 1)
    counts.scatter_add_(1, pairs, torch.ones_like(counts[:1, :1]).expand_as(pairs))
    return counts[:, :-1].view(len(truths), n, n + 1)


def _derive_rows(plan: Plan, bits: Tensor) -> Tensor:
    """bool `[n, n_inputs]` -> truth of all rows, bool `[n, n_rows]`.

    The row of a sum is true where the weights of its true literals sum to its bound at least.
    """
    truth = torch.zeros(len(bits), plan.n_rows, dtype=torch.bool, device=bits.device)
    truth[:, : plan.n_inputs] = bits
    negated = plan.negated.to(bits.device)
    truth[:, plan.n_inputs :] = negated[plan.n_inputs :]
    for stratum, (first, last) in enumerate(zip(plan.strata[:-1].tolist(), plan.strata[1:].tolist(), strict=True)):
        _add_up(plan, stratum, truth)
        heads = plan.heads[first:last].to(bits.device)
        fires = fire_rules(plan, first, last, truth)  # [n, n_rules of the stratum]
        n_fired = torch.zeros(plan.n_rows, len(bits), dtype=torch.int32, device=bits.device)
        n_fired.index_add_(0, heads, fires.T.to(torch.int32))
        rows = heads.unique()
        truth[:, rows] = (n_fired[rows].T > 0) ^ negated[rows]
    _add_up(plan, len(plan.strata) - 1, truth)
    return truth


def _add_up(plan: Plan, stratum: int, truth: Tensor) -> None:
    """Fill in the rows of the sums that rules of a stratum are the first to read."""
    sums = plan.sums
    for number in range(*sums.strata[stratum : stratum + 2].tolist()):
        part = slice(sums.offsets[number], sums.offsets[number + 1])
        literals, weights = sums.literals[part].long().to(truth.device), sums.weights[part].long().to(truth.device)
        holds = truth[:, torch.where(literals < 0, ~literals, literals)] ^ (literals < 0)
        row = plan.n_rows - len(sums.bounds) + number
        truth[:, row] = (holds * weights).sum(dim=1) >= int(sums.bounds[number])


class Decisions(NamedTuple):
    """classes, rules: int32 `[n]`, the deciding rule. scores: float64 `[n, n_classes]`, or `[n, 0]`."""

    classes: Tensor
    rules: Tensor
    scores: Tensor


def decide(plan: Plan, fires: Tensor, with_scores: bool) -> Decisions:
    """Decide by the class rules that fire, bool `[n, n_class_rules]`."""
    covered = fires.any(dim=1)
    scores = _add_votes(plan, fires)
    if not plan.n_class_rules:
        classes = rules = torch.full((len(fires),), -1, device=fires.device)
    elif plan.votes:
        classes = scores.argmax(dim=1)
        adds = _vote_matrix(plan).to(fires.device)[:, classes].T  # [n, n_class_rules], to the winner
        rules = adds.where(fires, -torch.inf).argmax(dim=1)
    else:
        rules = fires.to(torch.uint8).argmax(dim=1)  # the first of equals
        classes = plan.heads[plan.n_kernel_rules :].to(fires.device).long()[rules]
    classes = torch.where(covered, classes, plan.default).int()
    return Decisions(classes, torch.where(covered, rules, -1).int(), scores if with_scores else scores[:, :0])


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
                # A bool times a number would be float32, and the weight rounded to it.
                scores[:, int(plan.vote_classes[vote])] += fires[:, rule].double() * float(plan.vote_weights[vote])
    return scores


def _vote_matrix(plan: Plan) -> Tensor:
    """float64 `[n_class_rules, n_classes]`: what each rule adds to each class."""
    matrix = torch.zeros(plan.n_class_rules, plan.n_classes, dtype=torch.float64)
    rules = torch.repeat_interleave(torch.arange(plan.n_class_rules), plan.vote_offsets.diff())
    matrix[rules, plan.vote_classes.long()] = plan.vote_weights
    return matrix
