"""Items of data sets: which part is the image, and which the label."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eric_fast.capture.data import BrokenDataError, DataLabel, Sample, convert_to_rgb
from eric_fast.store.activations import UNKNOWN
from eric_fast.visible import make_encodable

_log = logging.getLogger(__name__)
_IMAGES = ("image", "img", "pixel_values", "x", "input", "inputs", "input_ids", "tokens")
_LABELS = ("label", "labels", "cls", "target", "targets", "class", "fine_label", "y")
_SAMPLE_RATES = frozenset(
    (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 88_200, 96_000, 176_400, 192_000)
)
_GIVES = (
    "items must be images, (image, label, ...) or mappings with them; images are PIL's, uint8, or float "
    "[channels, height, width] (or [channels, time], [channels, depth, height, width]), or numbers of tokens, int64 "
    "[tokens]"
)


def read_item(item: Any, place: str) -> Sample:
    """Find the image and the label in an item of a data set.

    In a mapping, a named tuple or a dataclass the image is `image`, `img`, `pixel_values` or `x`, or the only image;
    the label is `label`, `labels`, `target`, `y` or the like. In another tuple they are the first two; if that is sound
    `[channels, time]` and its sample rate, as torchaudio has it, the label is the third. A label is an index or a name;
    a vector of 0 and 1, or a list of names, where there are several; anything else is unknown.

    Raises:
        DataError: there is no image, or several that could be meant.
    """
    image, label = (part for _, part in _find_parts(item, place))
    if image is None or not _is_image(image):
        raise BrokenDataError(f"{place} is not an image but {_describe(item)}; {_GIVES}")
    if isinstance(image, Image.Image):
        image = convert_to_rgb(image) if image.mode not in ("L", "RGB") else image
    elif isinstance(image, np.ndarray) or (isinstance(image, Tensor) and image.dtype == torch.uint8):
        image = _to_pil(image, place)
    return Sample(image, _read_label(label))


def note_parts(item: Any, name: str) -> None:
    """Log what of an item is read as what, and whether its label says nothing."""
    (image, _), (label, value) = _find_parts(item, name)
    _log.info("%s: the image is %s, the label %s", name, image or "the item", label or "unknown")
    if value is not None and _read_label(value) == UNKNOWN:
        _log.warning(
            "%s: labels are unknown, as %s is %s, neither an index, a name, nor a vector of 0 and 1",
            name,
            label,
            _describe(value),
        )


def take_apart(batch: Any) -> Iterator[Any]:
    """Take the batch of a loader apart into items, along the first axis of tensors and lists."""
    if isinstance(batch, Mapping):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
    elif hasattr(batch, "_fields"):  # a named tuple, as the default collation keeps it
        yield from (type(batch)(*values) for values in zip(*batch, strict=True))
    elif isinstance(batch, tuple | list):
        yield from zip(*batch, strict=True)
    else:
        yield from batch


def _find_parts(item: Any, place: str) -> tuple[tuple[str, Any], tuple[str, Any]]:
    """The image and the label of an item, each with its name; a missing one is None."""
    named = _list_named(item)
    if named is not None:
        image = next(((name, named[name]) for name in _IMAGES if name in named and _is_image(named[name])), None)
        if image is None:
            images = [(name, value) for name, value in named.items() if _is_image(value)]
            if len(images) > 1:
                shown = ", ".join(f"'{name}'" for name, _ in images)
                raise BrokenDataError(f"{place} has several images, {shown}; call the one for the network 'image'")
            image = images[0] if images else ("", None)
        label = next(((name, named[name]) for name in _LABELS if name in named), ("", None))
        return (f"'{image[0]}'", image[1]), (f"'{label[0]}'" if label[0] else "", label[1])
    if isinstance(item, tuple | list):
        number, name = (2, "the third part") if _has_sample_rate(item) else (1, "the second part")
        label = (name, item[number]) if len(item) > number else ("", None)
        return ("the first part", item[0] if item else None), label
    return ("", item), ("", None)


def _has_sample_rate(item: Sequence[Any]) -> bool:
    """Whether the first two parts are sound `[channels, time]` and the rate at which it was sampled."""
    if len(item) < 2 or not isinstance(item[0], Tensor) or item[0].ndim != 2 or not item[0].is_floating_point():
        return False
    rate = item[1].item() if isinstance(item[1], Tensor) and item[1].ndim == 0 else item[1]
    return isinstance(rate, int) and rate in _SAMPLE_RATES


def _list_named(item: Any) -> Mapping[str, Any] | None:
    """The parts of an item by name; None if they have none."""
    if isinstance(item, Mapping):
        return {str(name): value for name, value in item.items()}
    if isinstance(item, tuple) and hasattr(item, "_fields"):
        return dict(zip(item._fields, item, strict=True))
    if is_dataclass(item) and not isinstance(item, type):
        return {field.name: getattr(item, field.name) for field in fields(item)}
    return None


def _is_image(value: Any) -> bool:
    if isinstance(value, Tensor) and value.dtype in (torch.int64, torch.int32):
        return value.ndim == 1 and len(value) > 1  # numbers of tokens
    if isinstance(value, Tensor):
        return value.ndim in (2, 3, 4) if value.is_floating_point() else value.ndim == 3 and value.dtype == torch.uint8
    return isinstance(value, Image.Image) or (
        isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.ndim in (2, 3)
    )


def _to_pil(image: Tensor | np.ndarray, place: str) -> Image.Image:
    """Convert a uint8 tensor `[channels, height, width]`, or array `[height, width]` or `[height, width, channels]`."""
    pixels = image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image
    if pixels.ndim == 3 and pixels.shape[2] == 1:
        pixels = pixels[:, :, 0]
    if pixels.ndim == 3 and pixels.shape[2] != 3:
        raise BrokenDataError(f"{place} has {pixels.shape[2]} channels of uint8; an image has 1 or 3")
    return Image.fromarray(np.ascontiguousarray(pixels))


def _read_label(value: Any) -> DataLabel:
    """The index or name that a label gives, or those of several; or UNKNOWN."""
    if isinstance(value, str):
        return make_encodable(value)
    if isinstance(value, list | tuple | set | frozenset) and all(isinstance(name, str) for name in value):
        return frozenset(map(make_encodable, value))
    if isinstance(value, Tensor | np.ndarray | np.generic | list | tuple):
        numbers = np.asarray(value)
        if numbers.ndim == 1 and len(numbers) > 1:
            is_hot = np.issubdtype(numbers.dtype, np.number) or numbers.dtype == np.bool_
            return tuple((numbers == 1).tolist()) if is_hot and np.isin(numbers, (0, 1)).all() else UNKNOWN
        return _read_label(numbers.item()) if numbers.size == 1 else UNKNOWN
    return int(value) if isinstance(value, int | float) and value >= 0 and float(value).is_integer() else UNKNOWN


def _describe(item: Any) -> str:
    if isinstance(item, Tensor | np.ndarray):
        return f"{item.dtype} {list(item.shape)}"
    return repr(item) if isinstance(item, int | float) else type(item).__name__
