"""`Recording`: a capture that is about to be written, whatever its shards come from."""

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from eric_fast.processes import Processes
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
from eric_fast.store.disk_space import check_room, count_bytes, say_bytes

logger = logging.getLogger(__name__)
Produce = Callable[[Sequence[int], Callable[[int], None]], Iterator[Samples]]


@dataclass(frozen=True)
class Recording:
    """A capture about to be written; from `open_recording` or `open_packing`, and only inside its block.

    Attributes:
        path: its folder, locked against other processes.
        manifest: of the finished capture, but for its shards.
        missing: the numbers of shards that aren't there, or are damaged; many processes deal them out among them.
        n_bytes: what these take on the disk; there is room for it.
        stage: what `progress` is called with.
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

    def run(self, progress: Progress = ignore_progress) -> Capture:
        """Write what is missing. Whatever stops it, the shards that are finished are kept.

        Raises:
            DataError, ModelError, CaptureError: see `capture_activations`. OutputError: a full disk, and the like.
        """
        manifest, processes = self.manifest, self.processes
        own = self.missing[processes.rank :: processes.count]
        n_to_do, n_own = (sum(b - a for a, b in map(manifest.images_of_shard, part)) for part in (self.missing, own))
        n_before = manifest.n_listed - n_to_do

        def report(n_done: int) -> None:  # others are about as far as this one
            done = n_done * n_to_do // n_own if n_own else n_to_do
            progress(self.stage, n_before + done, manifest.n_listed)

        report(0)
        n_written = 0
        writing: Future[object] | None = None
        try:
            # A shard is hashed and written while the next one is made.
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
                said = "%d of %d shards are kept in %s; the same command does the rest"
                logger.warning(said, n_kept, manifest.n_shards, self.path)
            raise
        return self.finish()

    def finish(self) -> Capture:
        """The capture, of which nothing is missing once every process is here. Raises CaptureError, OutputError."""
        self.processes.wait_for_all()
        capture = self.writer.finish() if self.processes.is_first else None
        self.processes.wait_for_all()
        return capture or open_capture(self.path)


def describe_size(recording: Recording) -> str:
    """In words, what a recording will write, and what is there."""
    manifest = recording.manifest
    n_there = manifest.n_shards - len(recording.missing)
    there = f", {n_there} of them there and whole" if n_there else ""
    stored = "norms and bits" if manifest.store == "both" else manifest.store
    shards = f"{manifest.n_shards:,} shard{'' if manifest.n_shards == 1 else 's'}"
    return f"{stored} of {manifest.n_listed:,} images in {shards}{there}; {say_bytes(recording.n_bytes)} to write"


@contextmanager
def begin_recording(
    path: Path,
    manifest: Manifest,
    id_bytes: float,
    produce: Produce,
    stage: str,
    *,
    force: bool,
    progress: Progress,
    processes: Processes | None = None,
) -> Iterator[Recording]:
    """Lock and verify the folder, and see that there is room for what is missing.

    Args:
        id_bytes: of an image's id, on the average.
        produce: given numbers of shards and a callback for the images done, gives what goes into each, in turn.
        processes: which write whole shards each: the first one locks and verifies, the others take what it finds.

    Raises: see `open_recording`.
    """
    processes = processes or Processes()
    if not processes.is_first:
        missing = json.loads(processes.share_text(None))
        n_bytes = count_bytes(manifest, missing, id_bytes)
        yield Recording(CaptureWriter(path, manifest), missing, n_bytes, stage, produce, processes)
        return
    if not force and is_capture(path):
        check_same(path, read_manifest(path), manifest)
    check_room(path, 0 if is_capture(path) else count_bytes(manifest, range(manifest.n_shards), id_bytes))
    with write_capture(path, manifest, force=force, has_others=processes.count > 1) as writer:
        wrong = writer.check_shards(progress if writer.has_shards() else ignore_progress)
        for number, reason in wrong.items():
            if reason != NOT_WRITTEN:
                logger.warning("shard %d of %s %s: it is made anew", number, path, reason)
        missing = sorted(wrong)
        n_bytes = count_bytes(manifest, missing, id_bytes)
        check_room(path, n_bytes)
        processes.share_text(json.dumps(missing))
        yield Recording(writer, missing, n_bytes, stage, produce, processes)
