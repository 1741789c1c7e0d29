"""Captures on disk: a folder with a manifest (JSON) and shards (safetensors), written so that they survive."""

from eric_fast.store.manifest import (
    MANIFEST,
    NORM_DTYPES,
    SHARD_SIZE,
    SHARD_UNIT,
    STORES,
    Manifest,
    ShardEntry,
    Thresholds,
)
from eric_fast.store.read import (
    Capture,
    is_capture,
    list_layers,
    load_activations,
    load_bits,
    open_capture,
    read_manifest,
)
from eric_fast.store.selection import Selection, join_parts, read_finite_norms, select_images
from eric_fast.store.shard import Samples, Shard
from eric_fast.store.verify import Verification, verify_capture
from eric_fast.store.write import NOT_WRITTEN, CaptureWriter, check_same, save_activations, write_capture

__all__ = [
    "MANIFEST",
    "NORM_DTYPES",
    "NOT_WRITTEN",
    "SHARD_SIZE",
    "SHARD_UNIT",
    "STORES",
    "Capture",
    "CaptureWriter",
    "Manifest",
    "Samples",
    "Selection",
    "Shard",
    "ShardEntry",
    "Thresholds",
    "Verification",
    "check_same",
    "is_capture",
    "join_parts",
    "list_layers",
    "load_activations",
    "load_bits",
    "open_capture",
    "read_finite_norms",
    "read_manifest",
    "save_activations",
    "select_images",
    "verify_capture",
    "write_capture",
]
