"""Reading captures: a folder with a manifest and shards."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix, join_words
from eric_fast.errors import CaptureError, EricError, suggest_nearest
from eric_fast.program.atoms import Quantiser
from eric_fast.store.activations import Activations, CaptureSettings, check_ids
from eric_fast.store.files import is_file, read_json
from eric_fast.store.manifest import FORMAT, MANIFEST, Manifest
from eric_fast.store.manifest_text import is_count, parse_manifest
from eric_fast.store.shard import Shard


@dataclass(frozen=True, eq=False)
class Capture:
    """A finished capture on disk; from `open_capture`.

    Attributes:
        path: its folder.
        manifest: what the folder says of itself.
        shards: in the order of the images.
    """

    path: Path
    manifest: Manifest
    shards: tuple[Shard, ...]

    @property
    def n_images(self) -> int:
        """Images that could be read."""
        return self.shards[-1].stop if self.shards else 0

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in execution order."""
        return tuple(self.manifest.layers)

    @property
    def n_kernels(self) -> MappingProxyType[str, int]:
        """Layer -> number of kernels."""
        return MappingProxyType(dict(self.manifest.layers))

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the network's outputs, all different."""
        return self.manifest.classes

    @property
    def settings(self) -> CaptureSettings:
        """How the norms came about."""
        return self.manifest.settings

    @property
    def store(self) -> str:
        """What is stored: `norms`, `bits` or `both`."""
        return self.manifest.store

    @property
    def quantiser(self) -> Quantiser | None:
        """The atoms of the stored bits; None where there are none."""
        return None if self.manifest.thresholds is None else self.manifest.thresholds.quantiser

    @cached_property
    def labels(self) -> Tensor:
        """int64 `[n_images]`, an index into `classes`, or `UNKNOWN`."""
        return _join([shard.read_labels() for shard in self.shards], torch.int64)

    @cached_property
    def predictions(self) -> Tensor:
        """int64 `[n_images]`, the network's answer as an index into `classes`."""
        return _join([shard.read_predictions() for shard in self.shards], torch.int64)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """One name per image, all different; for ImageNet these are 100 MB."""
        ids = tuple(name for shard in self.shards for name in shard.read_ids())
        check_ids(self.path, ids)
        return ids

    def read_activations(self, layers: Sequence[str] | None = None) -> Activations:
        """Norms of these layers (all by default), all images together, as float32.

        Raises:
            CaptureError: see `Shard`; a layer that it lacks, or no norms.
        """
        wanted = self._match(layers, self.layers)
        if self.store == "bits":
            raise CaptureError(f"{self.path} holds bits alone, no norms; capture with --store norms or both")
        try:
            return Activations(
                norms={
                    layer: _join([shard.read_norms(layer).float() for shard in self.shards], shape=(0, n_kernels))
                    for layer, n_kernels in self.n_kernels.items()
                    if layer in wanted
                },
                ids=self.ids,
                labels=self.labels,
                predictions=self.predictions,
                classes=self.classes,
                settings=self.settings,
            )
        except CaptureError as error:
            where = str(self.path)
            raise CaptureError(str(error) if where in str(error) else f"{where}: {error}") from error

    def read_bits(self, layers: Sequence[str] | None = None) -> BitMatrix:
        """The stored bits of these layers (all by default), all images together; the atoms are those of `quantiser`.

        Raises:
            CaptureError: see `Shard`; a layer that it lacks, or no bits.
        """
        if self.quantiser is None:
            raise CaptureError(f"{self.path} holds norms alone, no bits; pack it, or capture with --store bits")
        wanted = [layer for layer in self.quantiser.layers if layer in self._match(layers, self.quantiser.layers)]
        atoms = [atom.name for layer in wanted for atom in self.quantiser.atoms_of_layer(layer)]
        sizes = [shard.n_images for shard in self.shards]
        words = [join_words([shard.read_words(layer) for shard in self.shards], sizes) for layer in wanted]
        try:
            return BitMatrix(words[0] if len(words) == 1 else torch.cat(words), self.n_images, tuple(atoms))
        except EricError as error:
            raise CaptureError(f"{self.path}: {error}; capture again") from error

    def _match(self, layers: Sequence[str] | None, known: Sequence[str]) -> Sequence[str]:
        for layer in layers or ():
            if layer not in known:
                raise CaptureError(f"{self.path} has no layer '{layer}'{suggest_nearest(layer, known)}")
        return known if layers is None else layers


def open_capture(path: str | Path, *, checks_hashes: bool = True) -> Capture:
    """Open a capture by its manifest alone: no shard is read, or hashed, before something is asked of it.

    Args:
        path: the folder that `eric-fast capture` wrote.
        checks_hashes: whether what is read is compared with its SHA-256, the first time; see `Shard`.

    Raises:
        CaptureError: no capture, one that isn't finished, a damaged manifest, one of another format.
    """
    if str(path) == "":
        raise CaptureError("the path of the capture is empty; give the folder that 'eric-fast capture' wrote")
    root = Path(path)
    manifest = read_manifest(root)
    if not manifest.is_finished:
        raise CaptureError(f"{root} is not finished; the command that began it does the rest")
    settings = replace(manifest.settings, n_bad_images=manifest.n_listed - manifest.starts[-1])
    manifest = replace(manifest, settings=settings)
    starts = manifest.starts
    shards = [
        Shard(root / entry.file, starts[i], starts[i + 1], entry, manifest, checks_hashes)
        for i, entry in enumerate(manifest.shards)
    ]
    return Capture(root, manifest, tuple(shards))


def read_manifest(root: Path) -> Manifest:
    """The manifest of a capture, finished or not. Raises CaptureError."""
    place = root / MANIFEST
    if not is_capture(root):
        raise CaptureError(f"{root} is not a capture: it has no {MANIFEST}; make one with 'eric-fast capture'")
    raw = read_json(place)
    found = raw.get("format") if isinstance(raw, dict) else None
    if is_count(found) and found == FORMAT:
        return parse_manifest(raw, place)
    raise CaptureError(f"{place}: format {found!r} can't be read, only {FORMAT}; capture again with this version")


def is_capture(path: str | Path) -> bool:
    """Whether `path` is a folder with a manifest, by its name."""
    return str(path) != "" and is_file(Path(path) / MANIFEST)


def list_layers(path: str | Path) -> tuple[str, ...]:
    """The layers of a capture, in execution order, from its manifest alone.

    Raises:
        CaptureError: no capture, or a damaged manifest.
    """
    return tuple(read_manifest(Path(path)).layers)


def load_activations(path: str | Path, layers: Sequence[str] | None = None) -> Activations:
    """Read a capture, or some layers of it, into memory; everything that is read is checked first.

    Raises:
        CaptureError: no capture, a damaged one, one of another format, one without norms, or a layer that it lacks.
    """
    return open_capture(path).read_activations(layers)


def load_bits(path: str | Path, layers: Sequence[str] | None = None) -> BitMatrix:
    """Read the stored bits of a capture, or of some layers of it, into memory; what is read is checked first.

    Raises:
        CaptureError: no capture, a damaged one, one of another format, one without bits, or a layer that it lacks.
    """
    return open_capture(path).read_bits(layers)


def _join(parts: Sequence[Tensor], dtype: torch.dtype = torch.float32, shape: tuple[int, ...] = (0,)) -> Tensor:
    """All parts in a row, without a copy where there is one; `shape` where there is none."""
    if not parts:
        return torch.empty(shape, dtype=dtype)
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
