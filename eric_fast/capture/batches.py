"""Batches of images, decoded and transformed in this process or by workers."""

import signal
import warnings
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from eric_fast.capture.data import BrokenDataError, DataLabel, ImageData
from eric_fast.capture.layers import describe_error
from eric_fast.capture.models import Transform
from eric_fast.errors import DataError


@dataclass(frozen=True)
class BadImage:
    """An image that can't be read, or (`is_fatal`) on which the model's transform fails.

    Workers return it as a value: the message of an exception from a worker process would be its whole traceback.
    """

    message: str
    is_fatal: bool


@dataclass(frozen=True)
class ImageBatch:
    """The images of one slice of the data.

    Attributes:
        images: `[n_good, channels, height, width]`, in the dtype of the transform.
        indices: their indices in the data.
        labels: their labels, as in `Sample`.
        bad: the errors of the images that are missing.
        n_seen: the number of images, good and bad.
    """

    images: Tensor
    indices: list[int]
    labels: list[DataLabel]
    bad: list[BadImage] = field(default_factory=list)
    n_seen: int = 0

    def pin_memory(self) -> "ImageBatch":
        """Copy the images to pinned memory; called by torch's loader."""
        return replace(self, images=self.images.pin_memory())


def cut_batches(indices: Sequence[int], batch_size: int) -> list[list[int]]:
    """Cut indices into batches; the last may be smaller."""
    return [list(indices[i : i + batch_size]) for i in range(0, len(indices), batch_size)]


def iterate_batches(
    data: ImageData,
    plan: Sequence[list[int]],
    transform: Transform,
    *,
    workers: int,
    pin_memory: bool = False,
) -> Generator[ImageBatch, None, None]:
    """Load one batch for each list of indices in `plan`. A bad image is left out of its batch.

    Args:
        pin_memory: for copies to a GPU.

    Raises:
        DataError: a transform that fails, images of different shapes, too little memory or too few processes.
    """
    images = _Images(data, transform)
    workers = 0 if data.is_stream else workers or data.workers
    loader = DataLoader(
        images,
        batch_sampler=plan,
        num_workers=workers,
        collate_fn=images.collate,
        pin_memory=pin_memory,
        generator=torch.Generator(),  # instead of the caller's
        worker_init_fn=_ignore_interrupts,
        multiprocessing_context="fork" if workers else None,
    )
    batches: Iterator[ImageBatch | DataError] = iter(())
    first: tuple[int, torch.Size] | None = None
    try:
        with warnings.catch_warnings():
            # Workers are forked, so that any transform and any user's file work in them without pickling. Python 3.12
            # warns of forks in a process with threads; here each worker has one thread, and only decodes images.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork.*", DeprecationWarning)
            batches = iter(loader)
        for batch in batches:
            if isinstance(batch, DataError):
                raise batch
            if batch.indices:
                shape = batch.images.shape[1:]
                first = first or (batch.indices[0], shape)
                if shape != first[1]:
                    raise _differing_shapes(data, first[0], first[1], batch.indices[0], shape)
            yield batch
    except (
        RuntimeError,
        MemoryError,
        OSError,
    ) as error:  # too little memory, a killed worker
        raise DataError(
            f"{data.name}: a batch of {max(map(len, plan), default=0)} images can't be loaded with {workers} workers "
            f"({describe_error(error)}); give a smaller --batch-size, or --workers 0"
        ) from error
    finally:
        # The last reference, so that workers end now. (If the traceback of an error keeps this frame, the garbage
        # collector took 5 s to end them.)
        del batches


_Loaded = tuple[int, "_Tensor | BadImage"]  # the index in the data, and the image or its error


class _Tensor(NamedTuple):
    values: Tensor
    label: DataLabel


class _Images(Dataset[_Loaded]):
    def __init__(self, data: ImageData, transform: Transform) -> None:
        self._data = data
        self._transform = transform

    def __getitem__(self, index: int) -> _Loaded:
        return index, self._load(index)

    def _load(self, index: int) -> "_Tensor | BadImage":
        try:
            image, label = self._data.load_sample(index)
        except DataError as error:
            return BadImage(str(error), is_fatal=isinstance(error, BrokenDataError))
        place = f"image '{self._data.ids[index]}'"
        if isinstance(image, Tensor) != (self._data.preprocessing is not None):
            return BadImage(
                f"{place}: {self._data.name} has both tensors and images; give a data set of one kind", is_fatal=True
            )
        if isinstance(image, Tensor):
            return _Tensor(image, label)
        try:
            tensor = self._transform(image)
        except (Exception, SystemExit) as error:  # the user's code
            return BadImage(f"{place}: the model's transform fails ({describe_error(error)}); fix it", is_fatal=True)
        if not isinstance(tensor, Tensor) or not tensor.is_floating_point() or tensor.ndim != 3:
            shown = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else type(tensor).__name__
            what = "the model's transform must return a float tensor [channels, height, width]"
            return BadImage(f"{place}: {what}, not {shown}", is_fatal=True)
        return _Tensor(tensor, label)

    def collate(self, samples: list[_Loaded]) -> ImageBatch | DataError:
        good: list[tuple[int, _Tensor]] = []
        bad: list[BadImage] = []
        for index, sample in samples:
            if isinstance(sample, BadImage):
                if sample.is_fatal:
                    return DataError(sample.message)
                bad.append(sample)
                continue
            good.append((index, sample))
            if sample.values.shape != good[0][1].values.shape:
                return _differing_shapes(self._data, good[0][0], good[0][1].values.shape, index, sample.values.shape)
        images = torch.stack([sample.values for _, sample in good]) if good else torch.empty(0)
        indices, labels = [index for index, _ in good], [sample.label for _, sample in good]
        return ImageBatch(images, indices, labels, bad, len(samples))


def _differing_shapes(data: ImageData, a: int, shape_a: torch.Size, b: int, shape_b: torch.Size) -> DataError:
    return DataError(
        f"image '{data.ids[b]}' has shape {list(shape_b)} after the transform, but image '{data.ids[a]}' has shape "
        f"{list(shape_a)}; give the model a transform that resizes and crops to one size"
    )


def _ignore_interrupts(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the main process, which ends the workers
