"""Names of files that are not valid UTF-8."""


def make_encodable(name: str) -> str:
    """Escape what UTF-8 can't encode in a name, such as `\\udcff` for a byte of a file name that is not UTF-8."""
    return name.encode(errors="backslashreplace").decode()
