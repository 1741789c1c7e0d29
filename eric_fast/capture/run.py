"""Capture: run a network over images, and keep one norm per image and kernel."""

import logging
from dataclasses import replace
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from eric_fast.capture.data import ImageData
from eric_fast.capture.forward import NetworkRunner
from eric_fast.capture.models import LoadedModel, add_probes, take_model
from eric_fast.capture.options import CaptureOptions, complete_capture
from eric_fast.capture.ranges import NetworkRun, spread_images
from eric_fast.capture.sources import open_data
from eric_fast.errors import DataError
from eric_fast.progress import Progress, ignore_progress
from eric_fast.store.activations import Activations, CaptureSettings

_log = logging.getLogger(__name__)


def capture_activations(
    model: LoadedModel | nn.Module | ExportedProgram,
    data: Any,
    options: CaptureOptions | None = None,
    *,
    progress: Progress = ignore_progress,
    **changes: Any,
) -> Activations:
    """Run a network over images, and keep one norm per image and kernel.

        capture_activations(model, "photos/train", layers=["features.*"], batch_size=128)

    Args:
        model: from `load_model` or `wrap_model`, or any network that `wrap_model` takes; it is not changed.
        data: from `open_data`, or any argument of it.
        options: see `CaptureOptions`.
        progress: called with `"capture"`, the number of images done, and of all images.
        changes: fields of `CaptureOptions` by name, in place of those in `options`.

    Returns:
        Norms by layer, the model's predictions, and labels. A folder is the class of the same name. If no names agree
        and there are as many folders as classes, folders are the classes in sorted order; otherwise labels are unknown.

    Raises:
        SettingError: an invalid setting; no GPU.
        ModelError: see `trace_norms`; a network that fails on some batch (the message names its first image); class
            names that don't fit the model's outputs.
        DataError: an image that can't be read; images of different shapes; no images left.
        CaptureError: a norm or an output that is NaN or infinite.

    Examples:
        >>> model = ef.load_model("eric-demo/digits_cnn.py:build")
        >>> activations = ef.capture_activations(model, "digits/test", layers=["conv4.*"], limit=40)
        >>> {layer: tuple(norms.shape) for layer, norms in activations.norms.items()}
        {'conv4.2': (40, 64)}
    """
    run = prepare_run(model, data, options, **changes)
    progress("capture", 0, run.n_images)
    (whole,) = run.capture_ranges([(0, run.n_images)], lambda n_done: progress("capture", n_done, run.n_images))
    if not whole.n_images:
        raise run.refuse_all_bad()
    return whole


def prepare_run(
    model: LoadedModel | nn.Module | ExportedProgram, data: Any, options: CaptureOptions | None = None, **changes: Any
) -> NetworkRun:
    """Check the arguments of `capture_activations`, and prepare a run over ranges of images.

    Args and Raises: see `capture_activations`.
    """
    wanted = complete_capture(options, changes)
    model, data = add_probes(take_model(model), wanted.probes, wanted.unit_axes, wanted.layers), open_data(data)
    indices = spread_images(len(data), wanted.limit)
    if not len(indices):
        raise DataError(f"{data.name} has no images")
    _compare_preprocessing(model, data)
    settings = CaptureSettings(
        model=model.name,
        fingerprint=model.fingerprint,
        data=data.name,
        norm=wanted.norm,
        grid=wanted.grid,
        dtype=f"{wanted.dtype} compiled" if wanted.compile else wanted.dtype,
        device=wanted.device_kind,
        batch_size=wanted.batch_size,
        memory_format=wanted.memory_format,
        preprocessing=data.preprocessing or model.transform_name,
        output=model.choice.describe(),
    )
    if wanted.layers:
        wanted = replace(wanted, layers=[*wanted.layers, *(wanted.probes or ())])
    return NetworkRun(model, data, settings, indices, NetworkRunner(model, wanted), wanted.logits)


def _compare_preprocessing(model: LoadedModel, data: ImageData) -> None:
    """Log where images reach the network without the model's own transform, or without any."""
    if data.preprocessing is None and not model.has_transform:
        _log.warning(
            "model '%s' has no transform, so images are scaled to 0..1, not resized or normalised; give "
            "wrap_model(module, transform) that of its training",
            model.name,
        )
    elif data.preprocessing is not None and model.has_transform:
        own = f"of the data: {model.transform_name}"
        if data.preprocessing != own:
            _log.warning(
                "%s gives tensors, which reach the network as they are: the model's transform, %s, is not applied; the "
                "data's is %s. Give a data set of pictures, without a transform, for the model's",
                data.name,
                model.transform_name,
                data.preprocessing.removeprefix("of the data: "),
            )
