"""`ImageData`: images in a fixed order, by index."""

import hashlib
import io
import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from eric_fast.errors import DataError, first_line
from eric_fast.store.activations import UNKNOWN
from eric_fast.visible import make_encodable

_log = logging.getLogger(__name__)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".gif", ".avif"}
)


DataLabel = int | str | tuple[bool, ...] | frozenset[str]


class BrokenDataError(DataError):
    """Data that can't be read any further, unlike a bad image, which can be left out."""


class Sample(NamedTuple):
    """An image and its label.

    image: for the model's transform; or a float tensor `[channels, height, width]`, the input of the network.
    label: an index into the folders of the data, or UNKNOWN; the name of a class; or, of several labels, whether each
        is true, or the names of those that are.
    """

    image: Image.Image | Tensor
    label: DataLabel


class ImageData(ABC):
    """Images in a fixed order, with random access, so that shards and batches can be cut at fixed indices.

    Attributes:
        name: the name that the user gave the data.
        ids: one name per image, all different.
        folders: names of the labels' classes (of an image folder: its class folders, sorted). If empty, a label is the
            index of an output of the network.
        preprocessing: in words, how the data preprocess images; None if the model's transform does it.
        is_stream: images can be read only in order, in one process; skipping one takes as long as reading it.
        workers: number of processes that load images if the capture doesn't set one.
    """

    name: str
    ids: Sequence[str]
    folders: tuple[str, ...]
    preprocessing: str | None = None
    is_stream: bool = False
    workers: int = 0

    def __len__(self) -> int:
        return len(self.ids)

    def list_sizes(self) -> Sequence[int] | None:
        """List the sizes of the images' files in bytes; None if they aren't files. Raises OSError."""
        return None

    @abstractmethod
    def load_sample(self, index: int) -> Sample:
        """Load an image and its label. Raises DataError with the name of an image that can't be read."""

    def load_image(self, index: int) -> Image.Image | Tensor:
        """Load an image; see `load_sample`."""
        return self.load_sample(index).image


class DataPart(ImageData):
    """Some images of a data set, by index; with `with_labels=False` their labels are unknown."""

    def __init__(self, data: ImageData, indices: Sequence[int], *, with_labels: bool = True) -> None:
        self._data, self._indices, self._with_labels = data, indices, with_labels
        self.name, self.preprocessing = data.name, data.preprocessing
        self.ids = tuple(data.ids[i] for i in indices)
        self.folders = data.folders if with_labels else ()

    def load_sample(self, index: int) -> Sample:
        sample = self._data.load_sample(self._indices[index])
        return sample if self._with_labels else sample._replace(label=UNKNOWN)


def hash_listing(data: ImageData) -> str:
    """Hash the names of classes and images in order, and the sizes of files: SHA-256 in hex.

    It shows whether the images are those that a capture was started with.
    Images are not read, so a change of content that keeps the size is not noticed.

    Raises:
        DataError: a missing file.
    """
    digest = hashlib.sha256()
    for names in (data.folders, data.ids):
        digest.update(f"{len(names)}\n".encode())
        digest.update("".join(f"{name}\n" for name in names).encode(errors="surrogatepass"))
    try:
        sizes = data.list_sizes()
    except OSError as error:
        raise DataError(f"{error.filename} can't be read ({error.strerror}); repair or remove it") from error
    if sizes is not None:
        digest.update(" ".join(map(str, sizes)).encode())
    return digest.hexdigest()


def decode_image(source: Path | bytes, place: str) -> Image.Image:
    """Decode an image to RGB. As in torchvision, an EXIF orientation is not applied.

    Args:
        source: a file, or its content.
        place: the name of the image in errors.

    Raises:
        DataError: a truncated file, or not an image.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
            return convert_to_rgb(image)
    except DataError as error:
        raise DataError(make_encodable(f"{place}: {error}")) from error
    except Exception as error:  # Pillow's decoders raise anything, from OSError to struct.error
        raise DataError(make_encodable(f"{place} can't be read ({first_line(error)})")) from error


@cache
def _warn_of_dark_greys() -> None:
    """Warn once of what scaling by the range of 16 bits leaves of 12."""
    _log.warning(
        "a grey image of 16 bits has no value above 4,095, as if it had 12: at most 16 grey levels are left of it, as "
        "white is 65,535; scale such images to 8 bits, or give a data set of tensors"
    )


def number_items(n: int) -> tuple[str, ...]:
    """Name items by their numbers, padded to one length."""
    return tuple(f"{item:0{len(str(max(n - 1, 0)))}d}" for item in range(n))


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert any mode to RGB: 16 bits of grey and floats from 0 to 1 are scaled, transparency is dropped.

    Raises:
        DataError: floats with other values.
    """
    if image.mode == "F":
        values = np.asarray(image, np.float64)
        if not (values.size and values.min() >= 0 and values.max() <= 1):  # NaN is refused too
            raise DataError(
                f"has float values from {values.min():g} to {values.max():g}, whose black and white are unknown; scale "
                "them to 0..1, or give a data set of tensors"
            )
        return Image.fromarray(np.rint(values * 255).astype(np.uint8)).convert("RGB")
    if image.mode.startswith("I"):  # 16 bits of grey: Pillow would clip at 255 instead of scaling
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        is_wide = image.mode != "I" or grey.max() > 255  # `I` has 32 bits, whatever the range
        if is_wide and 255 < grey.max() < 4096:
            _warn_of_dark_greys()
        return Image.fromarray((grey >> (8 if is_wide else 0)).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
