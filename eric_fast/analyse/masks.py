"""Segmentation masks: a folder of them, and where their concepts lie in the image that the network sees."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from eric_fast.capture import LoadedModel
from eric_fast.errors import DataError

NAMES = ("concepts.json", "concepts.txt")
_NOTHING = (0, 255)  # numbers that need no name: no concept, and the void of common data sets
LAYOUT = (
    "the mask of image 'beach/7.jpg' is 'beach/7.png', a picture of concept numbers, which concepts.json or "
    "concepts.txt names"
)


class MaskFolder:
    """A folder of segmentation masks, laid out as the images are.

    The mask of image `beach/7.jpg` is `beach/7.png`, or `beach/7.jpg.png` if `beach/7.png` is an image as well. It is a
    PNG of one channel (8 or 16 bits, or a palette), as large as the image, whose values are concept numbers.
    `concepts.json` is a list of names, by number from 0, or an object `{"12": "wheel", ...}`; `concepts.txt` has one
    name per line, that of number 0 first. A number without a name, or with an empty one, is no concept; only 0 and 255
    may lack a name. Not every image needs a mask.

    Attributes:
        root: the folder.
        concepts: number -> name, ascending.

    Raises:
        DataError: the folder has no file of names, or one that can't be read.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.concepts = _read_names(root)

    def find_mask(self, image: str) -> Path | None:
        """Find the mask of the image with this id; None if there is none."""
        exact = self.root / f"{image}.png"
        path = exact if exact.is_file() else (self.root / image).with_suffix(".png")
        return path if path.is_file() and path.resolve().is_relative_to(self.root.resolve()) else None

    def load_mask(self, image: str, size: tuple[int, int]) -> NDArray[np.int64]:
        """Load the concept numbers of an image of `size` (width, height): int64 `[height, width]`, 0 for no concept.

        Raises:
            DataError: there is no mask, it has another size or colours, or one of its numbers has no name.
        """
        path = self.find_mask(image)
        if path is None:
            raise DataError(f"{self.root} has no mask for image '{image}'; {LAYOUT}")
        try:
            with Image.open(path) as picture:
                if picture.mode not in ("L", "P", "1", "I", "I;16"):
                    raise DataError(f"{path} holds colours (mode {picture.mode}) instead of concept numbers; {LAYOUT}")
                numbers = np.asarray(picture).astype(np.int64)
        except OSError as error:
            raise DataError(f"{path} can't be read ({error}); {LAYOUT}") from error
        if numbers.shape != size[::-1]:
            height, width = numbers.shape
            raise DataError(
                f"{path} is {width}x{height}, but its image is {size[0]}x{size[1]}; make the mask as large as the image"
            )
        for number in np.unique(numbers).tolist():
            if number not in self.concepts and number not in _NOTHING:
                raise DataError(f"{path} has concept number {number}, which has no name in {self.root}; {LAYOUT}")
        return np.where(np.isin(numbers, list(self.concepts)), numbers, 0)


def _read_names(root: Path) -> dict[int, str]:
    path = next((root / name for name in NAMES if (root / name).is_file()), None)
    if path is None:
        raise DataError(f"{root} has neither concepts.json nor concepts.txt; {LAYOUT}")
    try:
        text = path.read_text(encoding="utf-8")
        content: Any = json.loads(text) if path.suffix == ".json" else text.splitlines()
        pairs = content.items() if isinstance(content, dict) else enumerate(content)
        names = {int(number): name.strip() for number, name in pairs}
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is neither a list of names nor names by number ({error}); correct it") from error
    return dict(sorted((number, name) for number, name in names.items() if name))


def view_mask(
    model: LoadedModel, image: Image.Image | torch.Tensor, numbers: NDArray[np.int64]
) -> dict[int, NDArray[np.bool_]]:
    """Find where each concept of a mask lies in the image as the network sees it: number -> bool `[height, width]`.

    For each concept, a picture that is white on the concept and black elsewhere goes through the model's transform. The
    concept lies where the result is nearer to white than to black, whatever the transform resizes, crops or scales. An
    image that is a tensor has been preprocessed by its data set already; its mask must have been, too.

    Raises:
        DataError: the transform doesn't tell black from white.
    """
    present = [number for number in np.unique(numbers).tolist() if number]
    if isinstance(image, torch.Tensor):
        return {number: numbers == number for number in present}
    mode: str = image.mode
    height, width = numbers.shape

    def transform(white: NDArray[np.bool_]) -> NDArray[np.float64]:
        picture = Image.fromarray(white.astype(np.uint8) * 255).convert(mode)
        values: torch.Tensor = model.transform(picture)
        return values.double().mean(dim=0).numpy()

    black = transform(np.zeros((height, width), np.bool_))
    reach = transform(np.ones((height, width), np.bool_)) - black
    if not (reach != 0).all():
        raise DataError(f"the transform of '{model.name}' doesn't tell black from white, so masks can't go through it")
    return {number: (transform(numbers == number) - black) / reach > 0.5 for number in present}


def find_size(image: Image.Image | torch.Tensor) -> tuple[int, int]:
    """Find an image's width and height."""
    return (image.shape[-1], image.shape[-2]) if isinstance(image, torch.Tensor) else (image.width, image.height)
