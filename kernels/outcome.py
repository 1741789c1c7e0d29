"""What `evaluate` can be asked for and gives back, and the checks that every engine makes first."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.errors import EricError, SettingError
from eric_fast.plan import Plan

CLASS_DTYPES = (torch.int16, torch.int32)


class Pack(Protocol):
    def __call__(self, first: int, last: int, out: Tensor | None = None) -> Tensor:
        """The words of samples `first` to `last`, int32 `[n_inputs, count_words(last - first)]`, in `out` if given.

        It may be asked from any thread, and for any samples of which the first is a multiple of 1024.
        """


@dataclass(frozen=True, eq=False)
class Request:
    """What is wanted of an evaluation; what isn't costs nothing.

    Attributes:
        classes: the class of each sample.
        rules: the class rule that decided. Under `vote` this takes longer than the class.
        scores: under `vote` the sums.
        counts: on how many samples each rule fires.
        rows: the packed truth of these rows of the plan.
        truths: int64 `[n_truths, n_samples]` on the device of the bits: classes (or -1: unknown, not counted) to count
            against the answers, such as labels and what the model predicts.
        leaves: which class rule of each of `plan.trees` fires.
        class_dtype: of classes: torch.int32, or torch.int16, which is half of the memory.
    """

    classes: bool = True
    rules: bool = True
    scores: bool = False
    counts: bool = False
    rows: range | tuple[int, ...] | None = None
    truths: Tensor | None = None
    leaves: bool = False
    class_dtype: torch.dtype = torch.int32

    @property
    def decides(self) -> bool:
        """Whether anything is wanted that the class rules decide."""
        return self.classes or self.rules or self.scores or self.truths is not None


class Outcome(NamedTuple):
    """Results on the device of the bits, each where asked for, else None.

    classes: int32 (or int16) `[n_samples]`, the class, the plan's default, or -1.
    rules: int32 `[n_samples]`, the class rule that decided, or -1 where none fired.
    scores: float64 `[n_samples, n_classes]`.
    counts: int64 `[n_rules]`, in the plan's order of rules.
    rows: int32 `[n_wanted, n_words]`.
    confusion: int64 `[n_truths, n_classes, n_classes + 1]`: samples by true class and by answer, the last for none.
    leaves: int32 `[n_samples, n_trees]`: the class rule of the leaf that a sample is in, or -1 where no rule has it.
    """

    classes: Tensor | None
    rules: Tensor | None
    scores: Tensor | None
    counts: Tensor | None
    rows: Tensor | None
    confusion: Tensor | None
    leaves: Tensor | None


def expect(result: Tensor | None) -> Tensor:
    """A result of an `Outcome` that was asked for."""
    if result is None:
        raise EricError("this result was not asked for; name it in the request")
    return result


def check_request(plan: Plan, words: Tensor, n_samples: int, request: Request) -> None:
    """Refuse words that are not this plan's inputs for `n_samples` samples, and wishes that fit neither."""
    shape = (plan.n_inputs, count_words(n_samples))
    if words.dtype != torch.int32 or words.shape != shape:
        raise EricError(
            f"the plan takes int32 words {list(shape)} for {n_samples} samples, "
            f"not {str(words.dtype).removeprefix('torch.')} {list(words.shape)}"
        )
    rows = request.rows or ()
    if len(rows) and not 0 <= min(rows) <= max(rows) < plan.n_rows:
        raise EricError(f"rows {min(rows)} to {max(rows)} are wanted of a plan that has {plan.n_rows}")
    if request.class_dtype not in CLASS_DTYPES:
        raise SettingError(f"classes are torch.int16 or torch.int32, not {request.class_dtype}")
    if plan.n_classes > torch.iinfo(request.class_dtype).max:
        raise SettingError(f"int16 doesn't hold the plan's {plan.n_classes} classes; ask for torch.int32")
    truths = request.truths
    if truths is None:
        return
    if truths.dtype != torch.int64 or truths.ndim != 2 or truths.shape[1] != n_samples:
        raise EricError(
            f"classes to compare with are int64 [n_truths, {n_samples}], "
            f"not {str(truths.dtype).removeprefix('torch.')} {list(truths.shape)}"
        )
    if truths.device != words.device:
        raise EricError(f"the bits are on {words.device}, the classes to compare with on {truths.device}")
    # On the CPU by NumPy: PyTorch would wake its threads, and wait for the last of them.
    known = truths.numpy() if truths.device.type == "cpu" else truths
    if truths.numel() and not -1 <= int(known.min()) <= int(known.max()) < plan.n_classes:
        raise EricError(f"a class to compare with is none of the plan's {plan.n_classes}, nor -1 for unknown")
