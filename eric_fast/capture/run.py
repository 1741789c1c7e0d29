"""Capture: run a network over images, and keep one norm for each image and kernel."""

from collections.abc import Sequence
from typing import Any

import torch

from eric_fast.capture.forward import DTYPES, MEMORY_FORMATS, NetworkRunner
from eric_fast.capture.models import LoadedModel
from eric_fast.capture.norms import unknown_norm
from eric_fast.capture.ranges import NetworkRun, select_images
from eric_fast.capture.sources import open_data
from eric_fast.errors import DataError, SettingError
from eric_fast.program.atoms import NORMS
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.activations import Activations, CaptureSettings

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
    run = prepare_run(
        model,
        data,
        layers=layers,
        norm=norm,
        dtype=dtype,
        device=device,
        memory_format=memory_format,
        compile=compile,
        batch_size=batch_size,
        workers=workers,
        limit=limit,
        skip_bad_images=skip_bad_images,
    )
    progress("capture", 0, run.n_images)
    (whole,) = run.capture_ranges([(0, run.n_images)], lambda n_done: progress("capture", n_done, run.n_images))
    if not whole.n_images:
        raise run.refuse_all_bad()
    return whole


def prepare_run(
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
) -> NetworkRun:
    """What `capture_activations` would do, checked, and ready to be done a range of images at a time.

    Args and Raises: as of `capture_activations`.
    """
    kind = check_settings(norm, dtype, device, memory_format, batch_size, workers, limit)
    data = open_data(data)
    indices = select_images(len(data), limit)
    if not len(indices):
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
    return NetworkRun(model, data, settings, indices, runner, workers, skip_bad_images)


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
