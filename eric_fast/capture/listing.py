"""The hash of a data set's listing: whether the images are still those that a capture was begun with."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from eric_fast.capture.data import ImageData
from eric_fast.errors import DataError


@runtime_checkable
class SizedFiles(Protocol):
    """Images that are files."""

    def list_sizes(self) -> Sequence[int]:
        """The bytes of each image's file. Raises OSError."""
        ...


def hash_listing(data: ImageData) -> str:
    """SHA-256, in hex, over each image's name and class folder, in order; and over the sizes of files.

    No image is read: one whose content changes, and its size doesn't, is not noticed.

    Raises:
        DataError: a file that is gone.
    """
    digest = hashlib.sha256()
    for folder in data.folders:
        digest.update(folder.encode(errors="surrogatepass") + b"\n")
    for name, folder_number in zip(data.ids, data.folder_labels, strict=True):
        digest.update(f"{folder_number} {name}\n".encode(errors="surrogatepass"))
    if isinstance(data, SizedFiles):
        try:
            sizes = data.list_sizes()
        except OSError as error:
            raise DataError(f"{error.filename} can't be read ({error.strerror}); mend it, or leave it out") from error
        digest.update(" ".join(map(str, sizes)).encode())
    return digest.hexdigest()
