"""Disk space: how much a capture takes, and whether that much is free."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from eric_fast.bits import count_words
from eric_fast.errors import OutputError
from eric_fast.memory import format_bytes
from eric_fast.store import Manifest

_NORM_BYTES = {"float32": 4, "float16": 2}
_OTHER_BYTES = 24  # of an image: label, prediction, where its id ends


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
