"""Capture: run a network over images, and keep one norm for each image and kernel."""

import logging
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from eric_fast.activations import UNKNOWN, Activations, CaptureSettings, check_finite
from eric_fast.capture.batches import iterate_batches
from eric_fast.capture.data import ImageData
from eric_fast.capture.forward import DTYPES, MEMORY_FORMATS, Answer, NetworkRunner
from eric_fast.capture.models import LoadedModel
from eric_fast.capture.norms import unknown_norm
from eric_fast.capture.sources import open_data
from eric_fast.errors import CaptureError, DataError, ModelError, SettingError
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantiser import NORMS

_log = logging.getLogger(__name__)
DEVICES = ("auto", "cpu", "cuda")
MOST_IMAGES_IN_A_BATCH = 2**20
MOST_WORKERS = 1024


def capture_activations(
    model: LoadedModel,
    data: Any,
    *,
    layers: Sequence[str] | None = None,
    norm: str = "l1",
    dtype: str = "float32",
    device: str = "auto",
    memory_format: str = "contiguous",
    compile: bool = False,
    batch_size: int = 64,
    workers: int = 0,
    limit: int | None = None,
    skip_bad_images: bool = False,
    progress: Progress = ignore_progress,
) -> Activations:
    """Run `model` over `data`.

    Args:
        model: from `load_model` or `wrap_model`; it is not changed.
        data: from `open_data`, or anything that it takes.
        layers: see `trace_norms`.
        norm: see `reduce_norm`.
        dtype: what the network computes in: `float32`, `bfloat16`, `float16`; or float32 weights under torch.autocast,
            `autocast-bfloat16`, `autocast-float16`. Norms are float32 all the same.
        device: `cpu`, `cuda`, or `auto`: the GPU where there is one.
        memory_format: of images and maps, `contiguous` or `channels-last`.
        compile: fuse the network with torch.compile first: that takes a minute, and pays on a GPU and many images.
        batch_size: images in a batch; batches are cut at fixed images, as digits may differ with it.
        workers: processes that decode images; 0: this one does.
        limit: take this many images, evenly spread over the data (image `i * n // limit` for each `i`): the first
            ones of a folder would all be of one class.
        skip_bad_images: leave images that can't be read out; counted in the settings, and each logged.
        progress: called with `"capture"`, images done, images in all.

    Returns:
        Norms by layer, the model's predictions, and labels: a folder is the class of the same name; where no
        name agrees and there are as many folders as classes, folders are the classes in sorted order; else unknown.

    Raises:
        SettingError: a setting that means nothing, or a GPU that isn't there.
        ModelError: see `trace_norms`; a network that fails on some batch (named by its first image); class names
            that don't fit the model's outputs.
        DataError: an image that can't be read, images that differ in shape, none left.
        CaptureError: a norm or an output that is NaN or infinite.
    """
    kind = check_settings(norm, dtype, device, memory_format, batch_size, workers, limit)
    data = open_data(data)
    indices = _select_images(len(data), limit)
    if not indices:
        raise DataError(f"{data.name} has no images")
    settings = CaptureSettings(
        model=model.name,
        fingerprint=model.fingerprint,
        data=data.name,
        norm=norm,
        dtype=f"{dtype} compiled" if compile else dtype,
        device=kind,
        batch_size=batch_size,
        memory_format=memory_format,
        preprocessing=data.preprocessing or model.transform_name,
    )
    recorder = _Recorder(model, data, settings, len(indices))
    runner = NetworkRunner(
        model,
        layers,
        norm,
        device=kind,
        dtype=dtype,
        memory_format=memory_format,
        compile=compile,
        batch_size=batch_size,
    )
    n_done = n_bad = 0
    progress("capture", 0, len(indices))
    # Workers start before the network first runs, while this process has no threads that a fork would lose.
    batches = iterate_batches(
        data, indices, model.transform, batch_size=batch_size, workers=workers, pin_memory=kind == "cuda"
    )
    # TF32 would keep 10 bits of the mantissa, and call it float32.
    exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
    with closing(batches), torch.inference_mode(), exact:
        for answer in runner.run(batches, data.ids):
            batch = answer.batch
            for bad in batch.bad:
                if not skip_bad_images:
                    raise DataError(f"{bad.message}; mend it, or give --skip-bad-images")
                _log.warning("skipped: %s", bad.message)
            recorder.add(answer)
            n_bad += len(batch.bad)
            n_done += batch.n_seen
            progress("capture", n_done, len(indices))
    if n_bad == len(indices):
        raise DataError(f"none of the {n_bad} images of {data.name} can be read; mend them, or give other images")
    return recorder.finish(n_bad)


class _Recorder:
    """What the network has answered so far."""

    def __init__(self, model: LoadedModel, data: ImageData, settings: CaptureSettings, n_images: int) -> None:
        self._model = model
        self._data = data
        self._settings = settings
        self._n_images = n_images
        self._remedy = "check the model's weights and the image"
        if settings.dtype != "float32":
            self._remedy += ", or capture with --dtype float32"
        self._norms: dict[str, Tensor] = {}  # layer -> [n_images, n_kernels], filled from the top
        self._predictions = torch.empty(n_images, dtype=torch.int64)
        self._kept: list[int] = []
        self._labels: list[int] = []  # as the data have them
        self._classes: tuple[str, ...] = ()

    def add(self, answer: Answer) -> None:
        """Keep the answer to one batch."""
        logits, indices = answer.logits, answer.batch.indices
        if logits is None:
            return
        ids = [self._data.ids[i] for i in indices]
        rows = slice(len(self._kept), len(self._kept) + len(indices))
        for layer, found in answer.norms.items():
            check_finite(layer, found, ids, self._remedy)
            if layer not in self._norms:
                with torch.inference_mode(False):  # the caller may want to train on it
                    self._norms[layer] = torch.empty(self._n_images, found.shape[1])
            self._norms[layer][rows] = found
        if bool(logits.isnan().any()):
            image, output = logits.isnan().nonzero()[0].tolist()
            raise CaptureError(f"the model's output {output} is nan on image '{ids[image]}'; {self._remedy}")
        self._classes = self._classes or _name_classes(self._model, self._data, logits.shape[1])
        self._predictions[rows] = logits.argmax(dim=1)
        self._kept += indices
        self._labels += answer.batch.labels

    def finish(self, n_bad_images: int) -> Activations:
        n_kept = len(self._kept)
        return Activations(
            norms={layer: norms[:n_kept] for layer, norms in self._norms.items()},
            ids=[self._data.ids[i] for i in self._kept],
            labels=_match_labels(self._labels, self._data.folders, self._classes),
            predictions=self._predictions[:n_kept],
            classes=self._classes,
            settings=replace(self._settings, n_bad_images=n_bad_images),
        )


def check_settings(
    norm: str, dtype: str, device: str, memory_format: str, batch_size: int, workers: int, limit: int | None
) -> str:
    """The kind of the device; raises SettingError."""
    if norm not in NORMS:
        raise unknown_norm(norm)
    for name, value, choices in (
        ("dtype", dtype, DTYPES),
        ("device", device, DEVICES),
        ("memory-format", memory_format, tuple(MEMORY_FORMATS)),
    ):
        if value not in choices:
            raise SettingError(f"--{name} '{value}' is not one of {', '.join(choices)}")
    for name, number, lowest, highest in (
        ("batch-size", batch_size, 1, MOST_IMAGES_IN_A_BATCH),
        ("workers", workers, 0, MOST_WORKERS),
        ("limit", limit, 1, None),
    ):
        if number is not None and number < lowest:
            raise SettingError(f"--{name} must be at least {lowest}, not {number}")
        if number is not None and highest is not None and number > highest:
            raise SettingError(f"--{name} must be at most {highest}, not {number}")
    has_gpu = device != "cpu" and torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        raise SettingError("--device cuda: there is no CUDA device here; use --device cpu")
    return "cuda" if has_gpu else "cpu"


def _select_images(n_images: int, limit: int | None) -> list[int]:
    n_taken = n_images if limit is None else min(limit, n_images)
    return [i * n_images // n_taken for i in range(n_taken)]


def _name_classes(model: LoadedModel, data: ImageData, n_outputs: int) -> tuple[str, ...]:
    if model.classes is not None:
        if len(model.classes) != n_outputs:
            raise ModelError(
                f"model '{model.name}' has {n_outputs} outputs and {len(model.classes)} class names; "
                "its CLASSES must name each output, in their order"
            )
        return model.classes
    if len(data.folders) == n_outputs:
        return data.folders
    return tuple(map(str, range(n_outputs)))


def _match_labels(labels: Sequence[int], folders: Sequence[str], classes: Sequence[str]) -> Tensor:
    """int64 `[n]`: class indices, from labels as the data have them."""
    known = torch.tensor(labels, dtype=torch.int64)
    if folders:
        return torch.tensor([*_match_folders(folders, classes), UNKNOWN])[known]  # the last: what is unknown stays so
    n_past = int((known >= len(classes)).sum())
    if n_past:
        _log.warning(
            "%d labels are unknown: they name none of the model's %d outputs, but numbers up to %d",
            n_past,
            len(classes),
            int(known.max()),
        )
    return known.where(known < len(classes), UNKNOWN)


def _match_folders(folders: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The class index of each folder, or UNKNOWN."""
    index_of = {name: i for i, name in enumerate(classes)}
    matched = [index_of.get(folder, UNKNOWN) for folder in folders]
    unmatched = [folder for folder, label in zip(folders, matched, strict=True) if label == UNKNOWN]
    if not unmatched:
        return matched
    if len(unmatched) < len(folders):
        _log.warning(
            "%d folders name no class of the model, so their labels are unknown: %s",
            len(unmatched),
            ", ".join(unmatched[:5]),
        )
        return matched
    if len(folders) == len(classes):
        pairs = [f"'{folder}' is '{name}'" for folder, name in zip(folders, classes, strict=True)]
        shown = ", ".join(pairs[:3]) + (", ..." if len(pairs) > 3 else "")
        _log.warning("no folder has the name of a class, so folders are taken for the classes in order: %s", shown)
        return list(range(len(folders)))
    _log.warning(
        "labels are unknown: %d folders, %d classes, and no name agrees; accuracy will be null",
        len(folders),
        len(classes),
    )
    return matched
