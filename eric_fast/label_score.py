"""`LabelScore`: how well a program's labels agree with those of a network."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.described import Described
from eric_fast.errors import CaptureError, say_count
from eric_fast.processes import Combine
from eric_fast.program import Program
from eric_fast.program.layer_graph import StartLayers
from eric_fast.tabular import Columns, Tabular, turn_rows

_BOTH, _PROGRAM, _MODEL, _NEITHER = range(4)  # columns of counts: who says that a label is true


@dataclass(frozen=True, eq=False, repr=False)
class LabelScore(Described, Tabular):
    """How well a program of several labels does from one start layer, against the network's: sigmoid above 0.5.

    Attributes:
        start_layer: the layer whose bits are given.
        labels: their names.
        n_images: images that the program was scored on.
        n_exact: images on which program and network agree on every label.
        counts: int64 `[n_labels, 4]`: images on which both say that a label is true, the program alone, the network
            alone, and neither.
        n_rules, n_literals, n_integers: see `Score`.

    Examples:
        >>> atoms = (ef.InputAtom("f", 0, ">", 0.5), ef.InputAtom("f", 1, ">", 0.5))
        >>> rules = (ef.ClassRule(0, (0,)), ef.ClassRule(1, (1,)))
        >>> program = ef.Program(ef.Quantiser(atoms), ("cat", "dog"), rules, decision="labels")
        >>> logits = torch.tensor([[2.0, -1.0], [3.0, 1.0], [-1.0, 2.0]]).half()
        >>> settings = ef.CaptureSettings("net", "5eed", "photos", task="multilabel")
        >>> norms = {"f": torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 1.0]])}
        >>> unknown = torch.full((3,), -1)
        >>> test = ef.Activations(norms, "abc", unknown, logits.argmax(1), ("cat", "dog"), settings, logits=logits)
        >>> ef.evaluate_labels(program, test).counts.tolist()
        [[2, 1, 0, 0], [2, 0, 0, 1]]
    """

    start_layer: str
    labels: tuple[str, ...]
    n_images: int
    n_exact: int
    counts: NDArray[np.int64]
    n_rules: int
    n_literals: int
    n_integers: int

    @property
    def exact(self) -> float:
        """The share of images on which program and network agree on every label."""
        return self.n_exact / self.n_images

    @property
    def agreement(self) -> float:
        """The share of pairs of image and label on which they agree."""
        return int(self.counts[:, [_BOTH, _NEITHER]].sum()) / int(self.counts.sum())

    @property
    def baseline(self) -> float:
        """The agreement of giving each label the network's commoner answer on it."""
        n_true = self.counts[:, _BOTH] + self.counts[:, _MODEL]
        return int(np.maximum(n_true, self.n_images - n_true).sum()) / int(self.counts.sum())

    @property
    def micro_f1(self) -> float:
        """F1 over all pairs of image and label, the network's labels being the truth; 1 where nobody says any."""
        return float(_find_f1(self.counts.sum(axis=0, keepdims=True))[0])

    @property
    def macro_f1(self) -> float:
        """The mean of the labels' F1."""
        return float(_find_f1(self.counts).sum()) / len(self.labels)

    def list_facts(self) -> Iterator[str]:
        yield f"from {self.start_layer}"
        yield say_count(self.n_images, "image")
        yield say_count(len(self.labels), "label")
        yield f"micro F1 {self.micro_f1:.3f}, macro F1 {self.macro_f1:.3f}, exact {self.exact:.3f}"

    def to_dict(self) -> dict[str, Any]:
        """Build what `--json` writes."""
        figures = ("start_layer", "n_images", "micro_f1", "macro_f1", "exact", "agreement", "baseline")
        sizes = ("n_rules", "n_literals", "n_integers")
        return {
            **{name: getattr(self, name) for name in (*figures, *sizes)},
            "labels": list(self._list_labels()),
        }

    def list_tables(self) -> dict[str, Columns]:
        """One table of the figures, and one of the labels."""
        row = {name: value for name, value in self.to_dict().items() if name != "labels"}
        return {"scores": turn_rows([row]), "labels": turn_rows(list(self._list_labels()))}

    def _list_labels(self) -> Iterator[dict[str, Any]]:
        for name, counts, f1 in zip(self.labels, self.counts.tolist(), _find_f1(self.counts).tolist(), strict=True):
            both, program, model, neither = counts
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

    Attributes:
        counts: int64 `[n_labels, 4]`; see `LabelScore`.
        totals: int64 `[2]`: images, and those on which all labels agree.
    """

    counts: Tensor
    totals: Tensor

    def add(self, labels: Tensor, model_labels: Tensor) -> None:
        """Add answers, bool `[n, n_labels]` each."""
        columns = (labels & model_labels, labels & ~model_labels, ~labels & model_labels, ~labels & ~model_labels)
        self.counts.add_(torch.stack([column.sum(dim=0) for column in columns], dim=1))
        n_exact = int((labels == model_labels).all(dim=1).sum())
        self.totals.add_(torch.tensor([len(labels), n_exact]))

    def combine(self, combine: Combine) -> "LabelTally":
        """Add up the counts of all processes."""
        return LabelTally(combine(self.counts), combine(self.totals))


def start_label_tally(n_labels: int) -> LabelTally:
    """Start to count."""
    return LabelTally(torch.zeros(n_labels, 4, dtype=torch.int64), torch.zeros(2, dtype=torch.int64))


def score_labels(program: Program, start: StartLayers, tally: LabelTally) -> LabelScore:
    """Compute the score of a program from counts.

    Raises:
        CaptureError: there are no images. ProgramError: the program can't start there.
    """
    n_images, n_exact = tally.totals.tolist()
    if not n_images:
        raise CaptureError("there are no images to score the program on")
    start = program.layer_to_start(start)
    part = program.start_at(start)
    return LabelScore(
        start,
        program.classes,
        n_images,
        n_exact,
        tally.counts.numpy(),
        len(part.class_rules) + len(part.kernel_rules),
        part.n_literals,
        part.n_integers,
    )


def select_worst(score: LabelScore, limit: int) -> Sequence[dict[str, Any]]:
    """The labels of lowest F1, of those that anybody says is true."""
    rows = [row for row in score.to_dict()["labels"] if row["of_model"] or row["of_program"]]
    return sorted(rows, key=lambda row: row["f1"])[:limit]


def _find_f1(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """F1 of each row of counts; 1 where nobody says that a label is true."""
    twice = 2 * counts[:, _BOTH]
    n_all = twice + counts[:, _PROGRAM] + counts[:, _MODEL]
    return np.where(n_all > 0, twice / np.maximum(n_all, 1), 1.0)
