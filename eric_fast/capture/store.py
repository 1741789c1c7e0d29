"""A capture on disk: a folder with a manifest (JSON) and shards (safetensors), each some images in a row.

manifest.json: `format` (1), `layers` (name -> number of kernels, in execution order), `classes`, `settings`, `ids`, and
`shards`: for each its `file`, the images from `start` to before `stop`, and its `sha256`. A shard holds `norms.<layer>`
float32 `[n, n_kernels]`, `labels` and `predictions` int64 `[n]`.
"""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from eric_fast.activations import Activations, CaptureSettings
from eric_fast.capture.paths import is_file
from eric_fast.errors import CaptureError, suggest_nearest
from eric_fast.output import replace_folder

MANIFEST = "manifest.json"
FORMAT = 1


def save_activations(activations: Activations, path: str | Path, *, force: bool = False) -> None:
    """Write a capture as the folder `path`; it appears whole, or not at all.

    Raises:
        OutputError: `path` exists and `force` is false, is not a capture, or can't be written.
        CaptureError: two images have the same id.
    """
    path = Path(path)
    _check_ids(path, activations.ids)
    tensors = {f"norms.{layer}": norms for layer, norms in activations.norms.items()}
    tensors |= {"labels": activations.labels, "predictions": activations.predictions}
    with replace_folder(path, force=force, marker=MANIFEST) as folder:
        shard = folder / "shard-00000.safetensors"
        save_file(_separate_memory(tensors), shard)
        manifest = {
            "format": FORMAT,
            "layers": [[layer, norms.shape[1]] for layer, norms in activations.norms.items()],
            "classes": activations.classes,
            "settings": asdict(activations.settings),
            "shards": [{"file": shard.name, "start": 0, "stop": activations.n_images, "sha256": _hash_file(shard)}],
            "ids": activations.ids,
        }
        (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")
        for file in (shard, folder / MANIFEST, folder):
            _flush_to_disk(file)


def is_capture(path: str | Path) -> bool:
    """Whether `path` is a folder that `save_activations` wrote, by its manifest's name."""
    return str(path) != "" and is_file(Path(path) / MANIFEST)


def list_layers(path: str | Path) -> tuple[str, ...]:
    """The layers of a capture, in execution order, from its manifest alone.

    Raises:
        CaptureError: no capture, or a damaged manifest.
    """
    return tuple(_read_manifest(Path(path)).layers)


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


def load_activations(path: str | Path, layers: Sequence[str] | None = None) -> Activations:
    """Read a capture, or some layers of it; everything in it is checked first.

    Raises:
        CaptureError: no capture, a damaged one, one of another format, or a layer that it lacks.
    """
    if str(path) == "":
        raise CaptureError("the path of the capture is empty; give the folder that 'eric-fast capture' wrote")
    root = Path(path)
    manifest = _read_manifest(root)
    for layer in layers or ():
        if layer not in manifest.layers:
            raise CaptureError(f"{root} has no layer '{layer}'{suggest_nearest(layer, manifest.layers)}")
    n_kernels = {layer: n for layer, n in manifest.layers.items() if layers is None or layer in layers}
    parts = [_read_shard(root, shard, n_kernels) for shard in manifest.shards]
    whole = {name: torch.cat([part[name] for part in parts]) if len(parts) > 1 else parts[0][name] for name in parts[0]}
    try:
        return Activations(
            norms={layer: whole[f"norms.{layer}"] for layer in n_kernels},
            ids=manifest.ids,
            labels=whole["labels"],
            predictions=whole["predictions"],
            classes=tuple(manifest.classes),
            settings=manifest.settings,
        )
    except CaptureError as error:
        raise CaptureError(f"{root}: {error}") from error


@dataclass(frozen=True)
class _Shard:
    file: str
    start: int
    stop: int
    sha256: str


@dataclass(frozen=True)
class _Manifest:
    layers: dict[str, int]
    classes: list[str]
    settings: CaptureSettings
    shards: list[_Shard]
    ids: list[str]


def _read_manifest(root: Path) -> _Manifest:
    place = root / MANIFEST
    if not is_capture(root):
        raise CaptureError(f"{root} is not a capture: it has no {MANIFEST}; make one with 'eric-fast capture'")
    try:
        raw: Any = json.loads(place.read_text(encoding="utf-8"))
    except OSError as error:
        raise CaptureError(f"{place} can't be read ({error.strerror}); give a capture that can") from error
    except (ValueError, RecursionError) as error:
        raise CaptureError(f"{place} is damaged ({_first_line(error)}); capture again") from error
    found = raw.get("format") if isinstance(raw, dict) else None
    if not _is_count(found) or found != FORMAT:
        raise CaptureError(f"{place}: format {found!r} can't be read, only {FORMAT}; capture again with this version")
    layers = _expect(place, raw, "layers", list)
    if not all(isinstance(x, list) and len(x) == 2 and isinstance(x[0], str) and _is_count(x[1]) for x in layers):
        _refuse(place, "layers")
    kernels: dict[str, int] = dict(layers)
    if not kernels or len(kernels) != len(layers):
        _refuse(place, "layers")
    ids = _expect_names(place, raw, "ids")
    _check_ids(place, ids)
    return _Manifest(
        layers=kernels,
        classes=_expect_names(place, raw, "classes"),
        settings=_read_settings(place, _expect(place, raw, "settings", dict)),
        shards=_read_shards(place, _expect(place, raw, "shards", list), len(ids)),
        ids=ids,
    )


def _read_settings(place: Path, raw: dict[str, Any]) -> CaptureSettings:
    known = {field.name: field.type for field in fields(CaptureSettings)}
    if set(raw) != set(known):
        _refuse(place, "settings")
    for name, value in raw.items():
        if not (_is_count(value) if known[name] is int else isinstance(value, str)):
            _refuse(place, f"settings.{name}")
    return CaptureSettings(**raw)


def _read_shards(place: Path, raw: list[Any], n_images: int) -> list[_Shard]:
    """Shards that follow each other from the first image to the last, each a file in the capture's own folder."""
    shards: list[_Shard] = []
    for entry in raw:
        if not isinstance(entry, dict) or set(entry) != {"file", "start", "stop", "sha256"}:
            _refuse(place, "shards")
        shard = _Shard(**entry)
        is_inside = isinstance(shard.file, str) and shard.file == Path(shard.file).name and shard.file not in ("", "..")
        if not is_inside:
            raise CaptureError(
                f"{place}: shard {shard.file!r} is not a file of the capture's own folder; capture again"
            )
        start = shards[-1].stop if shards else 0
        if not (_is_count(shard.start) and _is_count(shard.stop) and start == shard.start <= shard.stop):
            _refuse(place, "shards")
        shards.append(shard)
    if not shards or shards[-1].stop != n_images:
        _refuse(place, "shards")
    return shards


def _read_shard(root: Path, shard: _Shard, n_kernels: dict[str, int]) -> dict[str, Tensor]:
    """`norms.<layer>` for each of `n_kernels`, `labels` and `predictions`, as the manifest says that they are."""
    place = root / shard.file
    if not is_file(place) or place.is_symlink():
        raise CaptureError(f"{place} is missing; capture again")
    try:
        digest = _hash_file(place)
    except OSError as error:
        raise CaptureError(f"{place} can't be read ({error.strerror}); give a capture that can") from error
    if digest != shard.sha256:
        raise CaptureError(f"{place} is damaged: its SHA-256 is not the one in {MANIFEST}; capture again")
    n = shard.stop - shard.start
    expected = {f"norms.{layer}": (torch.float32, [n, width]) for layer, width in n_kernels.items()}
    expected |= {"labels": (torch.int64, [n]), "predictions": (torch.int64, [n])}
    try:
        with safe_open(place, framework="pt") as file:
            present = set(file.keys())
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in expected if name in present}
    except Exception as error:  # SafetensorError is not exported under one name by every version
        raise CaptureError(f"{place} is damaged ({_first_line(error)}); capture again") from error
    for name, (dtype, shape) in expected.items():
        if name not in tensors or tensors[name].dtype != dtype or list(tensors[name].shape) != shape:
            raise CaptureError(f"{place}: '{name}' is not the {dtype} {shape} of {MANIFEST}; capture again")
    return tensors


def _expect(place: Path, raw: dict[str, Any], key: str, kind: type) -> Any:
    if not isinstance(raw.get(key), kind):
        _refuse(place, key)
    return raw[key]


def _expect_names(place: Path, raw: dict[str, Any], key: str) -> list[str]:
    names: list[str] = _expect(place, raw, key, list)
    if not all(isinstance(name, str) for name in names):
        _refuse(place, key)
    return names


def _check_ids(place: Path, ids: Sequence[str]) -> None:
    if len(set(ids)) != len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise CaptureError(f"{place}: two images have the id '{twice}'; each must have its own")


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _refuse(place: Path, key: str) -> NoReturn:
    raise CaptureError(f"{place}: '{key}' is missing or not what it should be; capture again")


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush_to_disk(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
