"""What front ends ask about files."""

from pathlib import Path

from eric_fast.errors import ProgramError

HEAD_BYTES = 2**16


def read_head(path: str | Path, n_bytes: int = HEAD_BYTES) -> bytes | None:
    """The first bytes of a file; None where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return file.read(n_bytes)
    except (OSError, ValueError):  # ValueError: a NUL in what is no path
        return None


def decode_text(content: bytes, source: str) -> str:
    """UTF-8. Raises ProgramError: it isn't, with the place."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        column = error.start - content.rfind(b"\n", 0, error.start)
        raise ProgramError(
            f"{source}:{line}:{column}: expected UTF-8, came byte {content[error.start]:#04x}"
        ) from error


def is_pickled(path: str | Path) -> bool:
    """Whether a file is a pickle, joblib's kinds included, by its first bytes or else by its name."""
    head = read_head(path, 2)
    if head is None:
        return False
    is_marked = len(head) == 2 and head[0] == 0x80 and 2 <= head[1] <= 5  # from protocol 2 on
    return is_marked or Path(path).suffix.lower() in (".pkl", ".pickle", ".joblib")
