"""Which numbers a table may hold: what the source of a model refuses is refused here, too."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.program.table_atoms import Column
from eric_fast.table import as_table, bind_columns

VALUES = ("any", "no infinity", "finite", "binary")  # missing ones are NaN; binary ones are 0 and 1


def check_values(data: Any, columns: Sequence[Column], values: str, *, named: bool = True) -> Any:
    """The table, its numbers made what they are compared as, if they may be in it; `named`: see `RuleModel`.

    Raises:
        DataError: a missing value or an infinite one, or one past float32, or one that is neither 0 nor 1, and where it
            is; a column that is missing.
    """
    if values == "any":
        return data
    kind = torch.float32 if columns and columns[0].kind == "float32" else torch.float64
    table = as_table(data)
    names = [column.name for column in columns]
    places = bind_columns(range(len(names)), names, table.names if named else None, table.n_columns)
    numbers, column_of = table.stack_numbers(places, kind)
    if column_of != list(range(numbers.shape[1])):
        numbers = numbers[:, column_of]
    if values == "binary":
        _check_binary(numbers, columns)
        return numbers
    if _is_sum_finite(numbers):  # it is nearly always
        return numbers
    wrong = numbers.isinf() if values == "no infinity" else ~numbers.isfinite()
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        what = "missing" if bool(numbers[row, column].isnan()) else f"infinite, or too large for {columns[column].kind}"
        place = f"row {table.first_row + row}, column '{columns[column].name}'"
        raise DataError(f"{place}: the value is {what}, which this model refuses")
    return numbers


def _is_sum_finite(numbers: Tensor) -> bool:
    """On the CPU by NumPy: PyTorch would wake its threads, and wait for the last of them."""
    if numbers.device.type == "cpu":
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(numbers.numpy().sum()))
    return bool(numbers.sum().isfinite())


def _check_binary(numbers: Tensor, columns: Sequence[Column]) -> None:
    if numbers.device.type == "cpu":  # NumPy is faster, too, see above
        array = numbers.numpy()
        if ((array == 0) | (array == 1)).all():
            return
    wrong = (numbers != 0) & (numbers != 1)
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        raise DataError(
            f"row {row}, column '{columns[column].name}': the value is {float(numbers[row, column])}, and this model "
            "takes 0 and 1 alone"
        )
