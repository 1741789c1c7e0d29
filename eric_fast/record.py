"""Recording: captures that are written while they are made, shard by shard, and taken up again where they stopped."""

import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from eric_fast.activations import Activations
from eric_fast.bits import count_words
from eric_fast.capture import NetworkRun, hash_listing
from eric_fast.errors import CaptureError, OutputError, SettingError
from eric_fast.output import check_folder
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import fit_quantiser, pack_layer
from eric_fast.quantiser import Quantiser
from eric_fast.store import (
    MANIFEST,
    NOT_WRITTEN,
    SHARD_SIZE,
    Capture,
    CaptureWriter,
    Manifest,
    Samples,
    Thresholds,
    check_same,
    is_capture,
    read_manifest,
    write_capture,
)

logger = logging.getLogger(__name__)
N_STATISTICS = 10_000
_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_OTHER_BYTES = 24  # of an image: label, prediction, where its id ends


@dataclass(frozen=True)
class Recording:
    """A capture about to be written; from `open_recording` or `open_packing`, and only inside its block.

    Attributes:
        path: its folder, locked against other processes.
        manifest: of the finished capture, but for its shards.
        missing: the numbers of shards that aren't there, or are damaged.
        n_bytes: what these take on the disk; there is room for it.
        stage: what `progress` is called with.
    """

    writer: CaptureWriter
    missing: list[int]
    n_bytes: int
    stage: str
    _produce: Callable[[Sequence[int], Callable[[int], None]], Iterator[Samples]]

    @property
    def path(self) -> Path:
        return self.writer.path

    @property
    def manifest(self) -> Manifest:
        return self.writer.manifest

    def run(self, progress: Progress = ignore_progress) -> Capture:
        """Write what is missing. Whatever stops it, the shards that are finished are kept.

        Raises:
            DataError, ModelError, CaptureError: see `capture_activations`. OutputError: a full disk, and the like.
        """
        manifest = self.manifest
        n_to_do = sum(stop - start for start, stop in map(manifest.images_of_shard, self.missing))
        n_before = manifest.n_listed - n_to_do
        progress(self.stage, n_before, manifest.n_listed)
        n_written = 0
        try:
            samples = self._produce(self.missing, lambda n: progress(self.stage, n_before + n, manifest.n_listed))
            for number, shard in zip(self.missing, samples, strict=True):
                self.writer.write_shard(number, shard)
                n_written += 1
        except BaseException:
            n_kept = manifest.n_shards - len(self.missing) + n_written
            logger.warning(
                "%d of %d shards are kept in %s; the same command does the rest", n_kept, manifest.n_shards, self.path
            )
            raise
        return self.finish()

    def finish(self) -> Capture:
        """The capture, of which nothing is missing. Raises CaptureError, OutputError."""
        return self.writer.finish()


@contextmanager
def open_recording(
    run: NetworkRun,
    path: str | Path,
    *,
    store: str = "norms",
    norm_dtype: str = "float32",
    shard_size: int = SHARD_SIZE,
    thresholds: Thresholds | None = None,
    threshold: str | None = None,
    n_statistics: int = N_STATISTICS,
    force: bool = False,
    progress: Progress = ignore_progress,
) -> Iterator[Recording]:
    """Begin a capture in the folder `path`, or take up the same one where it stopped.

    What is there is verified first, and damaged shards are made anew. Memory holds one shard at a time.

    Args:
        run: the network and its images, from `prepare_run`.
        store: `norms`, `bits` or `both`.
        norm_dtype: `float32` or `float16`. A norm past the largest float16 is refused. Bits are of the float32 norms.
        shard_size: images in a shard, a multiple of 1,024.
        thresholds: of the bits. Or else:
        threshold: see `parse_threshold`; fitted on `n_statistics` of the images, evenly spread, in a pass of its own.
        force: begin anew, whatever capture is there.
        progress: called with `"verify"`, `"statistics"` and `"capture"`.

    Raises:
        OutputError: no room on the disk; `path` can't be written, is no capture, or another process writes to it.
        CaptureError: it holds another capture: what differs is named.
        SettingError: a setting that means nothing. DataError, ModelError: see `capture_activations`.
    """
    path = Path(path)
    check_folder(path, force=True, marker=MANIFEST)
    if (store == "norms") != (thresholds is None and threshold is None):
        what = "no thresholds" if store == "norms" else "thresholds: give a program, a capture, or what to fit"
        raise SettingError(f"--store {store} needs {what}")
    listing = hash_listing(run.data)

    def plan(thresholds: Thresholds | None, store: str) -> Manifest:
        layers = run.n_kernels
        if store == "bits" and thresholds is not None:
            layers = {layer: n for layer, n in layers.items() if layer in thresholds.quantiser.rows_of_layer}
        return Manifest(
            layers, run.classes, run.settings, store, norm_dtype, shard_size, run.n_images, listing, thresholds
        )

    if threshold is not None:
        origin = f"{threshold} {_describe_sample(n_statistics, run.n_images)}"
        thresholds = None if force else _find_thresholds(path, origin)
        if thresholds is None:
            plan(None, "norms")  # refuses what can't be, before the network runs over the sample
            thresholds = Thresholds(_fit_sample(run, threshold, n_statistics, progress), origin)
    manifest = plan(thresholds, store)

    def produce(numbers: Sequence[int], report: Callable[[int], None]) -> Iterator[Samples]:
        ranges = [manifest.images_of_shard(number) for number in numbers]
        for activations in run.capture_ranges(ranges, report):
            yield _store_norms(activations, manifest)

    id_bytes = _mean_bytes([run.data.ids[i] for i in run.indices[:: max(1, run.n_images // 1000)]])
    with _open(path, manifest, id_bytes, produce, "capture", force=force, progress=progress) as recording:
        yield recording


@contextmanager
def open_packing(
    capture: Capture,
    path: str | Path,
    thresholds: Thresholds,
    *,
    force: bool = False,
    progress: Progress = ignore_progress,
) -> Iterator[Recording]:
    """Begin a capture of bits, made from the norms of another one, without the network; or take up the same one.

    Raises:
        CaptureError: a capture without norms, or damaged; see `open_recording` for the rest.
    """
    path = Path(path)
    if capture.store == "bits":
        raise CaptureError(f"{capture.path} holds bits already, and no norms to pack; give a capture of norms")
    if path.resolve() == capture.path.resolve():
        raise OutputError(f"{path} is the capture that is packed; write to another path")
    before = capture.manifest
    layers = {layer: n for layer, n in before.layers.items() if layer in thresholds.quantiser.rows_of_layer}
    if before.ids is not None:
        raise CaptureError(f"{capture.path} is of format 1; capture again with this version")
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
    )

    def produce(numbers: Sequence[int], report: Callable[[int], None]) -> Iterator[Samples]:
        n_done = 0
        for number in numbers:
            shard = capture.shards[number]
            norms = {layer: shard.read_norms(layer).float() for layer in layers}
            words = _pack(norms, thresholds.quantiser)
            yield Samples(shard.read_ids(), shard.read_labels(), shard.read_predictions(), words=words)
            n_done += shard.entry.images[1] - shard.entry.images[0]
            report(n_done)

    id_bytes = _mean_bytes(capture.shards[0].read_ids()[:1000]) if capture.shards else 0.0
    with _open(path, manifest, id_bytes, produce, "pack", force=force, progress=progress) as recording:
        yield recording


def describe_size(recording: Recording) -> str:
    """In words, what a recording will write, and what is there."""
    manifest = recording.manifest
    n_there = manifest.n_shards - len(recording.missing)
    there = f", {n_there} of them there and whole" if n_there else ""
    stored = "norms and bits" if manifest.store == "both" else manifest.store
    shards = f"{manifest.n_shards:,} shard{'' if manifest.n_shards == 1 else 's'}"
    return f"{stored} of {manifest.n_listed:,} images in {shards}{there}; {say_bytes(recording.n_bytes)} to write"


def say_bytes(n: float) -> str:
    """`10.8 GB`, in powers of a thousand."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "bytes" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} TB"


@contextmanager
def _open(
    path: Path,
    manifest: Manifest,
    id_bytes: float,
    produce: Callable[[Sequence[int], Callable[[int], None]], Iterator[Samples]],
    stage: str,
    *,
    force: bool,
    progress: Progress,
) -> Iterator[Recording]:
    if not force and is_capture(path):
        check_same(path, read_manifest(path), manifest)
    _check_room(path, 0 if is_capture(path) else _count_bytes(manifest, range(manifest.n_shards), id_bytes))
    with write_capture(path, manifest, force=force) as writer:
        wrong = writer.check_shards(progress if writer.has_shards() else ignore_progress)
        for number, reason in wrong.items():
            if reason != NOT_WRITTEN:
                logger.warning("shard %d of %s %s: it is made anew", number, path, reason)
        missing = sorted(wrong)
        n_bytes = _count_bytes(manifest, missing, id_bytes)
        _check_room(path, n_bytes)
        yield Recording(writer, missing, n_bytes, stage, produce)


def _store_norms(activations: Activations, manifest: Manifest) -> Samples:
    """What goes into a shard of these activations."""
    if activations.n_images and activations.layers != tuple(manifest.layers):
        activations = activations.select_layers(tuple(manifest.layers))
    norms = {layer: activations.norms.get(layer, torch.empty(0, n)) for layer, n in manifest.layers.items()}
    words = {} if manifest.thresholds is None else _pack(norms, manifest.thresholds.quantiser)
    stored = {} if manifest.store == "bits" else norms
    if manifest.norm_dtype == "float16":
        stored = {layer: _round_to_half(layer, values, activations.ids) for layer, values in stored.items()}
    return Samples(activations.ids, activations.labels, activations.predictions, stored, words)


def _pack(norms: dict[str, Tensor], quantiser: Quantiser) -> dict[str, Tensor]:
    return {layer: pack_layer(norms[layer], quantiser.atoms_of_layer(layer)) for layer in quantiser.layers}


def _round_to_half(layer: str, norms: Tensor, ids: Sequence[str]) -> Tensor:
    """float16 `[n, n_kernels]`; raises CaptureError for a norm that it can't hold."""
    half = norms.half()
    lost = half.isinf()
    if bool(lost.any()):
        image, kernel = lost.nonzero()[0].tolist()
        raise CaptureError(
            f"layer '{layer}', kernel {kernel}: the norm {norms[image, kernel].item()} of image '{ids[image]}' is past "
            "65,504, the largest float16; store norms with --norm-dtype float32"
        )
    return half


def _fit_sample(run: NetworkRun, threshold: str, n_statistics: int, progress: Progress) -> Quantiser:
    if n_statistics < 1:
        raise SettingError(f"--statistics must be at least 1 image, not {n_statistics}")
    sample = run.take(n_statistics)
    progress("statistics", 0, sample.n_images)
    (found,) = sample.capture_ranges(
        [(0, sample.n_images)], lambda n_done: progress("statistics", n_done, sample.n_images)
    )
    if not found.n_images:
        raise sample.refuse_all_bad()
    return fit_quantiser(found, found.predictions, threshold=threshold)


def _describe_sample(n: int, n_all: int) -> str:
    return f"of all {n_all:,} images" if n >= n_all else f"of {n:,} of {n_all:,} images, evenly spread"


def _find_thresholds(path: Path, origin: str) -> Thresholds | None:
    """Those of a capture that was begun, if they are the wanted ones: a fitted sample isn't fitted again."""
    found = read_manifest(path).thresholds if is_capture(path) else None
    return found if found is not None and found.origin == origin else None


def _mean_bytes(ids: Sequence[str]) -> float:
    return sum(len(name.encode(errors="surrogatepass")) for name in ids) / max(1, len(ids))


def _count_bytes(manifest: Manifest, numbers: Sequence[int], id_bytes: float) -> int:
    """What these shards take on the disk, but for headers of some kilobytes."""
    n_bytes = 0.0
    n_kernels = 0 if manifest.store == "bits" else sum(manifest.layers.values())
    n_atoms = 0 if manifest.thresholds is None else len(manifest.thresholds.quantiser.atoms)
    for start, stop in map(manifest.images_of_shard, numbers):
        of_image = n_kernels * _DTYPES[manifest.norm_dtype].itemsize + _OTHER_BYTES + id_bytes
        n_bytes += (stop - start) * of_image + n_atoms * count_words(stop - start) * 4
    return round(n_bytes)


def _check_room(path: Path, n_bytes: int) -> None:
    place = path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise OutputError(
            f"{path} needs {say_bytes(n_bytes)} on the disk, where {say_bytes(free)} are free; make room, write to "
            "another disk, or store less (--store bits, --norm-dtype float16)"
        )
