"""Data sets and loaders of `torch.utils.data`, including torchvision's data sets."""

import itertools
import logging
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
    default_collate,
    default_convert,
)

from eric_fast.capture.data import BrokenDataError, ImageData, Sample, number_items
from eric_fast.capture.items import note_parts, read_item, take_apart
from eric_fast.capture.models import make_unique
from eric_fast.errors import DataError, first_line
from eric_fast.visible import make_encodable

_log = logging.getLogger(__name__)
_FEW, _ASKS = 20, 8  # so few items may come in the same order twice by chance, and are asked for more often


class TorchImages(ImageData):
    """A data set with `len()` and items by number.

    An item is an image, `(image, label, ...)`, or a mapping with them; see `read_item`. Images of PIL and uint8 arrays
    and tensors go through the model's transform. A float tensor is the input of the network; `preprocessing` is then
    the transform of the data set. Names of classes are the `classes` of the data set; without them a label is the index
    of an output of the network, or its name. An id is the number of the item in the data set.

    Args:
        dataset: a data set of `torch.utils.data`, or any object with `__len__` and `__getitem__`.
        name: name of the data in reports; by default the name of its class.
        order: the items to take, all different; all by default.

    Raises:
        DataError: another kind of item.
    """

    def __init__(self, dataset: Any, name: str = "", order: Sequence[int] | None = None) -> None:
        self.name = make_encodable(name or type(dataset).__name__)
        self._dataset = dataset
        self._order = range(len(dataset)) if order is None else order
        ids = number_items(len(dataset))
        self.ids = ids if order is None else tuple(ids[number] for number in order)
        self.folders = _find_classes(dataset)
        self._is_noted = False
        self.preprocessing = _find_preprocessing(dataset, self._peek())

    def load_sample(self, index: int) -> Sample:
        try:
            item = self._dataset[self._order[index]]
        except Exception as error:  # the user's code and its decoders
            what = f"{type(error).__name__}: {first_line(error)}"
            raise DataError(f"item {self.ids[index]} of {self.name} can't be read ({what})") from error
        sample = read_item(item, f"item {self.ids[index]} of {self.name}")
        if not self._is_noted:
            self._is_noted = True
            note_parts(item, self.name)
        return sample

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

    def __init__(self, source: Iterable[Any], name: str = "", length: int | None = None) -> None:
        self.name = make_encodable(name or type(source).__name__)
        self._source = source
        dataset = source.dataset if isinstance(source, DataLoader) else source
        self._is_batched = isinstance(source, DataLoader) and source.batch_sampler is not None
        self._items: Iterator[Any] = iter(())
        self._next = -1
        n = _find_length(source) if length is None else length
        if n is None:
            _log.warning("%s has no length, so it is read once to count its items; give it a __len__", self.name)
            n = sum(1 for _ in self._read())
        self.ids = number_items(n)
        self.folders = _find_classes(dataset)
        first = next(self._read(), None)
        sample = None if first is None else read_item(first, f"item 0 of {self.name}")
        if first is not None:
            note_parts(first, self.name)
        self.preprocessing = _find_preprocessing(dataset, sample)

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
                for item in take_apart(found) if self._is_batched else (found,):
                    yield item
                    number += 1
        except Exception as error:
            what = f"{type(error).__name__}: {first_line(error)}"
            raise BrokenDataError(
                f"{self.name} fails after {number} items ({what}); give a data set with items by number, whose bad "
                "items can be skipped"
            ) from error


def open_torch(source: Any) -> ImageData:
    """Open a data set or loader.

    Of a loader over items by number, with the default collation, the data set is used: images are loaded one by one, in
    as many processes, so that bad ones can be named.

    Raises:
        DataError: another kind of object; a loader that shuffles.
    """
    if isinstance(source, DataLoader):
        dataset: Any = source.dataset
        order = _find_order(source)
        is_plain = source.collate_fn in (default_collate, default_convert) and _has_items(dataset)
        if is_plain and order is not None and len(set(order)) == len(order):
            images = TorchImages(dataset, order=order)
            images.workers = source.num_workers
            return images
        length = None if order is None else len(order)
        return StreamedImages(source, f"DataLoader of {type(dataset).__name__}", length)
    if _has_items(source):
        return TorchImages(source)
    if isinstance(source, Iterable) and not isinstance(source, Iterator):
        return StreamedImages(source)
    raise DataError(
        f"data can't be a {type(source).__name__}; give a name, a data set with items by number, or a loader"
    )


def _find_order(loader: DataLoader[Any]) -> Sequence[int] | None:
    """The numbers of a loader's items in order; None if its data set has no numbers.

    The order is fixed if asking its sampler again gives the same.

    Raises:
        DataError: a sampler that shuffles.
    """
    sampler: Any = loader.sampler if loader.batch_sampler is None else loader.batch_sampler
    batches = loader.batch_sampler
    inner: Any = loader.sampler if batches is None else getattr(batches, "sampler", batches)
    if isinstance(loader.dataset, IterableDataset):
        return None
    is_random = isinstance(inner, RandomSampler | SubsetRandomSampler | WeightedRandomSampler)
    with torch.random.fork_rng(devices=[]):  # asking takes numbers from the caller's generator
        orders = [] if is_random else [list(sampler)]
        n_asks = 0 if is_random or isinstance(inner, SequentialSampler) else 1 if len(orders[0]) > _FEW else _ASKS
        orders += [list(sampler) for _ in range(n_asks)]
    if is_random or any(order != orders[0] for order in orders):
        raise DataError(
            f"the loader shuffles ({type(inner).__name__}), so its images have no fixed order; give one with "
            "shuffle=False, or a Subset of the data"
        )
    numbers = list(itertools.chain.from_iterable(orders[0])) if loader.batch_sampler is not None else orders[0]
    return numbers if all(isinstance(number, int) for number in numbers) else None


def _has_items(dataset: Any) -> bool:
    """Whether items can be read by number. (torch's IterableDataset has a `__getitem__` that fails.)"""
    is_stream = isinstance(dataset, IterableDataset)
    return not is_stream and hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")


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
