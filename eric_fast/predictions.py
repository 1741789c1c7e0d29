"""`Predictions`: what a program answers on a batch of samples."""

from dataclasses import dataclass

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix

NO_RULE = -1  # no class rule fired; as a class: and the program has no default class


@dataclass(frozen=True, eq=False)
class Predictions:
    """Answers, one per sample.

    Attributes:
        classes: int32 `[n_samples]`, a class index, or `NO_RULE`.
        rules: int32 `[n_samples]`, the class rule that decided, or `NO_RULE` where none fired: under `first`
            the first that fired; under `vote` the fired one that added most to the winner, the first of equals.
        scores: under `vote`, float64 `[n_samples, n_classes]`: the sums; None where not asked for.
        bits: derived atoms' truth, packed; None where not asked for.
    """

    classes: Tensor
    rules: Tensor
    scores: Tensor | None = None
    bits: BitMatrix | None = None

    def __post_init__(self) -> None:
        assert self.classes.dtype == self.rules.dtype == torch.int32
        assert self.classes.shape == self.rules.shape == (self.n_samples,)

    @property
    def n_samples(self) -> int:
        return len(self.classes)
