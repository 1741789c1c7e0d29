"""Read captures: folders with a manifest and shards."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError, EricError, say_count, suggest_nearest
from eric_fast.output.kinds import MANIFEST
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph
from eric_fast.results.described import Described, name_span
from eric_fast.store.activations import Activations, CaptureSettings, check_ids
from eric_fast.store.files import is_file, read_json
from eric_fast.store.manifest import CAPTURE_FORMAT, Manifest
from eric_fast.store.manifest_text import is_count, parse_manifest
from eric_fast.store.shard import Shard
from eric_fast.store.source import read_labels, read_layer, read_logits, read_predictions, read_words


@dataclass(frozen=True, eq=False, repr=False)
class Capture(Described, PickledByFields):
    """A finished capture on disk, opened by `open_capture`; a `Source`.

    Attributes:
        path: the folder.
        manifest: the description of the capture.
        shards: the shards in the order of their images.

    Examples:
        >>> capture = ef.open_capture("eric-demo/test")
        >>> capture.n_images, capture.layers[-1], capture.store
        (450, 'conv4.2', 'norms')
    """

    path: Path
    manifest: Manifest
    shards: tuple[Shard, ...]

    def list_facts(self) -> Iterator[str]:
        yield say_count(self.n_images, "image")
        yield name_span(self.layers, "layer")
        yield f"model {self.settings.model}"
        yield str(self.path)

    @property
    def n_images(self) -> int:
        """The number of images that could be read."""
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
        """How the norms were made."""
        return self.manifest.settings

    @property
    def name(self) -> str:
        """The path of the folder."""
        return str(self.path)

    @property
    def graph(self) -> LayerGraph:
        """Which layers feed which."""
        return LayerGraph(self.layers, self.manifest.edges)

    @property
    def store(self) -> str:
        """What is stored: `norms`, `bits` or `both`."""
        return self.manifest.store

    @property
    def has_norms(self) -> bool:
        """Whether norms are stored."""
        return self.store != "bits"

    @property
    def has_logits(self) -> bool:
        """Whether logits are stored."""
        return self.manifest.has_logits

    @property
    def quantiser(self) -> Quantiser | None:
        """The atoms of the stored bits, or None."""
        return None if self.manifest.thresholds is None else self.manifest.thresholds.quantiser

    @property
    def parts(self) -> tuple[Shard, ...]:
        """The shards; see `Source`."""
        return self.shards

    @cached_property
    def labels(self) -> Tensor:
        """As `Activations.labels`."""
        return read_labels(self)

    @cached_property
    def predictions(self) -> Tensor:
        """int64 `[n_images]`, the network's answer as an index into `classes`."""
        return read_predictions(self)

    @cached_property
    def ids(self) -> tuple[str, ...]:
        """One name per image, all different; 100 MB for ImageNet."""
        ids = tuple(name for shard in self.shards for name in shard.read_ids())
        check_ids(self.path, ids)
        return ids

    def read_activations(self, layers: Sequence[str] | None = None) -> Activations:
        """Read these layers (all by default) of all images, as float32.

        Raises:
            CaptureError: see `Shard`; a missing layer, or no norms.
        """
        wanted = self._match(layers, self.layers)
        if self.store == "bits":
            raise CaptureError(f"{self.path} contains bits but no norms; capture with --store norms or both")
        try:
            return Activations(
                norms={layer: read_layer(self, layer) for layer in self.layers if layer in wanted},
                ids=self.ids,
                labels=self.labels,
                predictions=self.predictions,
                classes=self.classes,
                settings=self.settings,
                logits=read_logits(self) if self.has_logits else None,
                edges=self.graph.restrict(wanted).edges,
            )
        except CaptureError as error:
            where = str(self.path)
            raise CaptureError(str(error) if where in str(error) else f"{where}: {error}") from error

    def read_bits(self, layers: Sequence[str] | None = None) -> BitMatrix:
        """Read the stored bits of these layers (all by default) of all images; their atoms are those of `quantiser`.

        Raises:
            CaptureError: see `Shard`; a missing layer, or no bits.
        """
        if self.quantiser is None:
            raise CaptureError(f"{self.path} contains norms but no bits; pack it, or capture with --store bits")
        wanted = [layer for layer in self.quantiser.layers if layer in self._match(layers, self.quantiser.layers)]
        atoms = [atom.name for layer in wanted for atom in self.quantiser.atoms_of_layer(layer)]
        words = [read_words(self, layer) for layer in wanted]
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
    """Open a capture. Only its manifest is read; shards are read and checked when they are used.

    Args:
        path: the folder that `eric-fast capture` wrote.
        checks_hashes: whether tensors are compared with their SHA-256 when they are first read; see `Shard`.

    Raises:
        CaptureError: no capture; one that is unfinished, damaged or of another format.

    Examples:
        >>> capture = ef.open_capture("eric-demo/test")
        >>> capture.n_images, capture.layers[-1]
        (450, 'conv4.2')
    """
    if str(path) == "":
        raise CaptureError("the path of the capture is empty; give the folder that 'eric-fast capture' wrote")
    root = Path(path)
    manifest = read_manifest(root)
    if not manifest.is_finished:
        raise CaptureError(f"{root} is not finished; run the command that started it again")
    settings = replace(manifest.settings, n_bad_images=manifest.n_listed - manifest.starts[-1])
    manifest = replace(manifest, settings=settings)
    starts = manifest.starts
    shards = [
        Shard(root / entry.file, starts[i], starts[i + 1], entry, manifest, checks_hashes)
        for i, entry in enumerate(manifest.shards)
    ]
    return Capture(root, manifest, tuple(shards))


def read_manifest(root: Path) -> Manifest:
    """Read the manifest of a capture, finished or not. Raises CaptureError."""
    place = root / MANIFEST
    if not is_capture(root):
        raise CaptureError(f"{root} is not a capture: it has no {MANIFEST}; make one with 'eric-fast capture'")
    raw = read_json(place)
    found = raw.get("format") if isinstance(raw, dict) else None
    if is_count(found) and found == CAPTURE_FORMAT:
        return parse_manifest(raw, place)
    raise CaptureError(
        f"{place}: format {found!r} can't be read, only {CAPTURE_FORMAT}; capture again with this version"
    )


def is_capture(path: str | Path) -> bool:
    """Whether `path` is a folder with a file of the manifest's name."""
    return str(path) != "" and is_file(Path(path) / MANIFEST)


def list_layers(path: str | Path) -> tuple[str, ...]:
    """List the layers of a capture in execution order, from its manifest alone.

    Raises:
        CaptureError: no capture, or a damaged manifest.

    Examples:
        >>> ef.list_layers("eric-demo/test")
        ('conv1.2', 'conv2.2', 'conv3.2', 'conv4.2')
    """
    return tuple(read_manifest(Path(path)).layers)


def load_activations(path: str | Path, layers: Sequence[str] | None = None) -> Activations:
    """Read a capture, or some layers of it, into memory; everything that is read is checked.

    Raises:
        CaptureError: no capture; one that is damaged, of another format or without norms; a missing layer.

    Examples:
        >>> ef.load_activations("eric-demo/test", ["conv4.2"])
        <Activations: 450 images, layer conv4.2, 10 classes, model eric-demo/digits_cnn.py:build>
    """
    return open_capture(path).read_activations(layers)


def load_bits(path: str | Path, layers: Sequence[str] | None = None) -> BitMatrix:
    """Read the stored bits of a capture, or of some layers of it, into memory; everything that is read is checked.

    Raises:
        CaptureError: no capture; one that is damaged, of another format or without bits; a missing layer.

    Examples:
        >>> import subprocess, sys
        >>> pack = [sys.executable, "-m", "eric_fast", "pack", "eric-demo/test", "-o", "bits"]
        >>> _ = subprocess.run(pack, check=True, capture_output=True)
        >>> ef.load_bits("bits").n_samples
        450
    """
    return open_capture(path).read_bits(layers)
