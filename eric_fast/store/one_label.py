"""`OneLabel`: one label of a network of several, as a source of a network of two classes; read a part at a time."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from eric_fast.errors import CaptureError
from eric_fast.program.label_programs import find_label_index, name_label_classes
from eric_fast.store.activations import CaptureSettings
from eric_fast.store.source import DerivedSource, Part


@dataclass(frozen=True, eq=False)
class LabelPart:
    """A part, whose answers and labels are those of one label; see `Part`."""

    part: Part
    index: int

    @property
    def n_images(self) -> int:
        return self.part.n_images

    def read_norms(self, layer: str) -> Tensor:
        return self.part.read_norms(layer)

    def read_words(self, layer: str) -> Tensor:
        return self.part.read_words(layer)

    def read_labels(self) -> Tensor:
        return self.part.read_labels()[:, self.index].long()

    def read_predictions(self) -> Tensor:
        return (self.part.read_logits()[:, self.index] > 0).long()

    def read_logits(self) -> Tensor:
        logit = self.part.read_logits()[:, self.index]
        return torch.stack([torch.zeros_like(logit), logit], dim=1)

    def read_ids(self) -> Sequence[str]:
        return self.part.read_ids()


@dataclass(frozen=True, eq=False)
class OneLabel(DerivedSource):
    """What `Activations.select_label` gives, of any source; see `Source`.

    Attributes:
        source: of a network of several labels.
        label: the name of one.

    Raises:
        CaptureError: a network of classes. ProgramError: no such label.
    """

    label: str

    def __post_init__(self) -> None:
        if not self.source.settings.has_labels:
            raise CaptureError(f"model {self.source.settings.model} answers with a class, and has no labels to select")
        find_label_index(self.source.classes, self.label, "this")

    @property
    def settings(self) -> CaptureSettings:
        return replace(self.source.settings, task="")

    @property
    def classes(self) -> tuple[str, ...]:
        return name_label_classes(self.label)

    @property
    def layers(self) -> tuple[str, ...]:
        return self.source.layers

    @property
    def n_images(self) -> int:
        return self.source.n_images

    @property
    def has_logits(self) -> bool:
        return True

    @property
    def parts(self) -> tuple[LabelPart, ...]:
        index = self.source.classes.index(self.label)
        return tuple(LabelPart(part, index) for part in self.source.parts)
