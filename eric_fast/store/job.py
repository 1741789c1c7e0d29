"""`CaptureJob`: a capture that is being written, and that can be resumed; its shards may come from anywhere."""

import json
import logging
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eric_fast.bits import count_words
from eric_fast.errors import OutputError, say_count
from eric_fast.processes import Processes
from eric_fast.processes.memory import format_bytes
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store import (
    NOT_WRITTEN,
    Capture,
    CaptureWriter,
    Manifest,
    Samples,
    check_same,
    is_capture,
    open_capture,
    read_manifest,
    write_capture,
)

logger = logging.getLogger(__name__)
_NORM_BYTES = {"float32": 4, "float16": 2}
_OTHER_BYTES = 24  # of an image: label, prediction, where its id ends
Produce = Callable[[Sequence[int], Callable[[int], None]], Iterator[Samples]]


@dataclass(frozen=True)
class CaptureJob:
    """A capture that is being written; made by `open_capture_job` or `open_packing_job`, and valid within their block.

    Attributes:
        path: the folder of the capture, locked against other processes.
        manifest: the manifest of the finished capture, but without shards.
        missing: the numbers of shards that are missing or damaged; several processes share them out.
        n_bytes: how much these take on disk; so much is free.
        stage: the stage that `progress` is called with.
    """

    writer: CaptureWriter
    missing: list[int]
    n_bytes: int
    stage: str
    _produce: Produce
    processes: Processes = field(default_factory=Processes)

    @property
    def path(self) -> Path:
        return self.writer.path

    @property
    def manifest(self) -> Manifest:
        return self.writer.manifest

    @property
    def n_missing_images(self) -> int:
        """How many images the missing shards are for."""
        return self._count_images(self.missing)

    def run(self, progress: Progress = ignore_progress) -> Capture:
        """Write the missing shards. Whatever stops it, finished shards are kept.

        Raises:
            DataError, ModelError, CaptureError: see `capture_activations`. OutputError: a full disk and the like.
        """
        if self.missing:
            self._write_missing(progress)
        return self._finish()

    def _write_missing(self, progress: Progress) -> None:
        manifest, processes = self.manifest, self.processes
        own = self.missing[processes.rank :: processes.count]
        n_missing, n_own = self.n_missing_images, self._count_images(own)
        n_before = manifest.n_listed - n_missing

        def report(n_done: int) -> None:  # assumes that other processes are as far as this one
            done = n_done * n_missing // n_own if n_own else n_missing
            progress(self.stage, n_before + done, manifest.n_listed)

        report(0)
        n_written = 0
        writing: Future[object] | None = None
        try:
            # A shard is hashed and written while the next one is computed.
            with ThreadPoolExecutor(1) as pool:
                for number, shard in zip(own, self._produce(own, report), strict=True):
                    if writing is not None:
                        writing.result()
                        n_written += 1
                    writing = pool.submit(self.writer.write_shard, number, shard)
            if writing is not None:
                writing.result()
        except BaseException:
            n_written += writing is not None and writing.done() and writing.exception() is None
            n_kept = manifest.n_shards - len(self.missing) + n_written
            if n_kept:
                message = "kept %d of %d shards in %s; run the same command again to write the rest"
                logger.warning(message, n_kept, manifest.n_shards, self.path)
            raise

    def _finish(self) -> Capture:
        """List the shards of all processes in the manifest. Raises CaptureError, OutputError."""
        self.processes.wait_for_all()
        capture = self.writer.finish() if self.processes.is_first else None
        self.processes.wait_for_all()
        return capture or open_capture(self.path)

    def _count_images(self, shards: Sequence[int]) -> int:
        return sum(stop - start for start, stop in map(self.manifest.images_of_shard, shards))


def describe_job(job: CaptureJob) -> str:
    """Say what a job will write, and what is written already."""
    manifest = job.manifest
    n_there = manifest.n_shards - len(job.missing)
    there = f", {n_there} of them there and whole" if n_there else ""
    stored = "norms and bits" if manifest.store == "both" else manifest.store
    stored += " and logits" if manifest.has_logits else ""
    shards = say_count(manifest.n_shards, "shard")
    return f"{stored} of {manifest.n_listed:,} images in {shards}{there}; {format_bytes(job.n_bytes)} to write"


@contextmanager
def begin_job(
    path: Path,
    manifest: Manifest,
    id_bytes: float,
    produce: Produce,
    stage: str,
    *,
    force: bool,
    progress: Progress,
    processes: Processes | None = None,
) -> Iterator[CaptureJob]:
    """Lock and verify the folder, and check that there is space for the missing shards.

    Args:
        id_bytes: the average length of an image's id in bytes.
        produce: takes numbers of shards and a callback for the number of images done, and yields the content of each
            shard in turn.
        processes: the processes that share the shards out. The first one locks and verifies the folder, and tells the
            others which shards are missing.

    Raises: see `open_capture_job`.
    """
    processes = processes or Processes()
    if not processes.is_first:
        missing = json.loads(processes.share_text(None))
        n_bytes = count_shard_bytes(manifest, missing, id_bytes)
        yield CaptureJob(CaptureWriter(path, manifest), missing, n_bytes, stage, produce, processes)
        return
    if not force and is_capture(path):
        check_same(path, read_manifest(path), manifest)
    check_disk_space(path, 0 if is_capture(path) else count_shard_bytes(manifest, range(manifest.n_shards), id_bytes))
    with write_capture(path, manifest, force=force, has_others=processes.count > 1) as writer:
        wrong = writer.check_shards(progress if writer.has_shards() else ignore_progress)
        for number, reason in wrong.items():
            if reason != NOT_WRITTEN:
                logger.warning("shard %d of %s %s; it is written again", number, path, reason)
        missing = sorted(wrong)
        n_bytes = count_shard_bytes(manifest, missing, id_bytes)
        check_disk_space(path, n_bytes)
        processes.share_text(json.dumps(missing))
        yield CaptureJob(writer, missing, n_bytes, stage, produce, processes)


def count_id_bytes(ids: Sequence[str]) -> float:
    """The average length of an id, in bytes of UTF-8."""
    return sum(len(name.encode(errors="surrogatepass")) for name in ids) / max(1, len(ids))


def count_shard_bytes(manifest: Manifest, numbers: Sequence[int], id_bytes: float) -> int:
    """Bytes on disk of these shards, without their headers of some kilobytes."""
    n_bytes = 0.0
    n_kernels = 0 if manifest.store == "bits" else sum(manifest.layers.values())
    n_atoms = 0 if manifest.thresholds is None else len(manifest.thresholds.quantiser.atoms)
    for start, stop in map(manifest.images_of_shard, numbers):
        of_image = n_kernels * _NORM_BYTES[manifest.norm_dtype] + _OTHER_BYTES + id_bytes
        of_image += 2 * len(manifest.classes) if manifest.has_logits else 0
        of_image += len(manifest.classes) if manifest.settings.has_labels else 0
        n_bytes += (stop - start) * of_image + n_atoms * count_words(stop - start) * 4
    return round(n_bytes)


def check_disk_space(path: Path, n_bytes: int) -> None:
    """Check that `n_bytes` are free on the disk of `path`. Raises OutputError."""
    place = path.absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if n_bytes > free:
        raise OutputError(
            f"{path} needs {format_bytes(n_bytes)} on disk, but only {format_bytes(free)} are free; free some space, "
            "write to another disk, or store less (--store bits, --norm-dtype float16)"
        )
