"""What `evaluate` gives back, and the checks that every engine makes first."""

from typing import NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.errors import EricError
from eric_fast.plan import Plan


class Outcome(NamedTuple):
    """Results on the device of the bits.

    classes: int64 `[n_samples]`, the class, the plan's default, or -1.
    rules: int64 `[n_samples]`, the class rule that decided, or -1 where none fired.
    scores: float64 `[n_samples, n_classes]`, where asked for.
    rows: int32 `[n_rows, n_words]`, inputs and derived atoms, where asked for.
    """

    classes: Tensor
    rules: Tensor
    scores: Tensor | None
    rows: Tensor | None


def check_words(plan: Plan, words: Tensor, n_samples: int) -> None:
    """Refuse words that are not this plan's inputs for `n_samples` samples."""
    shape = (plan.n_inputs, count_words(n_samples))
    if words.dtype != torch.int32 or words.shape != shape:
        raise EricError(
            f"the plan takes int32 words {list(shape)} for {n_samples} samples, "
            f"not {str(words.dtype).removeprefix('torch.')} {list(words.shape)}"
        )
