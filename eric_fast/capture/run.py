"""Capture: run a network over images, and keep one norm per image and kernel."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from eric_fast.capture.forward import MEMORY_FORMATS, NETWORK_DTYPES, NetworkRunner
from eric_fast.capture.layers import check_grid
from eric_fast.capture.models import LoadedModel
from eric_fast.capture.norms import unknown_norm
from eric_fast.capture.ranges import NetworkRun, spread_images
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
    grid: int = 1,
    dtype: str = "float32",
    device: str = "auto",
    memory_format: str = "contiguous",
    compile: bool = False,
    batch_size: int = 64,
    workers: int = 0,
    limit: int | None = None,
    skip_bad_images: bool = False,
    logits: bool | None = None,
    progress: Progress = ignore_progress,
) -> Activations:
    """Run a network over images, and keep one norm per image and kernel.

    Args:
        model: from `load_model` or `wrap_model`; it is not changed.
        data: from `open_data`, or any argument of it.
        layers: see `trace_norms`.
        norm: see `reduce_norm`.
        grid: 1, or 2 to keep the norms of the quarters of maps too, for atoms such as `features.19:207@upper-left`; see
            `reduce_regions`.
        dtype: what the network computes in: `float32`, `bfloat16`, `float16`; or float32 weights under torch.autocast,
            `autocast-bfloat16`, `autocast-float16`. Norms are always float32.
        device: `cpu`, `cuda`, or `auto`: the GPU if there is one.
        memory_format: `contiguous` or `channels-last`, of images and maps.
        compile: fuse the network with torch.compile first. This takes a minute, and pays off on a GPU with many images.
        batch_size: images in a batch. Batches are cut at fixed images, as the last digits may depend on them.
        workers: processes that decode images; 0 for this process.
        limit: take this many images, evenly spread over the data (image `i * n // limit` for each `i`): the first
            images of a folder would all be of one class.
        skip_bad_images: leave out images that can't be read. They are logged, and counted in the settings.
        logits: whether the network's outputs are kept, as float16: votes are fitted to them. By default those of at
            most 100 classes.
        progress: called with `"capture"`, the number of images done, and of all images.

    Returns:
        Norms by layer, the model's predictions, and labels. A folder is the class of the same name. If no names agree
        and there are as many folders as classes, folders are the classes in sorted order; otherwise labels are unknown.

    Raises:
        SettingError: an invalid setting; no GPU.
        ModelError: see `trace_norms`; a network that fails on some batch (the message names its first image); class
            names that don't fit the model's outputs.
        DataError: an image that can't be read; images of different shapes; no images left.
        CaptureError: a norm or an output that is NaN or infinite.
    """
    run = prepare_run(
        model,
        data,
        layers=layers,
        norm=norm,
        grid=grid,
        dtype=dtype,
        device=device,
        memory_format=memory_format,
        compile=compile,
        batch_size=batch_size,
        workers=workers,
        limit=limit,
        skip_bad_images=skip_bad_images,
    )
    run = replace(run, keeps_logits=logits)
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
    grid: int = 1,
    dtype: str = "float32",
    device: str = "auto",
    memory_format: str = "contiguous",
    compile: bool = False,
    batch_size: int = 64,
    workers: int = 0,
    limit: int | None = None,
    skip_bad_images: bool = False,
) -> NetworkRun:
    """Check the arguments of `capture_activations`, and prepare a run over ranges of images.

    Args and Raises: see `capture_activations`.
    """
    kind = check_settings(norm, dtype, device, memory_format, batch_size, workers, limit)
    check_grid(grid)
    data = open_data(data)
    indices = spread_images(len(data), limit)
    if not len(indices):
        raise DataError(f"{data.name} has no images")
    settings = CaptureSettings(
        model=model.name,
        fingerprint=model.fingerprint,
        data=data.name,
        norm=norm,
        grid=grid,
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
        grid=grid,
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
    """Check the settings of a capture; returns `cpu` or `cuda`. Raises SettingError."""
    if norm not in NORMS:
        raise unknown_norm(norm)
    for name, value, choices in (
        ("dtype", dtype, NETWORK_DTYPES),
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
