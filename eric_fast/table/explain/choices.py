"""What each column of a row could hold instead, as far as a program can tell values apart."""

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.bits import unpack_words
from eric_fast.program.table_atoms import TEXT_KINDS, Column, TableAtom
from eric_fast.table.column_names import is_nameless
from eric_fast.table.columns import CodedColumn, NumberColumn, is_missing
from eric_fast.table.comparisons import list_texts
from eric_fast.table.explain.conditions import spell_value
from eric_fast.table.explain.rows import Row, find_places
from eric_fast.table.model import RuleModel
from eric_fast.table.table import Table

MOST_CATEGORIES = 1000  # different ones of a column of categories that are tried


class ColumnChoices(NamedTuple):
    """Values of one column, one for each way in which the program's comparisons of the column can come out.

    Attributes:
        column: its index among the program's columns.
        place: its index in the table.
        atoms: the program's comparisons of it.
        values: `[n_choices]`: the row's own value, then others: of each outcome the one nearest to the row's own.
        words: of each.
        costs: float64 `[n_choices]`: how far each lies from the row's own: of numbers the difference relative to the
            column's range, of categories 1.
        bits: bool `[n_choices, n_own_atoms]`.
    """

    column: int
    place: int
    atoms: NDArray[np.int64]
    values: list[Any]
    words: list[str]
    costs: NDArray[np.float64]
    bits: NDArray[np.bool_]


class _Seen(NamedTuple):
    """A column of the table to compare with; `place` is -1 if that lacks it."""

    table: Table
    place: int


class _Candidates(NamedTuple):
    values: list[Any]
    words: list[str]
    span: float  # of the column's numbers


def list_choices(model: RuleModel, row: Row, data: Table | None) -> list[ColumnChoices]:
    """The choices of every column that can be changed.

    A column of numbers takes those between the least and the highest of `data`, whole ones if all of `data` are; a
    column of categories takes the values that occur in `data`. Without `data`, numbers may be any on either side of
    the constants that the program compares them with, and categories those that it mentions.
    """
    quantiser = model.program.table_quantiser
    of_column: dict[int, list[int]] = {}
    for index, atom in enumerate(quantiser.atoms):
        of_column.setdefault(atom.column, []).append(index)
    seen_places = None if data is None else find_places(model, data)
    found = []
    for column in sorted(of_column):
        atoms = [quantiser.atoms[index] for index in of_column[column]]
        place = row.places[column]
        candidates = None
        if place >= 0:
            seen = None if data is None or seen_places is None else _Seen(data, seen_places[column])
            candidates = _list_candidates(model, row, quantiser.columns[column], place, atoms, seen)
        if candidates is not None and candidates.values:
            choices = _make_choices(model, row, column, np.array(of_column[column]), candidates)
            if len(choices.values) > 1:
                found.append(choices)
    return found


def _make_choices(
    model: RuleModel, row: Row, column: int, atoms: NDArray[np.int64], candidates: _Candidates
) -> ColumnChoices:
    place = row.places[column]
    own = row.raw[place]
    values = [own, *candidates.values]
    table = row.vary({place: (values, np.arange(len(values)))}, len(values))
    bits: NDArray[np.bool_] = unpack_words(model.pack(table).words[torch.from_numpy(atoms)], len(values)).numpy()
    costs = np.array([0.0, *(_measure(own, value, candidates.span) for value in candidates.values)])
    kept: dict[bytes, int] = {}
    for index in np.lexsort((np.arange(len(values)), costs)).tolist():  # the nearest of each outcome
        kept.setdefault(bits[index].tobytes(), index)
    places = sorted(kept.values(), key=lambda index: (index > 0, costs[index], index))
    words = ["", *candidates.words]
    return ColumnChoices(
        column, place, atoms, [values[i] for i in places], [words[i] for i in places], costs[places], bits[places]
    )


def _measure(own: Any, other: Any, span: float) -> float:
    try:
        difference = abs(float(other) - float(own))
    except (TypeError, ValueError):  # a text, or a missing value
        return 1.0
    return difference / span if span > 0 else 1.0


def _list_candidates(
    model: RuleModel, row: Row, column: Column, place: int, atoms: list[TableAtom], seen: _Seen | None
) -> _Candidates | None:
    """Values that the column might hold instead; None if there is no saying."""
    if seen is not None and seen.place < 0:
        return None
    orders = [atom for atom in atoms if atom.operator not in ("in", "==", "!=")]
    mentioned = {c for atom in atoms for c in (atom.constant if isinstance(atom.constant, tuple) else (atom.constant,))}
    constants = sorted(mentioned, key=str)
    if not orders:
        if seen is not None:
            return _list_seen(seen)
        names = [each.name for each in model.program.table_quantiser.columns]
        if column.name in model.categories and is_nameless(names, row.table.names):
            return None  # it holds codes
        values = [*constants, "0"] if set(constants) == {"1", "1.0", "true"} else constants
        return _Candidates(values, [spell_value(value) for value in values], 0.0)
    numbers = np.array([atom.constant for atom in orders], np.float64)
    found = _list_numbers(numbers, column, row.raw[place], seen)
    if found is None or column.kind not in TEXT_KINDS:
        return found
    texts = [value for value in constants if isinstance(value, str)]
    return _Candidates([*found.values, *texts], [*found.words, *texts], found.span)


def _list_seen(seen: _Seen) -> _Candidates | None:
    """The different values of a column."""
    column = seen.table.read(seen.place)
    texts = list_texts(column)
    if texts is None and isinstance(column, NumberColumn | CodedColumn):
        numbers = column.to_numbers(torch.float64).numpy()
        values: list[Any] = np.unique(numbers[np.isfinite(numbers)]).tolist()
    else:
        values = texts if texts is not None else _list_objects(seen)
    values = values[:MOST_CATEGORIES]
    return _Candidates(values, [spell_value(value) for value in values], 0.0)


def _list_objects(seen: _Seen) -> list[Any]:
    assert seen.table.columns is not None
    return list(dict.fromkeys(value for value in seen.table.columns[seen.place] if not is_missing(value)))


def _list_numbers(constants: NDArray[np.float64], column: Column, own: Any, seen: _Seen | None) -> _Candidates | None:
    """For each way in which comparisons with these constants come out, the numbers at both ends of it."""
    dtype = np.dtype(np.float32 if column.kind == "float32" else np.float64)
    exact = np.unique(constants[np.isfinite(constants)]).astype(dtype)
    if not len(exact):
        return None
    below, above = np.nextafter(exact, dtype.type(-np.inf)), np.nextafter(exact, dtype.type(np.inf))
    low, high, whole = float(below[0]), float(above[-1]), False
    if seen is not None:
        numbers = seen.table.read(seen.place).to_numbers(torch.float64).numpy()
        numbers = numbers[np.isfinite(numbers)]
        if not len(numbers):
            return None
        low, high = float(numbers.min()), float(numbers.max())
        whole = bool((numbers == np.floor(numbers)).all())
    if whole:
        floors, ceilings = np.floor(exact), np.ceil(exact)
        tried = np.concatenate([floors, floors + 1, ceilings, ceilings - 1, [low, high]])
        names: dict[float, str] = {}
    else:
        tried = np.concatenate([below, exact, above, [low, high]])
        words = [spell_value(float(value), own) for value in exact]
        names = {float(value): f"more than {word}" for value, word in zip(above, words, strict=True)}
        names |= {float(value): f"less than {word}" for value, word in zip(below, words, strict=True)}
        names |= {float(value): word for value, word in zip(exact, words, strict=True)}
    values = [value for value in np.unique(tried.astype(np.float64)).tolist() if low <= value <= high]
    return _Candidates(values, [names.get(value, spell_value(value, own)) for value in values], high - low)
