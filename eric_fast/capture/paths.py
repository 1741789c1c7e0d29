"""Names of files, also the odd ones."""


def make_encodable(name: str) -> str:
    """The same name, with what UTF-8 can't encode (bytes of a file name that weren't UTF-8) as `\\udcff`."""
    return name.encode(errors="backslashreplace").decode()
