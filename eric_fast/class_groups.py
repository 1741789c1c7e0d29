"""Groups of classes, which the user names: scores of a thousand classes that can be read."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import DataError, say_count, suggest_nearest
from eric_fast.score import Score
from eric_fast.store.files import read_csv


@dataclass(frozen=True, eq=False)
class ClassGroups:
    """Which group each class is of.

    Attributes:
        names: of the groups, in the order of the file.
        number_of: int64 `[n_classes]`, an index into `names`.
        classes: their names.
    """

    names: tuple[str, ...]
    number_of: NDArray[np.int64]
    classes: tuple[str, ...]

    def list_classes(self, group: str) -> tuple[str, ...]:
        """The classes of a group. Raises DataError: there is no such group."""
        if group not in self.names:
            raise DataError(f"'{group}' is not a group of the classes{suggest_nearest(group, self.names)}")
        number = self.names.index(group)
        return tuple(name for name, own in zip(self.classes, self.number_of.tolist(), strict=True) if own == number)


@dataclass(frozen=True, eq=False)
class GroupScores:
    """How well program and model agree, by the group of the model's answer.

    Attributes:
        names: of the groups.
        n_classes: int64 `[n_groups]`.
        n_same_class: int64 `[n_groups]`, images on which program and model give the same class.
        confusion: int64 `[n_groups, n_groups + 1]`: images by group of the model's answer (row) and of the program's
            (column; the last: no answer).
    """

    names: tuple[str, ...]
    n_classes: NDArray[np.int64]
    n_same_class: NDArray[np.int64]
    confusion: NDArray[np.int64]

    @property
    def n_images(self) -> NDArray[np.int64]:
        """int64 `[n_groups]`, images on which the model's answer is of the group."""
        counts: NDArray[np.int64] = self.confusion.sum(axis=1)
        return counts

    @property
    def fidelity(self) -> float:
        """The share of all images on which program and model give classes of the same group."""
        return int(self.confusion.diagonal().sum()) / int(self.confusion.sum())

    def to_dict(self) -> dict[str, Any]:
        """Build what `--json` writes."""
        n_images, n_same_group = self.n_images.tolist(), self.confusion.diagonal().tolist()
        rows = zip(self.names, self.n_classes.tolist(), n_images, self.n_same_class.tolist(), n_same_group, strict=True)
        names = ("group", "n_classes", "n_images", "n_same_class", "n_same_group")
        return {
            "fidelity": self.fidelity,
            "groups": [dict(zip(names, row, strict=True)) for row in rows],
            "confusion": self.confusion.tolist(),
        }


def read_class_groups(path: Path, classes: tuple[str, ...]) -> ClassGroups:
    """Read a CSV file with the columns `class` and `group`; rows of other classes are left out.

    With a column `wnid`, WordNet's identifiers, a class may be called by that of its row, too: `n01560419`.

    Raises:
        DataError: a file that can't be read or lacks a column, a class without a group, or with two.
    """
    columns, lines = read_csv(path)
    rows = [(row.get("class"), row.get("wnid"), row.get("group")) for row in lines]
    if not {"class", "group"} <= set(columns):
        shown = ", ".join(f"'{name}'" for name in columns) or "none"
        raise DataError(f"{path} has the columns {shown}; its first line must be: class,group")
    known, group_of = set(classes), dict[str, str]()
    for number, (own, identifier, group) in enumerate(rows, start=2):
        name = own if own in known else identifier
        if name is None or name not in known:
            continue
        if not group:
            raise DataError(f"{path}:{number} gives the class '{name}' no group; each line must be: class,group")
        if group_of.setdefault(name, group) != group:
            raise DataError(f"{path}:{number} gives the class '{name}' another group than before; leave one out")
    missing = [name for name in classes if name not in group_of]
    if missing:
        raise DataError(
            f"{path} gives {say_count(len(missing), 'class')} of the program no group, such as '{missing[0]}'; each "
            "class needs one"
        )
    names = tuple(dict.fromkeys(group_of.values()))
    place = {name: number for number, name in enumerate(names)}
    return ClassGroups(names, np.array([place[group_of[name]] for name in classes], np.int64), classes)


def score_groups(score: Score, groups: ClassGroups) -> GroupScores:
    """Add up a score's confusion by group."""
    n = len(groups.names)
    confusion = np.zeros((n, n + 1), np.int64)
    np.add.at(confusion, (groups.number_of[:, None], np.append(groups.number_of, n)[None]), score.confusion)
    same = np.zeros(n, np.int64)
    np.add.at(same, groups.number_of, score.confusion.diagonal())
    return GroupScores(groups.names, np.bincount(groups.number_of, minlength=n), same, confusion)
