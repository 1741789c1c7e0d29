"""Print and parse manifests and their entries as JSON."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from eric_fast.errors import CaptureError, EricError
from eric_fast.program.atoms import InputAtom, Quantiser
from eric_fast.program.layer_graph import Edge
from eric_fast.store.activations import CaptureSettings
from eric_fast.store.files import HASH
from eric_fast.store.manifest import CAPTURE_FORMAT, Manifest, ShardEntry, Thresholds

_Kind = TypeVar("_Kind")
# Settings as they are in manifests from before these were known.
_UNSAID = (("grid", 1), ("output", ""), ("task", ""), ("units", ""))


def print_manifest(manifest: Manifest) -> str:
    """Print a manifest as JSON, with one line per list item. `parse_manifest` reads it."""
    content: dict[str, Any] = {
        "format": CAPTURE_FORMAT,
        "store": manifest.store,
        "norm_dtype": manifest.norm_dtype,
        **({"logits": True} if manifest.has_logits else {}),
        "n_images": manifest.starts[-1],
        "n_listed": manifest.n_listed,
        "shard_size": manifest.shard_size,
        "settings": {name: value for name, value in asdict(manifest.settings).items() if (name, value) not in _UNSAID},
        "listing": manifest.listing,
        "layers": [[layer, n] for layer, n in manifest.layers.items()],
        **({"edges": [list(edge) for edge in manifest.edges]} if manifest.edges else {}),
        "classes": list(manifest.classes),
        "thresholds": None if manifest.thresholds is None else _list_thresholds(manifest.thresholds),
        "shards": [asdict(shard) for shard in manifest.shards],
    }
    return "{\n" + ",\n".join(f" {json.dumps(key)}: {_print_value(value)}" for key, value in content.items()) + "\n}\n"


def print_entry(shard: ShardEntry) -> str:
    """Print an entry as one line of JSON. `parse_entry` reads it."""
    return json.dumps(asdict(shard)) + "\n"


def _print_value(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(f"  {json.dumps(item)}" for item in value) + "\n ]"
    if isinstance(value, dict):
        inner = (f"  {json.dumps(key)}: {_print_value(item)}" for key, item in value.items())
        return "{\n" + ",\n".join(inner) + "\n }"
    return json.dumps(value)


def _list_thresholds(thresholds: Thresholds) -> dict[str, Any]:
    atoms = thresholds.quantiser.atoms
    return {
        "origin": thresholds.origin,
        "atoms": [
            [atom.layer, atom.column, atom.operator, atom.constant, *([atom.region] if atom.region else [])]
            for atom in atoms
        ],
    }


def parse_manifest(raw: Any, place: Path) -> Manifest:
    """Parse the JSON value of `manifest.json`.

    Raises:
        CaptureError: a key that is missing, has the wrong type or contradicts another; with `place` in the message.
    """
    expect = Expected(place, raw)
    settings = read_settings(expect)
    try:
        manifest = Manifest(
            layers=read_layers(expect),
            classes=tuple(expect.take_names("classes")),
            settings=settings,
            store=expect.take("store", str),
            norm_dtype=expect.take("norm_dtype", str),
            shard_size=expect.take_count("shard_size"),
            n_listed=expect.take_count("n_listed"),
            listing=expect.take("listing", str),
            thresholds=_read_thresholds(expect, settings.norm),
            shards=tuple(parse_entry(entry, place) for entry in expect.take("shards", list)),
            has_logits="logits" in expect.raw and expect.take("logits", bool),
            edges=_read_edges(expect),
        )
    except EricError as error:
        message = str(error)
        raise CaptureError(message if str(place) in message else f"{place}: {message}; capture again") from error
    if expect.take_count("n_images") != manifest.starts[-1]:
        expect.refuse("n_images")
    return manifest


def parse_entry(raw: Any, place: Path) -> ShardEntry:
    """Parse the entry of a shard, in a manifest or `shard-<i>.json`. Raises CaptureError."""
    if not isinstance(raw, dict):
        refuse(place, "shards")
    expect = Expected(place, raw)
    images = expect.take("images", list)
    if len(images) != 2 or not all(map(is_count, images)) or images[1] < images[0]:
        expect.refuse("images")
    hashes = [expect.take(name, str) for name in ("sha256", "header_sha256")]
    if not all(map(HASH.fullmatch, hashes)):
        expect.refuse("sha256")
    n_bad_images, n_bytes = expect.take_count("n_bad_images"), expect.take_count("n_bytes")
    return ShardEntry(expect.take("file", str), (images[0], images[1]), n_bad_images, n_bytes, *hashes)


def _read_thresholds(expect: "Expected", norm: str) -> Thresholds | None:
    if "thresholds" not in expect.raw or expect.raw["thresholds"] is None:
        return None
    inner = Expected(expect.place, expect.take("thresholds", dict))
    atoms = []
    for item in inner.take("atoms", list):
        match item:
            case [str(layer), int(column), str(operator), int(constant) | float(constant), *region] if (
                is_count(column) and len(region) < 2
            ):
                if isinstance(constant, bool) or abs(constant) > 2.0**1023:
                    inner.refuse("atoms")
                atoms.append(InputAtom(layer, column, operator, float(constant), *region))
            case _:
                inner.refuse("atoms")
    return Thresholds(Quantiser(tuple(atoms), norm), inner.take("origin", str))


def _read_edges(expect: "Expected") -> tuple[Edge, ...]:
    edges = expect.take("edges", list) if "edges" in expect.raw else []
    if not all(isinstance(x, list) and len(x) == 2 and all(isinstance(name, str) for name in x) for x in edges):
        expect.refuse("edges")
    return tuple((source, target) for source, target in edges)


def read_layers(expect: "Expected") -> dict[str, int]:
    """Read `layers`: names and numbers of kernels, in execution order. Raises CaptureError."""
    layers = expect.take("layers", list)
    if not all(isinstance(x, list) and len(x) == 2 and isinstance(x[0], str) and is_count(x[1]) for x in layers):
        expect.refuse("layers")
    kernels: dict[str, int] = dict(layers)
    if not kernels or len(kernels) != len(layers):
        expect.refuse("layers")
    return kernels


def read_settings(expect: "Expected") -> CaptureSettings:
    """Read `settings`; one that is newer than the capture has its default. Raises CaptureError."""
    raw = expect.take("settings", dict)
    known = {field.name: field.type for field in fields(CaptureSettings)}
    if not {"model", "fingerprint", "data"} <= set(raw) <= set(known):
        expect.refuse("settings")
    for name, value in raw.items():
        kind = known[name]
        is_right = isinstance(value, bool) if kind is bool else is_count(value) if kind is int else type(value) is str
        if not is_right:
            expect.refuse(f"settings.{name}")
    return CaptureSettings(**raw)


@dataclass(frozen=True)
class Expected:
    """A JSON object whose values must have given types. Every method raises CaptureError for another type."""

    place: Path
    raw: dict[str, Any]

    def take(self, key: str, kind: type[_Kind]) -> _Kind:
        found = self.raw.get(key)
        if not isinstance(found, kind):
            self.refuse(key)
        return found

    def take_names(self, key: str) -> list[str]:
        names: list[Any] = self.take(key, list)
        if not all(isinstance(name, str) for name in names):
            self.refuse(key)
        return names

    def take_count(self, key: str) -> int:
        number = self.take(key, int)
        if not is_count(number):
            self.refuse(key)
        return number

    def refuse(self, key: str) -> NoReturn:
        refuse(self.place, key)


def is_count(value: Any) -> bool:
    """Whether a value is an integer from 0 to 2**63 - 1, and not a bool."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63


def refuse(place: Path, key: str) -> NoReturn:
    """Raises CaptureError."""
    raise CaptureError(f"{place}: '{key}' is missing or invalid; capture again")
