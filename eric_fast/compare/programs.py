"""Compare two programs on the same images: where they agree and differ, and which rules differ."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.compare.rules import RuleChanges, compare_rules, list_kernels
from eric_fast.errors import CaptureError, say_count
from eric_fast.evaluator import NO_RULE
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program
from eric_fast.program.layer_graph import StartLayers
from eric_fast.results.described import Described
from eric_fast.runs import predict_activations
from eric_fast.score import Score, score_predictions
from eric_fast.store.activations import UNKNOWN, Activations


@dataclass(frozen=True, eq=False, repr=False)
class Comparison(Described, PickledByFields):
    """Two programs on the same images.

    Attributes:
        scores: of the first and the second program on these images, each against its own model.
        n_rules: of each program, (number of class rules, number of kernel rules).
        classes: those of the first program, then those that only the second has.
        ids: names of the images that both sides have.
        n_left_out: images that only the first side has, and that only the second has.
        answers: int64 `[2, n_images]`: indices into `classes`, or `NO_RULE`.
        labels: int64 `[n_images]`: indices into `classes`, or `UNKNOWN`.
        model_agreement: share of images on which the models behind the programs agree; 1 if they are the same model.
        confusion: int64 `[n_classes + 1, n_classes + 1]`: images by answer of the first program (row) and of the second
            (column); the last ones: no answer.
        rules: which rules are the same, changed, gone or new.
        kernels: names that only the first program mentions, and that only the second does, sorted.
    """

    scores: tuple[Score, Score]
    n_rules: tuple[tuple[int, int], tuple[int, int]]
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    n_left_out: tuple[int, int]
    answers: Tensor
    labels: Tensor
    model_agreement: float
    confusion: NDArray[np.int64]
    rules: RuleChanges
    kernels: tuple[tuple[str, ...], tuple[str, ...]]

    def list_facts(self) -> Iterator[str]:
        yield say_count(self.n_images, "image")
        yield f"{self.n_agree:,} agree"
        yield f"{len(self.rules.same):,} rules in both, {len(self.rules.changed):,} changed"

    @property
    def n_images(self) -> int:
        return len(self.ids)

    @property
    def n_agree(self) -> int:
        """Images on which both give the same answer, or none."""
        return int(np.trace(self.confusion))

    def list_differing(self) -> list[int]:
        """List the images on which the programs differ, as indices into `ids`."""
        places: list[int] = (self.answers[0] != self.answers[1]).nonzero().flatten().tolist()
        return places

    def count_right(self) -> tuple[int, int, int]:
        """Count images with a known label on which the programs differ: first is right, second is right, neither."""
        differs = (self.answers[0] != self.answers[1]) & (self.labels != UNKNOWN)
        first, second = ((answers == self.labels)[differs].sum().item() for answers in self.answers)
        return int(first), int(second), int(differs.sum().item() - first - second)

    def name_answer(self, answer: int) -> str | None:
        """Name a class; None for `NO_RULE`."""
        return None if answer == NO_RULE else self.classes[answer]

    def to_dict(self) -> dict[str, Any]:
        """What `--json` writes."""
        right = self.count_right()
        return {
            "n_images": self.n_images,
            "n_left_out": list(self.n_left_out),
            "n_agree": self.n_agree,
            "n_differ": self.n_images - self.n_agree,
            "differing_labelled": dict(zip(("first_right", "second_right", "neither_right"), right, strict=True)),
            "model_agreement": self.model_agreement,
            "scores": [score.to_dict(with_confusion=False) for score in self.scores],
            "n_class_rules": [n for n, _ in self.n_rules],
            "n_kernel_rules": [n for _, n in self.n_rules],
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": [
                {
                    "class": name,
                    "first": int(self.confusion[i].sum()),
                    "second": int(self.confusion[:, i].sum()),
                    "both": int(self.confusion[i, i]),
                }
                for i, name in enumerate(self.classes)
            ],
            "differing": [
                {
                    "id": self.ids[i],
                    "first": self.name_answer(int(self.answers[0, i])),
                    "second": self.name_answer(int(self.answers[1, i])),
                    "label": None if self.labels[i] == UNKNOWN else self.classes[int(self.labels[i])],
                }
                for i in self.list_differing()
            ],
            "rules": {
                "n_same": len(self.rules.same),
                "in_order": self.rules.in_order,
                **{name: [asdict(rule) for rule in getattr(self.rules, name)] for name in ("changed", "gone", "new")},
            },
            "kernels_of_one": {"first": list(self.kernels[0]), "second": list(self.kernels[1])},
        }


def compare_programs(
    first: Program,
    second: Program,
    activations: Activations,
    other: Activations | None = None,
    *,
    start: StartLayers = None,
    other_start: StartLayers = None,
    engine: str = "auto",
) -> Comparison:
    """Compare two programs on the images of `activations`.

    Args:
        first: a program that answers with a class.
        second: another one, possibly of another model or with other layers; classes are matched by name.
        activations: of the first program's model.
        other: of the second program's model if it is another one; images are matched by their ids.
        start: the layer that the first program starts from; its lowest by default.
        other_start: the layer that the second program starts from; its lowest by default.
        engine: see `Evaluator`.

    Raises:
        CaptureError: activations don't fit their program, or there is no image in common.
        ProgramError: a program can't start from its layer.

    Examples:
        >>> train, test = ef.load_activations("eric-demo/train"), ef.load_activations("eric-demo/test")
        >>> first, second = (ef.approximate_model(train, min_leaf=n) for n in (20, 60))
        >>> ef.compare_programs(first, second, test).n_images
        450
    """
    other = activations if other is None else other
    ours, theirs = _match_images(activations, other)
    sides = (activations.take(ours), other.take(theirs))
    classes = tuple(dict.fromkeys((*first.classes, *second.classes)))
    answers, scores = [], []
    for program, side, layer in zip((first, second), sides, (start, other_start), strict=True):
        predictions = predict_activations(program, side, start=layer, engine=engine)
        scores.append(score_predictions(program, layer, predictions, side.predictions, side.labels))
        answers.append(_rename(predictions.classes.long(), program.classes, classes))
    models = [_rename(side.predictions, side.classes, classes) for side in sides]
    labels = _rename(sides[0].labels, sides[0].classes, classes)
    mentioned = list_kernels(first), list_kernels(second)
    return Comparison(
        scores=(scores[0], scores[1]),
        n_rules=_count_rules(first, second),
        classes=classes,
        ids=tuple(sides[0].ids),
        n_left_out=(activations.n_images - len(ours), other.n_images - len(theirs)),
        answers=torch.stack(answers),
        labels=labels,
        model_agreement=(models[0] == models[1]).double().mean().item(),
        confusion=_count_pairs(answers[0], answers[1], len(classes)),
        rules=compare_rules(first, second),
        kernels=(tuple(sorted(mentioned[0] - mentioned[1])), tuple(sorted(mentioned[1] - mentioned[0]))),
    )


def _match_images(ours: Activations, theirs: Activations) -> tuple[Tensor, Tensor]:
    """Match images by id: the indices of common images on each side, int64 `[n]`, in the order of the first."""
    place_of = {name: place for place, name in enumerate(theirs.ids)}
    pairs = [(i, place_of[name]) for i, name in enumerate(ours.ids) if name in place_of]
    if not pairs:
        raise CaptureError(
            f"{ours.settings.data} and {theirs.settings.data} have no image in common, by their ids; "
            "capture the same images with both models"
        )
    a, b = torch.tensor(pairs, dtype=torch.int64).T
    return a, b


def _rename(values: Tensor, names: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Change indices into `names`, int64 `[n]`, to indices into `classes`; -1 stays -1."""
    index = torch.tensor([*map(classes.index, names), -1], dtype=torch.int64)
    return index[values]


def _count_pairs(first: Tensor, second: Tensor, n_classes: int) -> NDArray[np.int64]:
    side = n_classes + 1
    rows, columns = (torch.where(answers == NO_RULE, n_classes, answers) for answers in (first, second))
    return torch.bincount(rows * side + columns, minlength=side * side).view(side, side).numpy()


def _count_rules(first: Program, second: Program) -> tuple[tuple[int, int], tuple[int, int]]:
    counts = [(len(program.class_rules), len(program.kernel_rules)) for program in (first, second)]
    return counts[0], counts[1]
