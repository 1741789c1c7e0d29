"""The three kinds of folder that eric_fast writes, and what of them is ours."""

from typing import Any

from eric_fast.output.ownership import FolderKind

MANIFEST = "manifest.json"
_MOST_SHARDS = 100_000  # that an unfinished capture is believed to have


def name_shard(number: int) -> str:
    """The file of a capture's shard."""
    return f"shard-{number:05d}.safetensors"


def _list_capture(_: str, content: Any) -> list[str] | None:
    """Shards, and what is noted of each before the manifest lists it."""
    if not isinstance(content, dict) or "format" not in content or not isinstance(content.get("shards"), list):
        return None
    n_images, size = content.get("n_listed"), content.get("shard_size")
    if not isinstance(n_images, int) or not isinstance(size, int) or size < 1:
        return None
    shards = [name_shard(number) for number in range(min(-(-n_images // size), _MOST_SHARDS))]
    return [*shards, *(shard.replace(".safetensors", ".json") for shard in shards)]


CAPTURE = FolderKind("capture", MANIFEST, _list_capture)
DEMO = FolderKind("demo", "metrics.json")
REPORT = FolderKind("report", "report.json")
