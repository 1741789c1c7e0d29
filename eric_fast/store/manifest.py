"""`Manifest`: the description of a capture, in `manifest.json`.

Format 2. Shard `i` is the file `shard-<i>.safetensors`. It contains the images from `i * shard_size` on, in the order
of the data, without those that couldn't be read. The manifest of an unfinished capture lists no shards; each finished
shard then has an entry of its own, `shard-<i>.json`, with the same content as in the manifest.
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType

from eric_fast.bits import ROW_WORDS, WORD_BITS
from eric_fast.errors import CaptureError, SettingError
from eric_fast.output.kinds import name_shard
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import Edge, check_edges
from eric_fast.store.activations import CaptureSettings

CAPTURE_FORMAT = 2
STORES = ("norms", "bits", "both")
NORM_DTYPES = ("float32", "float16")
SHARD_UNIT = ROW_WORDS * WORD_BITS  # images in a whole padded row of words, so that rows of shards join without a shift
SHARD_SIZE = 16 * SHARD_UNIT


@dataclass(frozen=True)
class ShardEntry:
    """The manifest's entry for a shard: its images, and the hashes that show whether it is whole.

    Attributes:
        images: start and stop of the range of its images, among the images taken.
        n_bad_images: how many of these couldn't be read, and are left out.
        n_bytes, sha256: size and SHA-256 of the file.
        header_sha256: SHA-256 of the header of the file. The header contains the SHA-256 of each tensor, so that one
            tensor can be checked without reading the others.
    """

    file: str
    images: tuple[int, int]
    n_bad_images: int
    n_bytes: int
    sha256: str
    header_sha256: str

    @property
    def n_images(self) -> int:
        return self.images[1] - self.images[0] - self.n_bad_images


@dataclass(frozen=True)
class Thresholds:
    """The meaning of the stored bits.

    Attributes:
        quantiser: the atoms of the bits, one for each row of words of a layer.
        origin: in words, how the thresholds were fitted, and on which images.
    """

    quantiser: Quantiser
    origin: str


@dataclass(frozen=True, eq=False)
class Manifest(PickledByFields):
    """The content of a capture. For other attributes see `Capture`.

    Attributes:
        n_listed: the number of images taken from the data, including those that couldn't be read.
        listing: SHA-256 of the listing of the data set; "" if unknown.
        shards: all shards, or none if the capture isn't finished.
        has_logits: whether the network's outputs are stored.
        edges: which layers feed which; see `LayerGraph`. Empty for a straight pipe, and in captures made before they
            were kept.

    Raises:
        CaptureError: parts that don't fit together.
    """

    layers: Mapping[str, int]
    classes: tuple[str, ...]
    settings: CaptureSettings
    store: str = "norms"
    norm_dtype: str = "float32"
    shard_size: int = SHARD_SIZE
    n_listed: int = 0
    listing: str = ""
    thresholds: Thresholds | None = None
    shards: tuple[ShardEntry, ...] = ()
    has_logits: bool = False
    edges: tuple[Edge, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "layers", MappingProxyType(dict(self.layers)))
        self.validate()

    @property
    def n_shards(self) -> int:
        """The number of shards of the finished capture."""
        return -(-self.n_listed // self.shard_size)

    @property
    def is_finished(self) -> bool:
        return len(self.shards) == self.n_shards

    @property
    def starts(self) -> list[int]:
        """The index of each shard's first image, and at the end the number of images."""
        return list(accumulate((shard.n_images for shard in self.shards), initial=0))

    def images_of_shard(self, number: int) -> tuple[int, int]:
        """Start and stop of the range of a shard's images, among the images taken."""
        return number * self.shard_size, min((number + 1) * self.shard_size, self.n_listed)

    def validate(self) -> None:
        if self.store not in STORES:
            raise SettingError(f"store '{self.store}' is not one of {', '.join(STORES)}")
        if self.norm_dtype not in NORM_DTYPES:
            raise SettingError(f"norm dtype '{self.norm_dtype}' is not one of {', '.join(NORM_DTYPES)}")
        if self.shard_size < 1 or self.shard_size % SHARD_UNIT:
            raise SettingError(f"a shard must hold a multiple of {SHARD_UNIT} images, not {self.shard_size}")
        if (self.thresholds is None) != (self.store == "norms"):
            raise CaptureError(
                f"a capture that stores {self.store} {'has no' if self.store == 'norms' else 'must have'} thresholds"
            )
        if self.thresholds is not None:
            _check_quantiser(self.thresholds.quantiser, self)
        check_edges(tuple(self.layers), self.edges)
        if self.shards:
            _check_shards(self)


def _check_quantiser(quantiser: Quantiser, manifest: Manifest) -> None:
    if not quantiser.atoms:
        raise CaptureError("the list of thresholds is empty")
    if quantiser.norm != manifest.settings.norm:
        raise CaptureError(f"thresholds for norm '{quantiser.norm}' don't fit norms '{manifest.settings.norm}'")
    if [layer for layer in manifest.layers if layer in set(quantiser.layers)] != list(quantiser.layers):
        raise CaptureError("the layers of the thresholds are not layers of the capture, in their order")
    if manifest.store == "bits" and len(quantiser.layers) < len(manifest.layers):
        raise CaptureError("a capture of bits must have thresholds for every layer")
    for atom in quantiser.atoms:
        if atom.find_place(manifest.settings.grid) >= manifest.layers[atom.layer]:
            raise CaptureError(
                f"there is a threshold for kernel {atom.column} of layer '{atom.layer}', which has only "
                f"{manifest.layers[atom.layer]} kernels"
            )


def _check_shards(manifest: Manifest) -> None:
    if len(manifest.shards) != manifest.n_shards:
        raise CaptureError(f"there must be {manifest.n_shards} shards, not {len(manifest.shards)}")
    for number, shard in enumerate(manifest.shards):
        check_entry(manifest, shard, number)


def check_entry(manifest: Manifest, shard: ShardEntry, number: int) -> None:
    """Check that an entry is of this shard, and its file so in the folder of the capture. Raises CaptureError."""
    if shard.file != name_shard(number):
        raise CaptureError(f"shard {number} is the file {name_shard(number)}, not {shard.file!r}")
    if shard.images != manifest.images_of_shard(number) or shard.n_images < 0:
        start, stop = manifest.images_of_shard(number)
        raise CaptureError(f"shard {number} must hold images {start} to {stop - 1}, but its entry says otherwise")


def check_same(path: Path, found: Manifest, wanted: Manifest) -> None:
    """Check that a capture is the wanted one; names of model and data may differ.

    Raises:
        CaptureError: another capture; the message says what differs.
    """
    differences = list(_list_differences(found, wanted))
    if differences:
        shown = "; ".join(f"{name} {_shorten(a)}, now {_shorten(b)}" for name, a, b in differences)
        raise CaptureError(
            f"{path} contains another capture, with {shown}; write to another path, or give --force to start again"
        )


def _list_differences(found: Manifest, wanted: Manifest) -> Iterator[tuple[str, object, object]]:
    before, after = _list_facts(found), _list_facts(wanted)
    yield from ((name, before[name], after[name]) for name in before if before[name] != after[name])
    both = found.thresholds, wanted.thresholds
    if both[0] is not None and both[1] is not None and both[0].quantiser.atoms != both[1].quantiser.atoms:
        yield "thresholds", both[0].origin, both[1].origin if both[0].origin != both[1].origin else "others"


def _list_facts(manifest: Manifest) -> dict[str, object]:
    """List what must agree. Model and data are compared by fingerprint and listing, not by name."""
    settings = asdict(manifest.settings)
    facts = {name: value for name, value in settings.items() if name not in ("model", "data", "n_bad_images")}
    for name in ("store", "norm_dtype", "shard_size", "n_listed"):
        facts[name] = getattr(manifest, name)
    facts["logits"] = "kept" if manifest.has_logits else "left out"
    facts |= {"the listing of the data": manifest.listing, "layers": dict(manifest.layers)}
    return facts | {"classes": manifest.classes}


def _shorten(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
