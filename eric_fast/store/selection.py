"""`Selection`: the images of a source that a run learns from, and those of them that are this process's."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix, count_words, join_words
from eric_fast.processes import Processes
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.store.activations import UNKNOWN
from eric_fast.store.source import DerivedSource, Part, Rows, Source, cut_parts


@dataclass(frozen=True, eq=False)
class Selection(DerivedSource):
    """Some images and layers of a source, shared out over processes: a source, too.

    Attributes:
        source: where the images come from.
        layers: each behind those that feed it.
        processes: each has consecutive images; some may have none.
        parts: the images of this process.
        targets: int64 `[n]`, the targets of the images of this process; of a network of several labels bool
            `[n, n_labels]`.
        n_images: the number of images of all processes.
        first: the number of images of the processes before this one.
    """

    layers: tuple[str, ...]
    processes: Processes
    parts: tuple[Part, ...]
    targets: Tensor
    n_images: int
    first: int

    @property
    def graph(self) -> LayerGraph:
        return self.source.graph.select(self.layers)

    def iterate_columns(self, layer: str, n_values: int) -> Iterator[Tensor]:
        """Gather norms of some kernels at a time, of the images of all processes: float32 `[n_images, n]`.

        Args:
            n_values: norms at a time at most; all of one kernel at least.
        """
        n_kernels = self.n_kernels[layer]
        width = max(1, n_values // max(self.n_images, 1))
        for first in range(0, n_kernels, width):
            columns = torch.zeros(self.n_images, min(width, n_kernels - first))
            start = self.first
            for part in self.parts:
                columns[start : start + part.n_images] = part.read_norms(layer)[:, first : first + width]
                start += part.n_images
            # The rows of other processes are zeros, so integer sums of the floats' bits put the rows together.
            yield self.processes.combine(columns.view(torch.int32)).view(torch.float32)

    def gather_targets(self) -> Tensor:
        """Gather the target class of the images of all processes, int64 `[n_images]`; of labels that of most logit."""
        own = self.targets
        if own.ndim > 1:
            own = torch.cat([torch.zeros(0, dtype=torch.int64), *(part.read_predictions() for part in self.parts)])
        targets = torch.zeros(self.n_images, dtype=torch.int64)
        targets[self.first : self.first + len(own)] = own
        return self.processes.combine(targets)

    def gather_bits(self, bits: BitMatrix) -> BitMatrix:
        """Gather the bits of the images of all processes, given those of this one."""
        if self.processes.count == 1:
            return bits
        words = torch.zeros(len(bits.atoms), count_words(self.n_images), dtype=torch.int32)
        before = torch.zeros(len(bits.atoms), count_words(self.first), dtype=torch.int32)
        own = join_words([before, bits.words], [self.first, bits.n_samples])
        words[:, : own.shape[1]] = own
        return BitMatrix(self.processes.combine(words), self.n_images, bits.atoms)


def select_images(source: Source, layers: Sequence[str], target: str, processes: Processes | None = None) -> Selection:
    """Select the images whose target is known, and share them out over the processes.

    Args:
        layers: in execution order.
        target: `model` (what the model predicts) or `label`.
    """
    processes = processes or Processes()
    every = cut_parts(source.parts) if processes.count > 1 else source.parts
    mine = processes.share_out(len(every))
    parts: list[Part] = []
    targets = []
    for part in every[mine.start : mine.stop]:
        if source.settings.has_labels and target == "model":
            parts.append(part)
            targets.append(part.read_logits() > 0)
            continue
        values = part.read_predictions() if target == "model" else part.read_labels()
        known = values != UNKNOWN
        if source.settings.has_labels:
            known, values = known.all(dim=1), values > 0
        parts.append(_take_rows(part, known))
        targets.append(values[known])
    return _make_selection(source, layers, processes, parts, targets)


def split_selection(
    selection: Selection, choose: Callable[[Sequence[str]], NDArray[np.bool_]]
) -> tuple[Selection, Selection]:
    """Split a selection into the images that `choose` takes and the others.

    Args:
        choose: ids -> bool `[n]`, which images to take.
    """
    chosen = [torch.from_numpy(choose(part.read_ids())) for part in selection.parts]
    targets = selection.targets.split([part.n_images for part in selection.parts])
    sides = []
    for which in (chosen, [~rows for rows in chosen]):
        parts = [_take_rows(part, rows) for part, rows in zip(selection.parts, which, strict=True)]
        own = [values[rows] for values, rows in zip(targets, which, strict=True)]
        sides.append(_make_selection(selection.source, selection.layers, selection.processes, parts, own))
    return sides[0], sides[1]


def _take_rows(part: Part, which: Tensor) -> Part:
    """The images of a part where `which`, bool `[n_images]`, is true."""
    return part if bool(which.all()) else Rows(part, which.nonzero().flatten())


def _make_selection(
    source: Source, layers: Sequence[str], processes: Processes, parts: Sequence[Part], targets: Sequence[Tensor]
) -> Selection:
    has_labels = source.settings.has_labels and (not targets or targets[0].ndim > 1)
    empty = torch.zeros((0, len(source.classes)) if has_labels else 0, dtype=torch.bool if has_labels else torch.int64)
    own = torch.cat([empty, *targets])
    sizes = torch.zeros(processes.count, dtype=torch.int64)
    sizes[processes.rank] = len(own)
    sizes = processes.combine(sizes)
    return Selection(
        source=source,
        layers=tuple(layers),
        processes=processes,
        parts=tuple(parts),
        targets=own,
        n_images=int(sizes.sum()),
        first=int(sizes[: processes.rank].sum()),
    )
