"""CSV files that list images, and their labels."""

from collections import Counter
from pathlib import Path

from eric_fast.capture.data import DataLabel, ImageData, Sample, decode_image
from eric_fast.errors import DataError
from eric_fast.store.activations import UNKNOWN
from eric_fast.store.files import read_csv
from eric_fast.visible import make_encodable

_PATHS, _LABELS = ("path", "file", "filename", "image"), ("label", "class", "target")
_BETWEEN = ";"  # several labels, as `eric-fast predict` writes them


class CsvImages(ImageData):
    """The images of a CSV file with a header: a column `path`, in the file's folder or absolute, and one `label`.

    Labels are names of classes, or, where all are whole numbers, indices of the network's outputs; names with
    semicolons between are several labels. An empty one, and those of a file without that column, are unknown. Images
    are in the order of the rows. An id is the path as written.

    Raises:
        DataError: a file that can't be read, has no column of paths, or lists an image twice or none.
    """

    def __init__(self, path: Path) -> None:
        self.name = make_encodable(str(path))
        columns, rows = read_csv(path)
        where = next((name for name in _PATHS if name in columns), None)
        if where is None:
            shown = ", ".join(f"'{name}'" for name in columns) or "none"
            raise DataError(f"{self.name} has no column 'path', only {shown}; its first line must be: path,label")
        of_labels = next((name for name in _LABELS if name in columns), None)
        for number, row in enumerate(rows, start=2):
            if not row[where] or None in row:
                what = "more values than columns" if None in row else "no path"
                raise DataError(f"{self.name}:{number} has {what}; each line must be: {','.join(columns)}")
        if not rows:
            raise DataError(f"{self.name} lists no images; each line after the first must be: {','.join(columns)}")
        self._paths = [path.parent / row[where] for row in rows]
        self.ids = tuple(make_encodable(row[where]) for row in rows)
        twice = next((name for name, count in Counter(self.ids).items() if count > 1), None)
        if twice is not None:
            raise DataError(f"{self.name} lists the image '{twice}' twice; leave one out")
        labels = [make_encodable((row[of_labels] or "").strip()) if of_labels else "" for row in rows]
        self.folders: tuple[str, ...] = ()
        self._labels: list[DataLabel] = []
        if any(_BETWEEN in label for label in labels):
            self._labels = [_split_names(label) or UNKNOWN for label in labels]
            return
        are_numbers = all(label.isdecimal() for label in labels if label)
        self.folders = () if are_numbers else tuple(sorted({label for label in labels if label}))
        number_of = {folder: number for number, folder in enumerate(self.folders)}
        self._labels += [UNKNOWN if not label else int(label) if are_numbers else number_of[label] for label in labels]

    def list_sizes(self) -> list[int]:
        """List the sizes of the images' files in bytes. Raises OSError."""
        return [path.stat().st_size for path in self._paths]

    def load_sample(self, index: int) -> Sample:
        """Raises DataError for a missing or truncated file, or one that is not an image."""
        path = self._paths[index]
        return Sample(decode_image(path, str(path)), self._labels[index])


def _split_names(label: str) -> frozenset[str]:
    return frozenset(name.strip() for name in label.split(_BETWEEN)) - {""}
