"""Open data by name, or as an object, and find one image of them."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from eric_fast.capture.csv_images import CsvImages
from eric_fast.capture.data import IMAGE_SUFFIXES, ImageData, Sample
from eric_fast.capture.folders import REMEDY, ImageFolder, PictureFile
from eric_fast.capture.hugging_face import HuggingFaceImages, open_hugging_face
from eric_fast.capture.tars import TarImages, expand_tars
from eric_fast.capture.torch_sets import open_torch
from eric_fast.errors import DataError, suggest_nearest
from eric_fast.store.files import is_file

DIGITS = ("digits", "digits/train", "digits/test")
_KIND = re.compile(r"([A-Za-z][A-Za-z0-9_]+):(.*)", re.DOTALL)


def open_data(data: Any) -> ImageData:
    """Open images by name, or from a data set or loader.

    Names:

    - an image folder with a sub-folder for each class, or of images alone, whose labels are unknown; write `./digits`
      for one that is called `digits`.
    - one image file, and `photos.csv`: a list of images with their labels, see `CsvImages`.
    - `digits`, `digits/train`, `digits/test`: scikit-learn's 1,797 handwritten digits, and a fixed split of them.
    - `photos.tar`, `shard-{000..009}.tar`, `shards/*.tar`: uncompressed tar files; see `TarImages`.
    - `hf:PATH_OR_NAME` and `hf:PATH_OR_NAME:SPLIT`: Hugging Face's `datasets`, from a folder of `save_to_disk` or
      downloaded from the hub; needs `eric-fast[datasets]`.
    - `mnist:ROOT/test` and other data sets of torchvision, in the folder that it downloads to.

    Objects: a `datasets.Dataset`; a data set or a `DataLoader` of `torch.utils.data`, see `TorchImages` and
    `StreamedImages`; an `ImageData`, which is returned as it is.

    Raises:
        DataError: there is no such data, or they can't be read.

    Examples:
        >>> data = ef.open_data("digits/test")
        >>> len(data), data.ids[0]
        (450, 'digits/0021')
    """
    if isinstance(data, ImageData):
        return data
    if isinstance(data, str | Path):
        return _open_name(data)
    if type(data).__module__.partition(".")[0] == "datasets":  # without importing datasets
        if isinstance(data, dict):
            raise DataError(f"data is a dict of splits; give one of them: {', '.join(map(str, data))}")
        # With a format or transform of their own, the rows are items like those of any data set.
        if hasattr(data, "cast_column") and hasattr(data, "__len__") and data.format["type"] is None:
            return HuggingFaceImages(data)
    return open_torch(data)


def _open_name(name: str | Path) -> ImageData:
    text = str(name)
    if name == "":
        raise DataError(f"the name of the data is empty; {REMEDY}")
    if isinstance(name, str) and name in DIGITS:
        return Digits(name)
    path = Path(name)
    try:
        is_there = path.exists()
    except OSError:  # a name that is too long; opening the folder reports it
        is_there = False
    if text.endswith(".tar") and not path.is_dir():
        return TarImages(expand_tars(text), text)
    if re.search(r"\.(tar\.\w+|tgz)$", text):
        raise DataError(f"{text} is compressed, so its images can't be read by number; give an unpacked folder or .tar")
    if path.suffix.lower() == ".csv" and is_file(path):
        return CsvImages(path)
    if path.suffix.lower() in IMAGE_SUFFIXES and is_file(path):
        return PictureFile(path)
    named = _KIND.fullmatch(text)
    if is_there or not named:
        if not is_there and (near := _suggest(path)):
            raise DataError(f"{text}: there is no such folder{near}")
        return ImageFolder(path)
    if named[1] == "hf":
        return open_hugging_face(named[2])
    from eric_fast.capture.torchvision_sets import open_named_set

    return open_named_set(named[1].lower(), named[2])


def _suggest(path: Path) -> str:
    """Suggest a similar name: the digits, or a folder beside it; empty if there is none."""
    near = suggest_nearest(str(path), DIGITS)
    if "did you mean" in near:
        return near
    try:
        beside = [str(path.parent / other.name) for other in path.parent.iterdir() if other.is_dir()]
    except OSError:
        return ""
    near = suggest_nearest(str(path), beside)
    return near if "did you mean" in near else ""


class Digits(ImageData):
    """scikit-learn's handwritten digits: 8x8 grey images (mode `L`), 0..16 scaled to 0..255; folders `0` to `9`.

    Train and test are a fixed, stratified split, three to one.
    """

    def __init__(self, name: str = "digits") -> None:
        from sklearn.datasets import load_digits
        from sklearn.model_selection import train_test_split

        bunch = load_digits()
        labels: np.ndarray = bunch.target
        rows = np.arange(len(labels))
        if name != "digits":
            train, test = train_test_split(rows, test_size=0.25, random_state=0, stratify=labels)
            rows = np.sort(train if name == "digits/train" else test)
        self.name = name
        self.ids = tuple(f"digits/{row:04d}" for row in rows.tolist())
        self.folders = tuple(str(digit) for digit in range(10))
        self.folder_labels = tuple(labels[rows].tolist())
        self._pixels = np.rint(bunch.images[rows] * (255 / 16)).astype(np.uint8)  # [n_images, 8, 8]

    def load_sample(self, index: int) -> Sample:
        """The image has mode `L` and 8x8 pixels."""
        return Sample(Image.fromarray(self._pixels[index]), self.folder_labels[index])


def pick_image(source: str) -> tuple[ImageData, int]:
    """Find an image by its file, `DATA#ID` or `DATA:NUMBER` (from 0). DATA is any name that `open_data` takes.

    Returns:
        The data, and the image's index in it.

    Raises:
        DataError: no such file, data or image.
    """
    if source and not source.endswith((".tar", ".csv")) and is_file(Path(source)):
        return PictureFile(Path(source)), 0
    name, _, number = source.rpartition(":")
    if name and number.isdecimal():
        data = open_data(name)
        if int(number) >= len(data):
            raise DataError(f"{data.name} has no image number {number}, only 0 to {len(data) - 1}")
        return data, int(number)
    for place in (i for i, sign in enumerate(source) if sign == "#"):  # names may contain the sign
        name, image = source[:place], source[place + 1 :]
        if (
            name in DIGITS
            or name.endswith((".tar", ".csv"))
            or re.match(r"\w+:", name)
            or (name and Path(name).is_dir())
        ):
            data = open_data(name)
            if image not in data.ids:
                raise DataError(f"{data.name} has no image '{image}'{suggest_nearest(image, data.ids)}")
            return data, data.ids.index(image)
    raise DataError(f"'{source}' is not an image: there is no such file; give a file, DATA#ID or DATA:NUMBER")
