"""Whose a path is: what may be written there, and what `--force` may replace.

A folder is ours if the content of its marker says so, and if it holds nothing but what the marker lists.
"""

import json
import os
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eric_fast.errors import OutputError
from eric_fast.output.disk import report_unwritten
from eric_fast.output.leftovers import BESIDE, clean_leftovers

MADE_BY, FILES = "made_by", "files"  # keys of a marker


def _read_files(kind: str, content: Any) -> list[str] | None:
    if not isinstance(content, dict) or content.get(MADE_BY) != f"eric_fast {kind}":
        return None
    files = content.get(FILES)
    return files if isinstance(files, list) and all(isinstance(file, str) for file in files) else None


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that is written.

    Attributes:
        name: what it is, for people: `report`.
        marker: the name of the JSON file by which it is known.
        read_files: from the marker's content, the paths in the folder that are ours, with `/` between parts; None if
            the content is another program's. By default `made_by` and `files` say it, as `write_marker` writes them.
    """

    name: str
    marker: str
    read_files: Callable[[str, Any], Collection[str] | None] = _read_files


def check_file(path: Path, *, force: bool) -> None:
    """Check that a file can be written to `path`: nothing is there, or a file and `force`. Raises OutputError."""
    _check_place(path, force=force)
    if path.is_dir():
        raise OutputError(f"{path} is a folder, not a file; give another path")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path} is not a regular file, so it can't be replaced; give another path")


def check_folder(path: Path, *, force: bool, kind: FolderKind, keeps_others: bool = False) -> None:
    """Check that a folder can be written to `path`. Raises OutputError.

    With `force`, an existing folder is replaced only if it is ours, or empty, so that a mistyped path never costs what
    this program didn't make. With `keeps_others`, what the marker doesn't list is left where it is, and so allowed.
    """
    _check_place(path, force=force)
    if path.is_symlink():
        raise OutputError(f"{path} is a link; give the path of the folder itself")
    if path.exists():
        with report_unwritten(path):
            check_owned(path, kind, keeps_others=keeps_others)
    if Path.cwd().is_relative_to(path.resolve()):
        raise OutputError(f"{path} contains the current folder, so it can't be replaced; give another path")


def check_owned(path: Path, kind: FolderKind, shown: Path | None = None, *, keeps_others: bool = False) -> None:
    """Check that an existing folder is ours or empty. `shown`: its path, for people. Raises OutputError."""
    shown = shown or path
    if path.is_dir() and _is_empty(path):
        return
    listed = _read_marker(path, kind)
    if listed is None:
        article = "an" if kind.name[0] in "aeiou" else "a"
        raise OutputError(
            f"{shown} is not {article} {kind.name} of eric_fast (its {kind.marker} doesn't say so), so it can't be "
            "replaced; give another path"
        )
    strange = None if keeps_others else next(_find_strange(path, frozenset((*listed, kind.marker))), None)
    if strange is not None:
        raise OutputError(
            f"{shown} also holds '{strange}', which eric_fast didn't write, so it can't be replaced; move that "
            "away, or give another path"
        )


def _read_marker(path: Path, kind: FolderKind) -> Collection[str] | None:
    marker = path / kind.marker
    if not marker.is_file():
        return None
    try:
        content = json.loads(marker.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # no JSON: another program's
        return None
    return kind.read_files(kind.name, content)


def _find_strange(folder: Path, listed: frozenset[str], prefix: str = "") -> Iterator[str]:
    """Paths in the folder that are not listed, and that no listed path lies in."""
    parents = {file[: at + 1] for file in listed for at, letter in enumerate(file) if letter == "/"}
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            name = prefix + entry.name
            if name in listed or entry.name.startswith(BESIDE) or _is_compiled(name, listed):
                continue
            if entry.is_dir(follow_symlinks=False) and (name + "/" in parents or entry.name == "__pycache__"):
                yield from _find_strange(Path(entry.path), listed, name + "/")
            else:
                yield name


def _is_compiled(name: str, listed: frozenset[str]) -> bool:
    """Whether this is what Python compiled from a listed file."""
    folder, _, file = name.rpartition("__pycache__/")
    return file.endswith(".pyc") and folder + file.partition(".")[0] + ".py" in listed


def _is_empty(folder: Path) -> bool:
    """Whether the folder contains nothing but temporary files that a run left behind when it died."""
    return all(entry.name.startswith(BESIDE) for entry in folder.iterdir())


def _check_place(path: Path, *, force: bool) -> None:
    if not path.name:
        raise OutputError(f"'{path}' has no file name; give the path of the output")
    with report_unwritten(path):
        parent = path.absolute().parent
        while not parent.exists():
            parent = parent.parent
        if not parent.is_dir():
            raise OutputError(f"{path} can't be written: {parent} is not a folder")
        if os.access(parent, os.W_OK | os.X_OK):
            clean_leftovers(parent)
        if (path.exists() or path.is_symlink()) and not force:
            raise OutputError(f"{path} exists; give --force to replace it, or another path")
    if not os.access(parent, os.W_OK | os.X_OK):
        raise OutputError(f"{path} can't be written: no permission in {parent}")
