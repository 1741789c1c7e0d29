"""Match the outputs of a network with the folders of its images, by name."""

import logging
from collections.abc import Sequence

import torch
from torch import Tensor

from eric_fast.capture.data import DataLabel, ImageData
from eric_fast.capture.models import LoadedModel
from eric_fast.capture.outputs import NetworkHead
from eric_fast.errors import DataError, ModelError, say_count, suggest_nearest
from eric_fast.store.activations import MULTILABEL, UNKNOWN
from eric_fast.store.label_rows import spread_labels

_log = logging.getLogger(__name__)


def name_outputs(
    model: LoadedModel, data: ImageData, n_outputs: int, head: NetworkHead | None = None
) -> tuple[str, ...]:
    """Name the outputs: by the model, or else by the folders, or else by number. Raises ModelError."""
    if model.classes is not None and len(model.classes) == 1 and head is not None and head.task == "binary":
        return (f"not {model.classes[0]}", model.classes[0])
    if model.classes is not None:
        if len(model.classes) != n_outputs:
            raise ModelError(
                f"model '{model.name}' has {n_outputs} outputs but {len(model.classes)} class names; "
                "CLASSES must name each output, in order"
            )
        return model.classes
    if len(data.folders) == n_outputs:
        return data.folders
    return tuple(map(str, range(n_outputs)))


def match_labels(
    labels: Sequence[DataLabel], folders: Sequence[str], classes: Sequence[str], head: NetworkHead | None = None
) -> Tensor:
    """Convert labels of the data to class indices: int64 `[n]`. A name is that of a folder, or else of a class.

    Of a network of several labels: int8 `[n, n_labels]`, 1 for those that are true, 0 for others, or `UNKNOWN`. A
    single class is that label alone.

    Raises:
        ModelError: labels of more than two classes, where one output was taken to tell two classes apart.
        DataError: vectors of another length than the network has labels.
    """
    if head is not None and head.task == MULTILABEL:
        return _match_several(labels, folders, classes)
    known = torch.tensor(_number_names(labels, folders, classes), dtype=torch.int64)
    n_named = len(folders) or (int(known.max()) + 1 if len(known) else 0)
    if head is not None and head.task == "binary" and not head.is_given and n_named > 2:
        raise ModelError(
            f"the model has one output, but the data have {n_named} classes: it is a regression, whose numbers are no "
            "classes, or a head for one of them; give a classifier, or --task binary if it does tell two classes apart"
        )
    if folders:
        return torch.tensor([*_match_folders(folders, classes), UNKNOWN])[known]  # the last is for unknown labels
    n_past = int((known >= len(classes)).sum())
    if n_past:
        _log.warning(
            "%d labels are taken as unknown: the model has %d outputs, but the labels are numbers up to %d",
            n_past,
            len(classes),
            int(known.max()),
        )
    return known.where(known < len(classes), UNKNOWN)


def _match_several(labels: Sequence[DataLabel], folders: Sequence[str], classes: Sequence[str]) -> Tensor:
    """Of each image, which labels are true: int8 `[n, n_labels]`."""
    n_labels, place_of = len(classes), {name: place for place, name in enumerate(classes)}
    singles = [label if isinstance(label, int | str) else UNKNOWN for label in labels]
    rows = spread_labels(match_labels(singles, folders, classes), n_labels)
    strange: set[str] = set()
    for row, label in zip(rows, labels, strict=True):
        if isinstance(label, tuple):
            if len(label) != n_labels:
                raise DataError(
                    f"a label is a vector of {len(label)} values, but the model has {n_labels} labels; give one value "
                    "for each, in the order of the model's outputs"
                )
            row[:] = torch.tensor(label)
        elif isinstance(label, frozenset):
            strange |= label - place_of.keys()
            if label <= place_of.keys():
                row[:] = 0
                row[[place_of[name] for name in label]] = 1
    if strange:
        shown = ", ".join(f"'{name}'" for name in sorted(strange)[:5])
        _log.warning(
            "labels of images with a name that no label of the model has are unknown: %s%s",
            shown,
            suggest_nearest("", place_of),
        )
    return rows


def _match_folders(folders: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Find the class index of each folder, or UNKNOWN. Doubtful cases are logged."""
    matched = _place_folders(folders, classes)
    unmatched = [folder for folder in folders if folder not in classes]
    if not unmatched:
        return matched
    if len(unmatched) < len(folders):
        _log.warning(
            "%d folders don't have the name of a class, so their labels are unknown: %s",
            len(unmatched),
            ", ".join(unmatched[:5]),
        )
    elif len(folders) == len(classes):
        pairs = [f"'{folder}' is '{name}'" for folder, name in zip(folders, classes, strict=True)]
        shown = ", ".join(pairs[:3]) + (", ..." if len(pairs) > 3 else "")
        _log.warning("no folder has the name of a class, so the folders are taken as the classes in order: %s", shown)
    else:
        there = "is 1 folder" if len(folders) == 1 else f"are {len(folders):,} folders"
        _log.warning(
            "labels are unknown: there %s and %s, and none have the same name; accuracy will be null",
            there,
            say_count(len(classes), "class"),
        )
    return matched


def _place_folders(folders: Sequence[str], classes: Sequence[str]) -> list[int]:
    """The class of each folder: that of its name, or UNKNOWN; as many folders without any such are them in order."""
    if len(folders) == len(classes) and not set(folders) & set(classes):
        return list(range(len(folders)))
    index_of = {name: i for i, name in enumerate(classes)}
    return [index_of.get(folder, UNKNOWN) for folder in folders]


def find_label(data: ImageData, index: int, classes: Sequence[str]) -> int:
    """Find the class of one image as a capture does, or UNKNOWN, without a word."""
    label = _take_single(data.load_sample(index).label)
    if isinstance(label, str):
        names = data.folders or classes
        label = list(names).index(label) if label in names else UNKNOWN
    places = _place_folders(data.folders, classes) if data.folders else range(len(classes))
    return places[label] if 0 <= label < len(places) else UNKNOWN


def find_truth(data: ImageData, index: int, classes: Sequence[str], name: str) -> int:
    """Whether a label of several is true of one image, 1 or 0, as a capture finds it; or UNKNOWN."""
    rows = _match_several([data.load_sample(index).label], data.folders, classes)
    return int(rows[0, list(classes).index(name)])


def _take_single(label: DataLabel) -> int | str:
    """The only class of a label; UNKNOWN if it has several, or none."""
    if isinstance(label, tuple):
        return label.index(True) if sum(label) == 1 else UNKNOWN
    if isinstance(label, frozenset):
        return next(iter(label)) if len(label) == 1 else UNKNOWN
    return label


def _number_names(labels: Sequence[DataLabel], folders: Sequence[str], classes: Sequence[str]) -> list[int]:
    """Labels as indices of folders, or of classes if there are no folders; names of neither are unknown, and logged."""
    number_of = {name: number for number, name in enumerate(folders or classes)}
    n_several = sum(not isinstance(label, int | str) and _take_single(label) == UNKNOWN for label in labels)
    if n_several:
        _log.warning(
            "the labels of %s are unknown, as they have several classes or none, and the model answers with one; if "
            "each of its outputs is a label, give --task multilabel",
            say_count(n_several, "image"),
        )
    singles = [_take_single(label) for label in labels]
    unknown = sorted({label for label in singles if isinstance(label, str) and label not in number_of})
    if unknown:
        shown = ", ".join(f"'{name}'" for name in unknown[:5])
        _log.warning(
            "labels that don't have the name of a class are unknown: %s%s", shown, suggest_nearest("", number_of)
        )
    return [number_of.get(label, UNKNOWN) if isinstance(label, str) else label for label in singles]
