"""Rules as dense masks in plain PyTorch: what a user writes who thinks in matrix products."""

from itertools import pairwise

import torch
from torch import Tensor

from eric_fast.plan import Plan

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
