"""One shard: a file of safetensors with some images of a capture.

Its tensors, for `n` images: `norms.<layer>` float32 or float16 `[n, n_kernels]`; `words.<layer>` int32
`[n_atoms, count_words(n)]`; `labels` and `predictions` int64 `[n]`; `ids`, the bytes of all ids in UTF-8, and
`id_stops` int64 `[n]`, where each ends. The file's header holds the SHA-256 of each tensor.
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

from eric_fast.bits import BitMatrix, count_words
from eric_fast.errors import CaptureError, EricError, suggest_nearest
from eric_fast.store.activations import UNKNOWN, Activations
from eric_fast.store.files import first_line, hash_file, is_file
from eric_fast.store.manifest import Manifest, ShardEntry

DTYPES = {"float32": torch.float32, "float16": torch.float16}
_LENGTH_BYTES = 8  # of a file of safetensors: the length of its header
_AGAIN = "run the capture again, which makes damaged shards anew"


@dataclass(frozen=True, eq=False)
class Samples:
    """What goes into a shard, for `n` images.

    Attributes:
        ids, labels, predictions: as of `Activations`.
        norms: layer -> `[n, n_kernels]`, in the dtype to be stored; empty where bits alone are.
        words: layer -> int32 `[n_atoms, count_words(n)]`; empty where norms alone are.
    """

    ids: Sequence[str]
    labels: Tensor
    predictions: Tensor
    norms: Mapping[str, Tensor] = field(default_factory=dict)
    words: Mapping[str, Tensor] = field(default_factory=dict)


def write_shard_file(samples: Samples, path: Path) -> tuple[str, str]:
    """Write a file of safetensors; gives the SHA-256 of the file and of its header."""
    encoded = [name.encode("utf-8", "surrogatepass") for name in samples.ids]
    tensors = {f"norms.{layer}": norms for layer, norms in samples.norms.items()}
    tensors |= {f"words.{layer}": words for layer, words in samples.words.items()}
    tensors |= {"labels": samples.labels, "predictions": samples.predictions}
    tensors["ids"] = torch.frombuffer(bytearray(b"".join(encoded)) or bytearray(1), dtype=torch.uint8)
    tensors["ids"] = tensors["ids"][: sum(map(len, encoded))]
    tensors["id_stops"] = torch.tensor([len(name) for name in encoded], dtype=torch.int64).cumsum(0)
    own = _separate_memory(tensors)
    hashes = {name: _hash_tensor(tensor) for name, tensor in sorted(own.items())}
    save_file(own, path, metadata={"sha256": json.dumps(hashes)})  # one key, as their order is not fixed
    return hash_file(path), hashlib.sha256(_read_header(path, path.stat().st_size)).hexdigest()


def check_file(path: Path, entry: ShardEntry) -> str | None:
    """What is wrong with a shard's file, in words; None where every bit is as it was written."""
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
class Shard:
    """A shard of a capture, to be read by memory map.

    What is read is checked once, on its first reading: the file's size and header, and the SHA-256 of each tensor. So a
    damaged part is never served, and a layer costs no reading of the others. Tensors map the file, without a copy where
    they lie in it at a multiple of 8 bytes; writing to them changes memory alone.

    Attributes:
        path: of the file.
        start, stop: the places of its images among all of the capture.
        entry: what the manifest says of it.
        checks_hashes: false where only sizes and shapes are looked at.

    Raises:
        CaptureError: from every method: a file that is missing, can't be read, or isn't what was written.
    """

    path: Path
    start: int
    stop: int
    entry: ShardEntry
    manifest: Manifest
    checks_hashes: bool = True
    _checked: set[str] = field(default_factory=set)
    _hashes: dict[str, Any] = field(default_factory=dict)

    @property
    def n_images(self) -> int:
        return self.stop - self.start

    def read_norms(self, layer: str) -> Tensor:
        """`[n_images, n_kernels]`, float32 or float16 as stored."""
        self._check_layer(layer, self.manifest.layers)
        if self.manifest.store == "bits":
            raise CaptureError(f"{self.path.parent} holds bits alone, no norms; capture with --store norms or both")
        shape = [self.n_images, self.manifest.layers[layer]]
        return self._read({f"norms.{layer}": (DTYPES[self.manifest.norm_dtype], shape)})[0]

    def read_words(self, layer: str) -> Tensor:
        """int32 words `[n_atoms, count_words(n_images)]` of the atoms of a layer, zero past `n_images`."""
        if self.manifest.thresholds is None:
            raise CaptureError(f"{self.path.parent} holds norms alone, no bits; pack it, or capture with --store bits")
        rows = self.manifest.thresholds.quantiser.rows_of_layer
        self._check_layer(layer, rows)
        return self._read({f"words.{layer}": (torch.int32, [len(rows[layer]), count_words(self.n_images)])})[0]

    def read_labels(self) -> Tensor:
        """int64 `[n_images]`, an index into the classes, or `UNKNOWN`."""
        return self._read_classes("labels", UNKNOWN)

    def read_predictions(self) -> Tensor:
        """int64 `[n_images]`, the network's answer as an index into the classes."""
        return self._read_classes("predictions", 0)

    def read_ids(self) -> tuple[str, ...]:
        """One name per image."""
        stops, content = self._read({"id_stops": (torch.int64, [self.n_images]), "ids": (torch.uint8, None)})
        places = [0, *stops.tolist()]
        octets = content.numpy().tobytes()
        if places[-1] != len(octets) or any(a > b for a, b in pairwise(places)):
            raise self._refuse("ids")
        try:
            return tuple(octets[a:b].decode("utf-8", "surrogatepass") for a, b in pairwise(places))
        except UnicodeDecodeError as error:
            raise self._refuse("ids") from error

    def read_bits(self, layers: Sequence[str] | None = None) -> BitMatrix:
        """The stored bits of these layers (all by default): no copy of one layer alone."""
        thresholds = self.manifest.thresholds
        wanted = layers if layers is not None or thresholds is None else thresholds.quantiser.layers
        parts = [self.read_words(layer) for layer in wanted or ()]
        if not parts or thresholds is None:
            raise CaptureError(f"{self.path.parent}: no layer is named")
        names = [name for layer in wanted or () for name in thresholds.quantiser.names_of_layer[layer]]
        try:
            return BitMatrix(parts[0] if len(parts) == 1 else torch.cat(parts), self.n_images, tuple(names))
        except EricError as error:
            raise CaptureError(f"{self.path}: {error}; {_AGAIN}") from error

    def read_activations(self, layers: Sequence[str] | None = None) -> Activations:
        """Norms of these layers (all by default) as float32, with ids, labels and predictions."""
        known = self.manifest.layers
        for layer in layers or ():
            self._check_layer(layer, known)
        wanted = [layer for layer in known if layers is None or layer in layers]
        try:
            return Activations(
                norms={layer: self.read_norms(layer).float() for layer in wanted},
                ids=self.read_ids(),
                labels=self.read_labels(),
                predictions=self.read_predictions(),
                classes=self.manifest.classes,
                settings=self.manifest.settings,
            )
        except CaptureError as error:
            where = str(self.path.parent)
            raise CaptureError(str(error) if where in str(error) else f"{where}: {error}") from error

    def _read_classes(self, name: str, lowest: int) -> Tensor:
        (values,) = self._read({name: (torch.int64, [self.n_images])})
        if len(values) and not lowest <= int(values.min()) <= int(values.max()) < len(self.manifest.classes):
            highest = len(self.manifest.classes) - 1
            raise CaptureError(f"{self.path}: {name} must lie between {lowest} and {highest}; {_AGAIN}")
        return values

    def _read(self, wanted: Mapping[str, tuple[torch.dtype, list[int] | None]]) -> list[Tensor]:
        """These tensors, of this dtype and shape (None: one dimension, of any length)."""
        hashes = self._check_header()
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
            if hashes is not None and name not in self._checked:
                if _hash_tensor(tensor) != hashes.get(name):
                    raise CaptureError(f"{self.path} is damaged: '{name}' is not what was written; {_AGAIN}")
                self._checked.add(name)
        return [_align(found[name]) for name in wanted]

    def _check_header(self) -> Mapping[str, Any] | None:
        """The hashes of the tensors, where those are to be checked one by one."""
        if not is_file(self.path) or self.path.is_symlink():
            raise CaptureError(f"{self.path} is missing; {_AGAIN}")
        try:
            n_bytes = self.path.stat().st_size
            if n_bytes != self.entry.n_bytes:
                wrong = f"{n_bytes:,} bytes instead of {self.entry.n_bytes:,}"
                raise CaptureError(f"{self.path} is damaged: it has {wrong}; {_AGAIN}")
            if self.checks_hashes and not self._hashes:
                self._hashes.update(self._read_hashes(n_bytes))
        except OSError as error:
            raise CaptureError(f"{self.path} can't be read ({error.strerror}); give a capture that can") from error
        return self._hashes if self.checks_hashes else None

    def _read_hashes(self, n_bytes: int) -> Mapping[str, Any]:
        """Tensor -> SHA-256, of the header, which is checked."""
        header = _read_header(self.path, n_bytes)
        if hashlib.sha256(header).hexdigest() != self.entry.header_sha256:
            raise CaptureError(f"{self.path} is damaged: its header is not what was written; {_AGAIN}")
        try:
            return dict(json.loads(json.loads(header[_LENGTH_BYTES:])["__metadata__"]["sha256"]))
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise CaptureError(f"{self.path} is damaged: its header has no hashes; {_AGAIN}") from error

    def _check_layer(self, layer: str, known: Iterable[str]) -> None:
        if layer not in known:
            raise CaptureError(f"{self.path.parent} has no layer '{layer}'{suggest_nearest(layer, known)}")

    def _refuse(self, name: str) -> CaptureError:
        return CaptureError(f"{self.path}: '{name}' is not what the manifest says; {_AGAIN}")


def _read_header(path: Path, n_bytes: int) -> bytes:
    """The length of the header, and the header."""
    with path.open("rb") as file:
        length = file.read(_LENGTH_BYTES)
        return length + file.read(min(int.from_bytes(length, "little"), n_bytes))


def _hash_tensor(tensor: Tensor) -> str:
    """The SHA-256 of its values' bytes, in hex."""
    octets = tensor.contiguous().reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0, np.uint8)
    return hashlib.sha256(octets.data).hexdigest()


def _align(tensor: Tensor) -> Tensor:
    """At a multiple of 8 bytes, so that kernels can take words two by two."""
    return tensor if tensor.data_ptr() % 8 == 0 else tensor.clone()


def _separate_memory(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU, none sharing memory with another, as safetensors needs it; views alone are copied."""
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
