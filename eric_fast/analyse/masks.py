"""Masks: a folder that says which concept each pixel of an image belongs to, and how the network sees it."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from eric_fast.capture import ImageData, LoadedModel
from eric_fast.capture.data import load_picture
from eric_fast.errors import DataError

NAMES = ("concepts.json", "concepts.txt")
NOTHING = (0, 255)  # indices that may go without a name: no concept, and the void of common data sets
LAYOUT = "an image's mask is a PNG of concept numbers at the image's id, and concepts.json or concepts.txt names them"


class MaskFolder:
    """Segmentation masks beside each other as their images are.

    The mask of image `beach/7.jpg` is `beach/7.png`, or `beach/7.jpg.png` where both are images: a PNG of one channel
    (8 or 16 bits, or a palette), as large as the image, whose values are concept numbers. `concepts.json` is a list of
    names, by number from 0, or an object `{"12": "wheel", ...}`; `concepts.txt` has one name a line, number 0 first.
    0 and 255 may go without a name, or with an empty one: no concept. Not every image needs a mask.

    Attributes:
        root: the folder.
        concepts: number -> name, ascending.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.concepts = _read_names(root)

    def find_mask(self, image: str) -> Path | None:
        """The mask of the image with this id, or None."""
        exact = self.root / f"{image}.png"
        path = exact if exact.is_file() else (self.root / image).with_suffix(".png")
        return path if path.is_file() and path.resolve().is_relative_to(self.root.resolve()) else None

    def load_mask(self, image: str, size: tuple[int, int]) -> NDArray[np.int64]:
        """The concept numbers of an image of `size` (width, height), int64 `[height, width]`; 0 for no concept.

        Raises:
            DataError: no mask, one of another size, one that is no picture of numbers, or a number without a name.
        """
        path = self.find_mask(image)
        if path is None:
            raise DataError(f"{self.root} has no mask of image '{image}'; {LAYOUT}")
        try:
            with Image.open(path) as picture:
                if picture.mode not in ("L", "P", "1", "I", "I;16"):
                    raise DataError(
                        f"{path} is a picture of colours ({picture.mode}), not of concept numbers; {LAYOUT}"
                    )
                numbers = np.asarray(picture).astype(np.int64)
        except OSError as error:
            raise DataError(f"{path} can't be read ({error}); {LAYOUT}") from error
        if numbers.shape != size[::-1]:
            raise DataError(
                f"{path} is {numbers.shape[1]}x{numbers.shape[0]}, its image {size[0]}x{size[1]}; they must be the same"
            )
        for number in np.unique(numbers).tolist():
            if number not in self.concepts and number not in NOTHING:
                raise DataError(f"{path} has concept number {number}, which {self.root} doesn't name; {LAYOUT}")
        return np.where(np.isin(numbers, list(self.concepts)), numbers, 0)


def _read_names(root: Path) -> dict[int, str]:
    path = next((root / name for name in NAMES if (root / name).is_file()), None)
    if path is None:
        raise DataError(f"{root} has no concepts.json and no concepts.txt; {LAYOUT}")
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = json.loads(text) if path.suffix == ".json" else text.splitlines()
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        names = {int(number): name.strip() for number, name in pairs}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not a list of names, nor names by number ({error}); mend it") from error
    return dict(sorted((number, name) for number, name in names.items() if name))


def view_mask(
    model: LoadedModel, data: ImageData, index: int, numbers: NDArray[np.int64]
) -> dict[int, NDArray[np.bool_]]:
    """Where each concept of a mask lies in the image as the network sees it: number -> bool `[height, width]`.

    A picture that is white where the concept is goes through the model's own transform; it lies where that comes out
    nearer to white than to black, whatever the transform resizes, crops or scales.

    Raises:
        DataError: a transform that makes no difference between black and white.
    """
    mode = load_picture(data, index).mode
    height, width = numbers.shape

    def transform(white: NDArray[np.bool_]) -> NDArray[np.float64]:
        picture = Image.fromarray(white.astype(np.uint8) * 255).convert(mode)
        values: torch.Tensor = model.transform(picture)
        return values.double().mean(dim=0).numpy()

    black = transform(np.zeros((height, width), np.bool_))
    reach = transform(np.ones((height, width), np.bool_)) - black
    if not (reach != 0).all():
        raise DataError(f"the transform of '{model.name}' makes black and white the same; masks can't go through it")
    found = {}
    for number in np.unique(numbers).tolist():
        if number:
            found[number] = (transform(numbers == number) - black) / reach > 0.5
    return found
