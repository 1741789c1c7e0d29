"""`Score`: how well a program's answers agree with the model and with the labels."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.described import Described
from eric_fast.errors import CaptureError, say_count
from eric_fast.evaluator import NO_RULE, Predictions
from eric_fast.processes import Combine
from eric_fast.program import Program
from eric_fast.store.activations import UNKNOWN


@dataclass(frozen=True, eq=False, repr=False)
class Score(Described):
    """How well a program does from one start layer.

    Attributes:
        start_layer: the layer whose bits are given.
        n_images: images that the program was scored on.
        accuracy: share of images with a known label on which the program answers with it; None if no label is known.
        fidelity: share of images on which program and model agree.
        coverage: share of images on which some class rule fires.
        model_accuracy: as `accuracy`, of the model.
        n_rules: class rules, and rules for kernels above the start layer.
        n_literals: literals in their bodies.
        n_integers: weights and bounds other than 1, of bodies and of votes.
        confusion: integers `[n_classes, n_classes + 1]`: images by answer of the model (row) and of the program
            (column; the last: no answer).
        label_confusion: the same with the label as the row; None if no label is known.
    """

    start_layer: str
    n_images: int
    accuracy: float | None
    fidelity: float
    coverage: float
    model_accuracy: float | None
    n_rules: int
    n_literals: int
    n_integers: int
    confusion: NDArray[np.integer[Any]]
    label_confusion: NDArray[np.integer[Any]] | None

    def list_facts(self) -> Iterator[str]:
        yield f"from {self.start_layer}"
        yield say_count(self.n_images, "image")
        yield f"fidelity {self.fidelity:.3f}"
        if self.accuracy is not None:
            yield f"accuracy {self.accuracy:.3f}"
        yield f"coverage {self.coverage:.3f}"
        yield say_count(self.n_rules, "rule")
        yield say_count(self.n_literals, "literal")
        yield say_count(self.n_integers, "integer")

    def to_dict(self, *, with_confusion: bool = True) -> dict[str, Any]:
        """Build what `--json` writes; without the confusion, which is large, for a row of a chain."""
        left_out = () if with_confusion else ("confusion", "label_confusion")
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in left_out}
        return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in found.items()}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Score) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash


@dataclass(frozen=True, eq=False)
class Tally:
    """Counts of answers. The counts for parts of the images add up to those for all.

    Attributes:
        totals: int64 `[4]`: all images; images on which some class rule fires; images with a known label; images on
            which the model answers with the label.
        counts: int32 or int64 `[2, n_classes, n_classes + 1]`: `Score.confusion` and `Score.label_confusion`.
    """

    totals: Tensor
    counts: Tensor

    def add(self, predictions: Predictions, model_predictions: Tensor, labels: Tensor) -> None:
        """Add answers, beside those of the model, int64 `[n]`, and the labels, int64 `[n]` (`UNKNOWN` if not known)."""
        answers, rules = predictions.classes.cpu().numpy(), predictions.rules.cpu().numpy()
        model, truth = model_predictions.cpu().numpy(), labels.cpu().numpy()
        known = truth != UNKNOWN
        numbers = (np.count_nonzero(which) for which in (rules != NO_RULE, known, model == truth))
        self.totals.add_(torch.tensor([len(answers), *numbers]))
        confusion, label_confusion = self.counts.numpy()
        _count_pairs(confusion, model, answers)
        _count_pairs(label_confusion, truth[known], answers[known])

    def combine(self, combine: Combine) -> "Tally":
        """Add up the counts of all processes."""
        return Tally(combine(self.totals), combine(self.counts))


def start_tally(n_classes: int, n_images: int) -> Tally:
    """Start to count; there may be up to `n_images` images, over all processes."""
    counts = np.zeros((2, n_classes, n_classes + 1), np.int32 if n_images < 2**31 else np.int64)
    return Tally(torch.zeros(4, dtype=torch.int64), torch.from_numpy(counts))


def score_tally(program: Program, start: str | None, tally: Tally) -> Score:
    """Compute the score of a program from counts.

    Raises:
        CaptureError: there are no images.
        ProgramError: the program can't start there.
    """
    n, n_fired, n_known, n_right = tally.totals.tolist()
    if n == 0:
        raise CaptureError("there are no images to score the program on")
    start = program.layer_to_start(start)
    part = program.start_at(start)
    confusion, label_confusion = tally.counts
    return Score(
        start_layer=start,
        n_images=n,
        accuracy=int(label_confusion.diagonal().sum()) / n_known if n_known else None,
        fidelity=int(confusion.diagonal().sum()) / n,
        coverage=n_fired / n,
        model_accuracy=n_right / n_known if n_known else None,
        n_rules=len(part.class_rules) + len(part.kernel_rules),
        n_literals=part.n_literals,
        n_integers=part.n_integers,
        confusion=confusion.numpy(),
        label_confusion=label_confusion.numpy() if n_known else None,
    )


def score_predictions(
    program: Program, start: str | None, predictions: Predictions, model_predictions: Tensor, labels: Tensor
) -> Score:
    """Score answers.

    Args:
        program: the program that gave them.
        start: the layer that it started from; the lowest by default.
        predictions: the answers.
        model_predictions: int64 `[n]`, the model's answers.
        labels: int64 `[n]`, `UNKNOWN` where not known.

    Raises:
        CaptureError: there are no images.
        ProgramError: the program can't start there.
    """
    tally = start_tally(len(program.classes), predictions.n_samples)
    tally.add(predictions, model_predictions, labels)
    return score_tally(program, start, tally)


def _count_pairs(counts: NDArray[np.integer[Any]], truth: NDArray[np.int64], answers: NDArray[np.int32]) -> None:
    """Add one to `counts`, `[n_classes, n_classes + 1]`, for each pair of a true class and an answer."""
    cells = truth * counts.shape[1] + np.where(answers == NO_RULE, counts.shape[0], answers)
    np.add.at(counts.reshape(-1), cells, counts.dtype.type(1))  # with another dtype, add.at takes ten times as long
