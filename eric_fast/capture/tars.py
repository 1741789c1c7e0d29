"""Tar files of images: WebDataset shards, or packed image folders."""

import itertools
import posixpath
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from eric_fast.capture.data import IMAGE_SUFFIXES, ImageData, Sample, decode_image
from eric_fast.errors import DataError, first_line, suggest_nearest
from eric_fast.store.activations import UNKNOWN
from eric_fast.visible import make_encodable

MOST_LABEL_BYTES = 1024
_BRACES = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True)
class _Member:
    """A file in a tar: the index of the tar, and the name, offset and size of the file."""

    tar: int
    name: str
    offset: int
    size: int


class TarImages(ImageData):
    """Images in uncompressed tar files. They are not unpacked: the headers of the members are indexed once.

    Images are in the order of the tars, and of the members in each. As in WebDataset, files with the same name up to
    the first dot are one sample: `0001.jpg` and `0001.cls`, which contains the index of an output of the network, or
    the name of a class. (`0001.mask.png` beside `0001.jpg` is not an image of its own.) If no tar has a `.cls`, images
    are in class folders as ImageNet's: the class is the first part of the path in which images differ. An id is the
    path in the tar, after the name of the tar if there are several.

    Raises:
        DataError: a tar that is missing, compressed, damaged or has no images; two images with the same name.
    """

    def __init__(self, paths: Sequence[Path], name: str) -> None:
        self.name = make_encodable(name)
        self._paths = tuple(paths)
        images: list[_Member] = []
        labels: list[str | None] = []
        for number, path in enumerate(paths):
            found, of_keys = _index_tar(path, number)
            images += found
            labels += [of_keys.get(_split_key(member.name)[0]) for member in found]
        if not images:
            raise DataError(f"{name} has no images; their names must end in .jpg, .png or the like")
        self._images = images
        self.ids = _name_images(paths, images)
        if all(label is None for label in labels):
            labels = list(_find_folders([member.name for member in images]))
            are_numbers = False
        else:
            are_numbers = all(label is None or label.isdecimal() for label in labels)
        self.folders = () if are_numbers else tuple(sorted({label for label in labels if label is not None}))
        number_of = {folder: i for i, folder in enumerate(self.folders)}
        self._labels = [
            UNKNOWN if label is None else number_of[label] if self.folders else int(label) for label in labels
        ]

    def load_sample(self, index: int) -> Sample:
        member = self._images[index]
        path = self._paths[member.tar]
        place = f"{path}: {member.name}"
        try:
            content = _read_member(path, member)
        except OSError as error:
            raise DataError(make_encodable(f"{place} can't be read ({error.strerror})")) from error
        return Sample(decode_image(content, place), self._labels[index])


def expand_tars(pattern: str) -> list[Path]:
    """Expand a path to tar files: `{000..009}` and `{a,b}` as in a shell, then `*`, `?` and `[...]`.

    Raises:
        DataError: there is no such file.
    """
    paths: list[Path] = []
    for name in _expand_braces(pattern):
        path = Path(name)
        is_pattern = any(sign in name for sign in "*?[") and not path.exists()
        found = sorted(Path(path.anchor or ".").glob(str(path.relative_to(path.anchor)))) if is_pattern else [path]
        if not found or not all(tar.is_file() for tar in found):
            near = suggest_nearest(name, map(str, path.parent.glob("*.tar")))
            raise DataError(
                f"{name}: there is no such tar file"
                + (near or "; give uncompressed .tar files, such as 'shard-{000..009}.tar'")
            )
        paths += found
    return paths


def _expand_braces(text: str) -> Iterator[str]:
    brace = _BRACES.search(text)
    if brace is None:
        yield text
        return
    first, dots, last = brace[1].partition("..")
    if dots and first.isdecimal() and last.isdecimal():
        width = max(len(first), len(last)) if "0" in (first[0], last[0]) else 0
        choices: Iterator[str] = (f"{number:0{width}d}" for number in range(int(first), int(last) + 1))
    else:
        choices = iter(brace[1].split(","))
    for choice in choices:
        yield from _expand_braces(text[: brace.start()] + choice + text[brace.end() :])


def _index_tar(path: Path, number: int) -> tuple[list[_Member], dict[str, str]]:
    """List the images of a tar, and the contents of its `.cls` files by key."""
    images: dict[str, list[_Member]] = {}  # key -> members
    labels: dict[str, str] = {}
    try:
        with tarfile.open(path, "r:") as tar:
            while (info := tar.next()) is not None:
                tar.members.clear()  # type: ignore[attr-defined]  # which would keep every header
                if not info.isreg() or any(part[:1] == "." for part in info.name.removeprefix("./").split("/")):
                    continue
                if info.issparse():
                    raise DataError(f"{path}: '{make_encodable(info.name)}' is a sparse member; pack the images again")
                key, kind = _split_key(info.name)
                member = _Member(number, info.name, info.offset_data, info.size)
                if kind == ".cls":
                    labels[key] = _read_member(path, member, MOST_LABEL_BYTES).decode(errors="replace").strip()
                elif posixpath.splitext(info.name)[1].lower() in IMAGE_SUFFIXES:
                    images.setdefault(key, []).append(member)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        if isinstance(error, DataError):
            raise
        reason = error.strerror if isinstance(error, OSError) and error.strerror else first_line(error)
        raise DataError(
            f"{path} is not a tar file, is compressed, or is damaged ({reason}); give uncompressed .tar files"
        ) from error
    found = []
    for members in images.values():
        plain = [member for member in members if _split_key(member.name)[1].lower() in IMAGE_SUFFIXES]
        found += plain or members
    return sorted(found, key=lambda member: member.offset), labels


def _split_key(name: str) -> tuple[str, str]:
    """Split a path at the first dot of its last part: WebDataset's key, and the kind of the file."""
    folder, slash, file = name.rpartition("/")
    stem, dot, kind = file.partition(".")
    return folder + slash + stem, dot + kind


def _read_member(path: Path, member: _Member, most: int | None = None) -> bytes:
    with path.open("rb") as file:
        file.seek(member.offset)
        return file.read(member.size if most is None else min(most, member.size))


def _name_images(paths: Sequence[Path], images: Sequence[_Member]) -> tuple[str, ...]:
    parents = {path.absolute().parent for path in paths}
    root = Path(posixpath.commonpath([str(parent) for parent in parents]))
    tars = [f"{path.absolute().relative_to(root)}/" if len(paths) > 1 else "" for path in paths]
    ids = tuple(make_encodable(tars[image.tar] + image.name.removeprefix("./")) for image in images)
    if len(set(ids)) != len(ids):
        twice = next(name for name, count in Counter(ids).items() if count > 1)
        raise DataError(f"two images have the name '{twice}'; names must differ")
    return ids


def _find_folders(names: Sequence[str]) -> Iterator[str | None]:
    """Find the class folder of each path: the first part after those that all have in common, or None."""
    folders = [name.removeprefix("./").split("/")[:-1] for name in names]
    n_common = sum(1 for _ in itertools.takewhile(lambda parts: len(set(parts)) == 1, zip(*folders, strict=False)))
    if all(len(parts) == n_common for parts in folders):  # one folder
        n_common -= 1
    for parts in folders:
        yield make_encodable(parts[n_common]) if 0 <= n_common < len(parts) else None
