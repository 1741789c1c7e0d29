"""Data sets and loaders of `torch.utils.data`, including torchvision's data sets."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Mapping, Sized
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, RandomSampler, SequentialSampler, default_collate

from eric_fast.capture.data import UNKNOWN, BrokenDataError, ImageData, Sample, convert_to_rgb, number_items
from eric_fast.capture.models import make_unique
from eric_fast.capture.paths import make_encodable
from eric_fast.errors import DataError, first_line

_log = logging.getLogger(__name__)
_LABELS = ("label", "labels", "cls", "target", "targets", "class", "fine_label", "y")
_GIVES = (
    "items must be images, (image, label, ...) or mappings with them; images are PIL's, uint8, or float "
    "[channels, height, width]"
)


class TorchImages(ImageData):
    """A data set with `len()` and items by number.

    An item is an image, `(image, label, ...)`, or a mapping with an image and, under `label`, `labels`, `cls`, `target`
    or the like, its label. Images of PIL and uint8 arrays and tensors go through the model's transform. A float tensor
    is the input of the network; `preprocessing` is then the transform of the data set. Names of classes are the
    `classes` of the data set; without them a label is the index of an output of the network. An id is the number of the
    item.

    Args:
        dataset: a data set of `torch.utils.data`, or any object with `__len__` and `__getitem__`.
        name: name of the data in reports; by default the name of its class.

    Raises:
        DataError: another kind of item.
    """

    def __init__(self, dataset: Any, name: str = "") -> None:
        self.name = make_encodable(name or type(dataset).__name__)
        self._dataset = dataset
        self.ids = number_items(len(dataset))
        self.folders = _find_classes(dataset)
        self.preprocessing = _find_preprocessing(dataset, self._peek())

    def load_sample(self, index: int) -> Sample:
        try:
            item = self._dataset[index]
        except Exception as error:  # the user's code and its decoders
            what = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"item {self.ids[index]} of {self.name} can't be read ({what})") from error
        return read_item(item, f"item {self.ids[index]} of {self.name}")

    def _peek(self) -> Sample | None:
        """Read the first item that can be read, to see the kind of items."""
        for index in range(len(self.ids)):
            try:
                return self.load_sample(index)
            except BrokenDataError:
                raise
            except DataError:
                continue
        return None


class StreamedImages(ImageData):
    """A `DataLoader` or `IterableDataset`, which can only be read from its beginning.

    It must give the same items in the same order each time. Batches of a loader are taken apart, and batched again for
    the capture. If the length is unknown, the data are read once to count. For items see `TorchImages`; an item that
    fails ends the stream, as the items after it can't be read.

    Raises:
        DataError: a loader that shuffles; another kind of item, or one that fails.
    """

    is_stream = True

    def __init__(self, source: Iterable[Any], name: str = "") -> None:
        self.name = make_encodable(name or type(source).__name__)
        self._source = source
        dataset = source.dataset if isinstance(source, DataLoader) else source
        self._is_batched = isinstance(source, DataLoader) and source.batch_sampler is not None
        self._items: Iterator[Any] = iter(())
        self._next = -1
        n = _find_length(source)
        if n is None:
            _log.warning("%s has no length, so it is read once to count its items; give it a __len__", self.name)
            n = sum(1 for _ in self._read())
        self.ids = number_items(n)
        self.folders = _find_classes(dataset)
        first = next(self._read(), None)
        self.preprocessing = _find_preprocessing(
            dataset, None if first is None else read_item(first, f"item 0 of {self.name}")
        )

    def load_sample(self, index: int) -> Sample:
        if not 0 <= self._next <= index:
            self._items, self._next = self._read(), 0
        for item in itertools.islice(self._items, index - self._next, None):
            self._next = index + 1
            return read_item(item, f"item {self.ids[index]} of {self.name}")
        raise BrokenDataError(
            f"{self.name} ends before item {self.ids[index]}; its length must be the number of its items"
        )

    def _read(self) -> Iterator[Any]:
        number = 0
        try:
            for found in self._source:
                for item in _take_apart(found) if self._is_batched else (found,):
                    yield item
                    number += 1
        except Exception as error:
            what = f"{type(error).__name__}: {first_line(error)}"
            raise BrokenDataError(
                f"{self.name} fails after {number} items ({what}); give a data set with items by number, whose bad "
                "items can be skipped"
            ) from error


def open_torch(source: Any, name: str = "") -> ImageData:
    """Open a data set or loader.

    Of a loader over items by number, with the default collation, the data set is used: images are loaded one by one, in
    as many processes, so that bad ones can be named.

    Raises:
        DataError: another kind of object; a loader that shuffles.
    """
    if isinstance(source, DataLoader):
        sampler = getattr(source.batch_sampler, "sampler", source.sampler)
        if isinstance(sampler, RandomSampler):
            raise DataError("the loader shuffles, so its images have no fixed order; give one with shuffle=False")
        dataset: Any = source.dataset
        is_plain = isinstance(sampler, SequentialSampler) and source.collate_fn is default_collate
        if is_plain and not source.drop_last and _has_items(dataset):
            images = TorchImages(dataset, name)
            images.workers = source.num_workers
            return images
        return StreamedImages(source, name or f"DataLoader of {type(dataset).__name__}")
    if _has_items(source):
        return TorchImages(source, name)
    if isinstance(source, Iterable) and not isinstance(source, Iterator):
        return StreamedImages(source, name)
    raise DataError(
        f"data can't be a {type(source).__name__}; give a name, a data set with items by number, or a loader"
    )


def _has_items(dataset: Any) -> bool:
    """Whether items can be read by number. (torch's IterableDataset has a `__getitem__` that fails.)"""
    is_stream = isinstance(dataset, IterableDataset)
    return not is_stream and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")


def read_item(item: Any, place: str) -> Sample:
    """Find the image and the label in an item of a data set.

    Raises:
        DataError: there is no image in it.
    """
    if isinstance(item, Mapping):
        image = next((value for value in item.values() if _is_image(value)), None)
        label = next((item[key] for key in _LABELS if key in item), None)
    elif isinstance(item, tuple | list):
        image = item[0] if item else None
        label = item[1] if len(item) > 1 else None
    else:
        image, label = item, None
    if image is None or not _is_image(image):
        raise BrokenDataError(f"{place} is not an image but {_describe(item)}; {_GIVES}")
    if isinstance(image, Image.Image):
        image = convert_to_rgb(image) if image.mode not in ("L", "RGB") else image
    elif isinstance(image, np.ndarray) or (isinstance(image, Tensor) and not image.is_floating_point()):
        image = _to_pil(image, place)
    return Sample(image, _read_label(label))


def _is_image(value: Any) -> bool:
    if isinstance(value, Tensor):
        return value.ndim == 3 and (value.is_floating_point() or value.dtype == torch.uint8)
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


def _read_label(value: Any) -> int:
    if isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0:
        value = value.item()
    return value if isinstance(value, int) and value >= 0 else UNKNOWN


def _take_apart(batch: Any) -> Iterator[Any]:
    """Take the batch of a loader apart into items, along the first axis of tensors and lists."""
    if isinstance(batch, Mapping):
        for values in zip(*batch.values(), strict=True):
            yield dict(zip(batch, values, strict=True))
    elif isinstance(batch, tuple | list):
        yield from zip(*batch, strict=True)
    else:
        yield from batch


def _find_length(source: Iterable[Any]) -> int | None:
    """The number of items, or None if unknown."""
    if isinstance(source, Sized) and not isinstance(source, DataLoader):
        return len(source)
    if not isinstance(source, DataLoader):
        return None
    counted: Any = source.sampler if _has_items(source.dataset) else source.dataset
    if not isinstance(counted, Sized):
        return None
    n = len(counted)
    return n - n % source.batch_size if source.drop_last and source.batch_size else n


def _find_classes(dataset: Any) -> tuple[str, ...]:
    """The `classes` of a data set, or of the one that it is a `Subset` of; of a tuple of names the first."""
    while not hasattr(dataset, "classes") and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    classes = getattr(dataset, "classes", ())
    if not isinstance(classes, list | tuple):
        return ()
    return make_unique([name[0] if isinstance(name, tuple | list) else name for name in classes])


def _find_preprocessing(dataset: Any, sample: Sample | None) -> str | None:
    """Describe how the data preprocess images, if their items are inputs of the network."""
    if sample is None or not isinstance(sample.image, Tensor):
        return None
    while not getattr(dataset, "transform", None) and hasattr(dataset, "dataset"):
        dataset = dataset.dataset
    transform = getattr(dataset, "transform", None)
    return "of the data: " + make_encodable(" ".join(repr(transform).split()) if transform else type(dataset).__name__)


def _describe(item: Any) -> str:
    if isinstance(item, Tensor | np.ndarray):
        return f"{item.dtype} {list(item.shape)}"
    return type(item).__name__
