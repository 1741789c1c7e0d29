"""Image folders, with a sub-folder for each class."""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from eric_fast.capture.data import IMAGE_SUFFIXES, ImageData, Sample, decode_image
from eric_fast.errors import DataError
from eric_fast.store.activations import UNKNOWN
from eric_fast.visible import make_encodable

_log = logging.getLogger(__name__)
REMEDY = "give a folder with one sub-folder of images per class, a CSV file of paths and labels, or 'digits'"


class ImageFolder(ImageData):
    """An image folder as ImageNet's: one sub-folder per class, with images at any depth.

    Where no sub-folder has images, those of the folder itself are taken, without labels.
    Images are sorted by class, then by path. An id is the path in the folder, with bytes that are not UTF-8 escaped.
    Names that start with a dot are left out. A class folder may be a link to a folder elsewhere, and an image a link
    to a file; other links to folders are not followed, as they may lead to images of another class. Images are RGB;
    as in torchvision, an EXIF orientation is not applied.
    """

    def __init__(self, root: Path) -> None:
        self.name = make_encodable(str(root))
        try:
            found, loose = _list_images(root)
        except OSError as error:
            raise DataError(f"{error.filename or root} can't be read ({error.strerror}); {REMEDY}") from error
        self._root = root
        self._paths: list[str] = []  # inside the root, as they are on disk
        folders: list[str] = []
        labels: list[int] = []
        for folder, paths in found.items():
            if not paths:
                _log.warning("%s has no images, so it is not a class", root / folder)
                continue
            self._paths += paths
            labels += [len(folders)] * len(paths)
            folders.append(make_encodable(folder))
        if not self._paths:
            if not loose:
                raise DataError(
                    f"{root} has no sub-folder with images; put the images of each class into a sub-folder of that name"
                )
            _log.warning("%s has no class sub-folders, so the labels of its %d images are unknown", root, len(loose))
            self._paths, labels = loose, [UNKNOWN] * len(loose)
        elif loose:
            _log.warning("%s: %d images outside of class folders are left out", root, len(loose))
        self.ids = tuple(map(make_encodable, self._paths))
        self.folders = tuple(folders)
        self.folder_labels = tuple(labels)
        for names, what in ((self.folders, "folders"), (self.ids, "images")):
            if len(set(names)) != len(names):
                twice = next(name for name, count in Counter(names).items() if count > 1)
                raise DataError(f"{root}: two {what} have the name '{twice}' once it is converted to UTF-8; rename one")

    def list_sizes(self) -> list[int]:
        """List the sizes of the images' files in bytes. Raises OSError."""
        return [(self._root / path).stat().st_size for path in self._paths]

    def load_sample(self, index: int) -> Sample:
        """Raises DataError for a truncated file, or one that is not an image."""
        path = self._root / self._paths[index]
        return Sample(decode_image(path, str(path)), self.folder_labels[index])


class PictureFile(ImageData):
    """One image file. Its class is the name of its folder, if there is such a class."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = make_encodable(str(path))
        self.ids = (self.name,)
        self.folders = (make_encodable(path.absolute().parent.name),)

    def load_sample(self, index: int) -> Sample:
        """Raises DataError for a truncated file, or one that is not an image."""
        return Sample(decode_image(self._path, str(self._path)), 0)


def _is_image(path: Path) -> bool:
    return path.name[0] != "." and path.suffix.lower() in IMAGE_SUFFIXES and path.is_file()


def _list_images(root: Path) -> tuple[dict[str, list[str]], list[str]]:
    """List the images of each class folder, and those outside of class folders, as sorted paths in `root`.

    Raises:
        OSError: a folder that can't be listed. DataError: `root` is not a folder.
    """
    if not root.is_dir():
        what = "is not a folder" if root.exists() else "there is no such folder"
        raise DataError(f"{root}: {what}; {REMEDY}")
    found: dict[str, list[str]] = {}
    entries = sorted(root.iterdir())
    for folder in entries:
        if not folder.is_dir() or folder.name[0] == ".":
            continue
        if folder.is_symlink() and _are_nested(folder.resolve(), root.resolve()):
            _log.warning("%s is a link back to %s, so it is not a class", folder, root)
            continue
        found[folder.name] = sorted(path.relative_to(root).as_posix() for path in _walk_images(folder))
    return found, [path.name for path in entries if _is_image(path)]


def _are_nested(a: Path, b: Path) -> bool:
    return a.is_relative_to(b) or b.is_relative_to(a)


def _walk_images(folder: Path) -> Iterator[Path]:
    def fail(error: OSError) -> NoReturn:
        raise error

    for place, below, names in os.walk(folder, onerror=fail):
        below[:] = [name for name in below if name[0] != "."]
        for path in (Path(place, name) for name in below):
            if path.is_symlink():
                _log.warning("%s is a link to a folder, which is not followed", path)
        yield from (path for path in (Path(place, name) for name in names) if _is_image(path))
