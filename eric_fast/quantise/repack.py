"""Capture jobs that pack stored norms into bits."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from eric_fast.errors import CaptureError, OutputError
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import pack_layer
from eric_fast.store import Capture, Manifest, Samples, Thresholds
from eric_fast.store.job import CaptureJob, begin_job, count_id_bytes


@contextmanager
def open_packing_job(
    capture: Capture,
    path: str | Path,
    thresholds: Thresholds,
    *,
    force: bool = False,
    progress: Progress = ignore_progress,
) -> Iterator[CaptureJob]:
    """Start a capture of bits from the norms of another capture, without the network, or resume it.

    Raises:
        CaptureError: `capture` is damaged or contains no norms; see `open_capture_job` for the rest.
    """
    path = Path(path)
    if capture.store == "bits":
        raise CaptureError(f"{capture.path} contains bits already and no norms to pack; give a capture of norms")
    if path.resolve() == capture.path.resolve():
        raise OutputError(f"{path} is the capture that is to be packed; write to another path")
    before = capture.manifest
    layers = {layer: n for layer, n in before.layers.items() if layer in thresholds.quantiser.rows_of_layer}
    manifest = Manifest(
        layers,
        before.classes,
        before.settings,
        "bits",
        before.norm_dtype,
        before.shard_size,
        before.n_listed,
        before.listing,
        thresholds,
        has_logits=before.has_logits,
        edges=capture.graph.restrict(layers).edges,
    )

    def produce(numbers: Sequence[int], report: Callable[[int], None]) -> Iterator[Samples]:
        n_done = 0
        for number in numbers:
            shard = capture.shards[number]
            norms = {layer: shard.read_norms(layer).float() for layer in layers}
            words = pack_norms(norms, thresholds.quantiser, before.settings.grid)
            logits = shard.read_logits() if before.has_logits else None
            yield Samples(shard.read_ids(), shard.read_labels(), shard.read_predictions(), words=words, logits=logits)
            n_done += shard.entry.images[1] - shard.entry.images[0]
            report(n_done)

    id_bytes = count_id_bytes(capture.shards[0].read_ids()[:1000]) if capture.shards else 0.0
    with begin_job(path, manifest, id_bytes, produce, "pack", force=force, progress=progress) as job:
        yield job


def pack_norms(norms: Mapping[str, Tensor], quantiser: Quantiser, grid: int) -> dict[str, Tensor]:
    """Pack float32 norms `[n, n_kernels]` of each layer; returns layer -> int32 words `[n_atoms, n_words]`.

    grid: see `pack_layer`.
    """
    return {layer: pack_layer(norms[layer], quantiser.atoms_of_layer(layer), grid=grid) for layer in quantiser.layers}
