"""One image, by its file or by its place in a data set."""

from pathlib import Path

from eric_fast.capture.data import ImageData, Sample, decode_image
from eric_fast.capture.paths import make_encodable
from eric_fast.capture.sources import open_data
from eric_fast.errors import DataError, suggest_nearest
from eric_fast.store.files import is_file


class PictureFile(ImageData):
    """One image file. It is in the class of the folder that it lies in, if that is a class's name."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = make_encodable(str(path))
        self.ids = (self.name,)
        self.folders = (make_encodable(path.absolute().parent.name),)

    def load_sample(self, index: int) -> Sample:
        return Sample(decode_image(self._path, str(self._path)), 0)


def pick_image(source: str) -> tuple[ImageData, int]:
    """An image file, `DATA#ID` or `DATA:NUMBER` (from 0): the data, and the image's index in it.

    Raises:
        DataError: no such file, data or image.
    """
    if source and is_file(Path(source)):
        return PictureFile(Path(source)), 0
    for name, sign, image in _list_splits(source):
        is_data = name in ("digits", "digits/train", "digits/test") or (name and Path(name).is_dir())
        if is_data and (sign == "#" or image.isdecimal()):
            data = open_data(name)
            return data, _find_image(data, sign, image)
    raise DataError(f"'{source}' is no image: there is no such file; give a file, DATA#ID or DATA:NUMBER")


def _list_splits(source: str) -> list[tuple[str, str, str]]:
    """Every way to read it as data and image: names of folders and of images may hold `#` and `:` themselves."""
    return [(source[:i], sign, source[i + 1 :]) for i, sign in enumerate(source) if sign in "#:"]


def _find_image(data: ImageData, sign: str, image: str) -> int:
    if sign == "#":
        if image not in data.ids:
            raise DataError(f"{data.name} has no image '{image}'{suggest_nearest(image, data.ids)}")
        return data.ids.index(image)
    if int(image) >= len(data):
        raise DataError(f"{data.name} has no image number {image}, only 0 to {len(data) - 1}")
    return int(image)
