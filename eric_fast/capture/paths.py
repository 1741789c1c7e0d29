"""Names of files, also the odd ones."""

from pathlib import Path


def is_file(path: Path) -> bool:
    """`path.is_file()`, and false where the system refuses to look: a name that is too long, a closed folder."""
    try:
        return path.is_file()
    except OSError:
        return False


def make_encodable(name: str) -> str:
    """The same name, with what UTF-8 can't encode (bytes of a file name that weren't UTF-8) as `\\udcff`."""
    return name.encode(errors="backslashreplace").decode()
