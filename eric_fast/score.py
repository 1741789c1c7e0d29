"""`Score`: how well a program's answers agree with the model and with the labels."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import CaptureError, SettingError, say_count
from eric_fast.evaluator import NO_RULE, Predictions
from eric_fast.processes import Combine
from eric_fast.program import Program
from eric_fast.program.confidence import Interval, find_interval
from eric_fast.program.layer_graph import StartLayers
from eric_fast.results.described import Described
from eric_fast.results.tabular import Columns, Tabular, turn_rows
from eric_fast.store.activations import UNKNOWN

FEW_IMAGES = 10  # of a class


@dataclass(frozen=True, eq=False, repr=False)
class Score(Described, Tabular):
    """How well a program does from one start layer.

    Attributes:
        start_layer: the layer whose bits are given; several, with commas between.
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

    Examples:
        >>> program, test = ef.load_program("eric-demo/program.lp"), ef.load_activations("eric-demo/test")
        >>> score = ef.evaluate_program(program, test, start="conv4.2")
        >>> score.n_images, round(score.fidelity, 3)
        (450, 0.96)
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

    @property
    def fidelity_interval(self) -> Interval:
        """95 % of fidelity, by Wilson's interval."""
        return find_interval(*self._count_right("fidelity"))

    @property
    def accuracy_interval(self) -> Interval | None:
        """95 % of accuracy, by Wilson's interval; None if no label is known."""
        return None if self.label_confusion is None else find_interval(*self._count_right("accuracy"))

    def bootstrap(self, figure: str = "fidelity", level: float = 0.95) -> Interval:
        """The bootstrap interval of a figure, over images (percentiles; Efron, 1979).

        Of `n` images drawn with replacement from `n`, of which `k` are right, a number is right that is binomial with
        share `k / n`. So the percentiles are known without drawing: this is what infinitely many draws would give, and
        there is no seed.

        Args:
            figure: `fidelity` or `accuracy`.
            level: share of the draws that lie within.

        Raises:
            SettingError: another figure or level, or accuracy where no label is known.
        """
        if figure not in ("fidelity", "accuracy") or (figure == "accuracy" and self.label_confusion is None):
            raise SettingError(
                f"'{figure}' has no bootstrap interval here; give 'fidelity', or 'accuracy' if labels are known"
            )
        if not 0 < level < 1:
            raise SettingError(f"the level of an interval must lie between 0 and 1, not {level}")
        from scipy.stats import binom  # half a second, when it is needed

        right, n = self._count_right(figure)
        low, high = binom.ppf([(1 - level) / 2, (1 + level) / 2], n, right / n) / n
        return Interval(float(low), float(high))

    @property
    def baseline(self) -> float:
        """The fidelity of always giving the model's most frequent answer."""
        return int(self.confusion.sum(axis=1).max()) / self.n_images

    @property
    def n_few(self) -> int:
        """Classes that are the model's answer on some images, but on fewer than ten."""
        counts = self.confusion.sum(axis=1)
        return int(((counts > 0) & (counts < FEW_IMAGES)).sum())

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

    def list_tables(self) -> dict[str, Columns]:
        """One table of one row: the figures, with 95 % intervals of fidelity and accuracy (Wilson)."""
        row = self.to_dict(with_confusion=False)
        for name in ("fidelity", "accuracy"):
            low, high = getattr(self, f"{name}_interval") or (None, None)
            row |= {f"{name}_low": low, f"{name}_high": high}
        return {"scores": turn_rows([row])}

    def _count_right(self, figure: str) -> tuple[int, int]:
        """How many images are right, and how many there are."""
        counts = self.confusion if figure == "fidelity" else self.label_confusion
        assert counts is not None
        return int(counts.diagonal().sum()), int(counts.sum())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Score) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash


class ScoreList(list[Score], Tabular):
    """ScoreList of a program from several start layers: a list, and a table of a row each."""

    def list_tables(self) -> dict[str, Columns]:
        """One table; see `Score.list_tables`."""
        tables = [score.list_tables()["scores"] for score in self]
        return {"scores": turn_rows([{name: column[0] for name, column in table.items()} for table in tables])}


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


def score_tally(program: Program, start: StartLayers, tally: Tally) -> Score:
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
    program: Program, start: StartLayers, predictions: Predictions, model_predictions: Tensor, labels: Tensor
) -> Score:
    """Score answers.

    Args:
        program: the program that gave them.
        start: what it started from; see `Program.layer_to_start`.
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
