"""Captures of format 1: all ids in the manifest, float32 norms, and shards that only their whole file's hash checks."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from eric_fast.errors import CaptureError
from eric_fast.store.manifest import Manifest, ShardEntry
from eric_fast.store.manifest_text import Expected, is_count, read_layers, read_settings, refuse


def parse_manifest_1(raw: Any, place: Path) -> Manifest:
    """From what `manifest.json` holds, of format 1. Raises CaptureError."""
    expect = Expected(place, raw)
    ids = tuple(expect.take_names("ids"))
    check_ids(place, ids)
    settings = read_settings(expect)
    return Manifest(
        layers=read_layers(expect),
        classes=tuple(expect.take_names("classes")),
        settings=settings,
        n_listed=len(ids) + settings.n_bad_images,
        shards=_read_shards(place, expect.take_list("shards"), len(ids)),
        ids=ids,
    )


def _read_shards(place: Path, raw: list[Any], n_images: int) -> tuple[ShardEntry, ...]:
    """Shards that follow each other from the first image to the last, each a file in the capture's own folder."""
    shards: list[ShardEntry] = []
    for entry in raw:
        if not isinstance(entry, dict) or set(entry) != {"file", "start", "stop", "sha256"}:
            refuse(place, "shards")
        file, start, stop = entry["file"], entry["start"], entry["stop"]
        if not isinstance(file, str) or file != Path(file).name or file in ("", "..") or "\0" in file:
            raise CaptureError(f"{place}: shard {file!r} is not a file of the capture's own folder; capture again")
        follows = shards[-1].images[1] if shards else 0
        if not (is_count(start) and is_count(stop) and follows == start <= stop and type(entry["sha256"]) is str):
            refuse(place, "shards")
        shards.append(ShardEntry(file, (start, stop), 0, -1, entry["sha256"], ""))
    if not shards or shards[-1].images[1] != n_images:
        refuse(place, "shards")
    return tuple(shards)


def check_ids(place: Path, ids: Sequence[str]) -> None:
    """Refuse ids that don't tell images apart. Raises CaptureError."""
    if len(set(ids)) != len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise CaptureError(f"{place}: two images have the id '{twice}'; each must have its own")
