"""Captures as one file each, for the fuzz target: a manifest, and a shard whose hashes may be made to fit."""

import contextlib
import hashlib
import json
import random
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import torch

from eric_fast.bits import BitMatrix
from eric_fast.errors import EricError
from eric_fast.quantise import fit_quantiser, pack_layer
from eric_fast.store import MANIFEST, Manifest, Samples, Thresholds, open_capture, verify_capture, write_capture
from eric_fast.store.activations import Activations
from tests.activations import make_activations

_BETWEEN = b"\n---shard---\n"
_SHARD = "shard-00000.safetensors"
_STORES = ("norms", "bits", "both")


@cache
def _make(store: str) -> bytes:
    found = make_activations(40, n_kernels=(3, 2))
    quantiser = fit_quantiser(found)
    manifest = Manifest(
        {layer: norms.shape[1] for layer, norms in found.norms.items()},
        found.classes,
        found.settings,
        store,
        shard_size=1024,
        n_listed=found.n_images + 2,
        thresholds=None if store == "norms" else Thresholds(quantiser, "mean of all"),
    )
    words = {layer: pack_layer(found.norms[layer], quantiser.atoms_of_layer(layer)) for layer in found.layers}
    samples = Samples(
        found.ids,
        found.labels,
        found.predictions,
        {} if store == "bits" else found.norms,
        {} if store == "norms" else words,
    )
    with tempfile.TemporaryDirectory() as folder:
        with write_capture(Path(folder) / "c", manifest) as writer:
            writer.write_shard(0, samples)
            writer.finish()
        return b"".join([(Path(folder) / "c" / name).read_bytes() for name in (MANIFEST, _SHARD)]).replace(
            b"\n}\n", b"\n}\n" + _BETWEEN, 1
        )


def make_capture(rng: random.Random) -> bytes:
    """A capture of norms, bits or both, in one file. Most say that their hashes are to be made to fit."""
    return rng.choice((b"signed ", b"signed ", b"plain ")) + _make(rng.choice(_STORES))


def make_odd_capture(rng: random.Random) -> bytes:
    """The same with an odd value somewhere in the manifest: what no change of single bytes comes to."""
    manifest, between, shard = _make(rng.choice(_STORES)).partition(_BETWEEN)
    raw = json.loads(manifest)
    place, key = raw, rng.choice(sorted(raw))
    while isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
        place = place[key]
        key = rng.choice(sorted(place)) if isinstance(place, dict) else rng.randrange(len(place))
    before = place[key]
    plain = (None, True, -1, 0, 1, 2**31, 2**63, 10**30, 0.5, 1e308, "", "..", "../c", "/etc/passwd", "x")
    doubled = before * 2 if isinstance(before, str | list) else before
    odd: list[Any] = [*plain, [], [[]], {}, [before], str(before), doubled]
    place[key] = rng.choice(odd)
    return b"signed " + json.dumps(raw).encode() + between + shard


def read_capture(content: bytes) -> list[object]:
    """Open what is in the file as a folder, verify it, and read all of it. Raises EricError."""
    manifest, _, shard = content.partition(_BETWEEN)
    kind, _, manifest = manifest.partition(b" ")
    if kind == b"signed":
        manifest, shard = _sign(manifest, shard)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        root = Path(folder) / "c"
        root.mkdir()
        (root / MANIFEST).write_bytes(manifest)
        (root / _SHARD).write_bytes(shard)
        wrong = verify_capture(root).wrong
        found = _read_all(root)
        # Each tensor is checked by itself when it is read: where the hash of the whole file alone is wrong, what was
        # read is what was written, and the damage lies in what the manifest doesn't speak of.
        if wrong and kind != b"signed":
            assert any(_list_equal(found, written) for written in _read_undamaged(root)), f"{wrong} is served"
        assert sorted(path.name for path in Path(folder).rglob("*")) == sorted(["c", MANIFEST, _SHARD])
        return found


def _read_all(root: Path) -> list[object]:
    """All that a capture gives: lists and tensors."""
    capture = open_capture(root)
    found: list[object] = [capture.labels, capture.predictions, capture.ids]
    if capture.store != "bits":
        activations = capture.read_activations()
        assert isinstance(activations, Activations)
        found += [tensor for _, tensor in sorted(activations.norms.items())]
    if capture.quantiser is not None:
        bits = capture.read_bits()
        assert isinstance(bits, BitMatrix)
        found.append(bits.words)
    return found


def _read_undamaged(root: Path) -> Iterator[list[object]]:
    """What the capture gives with each shard as it was written that it takes."""
    for store in _STORES:
        (root / _SHARD).write_bytes(_make(store).partition(_BETWEEN)[2])
        with contextlib.suppress(EricError):  # the shard of another store
            yield _read_all(root)


def _list_equal(left: list[object], right: list[object]) -> bool:
    return len(left) == len(right) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor) else a == b
        for a, b in zip(left, right, strict=True)
    )


def _sign(manifest: bytes, shard: bytes) -> tuple[bytes, bytes]:
    """With hashes and sizes that fit the shard as it is, where the manifest can hold them."""
    try:
        length = int.from_bytes(shard[:8], "little")
        header = json.loads(shard[8 : 8 + length])
        starts = {name: part["data_offsets"] for name, part in header.items() if name != "__metadata__"}
        data = shard[8 + length :]
        hashes = {name: hashlib.sha256(data[a:b]).hexdigest() for name, (a, b) in starts.items()}
        header["__metadata__"] = {"sha256": json.dumps(hashes)}
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        shard = len(text).to_bytes(8, "little") + text + data
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        pass  # its header is past that: it is read as it is
    try:
        raw = json.loads(manifest)
        header_bytes = shard[: 8 + int.from_bytes(shard[:8], "little")]
        raw["shards"][0] |= {
            "n_bytes": len(shard),
            "sha256": hashlib.sha256(shard).hexdigest(),
            "header_sha256": hashlib.sha256(header_bytes).hexdigest(),
        }
        return json.dumps(raw).encode(), shard
    except (ValueError, TypeError, KeyError, IndexError, RecursionError):
        return manifest, shard
