"""Capture jobs: a network runs over images, and its norms or bits are written to disk."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from eric_fast.capture import NetworkRun, hash_listing
from eric_fast.errors import CaptureError, SettingError
from eric_fast.output import CAPTURE, check_folder
from eric_fast.processes import Processes
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import fit_quantiser
from eric_fast.quantise.pack import pack_norms
from eric_fast.store import (
    MANIFEST,
    SHARD_SIZE,
    Manifest,
    Samples,
    Thresholds,
    is_capture,
    parse_manifest,
    print_manifest,
    read_manifest,
)
from eric_fast.store.activations import Activations
from eric_fast.store.job import CaptureJob, begin_job, count_id_bytes

N_STATISTICS = 10_000


@contextmanager
def open_capture_job(
    run: NetworkRun,
    path: str | Path,
    *,
    store: str = "norms",
    norm_dtype: str = "float32",
    shard_size: int = SHARD_SIZE,
    thresholds: Thresholds | None = None,
    threshold: str | None = None,
    per_kernel: int = 1,
    n_statistics: int = N_STATISTICS,
    logits: bool | None = None,
    force: bool = False,
    processes: Processes | None = None,
    progress: Progress = ignore_progress,
) -> Iterator[CaptureJob]:
    """Start a capture in the folder `path`, or resume the same capture where it stopped.

    Existing shards are verified first, and damaged ones are written again. Two shards are in memory: one that is
    computed, and one that is written.

    Args:
        run: the network and its images, from `prepare_run`.
        store: `norms`, `bits` or `both`.
        norm_dtype: `float32` or `float16`; a norm past the largest float16 is refused. Bits are of the float32 norms.
        shard_size: images in a shard, a multiple of 1,024.
        thresholds: the thresholds of the bits. Give either these or `threshold` if bits are stored.
        per_kernel: thresholds of a kernel; see `fit_quantiser`.
        threshold: see `parse_threshold`; fitted on `n_statistics` of the images, evenly spread, in a pass of its own.
        logits: whether the network's outputs are stored, as float16; by default as in the capture that is resumed, or
            those of at most 100 classes.
        force: start again, whatever capture is there.
        processes: the processes that share the shards out; the first one holds the folder's lock and fits thresholds.
        progress: called with `"verify"`, `"statistics"` and `"capture"`.

    Raises:
        OutputError: the disk is too full; `path` can't be written, is no capture, or another process writes to it.
        CaptureError: `path` contains another capture; the message says what differs.
        SettingError: an invalid setting. DataError, ModelError: see `capture_activations`.
    """
    path = Path(path)
    check_folder(path, force=True, kind=CAPTURE, keeps_others=not force)
    if (store == "norms") != (thresholds is None and threshold is None):
        what = (
            "takes no thresholds; leave them out, or choose --store bits or both"
            if store == "norms"
            else "needs thresholds; give --thresholds (a program or a capture of bits) or --threshold (such as mean)"
        )
        raise SettingError(f"--store {store} {what}")
    listing = hash_listing(run.data)
    before = None if force or not is_capture(path) else read_manifest(path).has_logits

    def plan(thresholds: Thresholds | None, store: str) -> Manifest:
        layers = run.n_kernels
        if store == "bits" and thresholds is not None:
            layers = {layer: n for layer, n in layers.items() if layer in thresholds.quantiser.rows_of_layer}
        return Manifest(
            layers,
            run.classes,
            run.complete_settings,
            store,
            norm_dtype,
            shard_size,
            run.n_images,
            listing,
            thresholds,
            has_logits=replace(run, keeps_logits=before if logits is None else logits).keep_logits(len(run.classes)),
            edges=LayerGraph(tuple(run.n_kernels), run.edges).restrict(layers).edges,
        )

    processes = processes or Processes()
    if threshold is not None and processes.is_first:
        several = f"{per_kernel} for each kernel, " if per_kernel != 1 else ""
        origin = f"{several}{threshold} {_describe_sample(n_statistics, run.n_images)}"
        thresholds = None if force else _find_thresholds(path, origin)
        if thresholds is None:
            plan(None, "norms")  # validates the settings before the network runs over the sample
            thresholds = Thresholds(_fit_sample(run, threshold, per_kernel, n_statistics, progress), origin)
    manifest = _share_manifest(plan(thresholds, store) if processes.is_first else None, path, processes)

    def produce(numbers: Sequence[int], report: Callable[[int], None]) -> Iterator[Samples]:
        ranges = [manifest.images_of_shard(number) for number in numbers]
        for activations in replace(run, keeps_logits=manifest.has_logits).capture_ranges(ranges, report):
            yield _store_norms(activations, manifest)

    id_bytes = count_id_bytes([run.data.ids[i] for i in run.indices[:: max(1, run.n_images // 1000)]])
    with begin_job(
        path, manifest, id_bytes, produce, "capture", force=force, progress=progress, processes=processes
    ) as job:
        yield job


def _share_manifest(manifest: Manifest | None, path: Path, processes: Processes) -> Manifest:
    """Send the manifest of the first process, which alone fits thresholds, to all processes."""
    if processes.count == 1 and manifest is not None:
        return manifest
    text = processes.share_text(None if manifest is None else print_manifest(manifest))
    return parse_manifest(json.loads(text), path / MANIFEST)


def _store_norms(activations: Activations, manifest: Manifest) -> Samples:
    """Choose and convert what a shard stores of these activations."""
    if activations.n_images and activations.layers != tuple(manifest.layers):
        activations = activations.select_layers(tuple(manifest.layers))
    norms = {layer: activations.norms.get(layer, torch.empty(0, n)) for layer, n in manifest.layers.items()}
    words = {}
    if manifest.thresholds is not None:
        words = pack_norms(norms, manifest.thresholds.quantiser, manifest.settings.grid)
    stored = {} if manifest.store == "bits" else norms
    if manifest.norm_dtype == "float16":
        stored = {layer: _round_to_half(layer, values, activations.ids) for layer, values in stored.items()}
    return Samples(activations.ids, activations.labels, activations.predictions, stored, words, activations.logits)


def _round_to_half(layer: str, norms: Tensor, ids: Sequence[str]) -> Tensor:
    """Round to float16 `[n, n_kernels]`. Raises CaptureError for a norm past its range."""
    half = norms.half()
    lost = half.isinf()
    if bool(lost.any()):
        image, kernel = lost.nonzero()[0].tolist()
        raise CaptureError(
            f"layer '{layer}', kernel {kernel}: the norm {norms[image, kernel].item()} of image '{ids[image]}' is past "
            "65,504, the largest float16; store norms with --norm-dtype float32"
        )
    return half


def _fit_sample(run: NetworkRun, threshold: str, per_kernel: int, n_statistics: int, progress: Progress) -> Quantiser:
    if n_statistics < 1:
        raise SettingError(f"--statistics must be at least 1 image, not {n_statistics}")
    sample = run.take(n_statistics)
    progress("statistics", 0, sample.n_images)
    (found,) = sample.capture_ranges(
        [(0, sample.n_images)], lambda n_done: progress("statistics", n_done, sample.n_images)
    )
    if not found.n_images:
        raise sample.refuse_all_bad()
    return fit_quantiser(found, found.predictions, threshold=threshold, per_kernel=per_kernel)


def _describe_sample(n: int, n_all: int) -> str:
    return f"of all {n_all:,} images" if n >= n_all else f"of {n:,} of {n_all:,} images, evenly spread"


def _find_thresholds(path: Path, origin: str) -> Thresholds | None:
    """The thresholds of an unfinished capture, if they have this origin; they needn't be fitted again."""
    found = read_manifest(path).thresholds if is_capture(path) else None
    return found if found is not None and found.origin == origin else None
