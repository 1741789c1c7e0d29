"""What one process of a run reads of a capture: whole shards of its own, a layer of one shard at a time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from eric_fast.bits import count_words, join_words, pack_bits, unpack_words
from eric_fast.processes import Processes
from eric_fast.store.activations import UNKNOWN, CaptureSettings, check_finite
from eric_fast.store.read import Capture
from eric_fast.store.shard import Shard


@dataclass(frozen=True, eq=False)
class Selection:
    """Images of a capture whose target is known, some of its layers, and the shards of them that are this process's.

    Attributes:
        capture: of all processes.
        layers: in execution order.
        processes: which share the shards out, each some in a row; some may have none.
        shards: this process's own.
        kept: for each the images whose target is known, int64 indices in the shard; None where all are.
        targets: int64 `[n]`, of this process's images in a row.
        n_images: of all processes.
        first: how many of these come before this process's.
    """

    capture: Capture
    layers: tuple[str, ...]
    processes: Processes
    shards: tuple[Shard, ...]
    kept: tuple[Tensor | None, ...]
    targets: Tensor
    n_images: int
    first: int

    @property
    def settings(self) -> CaptureSettings:
        """How the norms came about."""
        return self.capture.settings

    @property
    def sizes(self) -> list[int]:
        """This process's images by shard."""
        return [
            shard.n_images if kept is None else len(kept) for shard, kept in zip(self.shards, self.kept, strict=True)
        ]

    def iterate_norms(self, layer: str) -> Iterator[Tensor]:
        """Norms of this process's images, shard by shard: float32 or float16 `[n, n_kernels]`."""
        for shard, kept in zip(self.shards, self.kept, strict=True):
            norms = read_finite_norms(shard, layer)
            yield norms if kept is None else norms[kept]

    def iterate_columns(self, layer: str, n_values: int) -> Iterator[Tensor]:
        """Norms of some kernels at a time, at most `n_values` of them, of the images of all processes: float32."""
        n_kernels = self.capture.n_kernels[layer]
        width = max(1, n_values // max(self.n_images, 1))
        for first in range(0, n_kernels, width):
            columns = torch.zeros(self.n_images, min(width, n_kernels - first))
            start = self.first
            for norms in self.iterate_norms(layer):
                columns[start : start + len(norms)] = norms[:, first : first + width]
                start += len(norms)
            # Zeros elsewhere, as integers: adding them up puts the parts together.
            yield self.processes.combine(columns.view(torch.int32)).view(torch.float32)

    def gather_targets(self) -> Tensor:
        """int64 `[n_images]`, of all processes."""
        targets = torch.zeros(self.n_images, dtype=torch.int64)
        targets[self.first : self.first + len(self.targets)] = self.targets
        return self.processes.combine(targets)

    def read_stored_words(self, layer: str) -> Tensor:
        """The stored bits of this process's images, int32 words `[n_atoms, count_words(n)]`."""
        assert self.capture.quantiser is not None
        parts = []
        for shard, kept in zip(self.shards, self.kept, strict=True):
            words = shard.read_words(layer)
            parts.append(words if kept is None else pack_bits(unpack_words(words, shard.n_images)[kept]))
        return join_parts(parts, self.sizes, len(self.capture.quantiser.atoms_of_layer(layer)))


def join_parts(parts: Sequence[Tensor], sizes: Sequence[int], n_atoms: int) -> Tensor:
    """As `join_words`; of no part rows of no image."""
    if not parts:
        return torch.zeros(n_atoms, count_words(0), dtype=torch.int32)
    return join_words(parts, sizes)


def select_images(
    capture: Capture, layers: Sequence[str], target: str, processes: Processes | None = None
) -> Selection:
    """The images whose target is known: `model` (what the model predicts) or `label`."""
    processes = processes or Processes()
    mine = processes.share_out(len(capture.shards))
    shards = capture.shards[mine.start : mine.stop]
    kept: list[Tensor | None] = []
    targets = []
    for shard in shards:
        values = shard.read_predictions() if target == "model" else shard.read_labels()
        known = (values != UNKNOWN).nonzero().flatten()
        kept.append(None if len(known) == len(values) else known)
        targets.append(values if len(known) == len(values) else values[known])
    own = torch.cat(targets) if targets else torch.zeros(0, dtype=torch.int64)
    sizes = torch.zeros(processes.count, dtype=torch.int64)
    sizes[processes.rank] = len(own)
    sizes = processes.combine(sizes)
    return Selection(
        capture=capture,
        layers=tuple(layers),
        processes=processes,
        shards=shards,
        kept=tuple(kept),
        targets=own,
        n_images=int(sizes.sum()),
        first=int(sizes[: processes.rank].sum()),
    )


def read_finite_norms(shard: Shard, layer: str) -> Tensor:
    """`Shard.read_norms`, none of them NaN or infinite. Raises CaptureError."""
    norms = shard.read_norms(layer)
    if not bool(torch.isfinite(norms).all()):
        check_finite(layer, norms, shard.read_ids())
    return norms
