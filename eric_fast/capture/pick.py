"""Find an image by its file, or by its id or number in a data set."""

import re
from pathlib import Path

from eric_fast.capture.data import ImageData
from eric_fast.capture.digits import DIGITS
from eric_fast.capture.folders import PictureFile
from eric_fast.capture.sources import open_data
from eric_fast.errors import DataError, suggest_nearest
from eric_fast.store.files import is_file


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
