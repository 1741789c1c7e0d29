"""`LabelScore`: how well a program's labels agree with those of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import CaptureError, say_count
from eric_fast.processes import Combine
from eric_fast.program import Program
from eric_fast.program.layer_graph import StartLayers
from eric_fast.results.described import Described
from eric_fast.results.tabular import Columns, Tabular, turn_rows
from eric_fast.store import Source
from eric_fast.store.activations import UNKNOWN

_BOTH, _FIRST, _SECOND, _NEITHER = range(4)  # columns of counts: who says that a label is true


@dataclass(frozen=True, eq=False)
class LabelAgreement:
    """How well two agree on several labels; the labels of the second count as the truth.

    Attributes:
        n_images: images that they are compared on, those on which the second is known for all labels.
        n_exact: images on which they agree on every label.
        counts: int64 `[n_labels, 4]`: images on which both say that a label is true, the first alone, the second alone,
            and neither; where the second is known.
    """

    n_images: int
    n_exact: int
    counts: NDArray[np.int64]

    @property
    def exact(self) -> float:
        """The share of images on which they agree on every label."""
        return self.n_exact / max(1, self.n_images)

    @property
    def agreement(self) -> float:
        """The share of pairs of image and label on which they agree."""
        return int(self.counts[:, [_BOTH, _NEITHER]].sum()) / max(1, int(self.counts.sum()))

    @property
    def baseline(self) -> float:
        """The agreement of giving each label the second's commoner answer on it."""
        n_true = self.counts[:, _BOTH] + self.counts[:, _SECOND]
        return int(np.maximum(n_true, self.counts.sum(axis=1) - n_true).sum()) / max(1, int(self.counts.sum()))

    @property
    def micro_f1(self) -> float:
        """F1 over all pairs of image and label; 1 where nobody says any."""
        return float(_find_f1(self.counts.sum(axis=0, keepdims=True))[0])

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1."""
        return float(_find_f1(self.counts).sum()) / len(self.counts)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        figures = ("micro_f1", "macro_f1", "exact", "agreement", "baseline")
        return {"n_images": self.n_images, **{name: getattr(self, name) for name in figures}}


@dataclass(frozen=True, eq=False, repr=False)
class LabelScore(Described, Tabular):
    """How well a program of several labels does from one start layer, against the network's: sigmoid above 0.5.

    Attributes:
        start_layer: the layer whose bits are given.
        labels: their names.
        n_images: images that the program was scored on.
        fidelity: of the program with the network.
        accuracy, model_accuracy: of the program and of the network with the true labels; None if none is known.
        n_rules, n_literals, n_integers: see `Score`.

    Examples:
        >>> atoms = (ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("f", 1, ">", 0.5))
        >>> rules = (ef.ClassRule(0, (0,)), ef.ClassRule(1, (1,)))
        >>> program = ef.Program(ef.Quantiser(atoms), ("cat", "dog"), rules, decision="labels")
        >>> logits = torch.tensor([[2.0, -1.0], [3.0, 1.0], [-1.0, 2.0]]).half()
        >>> settings = ef.CaptureSettings("net", "5eed", "photos", task="multilabel")
        >>> norms = {"f": torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])}
        >>> truth = torch.tensor([[1, 0], [1, 1], [1, 1]], dtype=torch.int8)
        >>> test = ef.Activations(norms, "abc", truth, logits.argmax(1), ("cat", "dog"), settings, logits=logits)
        >>> score = ef.evaluate_labels(program, test)
        >>> score.fidelity.counts.tolist(), score.accuracy.exact, round(score.model_accuracy.exact, 3)
        ([[2, 1, 0, 0], [2, 0, 0, 1]], 1.0, 0.667)
    """

    start_layer: str
    labels: tuple[str, ...]
    n_images: int
    fidelity: LabelAgreement
    accuracy: LabelAgreement | None
    model_accuracy: LabelAgreement | None
    n_rules: int
    n_literals: int
    n_integers: int

    def list_facts(self) -> Iterator[str]:
        yield f"from {self.start_layer}"
        yield say_count(self.n_images, "image")
        yield say_count(len(self.labels), "label")
        found = self.fidelity
        yield f"micro F1 {found.micro_f1:.3f}, macro F1 {found.macro_f1:.3f}, exact {found.exact:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Build what `--json` writes: fidelity's figures, then accuracy's."""
        sizes = ("n_rules", "n_literals", "n_integers")
        return {
            "start_layer": self.start_layer,
            **self.fidelity.to_dict(),
            **{name: getattr(self, name) for name in sizes},
            "accuracy": None if self.accuracy is None else self.accuracy.to_dict(),
            "model_accuracy": None if self.model_accuracy is None else self.model_accuracy.to_dict(),
            "labels": list(self._list_labels()),
        }

    def list_tables(self) -> dict[str, Columns]:
        """One table of the figures, one of the labels, and one of accuracy where labels are known."""
        row = {name: value for name, value in self.to_dict().items() if not isinstance(value, list | dict | None)}
        tables = {"scores": turn_rows([row]), "labels": turn_rows(list(self._list_labels()))}
        known = {"program": self.accuracy, "network": self.model_accuracy}
        rows = [{"of": name, **found.to_dict()} for name, found in known.items() if found is not None]
        return {**tables, "accuracy": turn_rows(rows)} if rows else tables

    def _list_labels(self) -> Iterator[dict[str, Any]]:
        counts = self.fidelity.counts
        for name, row, f1 in zip(self.labels, counts.tolist(), _find_f1(counts).tolist(), strict=True):
            both, program, model, neither = row
            yield {
                "label": name,
                "of_model": both + model,
                "of_program": both + program,
                "of_both": both,
                "f1": f1,
                "agreement": (both + neither) / self.n_images,
            }


@dataclass(frozen=True, eq=False)
class LabelTally:
    """Counts of answers; those for parts of the images add up.

    The three comparisons are of program and network, of program and true labels, and of network and true labels.

    Attributes:
        counts: int64 `[3, n_labels, 4]`; see `LabelAgreement`.
        totals: int64 `[3, 2]`: images, and those on which all labels agree.
    """

    counts: Tensor
    totals: Tensor

    def add(self, labels: Tensor, model_labels: Tensor, truth: Tensor) -> None:
        """Add answers, bool `[n, n_labels]` each, and true labels, int8 `[n, n_labels]`."""
        known = truth != UNKNOWN
        pairs = (labels, model_labels, None), (labels, truth > 0, known), (model_labels, truth > 0, known)
        for number, (first, second, where) in enumerate(pairs):
            where = torch.ones_like(first) if where is None else where
            sides = (first & second, first & ~second, ~first & second, ~first & ~second)
            self.counts[number] += torch.stack([(side & where).sum(dim=0) for side in sides], dim=1)
            is_whole = where.all(dim=1)
            n_exact = int(((first == second).all(dim=1) & is_whole).sum())
            self.totals[number] += torch.tensor([int(is_whole.sum()), n_exact])

    def combine(self, combine: Combine) -> "LabelTally":
        """Add up the counts of all processes."""
        return LabelTally(combine(self.counts), combine(self.totals))

    def list_agreements(self) -> list[LabelAgreement | None]:
        """The three comparisons; None for one in which nothing is known."""
        return [
            LabelAgreement(n_images, n_exact, counts.numpy()) if int(counts.sum()) else None
            for counts, (n_images, n_exact) in zip(self.counts, self.totals.tolist(), strict=True)
        ]


def start_label_tally(n_labels: int) -> LabelTally:
    """Start to count."""
    return LabelTally(torch.zeros(3, n_labels, 4, dtype=torch.int64), torch.zeros(3, 2, dtype=torch.int64))


def score_labels(program: Program, start: StartLayers, tally: LabelTally) -> LabelScore:
    """Compute the score of a program from counts.

    Raises:
        CaptureError: there are no images. ProgramError: the program can't start there.
    """
    fidelity, accuracy, model_accuracy = tally.list_agreements()
    if fidelity is None:
        raise CaptureError("there are no images to score the program on")
    start = program.layer_to_start(start)
    part = program.start_at(start)
    return LabelScore(
        start,
        program.classes,
        fidelity.n_images,
        fidelity,
        accuracy,
        model_accuracy,
        len(part.class_rules) + len(part.kernel_rules),
        part.n_literals,
        part.n_integers,
    )


def score_model_labels(source: Source) -> LabelAgreement | None:
    """The network's labels against the true ones; None if none is known."""
    tally = start_label_tally(len(source.classes))
    for part in source.parts:
        answers = part.read_logits() > 0
        tally.add(answers, answers, part.read_labels())
    return tally.list_agreements()[-1]


def select_worst(score: LabelScore, limit: int) -> Sequence[dict[str, Any]]:
    """The labels of lowest F1, of those that anybody says is true."""
    rows = [row for row in score.to_dict()["labels"] if row["of_model"] or row["of_program"]]
    return sorted(rows, key=lambda row: row["f1"])[:limit]


def _find_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each row of counts; 1 where nobody says that a label is true."""
    twice = 2 * counts[:, _BOTH]
    n_all = twice + counts[:, _FIRST] + counts[:, _SECOND]
    return np.where(n_all > 0, twice / np.maximum(n_all, 1), 1.0)
