"""`Activations`: one number per image and kernel, and the answers of the network."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from eric_fast.errors import CaptureError, say_count, suggest_nearest
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program.label_programs import find_label_index, name_label_classes
from eric_fast.program.layer_graph import Edge, LayerGraph, check_edges
from eric_fast.results.described import Described, name_span
from eric_fast.store.label_rows import check_label_rows, spread_labels
from eric_fast.tensors import read_plain

UNKNOWN = -1  # a label that isn't known
MULTILABEL = "multilabel"
_LEAST_HALF = 2.0**-24  # the least float16 above 0
MOST_CLASSES = 100  # of networks whose logits are kept where nothing else is said


@dataclass(frozen=True)
class CaptureSettings:
    """How the norms were made: everything that could change one of their digits.

    `fingerprint` is the SHA-256 of the model's architecture and weights: a program is evaluated only on
    captures of the model that it was extracted from. `grid` is one of `GRIDS`. `dtype` ends in ` compiled` if
    torch.compile fused the network. `output` says which of the network's outputs were named as its logits, and as
    what; it is empty where nothing was named. `task` is `multilabel` for a network of several labels: its answers are
    the signs of its logits, which are then kept. `units` is a JSON list of the names of the units, of a table of
    features whose columns have names.

    Examples:
        >>> ef.load_activations("eric-demo/test").settings.norm
        'l1'
    """

    model: str
    fingerprint: str
    data: str
    norm: str = "l1"
    dtype: str = "float32"
    device: str = "cpu"
    batch_size: int = 64
    memory_format: str = "contiguous"
    preprocessing: str = ""
    n_bad_images: int = 0
    grid: int = 1
    output: str = ""
    task: str = ""
    units: str = ""

    @property
    def unit_names(self) -> tuple[str, ...]:
        """The names of the units; empty where they have none."""
        return tuple(json.loads(self.units)) if self.units else ()

    @property
    def has_labels(self) -> bool:
        """Whether the network answers with any number of labels, those whose logits are above 0."""
        return self.task == MULTILABEL


@dataclass(frozen=True, eq=False, repr=False)
class Activations(Described, PickledByFields):
    """Norms of feature maps, layer by layer, with labels and the network's own answers.

    Attributes:
        norms: layer name -> float32 `[n_images, n_kernels]`, finite, in execution order; with `settings.grid` 2,
            `[n_images, n_kernels * n_regions]`, for each kernel the norms in the order of `REGIONS`.
        ids: one name per image, `n_images` of them (for an image folder: the path inside it).
        labels: int64 `[n_images]`, an index into `classes`, or `UNKNOWN`; of a network of several labels int8
            `[n_images, n_classes]`, 1 where a label is true, 0, or `UNKNOWN` (an index is taken for that label alone).
        predictions: int64 `[n_images]`, the network's answer as an index into `classes`; of a network of several labels
            that of the highest logit.
        classes: names of the network's outputs, all different.
        settings: how the norms were made.
        logits: float16 `[n_images, n_classes]`, the network's outputs, finite; None if they were not kept.
        edges: which layers feed which; see `LayerGraph`. Empty for a straight pipe.

    Raises:
        CaptureError: shapes or dtypes that don't fit together, or a norm or logit that is NaN or infinite
            (named by layer or class, and image).

    Examples:
        >>> test = ef.load_activations("eric-demo/test")
        >>> test.norms["conv4.2"].shape, test.predictions.shape
        (torch.Size([450, 64]), torch.Size([450]))
    """

    norms: Mapping[str, Tensor]
    ids: Sequence[str]
    labels: Tensor
    predictions: Tensor
    classes: tuple[str, ...]
    settings: CaptureSettings
    logits: Tensor | None = None
    edges: tuple[Edge, ...] = ()

    def list_facts(self) -> Iterator[str]:
        yield say_count(self.n_images, "image")
        yield name_span(self.layers, "layer")
        yield say_count(len(self.classes), "class")
        yield f"model {self.settings.model}"

    def __post_init__(self) -> None:
        object.__setattr__(self, "norms", MappingProxyType(dict(self.norms)))
        object.__setattr__(self, "ids", tuple(self.ids))
        object.__setattr__(self, "edges", tuple(self.edges))
        if self.settings.has_labels and self.labels.ndim == 1:
            object.__setattr__(self, "labels", spread_labels(self.labels, len(self.classes)))
        self.validate()

    @property
    def n_images(self) -> int:
        return len(self.ids)

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in execution order."""
        return tuple(self.norms)

    @property
    def graph(self) -> LayerGraph:
        """Which layers feed which."""
        return LayerGraph(self.layers, self.edges)

    @property
    def n_kernels(self) -> dict[str, int]:
        """Layer -> number of kernels."""
        return {layer: norms.shape[1] for layer, norms in self.norms.items()}

    @property
    def name(self) -> str:
        """How messages call it; see `Source`."""
        return "the capture"

    @property
    def has_norms(self) -> bool:
        """Always true; see `Source`."""
        return True

    @property
    def has_logits(self) -> bool:
        """Whether logits were kept; see `Source`."""
        return self.logits is not None

    @property
    def quantiser(self) -> None:
        """No bits are stored; see `Source`."""
        return None

    @property
    def parts(self) -> tuple["Activations"]:
        """All images are one `Part`."""
        return (self,)

    def read_norms(self, layer: str) -> Tensor:
        """float32 `[n_images, n_kernels]`; see `Part`."""
        return self.norms[layer]

    def read_words(self, layer: str) -> Tensor:
        """Raises CaptureError: there are no stored bits."""
        raise CaptureError(f"activations contain norms of layer '{layer}' but no bits; quantise them")

    def read_labels(self) -> Tensor:
        return self.labels

    def read_predictions(self) -> Tensor:
        return self.predictions

    def read_logits(self) -> Tensor:
        """float16 `[n_images, n_classes]`. Raises CaptureError if they were not kept."""
        if self.logits is None:
            raise CaptureError("the activations have no logits; capture again with logits=True")
        return self.logits

    def read_ids(self) -> Sequence[str]:
        return self.ids

    def select_layers(self, layers: Sequence[str]) -> "Activations":
        """The same images with these layers alone; the order stays that of execution."""
        for layer in layers:
            if layer not in self.norms:
                raise CaptureError(f"the capture has no layer '{layer}'{suggest_nearest(layer, self.layers)}")
        kept = {name: norms for name, norms in self.norms.items() if name in set(layers)}
        return replace(self, norms=kept, edges=self.graph.restrict(kept).edges)

    def select_label(self, label: str) -> "Activations":
        """One label of a network of several, as a network of two classes, `not LABEL` and the label; see `Program`.

        Raises:
            CaptureError: a network of classes. ProgramError: no such label.
        """
        if not self.settings.has_labels or self.logits is None:
            raise CaptureError(f"model {self.settings.model} answers with a class, and has no labels to select")
        index = find_label_index(self.classes, label, "this")
        logit = self.logits[:, index]
        return replace(
            self,
            labels=self.labels[:, index].long(),
            predictions=(logit > 0).long(),
            classes=name_label_classes(label),
            settings=replace(self.settings, task=""),
            logits=torch.stack([torch.zeros_like(logit), logit], dim=1),
        )

    def take(self, indices: Tensor) -> "Activations":
        """The images at `indices` (int64 `[n]`), in that order."""
        return replace(
            self,
            norms={layer: norms[indices] for layer, norms in self.norms.items()},
            ids=[self.ids[i] for i in indices.tolist()],
            labels=self.labels[indices],
            predictions=self.predictions[indices],
            logits=None if self.logits is None else self.logits[indices],
        )

    def validate(self) -> None:
        n = self.n_images
        if len(set(self.classes)) != len(self.classes):
            twice = next(name for name in self.classes if self.classes.count(name) > 1)
            raise CaptureError(f"two classes of the capture are called '{twice}'; class names must differ")
        single = {"labels": self.labels, "predictions": self.predictions}
        if self.settings.has_labels:
            check_label_rows(single.pop("labels"), n, len(self.classes))
        for name, values in single.items():
            if values.dtype != torch.int64 or values.shape != (n,):
                raise CaptureError(
                    f"{name} must be int64 [{n}], not {_describe(values)}: one for each of the {n} images"
                )
            lowest = UNKNOWN if name == "labels" else 0
            if n and not lowest <= int(values.min()) <= int(values.max()) < len(self.classes):
                raise CaptureError(f"{name} must lie between {lowest} and {len(self.classes) - 1}")
        check_edges(self.layers, self.edges)
        for layer, norms in self.norms.items():
            read_plain(norms, f"layer '{layer}'")
            if norms.dtype != torch.float32 or norms.ndim != 2 or len(norms) != n:
                raise CaptureError(f"norms of layer '{layer}' must be float32 [{n}, n_kernels], not {_describe(norms)}")
            check_finite(layer, norms, self.ids)
        if self.settings.has_labels and self.logits is None:
            raise CaptureError(
                "activations of a network of several labels need its logits, whose signs are its answers"
            )
        if self.logits is not None:
            if self.logits.dtype != torch.float16 or self.logits.shape != (n, len(self.classes)):
                raise CaptureError(f"logits must be float16 {[n, len(self.classes)]}, not {_describe(self.logits)}")
            check_logits(self.logits, self.ids)


def round_logits(logits: Tensor) -> Tensor:
    """Logits as float16, in the same order, and above 0 where they were: the signs of labels are their answers."""
    half = logits.half()
    return torch.where((logits > 0) & (half <= 0), _LEAST_HALF, half)


def share_correct(answers: Tensor, labels: Tensor) -> float | None:
    """The share of answers that equal their label, among those with a known label; None if there are none."""
    correct = (answers == labels)[labels != UNKNOWN]
    return correct.sum().item() / len(correct) if len(correct) else None


def check_ids(place: Path, ids: Sequence[str]) -> None:
    """Refuse ids that occur twice in the capture at `place`. Raises CaptureError."""
    if len(set(ids)) != len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise CaptureError(f"{place}: two images have the id '{twice}'; each must have its own")


def check_finite(
    layer: str, norms: Tensor, ids: Sequence[str], remedy: str = "check the model's weights and the image"
) -> None:
    """Check that `norms` `[n, n_kernels]` are finite. Raises CaptureError with the layer, the kernel and the image."""
    finite = torch.isfinite(norms)
    if bool(finite.all()):
        return
    image, kernel = (~finite).nonzero()[0].tolist()
    raise CaptureError(
        f"layer '{layer}', kernel {kernel}: the norm is {norms[image, kernel].item()} on image '{ids[image]}'; {remedy}"
    )


def check_logits(logits: Tensor, ids: Sequence[str], remedy: str = "check the model's weights and the image") -> None:
    """Check that `logits` `[n, n_classes]` are finite. Raises CaptureError with the output and the image."""
    finite = torch.isfinite(logits)
    if not bool(finite.all()):
        image, output = (~finite).nonzero()[0].tolist()
        value = logits[image, output].item()
        raise CaptureError(f"the model's output {output} is {value} on image '{ids[image]}'; {remedy}")


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
