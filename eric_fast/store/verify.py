"""Verify captures: compare every shard with its hash."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from eric_fast.output.kinds import name_shard
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.read import read_manifest
from eric_fast.store.write import CaptureWriter


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
