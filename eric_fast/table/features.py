"""A ready table of features, with a model's predictions, as activations: no network runs."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from eric_fast.capture.data import number_items
from eric_fast.errors import DataError, suggest_nearest
from eric_fast.store.activations import MOST_CLASSES, UNKNOWN, Activations, CaptureSettings
from eric_fast.table.columns import CodedColumn, ColumnData, NumberColumn, ObjectColumn, TextColumn, is_missing
from eric_fast.table.files import read_table
from eric_fast.table.read_columns import read_column
from eric_fast.table.table import Table, as_table

NORM_OF_TABLES = "mean"  # that of a single value, with its sign
_MOST_LOGIT = 65_504  # of float16
_MOST_NUMBERED = 1_000_000  # classes that are named by numbers


def capture_table(
    features: Any,
    predictions: Any,
    labels: Any = None,
    *,
    classes: Sequence[str] | None = None,
    ids: Any = None,
    layer: str = "features",
    name: str = "",
) -> Activations:
    """Take ready features and a model's predictions as they are: latents of a sparse autoencoder, concept scores, ...

        capture_table("latents.npy", "predictions.npy", classes=["cat", "dog"])
        capture_table("features.parquet", "prediction", "label")

    Each numeric column is a unit, whose norm is its value, with its sign; unit `j` is the `j`-th of these columns, and
    programs call it by the column's name, too. A float32 `.npy` file is mapped into memory, not read.

    Args:
        features: a file (see `read_table`), an array, a frame or another table, `[n_samples, n_units]`.
        predictions: the name of a column of the table, or its number if columns have no names; a file with one column;
            or values `[n_samples]`. Class names or numbers; or logits, float `[n_samples, n_classes]`, of an array or
            a `.npy` file.
        labels: the same, for true labels; missing ones are unknown.
        classes: names of the classes; number `i` is the `i`-th. By default the names that occur, sorted, or all numbers
            up to the highest. Tables of training and test samples must have the same.
        ids: the same as `predictions`, for names of the samples; by default their numbers.
        layer: what the units are called: `features:17`.
        name: of the model, in reports.

    Raises:
        DataError: a file that can't be read; a column that is missing, or isn't numeric; other numbers of rows; missing
            predictions, or a name that is no class.
        CaptureError: a value that is NaN or infinite, or too large for float32.

    Examples:
        >>> latents = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
        >>> made = ef.capture_table(latents, [0, 1, 1, 0, 1, 0], classes=["cat", "dog"])
        >>> made.layers, made.norms["features"].shape
        (('features',), torch.Size([6, 3]))
    """
    table = read_table(features) if isinstance(features, str | Path) else as_table(features)
    place = str(features) if isinstance(features, str | Path) else "the table"
    if not table.n_rows:
        raise DataError(f"{place} has no rows")
    answers = _find(table, place, "predictions", predictions)
    truths, names = _find(table, place, "labels", labels), _find(table, place, "ids", ids)
    if answers.values is None:
        raise DataError(f"{place}: there are no predictions; name their column, or a file that holds them")
    own = {column for column in (answers.column, truths.column, names.column) if column is not None}
    norms = _read_norms(table, [i for i in range(table.n_columns) if i not in own], place)
    logits = _take_logits(answers.values)
    if logits is None:
        known = [part.values for part in (answers, truths) if part.values is not None]
        classes = tuple(classes) if classes is not None else _list_classes(known)
        chosen = _number(answers.values, classes, "predictions")
        if bool((chosen == UNKNOWN).any()):
            raise DataError(f"{place}: row {int((chosen == UNKNOWN).nonzero()[0])} has no prediction; leave it out")
    else:
        classes = tuple(map(str, range(logits.shape[1]))) if classes is None else tuple(classes)
        if len(classes) != logits.shape[1]:
            raise DataError(f"{place}: there are {logits.shape[1]} logits a row, but {len(classes)} class names")
        chosen = logits.argmax(dim=1)
    n_rows = table.n_rows
    unknown = torch.full((n_rows,), UNKNOWN, dtype=torch.int64)
    return Activations(
        norms={layer: norms},
        ids=number_items(n_rows) if names.values is None else _list_ids(names.values, place),
        labels=unknown if truths.values is None else _number(truths.values, classes, "labels"),
        predictions=chosen,
        classes=classes,
        settings=CaptureSettings(
            model=name or "features of a table",
            fingerprint=_hash_columns(table, own, layer),
            data=place,
            norm=NORM_OF_TABLES,
            units=_list_units(table, own),
        ),
        logits=None if logits is None or len(classes) > MOST_CLASSES else logits.half(),
    )


class _Said(NamedTuple):
    """Values of each row, if any, and the column of the table that they are from, if one is."""

    values: Any = None
    column: int | None = None


def _find(table: Table, place: str, what: str, said: Any) -> _Said:
    """Find what a user said of predictions, labels or ids: a column, a file, or the values themselves."""
    if said is None:
        return _Said()
    values, column = said, None
    if isinstance(said, str | Path | int):
        text = str(said)
        if table.names is not None and text in table.names:
            if table.names.count(text) > 1:
                raise DataError(f"{place}: '{text}', of its {what}, is the name of several columns; rename all but one")
            column = table.names.index(text)
        elif table.names is None and text.isdecimal() and int(text) < table.n_columns:
            column = int(text)
        if column is not None:
            values = _take_column(table, column)
        elif Path(text).is_file():
            values = _read_values(Path(text))
        else:
            hint = suggest_nearest(text, table.names or ()) or f"; its {table.n_columns} columns have no names"
            raise DataError(f"{place}: '{text}', of its {what}, is neither a column nor a file{hint}")
    if len(values) != table.n_rows:
        raise DataError(f"{place}: there are {len(values):,} {what} for {table.n_rows:,} rows; give one for each")
    return _Said(values, column)


def _take_column(table: Table, column: int) -> Any:
    return table.columns[column] if table.matrix is None and table.columns else table.matrix[:, column]  # type: ignore[index]


def _read_values(path: Path) -> Any:
    """One value a row, or logits, from a file."""
    if path.suffix.lower() == ".npy":
        try:
            return np.load(path, allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path} can't be read as an array of numbers or texts: {error}") from error
    table = read_table(path)
    if table.n_columns != 1:
        raise DataError(f"{path} must have one column, but has {table.n_columns}; name a column of the table itself")
    return _take_column(table, 0)


def _take_logits(values: Any) -> Tensor | None:
    """Float32 `[n, n_classes]` if these values are logits."""
    if getattr(values, "ndim", 1) != 2:
        return None
    logits = values.detach().cpu() if isinstance(values, Tensor) else torch.from_numpy(np.array(values))
    if not logits.is_floating_point() or logits.shape[1] < 2:
        raise DataError(f"predictions {list(logits.shape)} must be one value a row, or float logits of all classes")
    logits = logits.float()
    sizes = logits.abs().amax(dim=1)
    if logits.shape[1] <= MOST_CLASSES and bool(((sizes > _MOST_LOGIT) & sizes.isfinite()).any()):
        raise DataError(f"a logit of {float(sizes.max()):g} is too large to keep, at most {_MOST_LOGIT:,}; scale all")
    return logits


def _read_norms(table: Table, columns: Sequence[int], place: str) -> Tensor:
    """Float32 `[n_rows, n_units]`; a float32 matrix without other columns isn't copied."""
    if not columns:
        raise DataError(f"{place} has no columns of features beside predictions, labels and ids")
    if table.matrix is not None:
        matrix = table.matrix.cpu()
        return (matrix if len(columns) == table.n_columns else matrix[:, list(columns)]).float()
    for column in columns:
        values = table.read(column)
        if isinstance(values, CodedColumn | ObjectColumn) or (
            isinstance(values, TextColumn) and not bool(torch.isfinite(values.to_numbers(torch.float64)).all())
        ):
            shown = column if table.names is None else f"'{table.names[column]}'"
            raise DataError(
                f"{place}: column {shown} holds texts or gaps, not numbers; leave it out, or name it as --ids"
            )
    numbers, order = table.stack_numbers(columns, torch.float32)
    return numbers[:, order].contiguous()


def _list_ids(values: Any, place: str) -> list[str]:
    ids: list[str | None] = _as_texts(values, "ids").to_pylist()
    if None in ids:
        raise DataError(f"{place}: row {ids.index(None)} has no id; give one for each, or leave ids out")
    return cast(list[str], ids)


def _as_texts(values: Any, what: str) -> pa.Array:
    """The values as texts, null for missing ones and empty texts; whole numbers are written without a point."""
    texts = _spell(read_column(values, what), what)
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _spell(column: ColumnData, what: str) -> pa.Array:
    match column:
        case TextColumn():
            return column.values
        case NumberColumn():
            numbers = column.values.cpu().double()
            gone = numbers.isnan() if column.missing is None else column.missing | numbers.isnan()
            odd = (numbers != numbers.trunc()) & ~gone
            if bool(odd.any()):
                raise DataError(f"{what} must be class names or whole numbers, not {float(numbers[odd][0]):g}")
            return pa.array(numbers.nan_to_num().long().numpy(), mask=gone.numpy()).cast(pa.large_string())
        case CodedColumn():
            missing = column.indices < 0
            return _spell(column.values, what).take(pa.array(column.indices, mask=missing))
        case ObjectColumn():
            return pa.array([None if is_missing(value) else str(value) for value in column.values], pa.large_string())
    raise DataError(f"{what} must be class names or whole numbers")


def _list_classes(known: Sequence[Any]) -> tuple[str, ...]:
    """The names that occur, sorted; of numbers all up to the highest."""
    names = {name for values in known for name in pc.unique(_as_texts(values, "predictions")).to_pylist()} - {None}
    if all(name.isdecimal() for name in names):
        if (highest := max(map(int, names), default=0)) >= _MOST_NUMBERED:
            raise DataError(f"{highest:,} is no number of a class; name another column of predictions, or give classes")
        return tuple(map(str, range(1 + highest)))
    return tuple(sorted(names))


def _number(values: Any, classes: Sequence[str], what: str) -> Tensor:
    """Class numbers, int64 `[n]`; missing ones are UNKNOWN. A number that is no class's name means one by its place."""
    texts = _as_texts(values, what)
    number_of = {str(number): number for number in range(len(classes))} | {name: i for i, name in enumerate(classes)}
    coded = texts.dictionary_encode()
    table = []
    for text in coded.dictionary.to_pylist():
        if text not in number_of:
            raise DataError(
                f"'{text}', of the {what}, is no class{suggest_nearest(text, classes)}; give classes in order"
            )
        table.append(number_of[text])
    indices = pc.fill_null(coded.indices, len(table)).to_numpy(zero_copy_only=False)
    return torch.tensor([*table, UNKNOWN], dtype=torch.int64)[torch.from_numpy(indices.astype(np.int64))]


def _list_units(table: Table, others: set[int]) -> str:
    """The names of the columns that are units, as JSON; empty where they have none."""
    if table.names is None:
        return ""
    return json.dumps([name for i, name in enumerate(table.names) if i not in others])


def _hash_columns(table: Table, others: set[int], layer: str) -> str:
    """A fingerprint of the units: tables with the same columns in the same order are of one model."""
    names = [str(i) if table.names is None else table.names[i] for i in range(table.n_columns) if i not in others]
    if table.names is None:
        names = [str(len(names))]
    return hashlib.sha256("\n".join(["table", layer, *names]).encode(errors="surrogatepass")).hexdigest()
