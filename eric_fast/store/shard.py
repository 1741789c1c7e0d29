"""Shards: safetensors files with some images of a capture each.

The tensors of a shard of `n` images: `norms.<layer>` float32 or float16 `[n, n_kernels]`; `words.<layer>` int32
`[n_atoms, count_words(n)]`; `labels` and `predictions` int64 `[n]` (`labels` of a network of several int8
`[n, n_classes]`); `logits`, if kept, float16 `[n, n_classes]`;
`ids`, the bytes of all ids in UTF-8, and `id_stops` int64 `[n]`, where each ends. The header of the file contains the
SHA-256 of each tensor.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.errors import CaptureError, first_line, suggest_nearest
from eric_fast.processes.pickling import PickledByFields
from eric_fast.store.activations import UNKNOWN, check_finite, check_logits
from eric_fast.store.files import hash_file, is_file
from eric_fast.store.label_rows import check_label_rows, spread_labels
from eric_fast.store.manifest import Manifest, ShardEntry

_DTYPES = {"float32": torch.float32, "float16": torch.float16}
_LENGTH_BYTES = 8  # of a file of safetensors: the length of its header
_BLOCK_BYTES = 2**20
_NUMPY_DTYPES = {torch.float32: np.float32, torch.float16: np.float16}
_AGAIN = "run the capture again, which writes damaged shards again"


@dataclass(frozen=True, eq=False)
class Samples(PickledByFields):
    """The content of a shard of `n` images.

    Attributes:
        ids, labels, predictions: see `Activations`.
        norms: layer -> `[n, n_kernels]`, in the dtype to be stored; empty if only bits are stored.
        words: layer -> int32 `[n_atoms, count_words(n)]`; empty if only norms are stored.
        logits: float16 `[n, n_classes]`; None if they are not stored.
    """

    ids: Sequence[str]
    labels: Tensor
    predictions: Tensor
    norms: Mapping[str, Tensor] = field(default_factory=dict)
    words: Mapping[str, Tensor] = field(default_factory=dict)
    logits: Tensor | None = None


def write_shard_file(samples: Samples, path: Path) -> tuple[str, str]:
    """Write a safetensors file; returns the SHA-256 of the file and of its header."""
    encoded = [name.encode("utf-8", "surrogatepass") for name in samples.ids]
    tensors = {f"norms.{layer}": norms for layer, norms in samples.norms.items()}
    tensors |= {f"words.{layer}": words for layer, words in samples.words.items()}
    tensors |= {"labels": samples.labels, "predictions": samples.predictions}
    if samples.logits is not None:
        tensors["logits"] = samples.logits
    tensors["ids"] = torch.frombuffer(bytearray(b"".join(encoded)) or bytearray(1), dtype=torch.uint8)
    tensors["ids"] = tensors["ids"][: sum(map(len, encoded))]
    tensors["id_stops"] = torch.tensor([len(name) for name in encoded], dtype=torch.int64).cumsum(0)
    own = _separate_memory(tensors)
    hashes = {name: _hash_tensor(tensor) for name, tensor in sorted(own.items())}
    save_file(own, path, metadata={"sha256": json.dumps(hashes)})  # one key, as their order is not fixed
    return hash_file(path), hashlib.sha256(_read_header(path, path.stat().st_size)).hexdigest()


def check_shard_file(path: Path, entry: ShardEntry) -> str | None:
    """Compare a shard's file with its hash; returns in words what is wrong, or None."""
    if not is_file(path) or path.is_symlink():
        return "is missing"
    try:
        n_bytes = path.stat().st_size
        if n_bytes != entry.n_bytes:
            return f"has {n_bytes:,} bytes instead of {entry.n_bytes:,}"
        if hash_file(path) != entry.sha256:
            return "is damaged: its SHA-256 is not the one in the manifest"
    except OSError as error:
        return f"can't be read ({error.strerror})"
    return None


@dataclass(frozen=True, eq=False)
class Shard(PickledByFields):
    """A shard of a capture, whose tensors are memory maps of its file; a `Part` of the capture.

    The size and header of the file are checked, and the SHA-256 of each tensor when it is first read. So damaged data
    are never returned, and reading one layer doesn't read the others. Tensors are copied only if they don't lie at a
    multiple of 8 bytes in the file; writing to them doesn't change the file.

    Attributes:
        path: the file.
        start, stop: the range of its images in the capture.
        entry: the manifest's entry for the shard.
        checks_hashes: if false, only sizes and shapes are checked.

    Raises:
        CaptureError: from every method: the file is missing, can't be read, or isn't what was written.
    """

    path: Path
    start: int
    stop: int
    entry: ShardEntry
    manifest: Manifest
    checks_hashes: bool = True
    _checked: set[str] = field(default_factory=set)
    _header: dict[str, Any] = field(default_factory=dict)
    _not_finite: set[str] = field(default_factory=set)

    @property
    def n_images(self) -> int:
        return self.stop - self.start

    def read_norms(self, layer: str) -> Tensor:
        """Read the norms of a layer: `[n_images, n_kernels]`, float32 or float16 as stored, finite."""
        self._check_layer(layer, self.manifest.layers)
        if self.manifest.store == "bits":
            raise CaptureError(f"{self.path.parent} contains bits but no norms; capture with --store norms or both")
        shape = [self.n_images, self.manifest.layers[layer]]
        (norms,) = self._read({f"norms.{layer}": (_DTYPES[self.manifest.norm_dtype], shape)})
        if f"norms.{layer}" in self._not_finite:
            check_finite(layer, norms, self.read_ids())
        return norms

    def read_words(self, layer: str) -> Tensor:
        """Read the stored bits of a layer: int32 words `[n_atoms, count_words(n_images)]`, zero past `n_images`."""
        if self.manifest.thresholds is None:
            raise CaptureError(f"{self.path.parent} contains norms but no bits; pack it, or capture with --store bits")
        rows = self.manifest.thresholds.quantiser.rows_of_layer
        self._check_layer(layer, rows)
        return self._read({f"words.{layer}": (torch.int32, [len(rows[layer]), count_words(self.n_images)])})[0]

    def read_labels(self) -> Tensor:
        """Read the labels: int64 `[n_images]`, or, of a network of several, int8 `[n_images, n_classes]`."""
        n_labels = len(self.manifest.classes)
        if not self.manifest.settings.has_labels:
            return self._read_classes("labels", UNKNOWN)
        if self._is_flat("labels"):  # of a capture made before several were kept
            return spread_labels(self._read_classes("labels", UNKNOWN), n_labels)
        (rows,) = self._read({"labels": (torch.int8, [self.n_images, n_labels])})
        try:
            check_label_rows(rows, self.n_images, n_labels)
        except CaptureError as error:
            raise CaptureError(f"{self.path}: {error}; {_AGAIN}") from error
        return rows

    def read_predictions(self) -> Tensor:
        """Read the network's answers: int64 `[n_images]`, an index into the classes."""
        return self._read_classes("predictions", 0)

    def read_logits(self) -> Tensor:
        """Read the network's outputs: float16 `[n_images, n_classes]`, finite."""
        if not self.manifest.has_logits:
            raise CaptureError(f"{self.path.parent} has no logits; capture again, with --logits")
        (logits,) = self._read({"logits": (torch.float16, [self.n_images, len(self.manifest.classes)])})
        if "logits" in self._not_finite:
            check_logits(logits, self.read_ids())
        return logits

    def read_ids(self) -> tuple[str, ...]:
        """Read the names of the images."""
        stops, content = self._read({"id_stops": (torch.int64, [self.n_images]), "ids": (torch.uint8, None)})
        places = [0, *stops.tolist()]
        octets = content.numpy().tobytes()
        if places[-1] != len(octets) or any(a > b for a, b in pairwise(places)):
            raise self._refuse("ids")
        try:
            return tuple(octets[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(places))
        except UnicodeDecodeError as error:
            raise self._refuse("ids") from error

    def _is_flat(self, name: str) -> bool:
        """Whether a tensor has one dimension."""
        self._check_header()
        try:
            with safe_open(self.path, framework="pt") as file:
                return len(file.get_slice(name).get_shape()) == 1
        except Exception as error:  # see `_read`
            raise CaptureError(f"{self.path} is damaged ({first_line(error)}); {_AGAIN}") from error

    def _read_classes(self, name: str, lowest: int) -> Tensor:
        (values,) = self._read({name: (torch.int64, [self.n_images])})
        if len(values) and not lowest <= int(values.min()) <= int(values.max()) < len(self.manifest.classes):
            highest = len(self.manifest.classes) - 1
            raise CaptureError(f"{self.path}: {name} must lie between {lowest} and {highest}; {_AGAIN}")
        return values

    def _read(self, wanted: Mapping[str, tuple[torch.dtype, list[int] | None]]) -> list[Tensor]:
        """Map tensors of a dtype and shape each (None: one dimension, of any length); each is checked once."""
        self._check_header()
        try:
            with safe_open(self.path, framework="pt") as file:
                present = set(file.keys())
                found: dict[str, Tensor] = {name: file.get_tensor(name) for name in wanted if name in present}
        except Exception as error:  # SafetensorError is not exported under one name by every version
            raise CaptureError(f"{self.path} is damaged ({first_line(error)}); {_AGAIN}") from error
        for name, (dtype, shape) in wanted.items():
            tensor = found.get(name)
            if tensor is None or tensor.dtype != dtype or list(tensor.shape) != (shape or [tensor.numel()]):
                raise self._refuse(name)
            if self.checks_hashes and name not in self._checked:
                self._check_stored(name, dtype)
                self._checked.add(name)
        return [_align(found[name]) for name in wanted]

    def _check_header(self) -> None:
        """Check that the file is there and as long as it must be; read and check its header the first time."""
        if not is_file(self.path) or self.path.is_symlink():
            raise CaptureError(f"{self.path} is missing; {_AGAIN}")
        try:
            n_bytes = self.path.stat().st_size
            if n_bytes != self.entry.n_bytes:
                wrong = f"{n_bytes:,} bytes instead of {self.entry.n_bytes:,}"
                raise CaptureError(f"{self.path} is damaged: it has {wrong}; {_AGAIN}")
            if self.checks_hashes and not self._header:
                self._header.update(self._read_header(n_bytes))
        except OSError as error:
            raise CaptureError(f"{self.path} can't be read ({error.strerror}); give a capture that can") from error

    def _read_header(self, n_bytes: int) -> Mapping[str, Any]:
        """The header of the file, with the hashes of all tensors parsed."""
        octets = _read_header(self.path, n_bytes)
        if hashlib.sha256(octets).hexdigest() != self.entry.header_sha256:
            raise CaptureError(f"{self.path} is damaged: its header is not what was written; {_AGAIN}")
        try:
            header = json.loads(octets[_LENGTH_BYTES:])
            hashes = dict(json.loads(header["__metadata__"]["sha256"]))
            return {**header, "__metadata__": {"sha256": hashes, "start": len(octets)}}
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CaptureError(f"{self.path} is damaged: its header has no hashes; {_AGAIN}") from error

    def _check_stored(self, name: str, dtype: torch.dtype) -> None:
        """Compare a tensor with its hash, and note norms that are not finite.

        The file is read a block at a time, as pages of the mapped tensor would count as memory of this process.
        """
        start, stop = (self._header["__metadata__"]["start"] + offset for offset in self._header[name]["data_offsets"])
        digest = hashlib.sha256()
        with self.path.open("rb") as file:
            file.seek(start)
            while block := file.read(min(_BLOCK_BYTES, stop - file.tell())):
                digest.update(block)
                if dtype.is_floating_point and not np.isfinite(np.frombuffer(block, _NUMPY_DTYPES[dtype])).all():
                    self._not_finite.add(name)
        if digest.hexdigest() != self._header["__metadata__"]["sha256"].get(name):
            raise CaptureError(f"{self.path} is damaged: '{name}' is not what was written; {_AGAIN}")

    def _check_layer(self, layer: str, known: Iterable[str]) -> None:
        if layer not in known:
            raise CaptureError(f"{self.path.parent} has no layer '{layer}'{suggest_nearest(layer, known)}")

    def _refuse(self, name: str) -> CaptureError:
        return CaptureError(f"{self.path}: '{name}' is not what the manifest says; {_AGAIN}")


def _read_header(path: Path, n_bytes: int) -> bytes:
    """Read the bytes of the header, its length before it."""
    with path.open("rb") as file:
        length = file.read(_LENGTH_BYTES)
        return length + file.read(min(int.from_bytes(length, "little"), n_bytes))


def _hash_tensor(tensor: Tensor) -> str:
    """The SHA-256 of its values' bytes, in hex."""
    octets = tensor.contiguous().reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return hashlib.sha256(octets.data).hexdigest()


def _align(tensor: Tensor) -> Tensor:
    """Copy a tensor that isn't aligned to 8 bytes: kernels read words in pairs."""
    return tensor if tensor.data_ptr() % 8 == 0 else tensor.clone()


def _separate_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Move tensors to the CPU, and copy views and those that share memory, which safetensors refuses."""
    separate: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        own = tensor.cpu().contiguous()
        storage = own.untyped_storage()
        if storage.nbytes() != own.nbytes or storage.data_ptr() in taken:
            own = own.clone()
        taken.add(own.untyped_storage().data_ptr())
        separate[name] = own
    return separate
