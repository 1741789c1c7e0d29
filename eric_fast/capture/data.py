"""What a data set is to capture: images in a fixed order, by their number."""

import io
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from eric_fast.capture.paths import make_encodable
from eric_fast.errors import DataError
from eric_fast.store.activations import UNKNOWN

__all__ = [
    "IMAGE_SUFFIXES",
    "UNKNOWN",
    "BrokenDataError",
    "ImageData",
    "Sample",
    "convert_to_rgb",
    "decode_image",
    "first_line",
    "number_items",
]
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".gif"}
)


class BrokenDataError(DataError):
    """Not a bad image, which can be left out, but data that can't be gone on with."""


class Sample(NamedTuple):
    """image: for the model's transform; or a float tensor `[channels, height, width]`, which goes to the network as it
    is. label: an index into the data's folders, or UNKNOWN."""

    image: Image.Image | Tensor
    label: int


class ImageData(ABC):
    """Images in a fixed order, with random access, so that shards and batches can be cut at fixed indices.

    Attributes:
        name: how the user called the data.
        ids: one name per image, all different.
        folders: names of the classes of its labels (of an image folder: the class folders, sorted); empty where nobody
            named them: then a label is the number of the network's output.
        preprocessing: what the data do to images themselves, in words; None where the model's transform does it.
        is_stream: images come only in rising order, in one process; leaving some out takes as long as reading them.
        workers: processes that load images where the capture asks for none.
    """

    name: str
    ids: Sequence[str]
    folders: tuple[str, ...]
    preprocessing: str | None = None
    is_stream: bool = False
    workers: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def load_sample(self, index: int) -> Sample:
        """One image and its label; raises DataError, naming the image, where it can't be read."""

    def load_image(self, index: int) -> Image.Image | Tensor:
        """The image of `load_sample`."""
        return self.load_sample(index).image


class DataPart(ImageData):
    """Some of the images of a data set, by their indices; `with_labels=False`: without saying what they are."""

    def __init__(self, data: ImageData, indices: Sequence[int], *, with_labels: bool = True) -> None:
        self._data, self._indices, self._with_labels = data, indices, with_labels
        self.name, self.preprocessing = data.name, data.preprocessing
        self.ids = tuple(data.ids[i] for i in indices)
        self.folders = data.folders if with_labels else ()

    def load_sample(self, index: int) -> Sample:
        sample = self._data.load_sample(self._indices[index])
        return sample if self._with_labels else sample._replace(label=UNKNOWN)


def load_picture(data: ImageData, index: int) -> Image.Image:
    """One image before the model's transform. Raises DataError where the data give tensors, or it can't be read."""
    image = data.load_image(index)
    if isinstance(image, Image.Image):
        return image
    raise DataError(f"{data.name} gives tensors, not pictures; give the pictures, as files or as a data set of them")


def decode_image(source: Path | bytes, place: str) -> Image.Image:
    """RGB, whatever it is stored as; an EXIF orientation is not applied, as in torchvision.

    Raises:
        DataError: a file that is truncated, or no image; `place` is what it is called.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return convert_to_rgb(image)
    except Exception as error:  # Pillow's decoders raise anything, from OSError to struct.error
        raise DataError(make_encodable(f"{place} can't be read ({first_line(error)})")) from error


def number_items(n: int) -> tuple[str, ...]:
    """Names for items that have none: their numbers, all of one length."""
    return tuple(f"{item:0{len(str(max(n - 1, 0)))}d}" for item in range(n))


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Every mode as RGB: 16 bits of grey scaled, transparency left out."""
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255 instead of scaling
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        is_wide = image.mode != "I" or grey.max() > 255  # `I` is 32 bits, and says nothing of the range
        return Image.fromarray((grey >> (8 if is_wide else 0)).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
