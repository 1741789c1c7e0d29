"""Images to run a network on: a folder of them, or scikit-learn's digits."""

import logging
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
from PIL import Image

from eric_fast.capture.paths import make_encodable
from eric_fast.errors import DataError

_log = logging.getLogger(__name__)
IMAGE_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".webp", ".ppm", ".pgm", ".pbm", ".pnm", ".tif", ".tiff", ".gif"}
)
_REMEDY = "give a folder with one sub-folder of images per class, or 'digits'"
_DIGITS = ("digits", "digits/train", "digits/test")


class ImageData(Protocol):
    """Images in a fixed order, each in one class folder.

    Attributes:
        name: how the user called the data.
        ids: one name per image, all different.
        folders: names of the class folders, sorted.
        folder_labels: for each image, an index into `folders`.
    """

    @property
    def name(self) -> str: ...
    @property
    def ids(self) -> Sequence[str]: ...
    @property
    def folders(self) -> tuple[str, ...]: ...
    @property
    def folder_labels(self) -> Sequence[int]: ...
    def __len__(self) -> int: ...
    def load_image(self, index: int) -> Image.Image:
        """One image; raises DataError, naming the image, where it can't be read."""
        ...


def open_data(name: str | Path) -> ImageData:
    """An image folder, or one of the words `digits`, `digits/train` and `digits/test`.

    The three words are reserved: a folder of that name is `./digits`. Train and test are a fixed, stratified
    split of the 1,797 digits, three to one.

    Raises:
        DataError: no such folder, or no class folders with images in it.
    """
    if name == "":
        raise DataError(f"the name of the data is empty; {_REMEDY}")
    if isinstance(name, str) and name in _DIGITS:
        return Digits(name)
    return ImageFolder(Path(name))


class ImageFolder:
    """ImageNet's convention: one folder per class, images anywhere below it.

    Sorted by class, then by path; an id is the path inside the folder, with `/`, and what is not UTF-8 in it escaped.
    Names that start with a dot are left out. A class folder may be a link to a folder elsewhere, and an image a link
    to a file; other links to folders are not followed, as they may lead to images of another class. Images come as
    RGB, whatever they are stored as; an EXIF orientation is not applied, as in torchvision.
    """

    def __init__(self, root: Path) -> None:
        self.name = make_encodable(str(root))
        try:
            found, n_loose = _list_images(root)
        except OSError as error:
            raise DataError(f"{error.filename or root} can't be read ({error.strerror}); {_REMEDY}") from error
        self._root = root
        self._paths: list[str] = []  # inside the root, as they are on disk
        folders: list[str] = []
        labels: list[int] = []
        for folder, paths in found.items():
            if not paths:
                _log.warning("%s has no images: it is no class", root / folder)
                continue
            self._paths += paths
            labels += [len(folders)] * len(paths)
            folders.append(make_encodable(folder))
        if not self._paths:
            what = "has images, but no class sub-folders" if n_loose else "has no sub-folder with images"
            raise DataError(f"{root} {what}; put the images of each class into a sub-folder of that name")
        if n_loose:
            _log.warning("%s: %d images that are in no class folder are left out", root, n_loose)
        self.ids = tuple(map(make_encodable, self._paths))
        self.folders = tuple(folders)
        self.folder_labels = tuple(labels)
        for names, what in ((self.folders, "folders"), (self.ids, "images")):
            if len(set(names)) != len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise DataError(f"{root}: two {what} are called '{twice}' once their names are UTF-8; rename one")

    def __len__(self) -> int:
        return len(self.ids)

    def list_sizes(self) -> list[int]:
        """The bytes of each image's file. Raises OSError."""
        return [(self._root / path).stat().st_size for path in self._paths]

    def load_image(self, index: int) -> Image.Image:
        """RGB. Raises DataError for a file that is truncated, or no image."""
        path = self._root / self._paths[index]
        try:
            with Image.open(path) as image:
                return _convert_to_rgb(image)
        except Exception as error:  # Pillow's decoders raise anything, from OSError to struct.error
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise DataError(make_encodable(f"{path} can't be read ({reason})")) from error


class Digits:
    """scikit-learn's handwritten digits: 8x8 grey images (mode `L`), 0..16 scaled to 0..255; folders `0` to `9`."""

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

    def __len__(self) -> int:
        return len(self.ids)

    def load_image(self, index: int) -> Image.Image:
        """Mode `L`, 8x8."""
        return Image.fromarray(self._pixels[index])


def _is_image(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _list_images(root: Path) -> tuple[dict[str, list[str]], int]:
    """The images of each class folder, as sorted paths inside `root`; and the number of those in no folder.

    Raises:
        OSError: whatever can't be listed.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "there is no such folder"
        raise DataError(f"{root}: {what}; {_REMEDY}")
    found: dict[str, list[str]] = {}
    entries = sorted(root.iterdir())
    for folder in entries:
        if not folder.is_dir() or folder.name[0] == ".":
            continue
        if folder.is_symlink() and _are_nested(folder.resolve(), root.resolve()):
            _log.warning("%s is a link back to %s: it is no class", folder, root)
            continue
        found[folder.name] = sorted(path.relative_to(root).as_posix() for path in _walk_images(folder))
    return found, sum(map(_is_image, entries))


def _are_nested(a: Path, b: Path) -> bool:
    return a.is_relative_to(b) or b.is_relative_to(a)


def _walk_images(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> NoReturn:
        raise error

    for place, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if name[0] != "."]
        for path in (Path(place, name) for name in below):
            if path.is_symlink():
                _log.warning("%s is a link to a folder: it is not followed", path)
        yield from (path for path in (Path(place, name) for name in names) if _is_image(path))


def _convert_to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which Pillow would clip at 255 instead of scaling
        grey = np.asarray(image).astype(np.int64).clip(0, 65535)
        is_wide = image.mode != "I" or grey.max() > 255  # `I` is 32 bits, and says nothing of the range
        return Image.fromarray((grey >> (8 if is_wide else 0)).astype(np.uint8)).convert("RGB")
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")  # straight to RGB, Pillow warns
    return image.convert("RGB")
