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
    """SHA-256, in hex, over the names of classes and of images, in order; and over the sizes of files.

    No image is read: one whose content changes, and its size doesn't, is not noticed.

    Raises:
        DataError: a file that is gone.
    """
    digest = hashlib.sha256()
    for names in (data.folders, data.ids):
        digest.update(f"{len(names)}\n".encode())
        digest.update("".join(f"{name}\n" for name in names).encode(errors="surrogatepass"))
    if isinstance(data, SizedFiles):
        try:
            sizes = data.list_sizes()
        except OSError as error:
            raise DataError(f"{error.filename} can't be read ({error.strerror}); mend it, or leave it out") from error
        digest.update(" ".join(map(str, sizes)).encode())
    return digest.hexdigest()
