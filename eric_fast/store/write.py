"""Write captures shard by shard, so that every file is whole, and a run that died can be resumed."""

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

from eric_fast.errors import CaptureError, OutputError
from eric_fast.output import CAPTURE, check_folder, replace_folder
from eric_fast.output.disk import flush_to_disk
from eric_fast.output.kinds import MANIFEST, name_shard
from eric_fast.output.leftovers import BESIDE
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.activations import Activations, check_ids
from eric_fast.store.files import put_in_place, read_json, report_failed_write
from eric_fast.store.manifest import SHARD_SIZE, Manifest, ShardEntry, check_entry, check_same
from eric_fast.store.manifest_text import parse_entry, print_entry, print_manifest
from eric_fast.store.read import Capture, is_capture, open_capture, read_manifest
from eric_fast.store.shard import Samples, check_shard_file, write_shard_file

_LOCK = f"{BESIDE}lock"
NOT_WRITTEN = "was not written yet"
_PARTS = f"{BESIDE}parts"  # a folder for files that aren't whole yet


class CaptureWriter:
    """Adds shards to the folder of a capture, in any order; made by `write_capture`.

    Several processes may write shards, each with a `CaptureWriter` of the same folder and manifest. One of them holds
    the lock and finishes the capture.

    Attributes:
        path: the folder.
        manifest: the manifest of the finished capture, but without shards.
    """

    def __init__(self, path: Path, manifest: Manifest) -> None:
        self.path = path
        self.manifest = replace(manifest, shards=())
        self._listed = read_manifest(path).shards if is_capture(path) else ()

    def find_entry(self, number: int) -> ShardEntry | None:
        """Find the entry of a shard; None if it isn't written yet. Raises CaptureError for a damaged entry."""
        place = self._entry_path(number)
        if not place.is_file():
            return self._listed[number] if number < len(self._listed) else None
        entry = parse_entry(read_json(place), place)  # newer than the manifest's: a damaged shard was written again
        check_entry(self.manifest, entry, number)
        return entry

    def has_shards(self) -> bool:
        """Whether any shard is written."""
        return any(self._listed) or any(self._entry_path(i).is_file() for i in range(self.manifest.n_shards))

    def check_shards(self, progress: Progress = ignore_progress) -> dict[int, str]:
        """Read and hash every shard; returns in words what is wrong with those that are missing or damaged."""
        wrong: dict[int, str] = {}
        n_shards = self.manifest.n_shards
        for number in range(n_shards):
            progress("verify", number, n_shards)
            try:
                entry = self.find_entry(number)
            except CaptureError as error:
                wrong[number] = f"can't be checked, as its entry is damaged ({error})"
                continue
            reason = NOT_WRITTEN if entry is None else check_shard_file(self.path / entry.file, entry)
            if reason is not None:
                wrong[number] = reason
        progress("verify", n_shards, n_shards)
        return wrong

    def write_shard(self, number: int, samples: Samples) -> ShardEntry:
        """Add or replace a shard: first its file, then its entry. Each is whole on disk before it gets its name.

        Raises:
            OutputError: a full disk and the like.
        """
        path = self.path / name_shard(number)
        start, stop = self.manifest.images_of_shard(number)
        with report_failed_write(path), self._part(number) as part:
            sha256, header_sha256 = write_shard_file(samples, part)
            part.chmod(self.path.stat().st_mode & 0o666)  # safetensors makes files that only their owner may read
            n_bytes = part.stat().st_size
            n_bad = stop - start - len(samples.ids)
            entry = ShardEntry(path.name, (start, stop), n_bad, n_bytes, sha256, header_sha256)
            check_entry(self.manifest, entry, number)
            put_in_place(part, path)
            part.write_text(print_entry(entry), encoding="utf-8")
            put_in_place(part, self._entry_path(number))
        return entry

    def finish(self) -> Capture:
        """List all shards in the manifest. Raises CaptureError if one is missing, OutputError."""
        found = [(number, self.find_entry(number)) for number in range(self.manifest.n_shards)]
        missing = next((number for number, entry in found if entry is None), None)
        if missing is not None:
            raise CaptureError(f"{self.path} is not finished: {name_shard(missing)} is missing")
        shards = tuple(entry for _, entry in found if entry is not None)
        n_bad_images = sum(entry.n_bad_images for entry in shards)
        settings = replace(self.manifest.settings, n_bad_images=n_bad_images)
        self._write_manifest(replace(self.manifest, shards=shards, settings=settings))
        with report_failed_write(self.path):
            for number in range(self.manifest.n_shards):
                self._entry_path(number).unlink(missing_ok=True)
            flush_to_disk(self.path)
        return open_capture(self.path)

    def begin(self) -> None:
        """Start a capture without shards, in place of any capture that is in the folder."""
        with report_failed_write(self.path):
            for path in [*self.path.glob("shard-*.json"), *self.path.glob("shard-*.safetensors")]:
                path.unlink()
        self._listed = ()
        self._write_manifest(self.manifest)

    def _write_manifest(self, manifest: Manifest) -> None:
        with report_failed_write(self.path / MANIFEST), self._part(-1) as part:
            part.write_text(print_manifest(manifest), encoding="utf-8")
            put_in_place(part, self.path / MANIFEST)

    @contextmanager
    def _part(self, number: int) -> Iterator[Path]:
        """Give a temporary path; what is still there at the end is removed."""
        folder = self.path / _PARTS
        folder.mkdir(exist_ok=True)
        part = folder / (name_shard(number) if number >= 0 else MANIFEST)
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    def _entry_path(self, number: int) -> Path:
        return (self.path / name_shard(number)).with_suffix(".json")


@contextmanager
def write_capture(
    path: str | Path, manifest: Manifest, *, force: bool = False, has_others: bool = False
) -> Iterator[CaptureWriter]:
    """Start the capture `path`, or resume it if it is the same but for missing shards. The folder is locked meanwhile.

    Call `check_shards` of the writer, write the shards that are wrong, and `finish`.

    Args:
        path: the folder.
        manifest: the manifest of the capture, without shards.
        force: start again, whatever capture is there.
        has_others: other processes of this run write shards as well. Without them, a capture that fails before its
            first shard leaves nothing behind.

    Raises:
        OutputError: `path` can't be written, is no capture, or another process writes to it.
        CaptureError: `path` contains another capture; the message says what differs.
    """
    path = Path(path)
    check_folder(path, force=True, kind=CAPTURE, keeps_others=not force)
    with report_failed_write(path):
        path.mkdir(parents=True, exist_ok=True)
    with _lock_folder(path):
        shutil.rmtree(path / _PARTS, ignore_errors=True)
        is_new = force or not is_capture(path)
        try:
            if is_new:
                writer = CaptureWriter(path, manifest)
                writer.begin()
            else:
                found = read_manifest(path)
                check_same(path, found, manifest)
                writer = CaptureWriter(path, found)  # keeps the names of model and data
            yield writer
        except BaseException:
            if is_new and not has_others and not any(path.glob("shard-*")):
                (path / MANIFEST).unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(path / _PARTS, ignore_errors=True)


def save_activations(
    activations: Activations, path: str | Path, *, force: bool = False, shard_size: int = SHARD_SIZE
) -> None:
    """Write activations as a capture, atomically.

    Raises:
        OutputError: `path` exists and `force` is false, is not a capture, or can't be written.
        CaptureError: two images have the same id.

    Examples:
        >>> test = ef.load_activations("eric-demo/test")
        >>> ef.save_activations(test, "copy")
        >>> ef.load_activations("copy").n_images
        450
    """
    path = Path(path)
    check_ids(path, activations.ids)
    manifest = Manifest(
        layers={layer: norms.shape[1] for layer, norms in activations.norms.items()},
        classes=activations.classes,
        settings=activations.settings,
        shard_size=shard_size,
        n_listed=activations.n_images + activations.settings.n_bad_images,
        has_logits=activations.has_logits,
        edges=activations.edges,
    )
    with replace_folder(path, force=force, kind=CAPTURE) as folder:
        writer = CaptureWriter(folder, manifest)
        writer.begin()
        for number in range(manifest.n_shards):
            rows = slice(number * shard_size, (number + 1) * shard_size)
            norms = {layer: values[rows] for layer, values in activations.norms.items()}
            labels, predictions = activations.labels[rows], activations.predictions[rows]
            logits = None if activations.logits is None else activations.logits[rows]
            writer.write_shard(number, Samples(activations.ids[rows], labels, predictions, norms, logits=logits))
        writer.finish()
        (folder / _PARTS).rmdir()


@dataclass(frozen=True)
class Verification:
    """The result of `verify_capture`.

    Attributes:
        n_shards: the number of shards of the finished capture.
        wrong: file of a shard -> what is wrong with it, in words.
    """

    n_shards: int
    wrong: Mapping[str, str]


def verify_capture(path: str | Path, progress: Progress = ignore_progress) -> Verification:
    """Read and hash every shard of a capture, finished or not.

    Raises:
        CaptureError: no capture, or a damaged manifest.
    """
    root = Path(path)
    manifest = read_manifest(root)
    reasons = CaptureWriter(root, manifest).check_shards(progress)
    return Verification(manifest.n_shards, {name_shard(number): reason for number, reason in reasons.items()})


@contextmanager
def _lock_folder(path: Path) -> Iterator[None]:
    """Lock a folder for this process; if it dies, the system releases the lock."""
    place = path / _LOCK
    with report_failed_write(path):
        handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another process is writing {path}; wait for it, or give another path") from None
        if not place.exists() or not os.path.samestat(os.fstat(handle), place.stat()):
            raise OutputError(f"another process has just finished {path}; run the command again")
        try:
            yield
        finally:  # while the lock is held, so that a process that has opened the file sees that it is gone
            with suppress(OSError):
                place.unlink()
            with suppress(OSError):  # empty if the capture failed before anything was written
                path.rmdir()
    finally:
        os.close(handle)
