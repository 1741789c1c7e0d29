"""scikit-learn's handwritten digits."""

import numpy as np
from PIL import Image

from eric_fast.capture.data import ImageData, Sample

DIGITS = ("digits", "digits/train", "digits/test")


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
