"""The comparisons of a table's columns that rules can be learned from."""

from collections.abc import Collection, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from eric_fast.program import Column, TableAtom
from eric_fast.table.columns import CodedColumn, ColumnData, TextColumn
from eric_fast.table.table import Table


def list_columns(table: Table, names: Sequence[str]) -> tuple[Column, ...]:
    """The columns of a table: of kind `text` where they hold texts, else `float64`."""
    kinds = ("float64" if list_texts(table.read(place)) is None else "text" for place in range(table.n_columns))
    return tuple(Column(name, kind) for name, kind in zip(names, kinds, strict=True))


def list_comparisons(
    table: Table, columns: Sequence[Column], categorical: Collection[int], most: int
) -> list[TableAtom]:
    """Comparisons that tell the rows of a table apart, column by column, values ascending.

    A number is compared by `<=` with each value that occurs but for the highest: every split of its column. A column
    with more than `most` of them is compared with as many quantiles. A category is compared with each value.

    Args:
        categorical: columns of numbers that stand for categories; texts always do.
    """
    atoms = []
    for place, column in enumerate(columns):
        if column.kind == "text":
            texts = list_texts(table.read(place)) or []
            atoms += [TableAtom(place, column.name, "in", (text,)) for text in texts[: _count_needed(len(texts))]]
            continue
        numbers = table.read_numbers(place, torch.float64).numpy()
        values, counts = np.unique(numbers[~np.isnan(numbers)] + 0.0, return_counts=True)  # -0.0 becomes 0.0
        if place in categorical:
            values = values[: _count_needed(len(values))]
            atoms += [TableAtom(place, column.name, "==", value) for value in values.tolist()]
        else:
            values = values[_choose_splits(counts, most)]
            atoms += [TableAtom(place, column.name, "<=", value) for value in values.tolist()]
    return atoms


def list_texts(data: ColumnData) -> list[str] | None:
    """The different texts of a column, in order; None if it holds anything but texts."""
    if isinstance(data, CodedColumn):
        return list_texts(data.values)
    return sorted(set(data.values.drop_null().to_pylist())) if isinstance(data, TextColumn) else None


def _count_needed(n_values: int) -> int:
    """How many of a column's values to compare with: of two, the negation of the first says the same as the second."""
    return 1 if n_values == 2 else n_values


def _choose_splits(counts: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """The places of all values but the highest; of more than `most`, of those that cut the rows into equal parts.

    Args:
        counts: int64 `[n_values]`: how many rows have each value.
    """
    last = len(counts) - 1
    if last <= most:
        return np.arange(max(last, 0))
    ends = np.cumsum(counts)
    places = np.unique(np.searchsorted(ends, np.arange(1, most + 1) * ends[-1] // (most + 1)))
    return places[places < last]
