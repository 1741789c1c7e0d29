"""What a `RuleModel` knows beside its program, as settings of the program: so that a text holds all of it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, ProgramError
from eric_fast.program import Program
from eric_fast.table.links import LINKS
from eric_fast.table.values import VALUES


class Facts(NamedTuple):
    """See `RuleModel`; `labels` is the dtype of the labels, None where they are the program's class names."""

    source: str = "a program"
    labels: np.dtype[Any] | None = None
    link: str = "identity"
    divisor: float = 1.0
    scale: float = 1.0
    values: str = "any"
    named: bool = True


def spell_labels(labels: Sequence[Any] | NDArray[Any]) -> list[str]:
    """The names that a program's classes must have for these labels: strings, integers, floats or bools.

    Raises:
        ModelError: labels of another kind, or of several.
    """
    array = np.asarray(labels)
    values = array.tolist()
    if array.ndim != 1 or array.dtype.kind not in "biufUO" or (array.dtype.kind == "O" and not _are_texts(values)):
        raise ModelError(f"class labels must be strings, integers, floats or bools, all of one kind, not {values[:5]}")
    return [str(value) for value in values]


def _are_texts(values: list[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def write_facts(program: Program, facts: Facts) -> Program:
    """The program with these facts among its settings, those that differ from the defaults."""
    texts = {
        "source": facts.source,
        "labels": "" if facts.labels is None else "text" if facts.labels.kind == "U" else facts.labels.name,
        "link": facts.link,
        "divisor": repr(facts.divisor),
        "scale": repr(facts.scale),
        "values": facts.values,
        "named": "yes" if facts.named else "no",
    }
    usual = dict(zip(texts, ("a program", "", "identity", "1.0", "1.0", "any", "yes"), strict=True))
    others = [(key, value) for key, value in program.settings if key not in texts]
    settings = (*others, *((key, value) for key, value in texts.items() if value != usual[key]))
    return program if settings == program.settings else program.with_settings(settings)


def read_facts(program: Program) -> tuple[Facts, NDArray[Any] | None]:
    """What a program's settings say, and its class labels.

    Raises:
        ProgramError: a setting that means nothing.
    """
    _ = program.table_quantiser  # refuses a program over a network
    settings = dict(program.settings)
    for key, known in (("link", tuple(LINKS)), ("values", VALUES), ("named", ("yes", "no"))):
        if settings.get(key, known[0]) not in known:
            raise ProgramError(f"setting '{key}' is '{settings[key]}', not one of {', '.join(known)}")
    labels = _read_labels(program.classes, settings["labels"]) if "labels" in settings else None
    facts = Facts(
        settings.get("source", "a program"),
        None if labels is None else labels.dtype,
        settings.get("link", "identity"),
        _read_number(settings, "divisor"),
        _read_number(settings, "scale"),
        settings.get("values", "any"),
        settings.get("named", "yes") == "yes",
    )
    return facts, labels


def _read_number(settings: dict[str, str], key: str) -> float:
    try:
        return float(settings.get(key, "1"))
    except ValueError as error:
        raise ProgramError(f"setting '{key}' is '{settings[key]}', which is no number") from error


def _read_labels(classes: Sequence[str], kind: str) -> NDArray[Any]:
    if kind in ("text", "object"):
        return np.array(classes, None if kind == "text" else object)
    try:
        dtype = np.dtype(kind)
    except TypeError as error:
        raise ProgramError(f"setting 'labels' is '{kind}', which is no type of numbers, nor 'text'") from error
    try:
        if dtype.kind == "b":
            return np.array([("False", "True").index(name) for name in classes], dtype)
        return np.array([float(name) if dtype.kind == "f" else int(name) for name in classes], dtype)
    except ValueError as error:
        raise ProgramError(f"the class names are not all {kind}, as setting 'labels' says: {error}") from error
