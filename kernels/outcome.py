"""What `evaluate` takes and returns on every engine, and the checks made first."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels.devices import find_range
from eric_fast.plan import Plan

CLASS_DTYPES = (torch.int16, torch.int32)
Result = TypeVar("Result")


class Pack(Protocol):
    def __call__(self, first: int, last: int, out: Tensor | None = None) -> Tensor:
        """Return the words of samples `first` to `last`, in `out` if given: int32 `[n_inputs, count_words(n)]`.

        Any thread may call it, for any samples from a multiple of 1024 on.
        """


@dataclass(frozen=True, eq=False)
class Request:
    """The results that are wanted of an evaluation; others cost nothing.

    Attributes:
        classes: the class of each sample.
        rules: the class rule that decided. Under `vote` this takes longer than the class.
        scores: the sums of the outputs, under `vote`.
        counts: on how many samples each rule fires.
        rows: the packed truth of these rows of the plan.
        truths: int64 `[n_truths, n_samples]` on the device of the bits: classes to compare the answers with, such as
            labels and the model's predictions; -1 where unknown, which isn't counted.
        leaves: which class rule of each of `plan.trees` fires.
        covered: whether any class rule fires.
        class_dtype: torch.int32, or torch.int16, which takes half the memory.
    """

    classes: bool = True
    rules: bool = True
    scores: bool = False
    counts: bool = False
    rows: range | tuple[int, ...] | None = None
    truths: Tensor | None = None
    leaves: bool = False
    covered: bool = False
    class_dtype: torch.dtype = torch.int32

    @property
    def decides(self) -> bool:
        """Whether a result is wanted that the class rules decide."""
        return self.classes or self.rules or self.scores or self.covered or self.truths is not None


class Outcome(NamedTuple):
    """Results on the device of the bits; None where a result wasn't requested.

    Attributes:
        classes: int32 (or int16) `[n_samples]`: the class, the plan's default, or -1.
        rules: int32 `[n_samples]`: the class rule that decided, or -1 where none fired.
        scores: float64 `[n_samples, n_classes]`.
        counts: int64 `[n_rules]`: on how many samples each rule fires, in the plan's order.
        rows: int32 `[n_wanted, n_words]`.
        confusion: int64 `[n_truths, n_classes, n_classes + 1]`: samples by true class and by answer, the last for none.
        leaves: int32 `[n_samples, n_trees]`: the class rule of the leaf that a sample is in, or -1 if no rule has it.
        covered: bool `[n_samples]`: whether any class rule fires.
    """

    classes: Tensor | None
    rules: Tensor | None
    scores: Tensor | None
    counts: Tensor | None
    rows: Tensor | None
    confusion: Tensor | None
    leaves: Tensor | None
    covered: Tensor | None = None


def expect(result: Result | None) -> Result:
    """A result, as of an `Outcome`, that was asked for."""
    if result is None:
        raise EricError("this result was not asked for; name it in the request")
    return result


def check_request(plan: Plan, words: Tensor, n_samples: int, request: Request) -> None:
    """Raise EricError or SettingError unless words and request fit the plan and `n_samples` samples."""
    check_inputs(plan, words, n_samples)
    check_wanted(plan, request)
    check_truths(plan, words, n_samples, request.truths)


def check_inputs(plan: Plan, words: Tensor, n_samples: int) -> None:
    """Raise EricError unless the words are those of the plan's inputs, on so many samples."""
    shape = (plan.n_inputs, count_words(n_samples))
    if words.dtype != torch.int32 or words.shape != shape:
        raise EricError(
            f"words must be int32 {list(shape)} for this plan and {n_samples} samples, "
            f"not {str(words.dtype).removeprefix('torch.')} {list(words.shape)}"
        )


def check_wanted(plan: Plan, request: Request) -> None:
    """Raise EricError or SettingError unless the plan has what is wanted, truths aside."""
    rows = request.rows or ()
    if len(rows) and not 0 <= min(rows) <= max(rows) < plan.n_rows:
        raise EricError(f"rows {min(rows)} to {max(rows)} are requested, but the plan has rows 0 to {plan.n_rows - 1}")
    if request.class_dtype not in CLASS_DTYPES:
        raise SettingError(f"class_dtype must be torch.int16 or torch.int32, not {request.class_dtype}")
    if plan.n_classes > torch.iinfo(request.class_dtype).max:
        raise SettingError(f"int16 can't hold the plan's {plan.n_classes} classes; use torch.int32")


def check_truths(plan: Plan, words: Tensor, n_samples: int, truths: Tensor | None) -> None:
    """Raise EricError unless the truths are classes of the plan, for so many samples."""
    if truths is None:
        return
    if truths.dtype != torch.int64 or truths.ndim != 2 or truths.shape[1] != n_samples:
        raise EricError(
            f"truths must be int64 [n_truths, {n_samples}], "
            f"not {str(truths.dtype).removeprefix('torch.')} {list(truths.shape)}"
        )
    if truths.device != words.device:
        raise EricError(f"the words are on {words.device}, but truths on {truths.device}; move them there")
    low, high = find_range(truths)
    if low < -1 or high >= plan.n_classes:
        raise EricError(f"truths must be classes 0 to {plan.n_classes - 1}, or -1 for unknown")
