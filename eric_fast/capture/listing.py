"""The hash of a data set's listing: it shows whether the images are those that a capture was started with."""

import hashlib
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from eric_fast.capture.data import ImageData
from eric_fast.errors import DataError


@runtime_checkable
class SizedFiles(Protocol):
    """Data whose images are files."""

    def list_sizes(self) -> Sequence[int]:
        """List the sizes of the images' files in bytes. Raises OSError."""
        ...


def hash_listing(data: ImageData) -> str:
    """Hash the names of classes and images in order, and the sizes of files: SHA-256 in hex.

    Images are not read, so a change of content that keeps the size is not noticed.

    Raises:
        DataError: a missing file.
    """
    digest = hashlib.sha256()
    for names in (data.folders, data.ids):
        digest.update(f"{len(names)}\n".encode())
        digest.update("".join(f"{name}\n" for name in names).encode(errors="surrogatepass"))
    if isinstance(data, SizedFiles):
        try:
            sizes = data.list_sizes()
        except OSError as error:
            raise DataError(f"{error.filename} can't be read ({error.strerror}); repair or remove it") from error
        digest.update(" ".join(map(str, sizes)).encode())
    return digest.hexdigest()
