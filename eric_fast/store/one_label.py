"""`OneLabel`: one label of a network of several, as a source of a network of two classes; read a part at a time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from eric_fast.errors import CaptureError
from eric_fast.program.atoms import Quantiser
from eric_fast.program.label_programs import find_label_index, name_label_classes
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.store.activations import CaptureSettings
from eric_fast.store.source import Part, Source


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
class OneLabel:
    """What `Activations.select_label` gives, of any source; see `Source`.

    Attributes:
        source: of a network of several labels.
        label: the name of one.

    Raises:
        CaptureError: a network of classes. ProgramError: no such label.
    """

    source: Source
    label: str

    def __post_init__(self) -> None:
        if not self.source.settings.has_labels:
            raise CaptureError(f"model {self.source.settings.model} answers with a class, and has no labels")
        find_label_index(self.source.classes, self.label, "this")

    @property
    def name(self) -> str:
        return self.source.name

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
    def n_kernels(self) -> Mapping[str, int]:
        return self.source.n_kernels

    @property
    def graph(self) -> LayerGraph:
        return self.source.graph

    @property
    def n_images(self) -> int:
        return self.source.n_images

    @property
    def has_norms(self) -> bool:
        return self.source.has_norms

    @property
    def has_logits(self) -> bool:
        return True

    @property
    def quantiser(self) -> Quantiser | None:
        return self.source.quantiser

    @property
    def parts(self) -> tuple[LabelPart, ...]:
        index = self.source.classes.index(self.label)
        return tuple(LabelPart(part, index) for part in self.source.parts)
