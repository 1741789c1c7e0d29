"""What a user is told when something is wrong: one line that names the thing, the place and the remedy."""

from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from eric_fast.visible import make_all_visible


class EricError(ValueError):
    """Anything that the caller can mend. The command line prints it as one line and exits with 2.

    Control characters in names are shown escaped.

    Examples:
        >>> try:
        ...     ef.load_program("nowhere.lp")
        ... except ef.EricError as error:
        ...     print(error)
        nowhere.lp can't be read: No such file or directory; give the path of a file
    """

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*make_all_visible(arguments))


class ModelError(EricError):
    """A model that can't be loaded, traced or run, or one of its layers."""


class DataError(EricError):
    """A data set, an image, or a folder of images."""


class CaptureError(EricError):
    """Activations: a damaged capture, non-finite norms, a capture that doesn't fit the program."""


class ProgramError(EricError):
    """A logic program: its text, its atoms, its rules. `atom`: whose rules are wrong, where that can be said."""

    def __init__(self, message: str, atom: int | None = None) -> None:
        super().__init__(message)
        self.atom = atom


class SettingError(EricError):
    """An option with a value that means nothing."""


class OutputError(EricError):
    """A path that can't be written, or that something already stands at."""


def say_count(number: int, noun: str) -> str:
    """`1 kernel`, `1,024 kernels`, `10 classes`."""
    return f"{number:,} {noun}" + ("" if number == 1 else "es" if noun.endswith("s") else "s")


def suggest_nearest(name: str, known: Iterable[str]) -> str:
    """`"; did you mean 'a' or 'b'?"`, or the first few known names where none is near."""
    names = list(dict.fromkeys(known))
    near = get_close_matches(name, names, n=3, cutoff=0.6)
    if near:
        return "; did you mean " + " or ".join(f"'{n}'" for n in near) + "?"
    if not names:
        return ""
    shown = ", ".join(f"'{n}'" for n in names[:8])
    return f"; there are {shown}" + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def require_package(name: str, purpose: str) -> None:
    """Import a package that not every installation has, or say what it is for and how to install it.

    Raises:
        SettingError: it isn't installed.
    """
    try:
        import_module(name)
    except ModuleNotFoundError as error:
        raise SettingError(f"{purpose} needs the package '{name}': pip install {name}") from error


def first_line(error: BaseException) -> str:
    """Return the first line of an exception's message, or its type's name where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
