"""`Predictions`: what an evaluator answers."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import say_count
from eric_fast.processes.pickling import PickledByFields
from eric_fast.results.described import Described

NO_RULE = -1  # no class rule fired; as a class: and the program has no default class


@dataclass(frozen=True, eq=False, repr=False)
class Predictions(Described, PickledByFields):
    """Answers, one per sample.

    Attributes:
        classes: int32 `[n_samples]`, a class index, or `NO_RULE`.
        rules: int32 `[n_samples]`, the class rule that decided, or `NO_RULE` where none fired: under `first`
            the first that fired; under `vote` the fired one that added most to the winner, the first of equals; under
            `labels` none.
        scores: under `vote` and `labels`, float64 `[n_samples, n_classes]`: the sums; None where not asked for.
        labels: under `labels`, bool `[n_samples, n_classes]`: which labels are true, those whose sum is above 0. The
            class is then that of the highest sum.
        bits: the truth of all atoms from the start layer up, in the program's order; None where not asked for.

    Examples:
        >>> bits = ef.BitMatrix.from_bools(torch.tensor([[True, False], [False, True], [False, False]]), ["f:0", "f:1"])
        >>> found = ef.Evaluator(ef.parse_program(PETS)).predict(bits)
        >>> found.classes.tolist(), found.rules.tolist()
        ([0, 1, -1], [0, 1, -1])
    """

    classes: Tensor
    rules: Tensor
    scores: Tensor | None = None
    bits: BitMatrix | None = None
    labels: Tensor | None = None

    def list_facts(self) -> Iterator[str]:
        yield say_count(self.n_samples, "sample")
        if self.labels is None:
            yield f"{int((self.rules == NO_RULE).sum()):,} without a rule"
        else:
            yield say_count(self.labels.shape[1], "label")

    def __post_init__(self) -> None:
        assert self.classes.dtype == self.rules.dtype == torch.int32
        assert self.classes.shape == self.rules.shape == (self.n_samples,)

    @property
    def n_samples(self) -> int:
        return len(self.classes)
