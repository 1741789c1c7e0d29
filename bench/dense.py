"""Rules as dense matrices in plain PyTorch: what a user writes who thinks in matrix products."""

from itertools import pairwise

import torch
from torch import Tensor

from eric_fast.plan import Plan
from eric_fast.program import Program

CHUNK_SAMPLES = 2048


class DenseMasks:
    """A plan's strata as float32 matrices over the rows that they mention, ready on a device."""

    def __init__(self, plan: Plan, device: str) -> None:
        self.plan = plan
        self.device = device
        bounds = [*plan.strata.tolist(), plan.n_rules]
        self.strata = [self._make_masks(first, last) for first, last in pairwise(bounds)]

    def _make_masks(self, first: int, last: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Rows mentioned, weights `[n_mentioned, n_rules]`, positive literals of each rule, heads."""
        positive, negative = self.plan.rule_masks(first, last)
        mentioned = (positive | negative).any(dim=0).nonzero().flatten()
        weights = (negative.float() - positive.float())[:, mentioned].T.contiguous()
        n_positive = positive.sum(dim=1).float()
        return tuple(t.to(self.device) for t in (mentioned, weights, n_positive, self.plan.heads[first:last].long()))  # type: ignore[return-value]

    def evaluate(self, bits: Tensor, rows: range | None) -> Tensor:
        """float32 `[n, n_inputs]` -> bool `[n, n_wanted]`, the truth of these rows; int32 `[n]`, classes, without."""
        return torch.cat([self._evaluate_chunk(chunk, rows) for chunk in bits.split(CHUNK_SAMPLES)])

    def _evaluate_chunk(self, bits: Tensor, rows: range | None) -> Tensor:
        plan = self.plan
        truth = torch.zeros(len(bits), plan.n_rows, device=self.device)
        truth[:, : plan.n_inputs] = bits
        negated = plan.negated.to(self.device)
        truth[:, negated] = 1
        for mentioned, weights, n_positive, heads in self.strata[:-1]:
            fires = self._fire(truth, mentioned, weights, n_positive).float()
            n_fired = torch.zeros_like(truth).index_add_(1, heads, fires)
            derived = heads.unique()
            truth[:, derived] = ((n_fired[:, derived] > 0) ^ negated[derived]).float()
        if rows is not None:
            return truth[:, list(rows)] > 0
        mentioned, weights, n_positive, classes = self.strata[-1]
        fires = self._fire(truth, mentioned, weights, n_positive)
        covered = fires.any(dim=1)
        first = fires.to(torch.uint8).argmax(dim=1)
        return torch.where(covered, classes[first], plan.default).int()

    @staticmethod
    def _fire(truth: Tensor, mentioned: Tensor, weights: Tensor, n_positive: Tensor) -> Tensor:
        """Where no literal is violated: those that are, counted, are `n_positive - positives true + negatives true`."""
        return truth[:, mentioned] @ weights + n_positive == 0


class DenseWeights:
    """Weight rules in layers and votes of one literal each as float32 matrices: a network of steps."""

    def __init__(self, program: Program) -> None:
        self.layers = []
        starts = [rows.start for rows in program.quantiser.rows_of_layer.values()]
        for below, first, stop in zip(starts, starts[1:], [*starts[2:], len(program.atoms)], strict=False):
            weights, bounds = torch.zeros(first - below, stop - first), torch.zeros(stop - first)
            for rule in (rule for rule in program.kernel_rules if first <= rule.head < stop):
                bounds[rule.head - first] = rule.bound
                for literal, weight in zip(rule.body, rule.weights, strict=True):
                    weights[max(literal, ~literal) - below, rule.head - first] = weight if literal >= 0 else -weight
                    bounds[rule.head - first] -= 0 if literal >= 0 else weight
            self.layers.append((weights, bounds))
        self.votes = torch.zeros(len(program.atoms) - starts[-1], len(program.classes))
        for vote in program.class_rules:
            self.votes[vote.body[0] - starts[-1], vote.head] = vote.weight

    def evaluate(self, bits: Tensor) -> Tensor:
        """float32 `[n, n_inputs]` -> int32 `[n]`: the class, where a vote is cast."""
        for weights, bounds in self.layers:
            bits = (bits @ weights >= bounds).float()
        scores = bits @ self.votes
        return torch.where(bits.any(dim=1), scores.argmax(dim=1), -1).int()
