"""Captures on disk: a folder with a manifest (JSON) and shards (safetensors), written so that they survive."""

from eric_fast.output.kinds import MANIFEST
from eric_fast.store.manifest import SHARD_SIZE, SHARD_UNIT, Manifest, Thresholds, check_same
from eric_fast.store.manifest_text import parse_manifest, print_manifest
from eric_fast.store.read import (
    Capture,
    is_capture,
    list_layers,
    load_activations,
    load_bits,
    open_capture,
    read_manifest,
)
from eric_fast.store.selection import Selection, select_images, split_selection
from eric_fast.store.shard import Samples
from eric_fast.store.source import (
    Part,
    Source,
    cut_parts,
    hash_images,
    join_parts,
    read_labels,
    read_layer,
    read_predictions,
)
from eric_fast.store.write import NOT_WRITTEN, CaptureWriter, save_activations, verify_capture, write_capture

__all__ = [
    "MANIFEST",
    "NOT_WRITTEN",
    "SHARD_SIZE",
    "SHARD_UNIT",
    "Capture",
    "CaptureWriter",
    "Manifest",
    "Part",
    "Samples",
    "Selection",
    "Source",
    "Thresholds",
    "check_same",
    "cut_parts",
    "hash_images",
    "is_capture",
    "join_parts",
    "list_layers",
    "load_activations",
    "load_bits",
    "open_capture",
    "parse_manifest",
    "print_manifest",
    "read_labels",
    "read_layer",
    "read_manifest",
    "read_predictions",
    "save_activations",
    "select_images",
    "split_selection",
    "verify_capture",
    "write_capture",
]
