"""Data sets of Hugging Face's `datasets`, an optional package."""

import logging
from pathlib import Path
from typing import Any

from eric_fast.capture.data import ImageData, Sample, decode_image, number_items
from eric_fast.capture.models import make_unique
from eric_fast.errors import DataError, first_line, suggest_nearest
from eric_fast.store.activations import UNKNOWN
from eric_fast.visible import make_encodable

_log = logging.getLogger(__name__)


class HuggingFaceImages(ImageData):
    """A `datasets.Dataset` with a column of images.

    The label is the first column of type `ClassLabel`, or else the column `label`: an integer is the index of an output
    of the network, a text the name of a class. An id is the number of the row. Images are decoded here, so that errors
    name the image; grey images become RGB.

    Raises:
        DataError: no column of images, or several of which none is called `image`.
    """

    def __init__(self, dataset: Any, name: str = "") -> None:
        import datasets

        self.name = make_encodable(name or f"datasets.Dataset {dataset.info.dataset_name or ''}".strip())
        kinds = dataset.features
        image = _choose_column([column for column, kind in kinds.items() if isinstance(kind, datasets.Image)], kinds)
        self._image = image
        self._rows = dataset.cast_column(image, datasets.Image(decode=False)).with_format(None)
        self.ids = number_items(len(dataset))
        named = [column for column, kind in kinds.items() if isinstance(kind, datasets.ClassLabel)]
        if len(named) > 1:
            _log.warning("%s: labels are those of column '%s', not of %s", self.name, named[0], ", ".join(named[1:]))
        self._label = named[0] if named else "label" if "label" in kinds else None
        self.folders = make_unique(kinds[named[0]].names) if named else ()
        self._number_of: dict[str, int] | None = None
        if not named and self._label and getattr(kinds["label"], "dtype", "") in ("string", "large_string"):
            self.folders = tuple(sorted(value for value in self._rows.unique("label") if value is not None))
            self._number_of = {folder: i for i, folder in enumerate(self.folders)}

    def load_sample(self, index: int) -> Sample:
        place = f"image '{self.ids[index]}' of {self.name}"
        try:
            row = self._rows[index]
        except Exception as error:  # any error of Arrow, for a damaged file
            raise DataError(f"{place} can't be read ({first_line(error)})") from error
        stored = row[self._image] or {}
        if stored.get("bytes") is None and not stored.get("path"):
            raise DataError(f"{place} can't be read (the row has no image)")
        content = Path(stored["path"]) if stored.get("bytes") is None else stored["bytes"]
        return Sample(decode_image(content, place), self._find_label(row))

    def _find_label(self, row: dict[str, Any]) -> int:
        value = None if self._label is None else row[self._label]
        if self._number_of is not None:
            return UNKNOWN if value is None else self._number_of[value]
        return value if isinstance(value, int) and value >= 0 else UNKNOWN


def open_hugging_face(name: str) -> HuggingFaceImages:
    """Open `PATH_OR_NAME[:SPLIT]`: a folder of `save_to_disk`, or anything that `datasets.load_dataset` takes.

    Raises:
        DataError: an unknown data set or split; `datasets` isn't installed.
    """
    try:
        import datasets
    except ImportError as error:
        raise DataError(f"hf:{name} needs Hugging Face's datasets; install 'eric-fast[datasets]'") from error
    place, split = (name, "") if Path(name).is_dir() or ":" not in name else name.rsplit(":", 1)
    if not place:
        raise DataError("the name after hf: is empty; write hf:PATH_OR_NAME or hf:PATH_OR_NAME:SPLIT")
    is_saved = any((Path(place) / file).is_file() for file in ("dataset_info.json", "dataset_dict.json"))
    try:
        # Data sets of the hub are loaded by split: otherwise all splits would be downloaded.
        found: Any = datasets.load_from_disk(place) if is_saved else datasets.load_dataset(place, split=split or None)
    except Exception as error:  # FileNotFoundError, the hub's own errors, ValueError, Arrow's
        raise DataError(
            f"hf:{name} can't be loaded ({first_line(error)}); give a folder of save_to_disk, or a name on the hub"
        ) from error
    if isinstance(found, dict):
        if not split and len(found) == 1:
            (found,) = found.values()
        elif split not in found:
            what = f"has no split '{split}'" if split else "has several splits: write hf:PATH_OR_NAME:SPLIT"
            raise DataError(f"hf:{place} {what}{suggest_nearest(split, found)}")
        else:
            found = found[split]
    elif is_saved and split and split != str(found.split):
        raise DataError(f"hf:{place} is a single data set without splits; leave ':{split}' out")
    return HuggingFaceImages(found, f"hf:{name}")


def _choose_column(images: list[str], columns: Any) -> str:
    if not images:
        raise DataError(
            f"the data set has no column of images, only {', '.join(columns)}; cast one to datasets.Image()"
        )
    if len(images) > 1 and "image" not in images:
        raise DataError(f"the data set has several columns of images, {', '.join(images)}; rename one to 'image'")
    return "image" if "image" in images else images[0]
