"""What a `RuleModel` knows besides its program, kept in the program's settings so that its text holds all of it."""

import json
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError, ProgramError
from eric_fast.program import Program
from eric_fast.table.allowed_values import VALUES
from eric_fast.table.link_functions import LINKS

Labels = Sequence[Any] | NDArray[Any]


class ModelSettings(NamedTuple):
    """See the attributes of `RuleModel`."""

    source: str = "a program"
    link: str = "identity"
    divisor: float = 1.0
    scale: float = 1.0
    values: str = "any"
    named: bool = True
    categories: Mapping[str, tuple[float | str, ...]] = MappingProxyType({})
    optional: tuple[str, ...] = ()


def spell_labels(labels: Labels) -> list[str]:
    """The names of a program's classes for these labels: strings, integers, floats or bools.

    Raises:
        ModelError: labels of another type, or of several.
    """
    array = np.asarray(labels)
    values = array.tolist()
    is_mixed = array.dtype.kind == "O" and not all(isinstance(value, str) for value in values)
    if array.ndim != 1 or array.dtype.kind not in "biufUO" or is_mixed:
        raise ModelError(f"class labels must be strings, integers, floats or bools, all of one type, not {values[:5]}")
    return [str(value) for value in values]


def write_model_settings(program: Program, settings: ModelSettings, labels: Labels | None) -> Program:
    """The program with these settings, but for defaults; `labels` are written as their dtype."""
    texts, usual = _spell_settings(settings, labels), _spell_settings(ModelSettings(), None)
    others = [(key, value) for key, value in program.settings if key not in texts]
    written = (*others, *((key, value) for key, value in texts.items() if value != usual[key]))
    return program if written == program.settings else program.with_settings(written)


def _spell_settings(settings: ModelSettings, labels: Labels | None) -> dict[str, str]:
    dtype = None if labels is None else np.asarray(labels).dtype
    return {
        "source": settings.source,
        "labels": "" if dtype is None else "text" if dtype.kind == "U" else dtype.name,
        "link": settings.link,
        "divisor": repr(settings.divisor),
        "scale": repr(settings.scale),
        "values": settings.values,
        "named": "yes" if settings.named else "no",
        "categories": json.dumps(dict(settings.categories), ensure_ascii=False) if settings.categories else "",
        "optional": json.dumps(settings.optional, ensure_ascii=False) if settings.optional else "",
    }


def read_model_settings(program: Program) -> tuple[ModelSettings, NDArray[Any] | None]:
    """The settings of a program, and its class labels.

    Raises:
        ProgramError: a program over kernels, or an invalid setting.
    """
    _ = program.table_quantiser  # refuses a program over a network
    texts = dict(program.settings)
    for key, known in (("link", tuple(LINKS)), ("values", VALUES), ("named", ("yes", "no"))):
        if texts.get(key, known[0]) not in known:
            raise ProgramError(f"setting '{key}' is '{texts[key]}', not one of {', '.join(known)}")
    labels = _read_labels(program.classes, texts["labels"]) if "labels" in texts else None
    settings = ModelSettings(
        texts.get("source", "a program"),
        texts.get("link", "identity"),
        _read_number(texts, "divisor"),
        _read_number(texts, "scale"),
        texts.get("values", "any"),
        texts.get("named", "yes") == "yes",
        _read_categories(texts["categories"]) if "categories" in texts else {},
        _read_optional(texts["optional"], program) if "optional" in texts else (),
    )
    return settings, labels


def _read_number(texts: dict[str, str], key: str) -> float:
    try:
        return float(texts.get(key, "1"))
    except ValueError as error:
        raise ProgramError(f"setting '{key}' is '{texts[key]}', which is not a number") from error


def _parse_setting(key: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProgramError(f"setting '{key}' is not JSON: {error}") from error


def _read_optional(text: str, program: Program) -> tuple[str, ...]:
    """The names of the last columns, from JSON."""
    found = _parse_setting("optional", text)
    names = [column.name for column in program.table_quantiser.columns]
    if not isinstance(found, list) or not found or found != names[-len(found) :]:
        raise ProgramError("setting 'optional' is not a JSON list of the names of the last columns")
    return tuple(found)


def _read_categories(text: str) -> dict[str, tuple[float | str, ...]]:
    """Column -> the value of each code, from JSON: all texts or all numbers."""
    found = _parse_setting("categories", text)
    if not isinstance(found, dict):
        raise ProgramError("setting 'categories' is not a JSON object of columns")
    for column, values in found.items():
        kinds = {type(value) for value in values} if isinstance(values, list) else {None}
        if not (kinds <= {str} or kinds <= {int, float}):
            raise ProgramError(f"setting 'categories': column '{column}' needs a list of texts or of numbers")
    return {
        column: tuple(value if isinstance(value, str) else float(value) for value in values)
        for column, values in found.items()
    }


def _read_labels(classes: Sequence[str], kind: str) -> NDArray[Any]:
    """The class names as labels of this dtype; `text` for NumPy strings."""
    if kind in ("text", "object"):
        return np.array(classes, None if kind == "text" else object)
    try:
        dtype = np.dtype(kind)
    except TypeError as error:
        raise ProgramError(f"setting 'labels' is '{kind}', which is neither a numeric dtype nor 'text'") from error
    try:
        if dtype.kind == "b":
            return np.array([("False", "True").index(name) for name in classes], dtype)
        return np.array([float(name) if dtype.kind == "f" else int(name) for name in classes], dtype)
    except ValueError as error:
        raise ProgramError(f"the class names are not all {kind}, as setting 'labels' requires: {error}") from error
