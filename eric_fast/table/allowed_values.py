"""The numbers that a model's table may hold; those that its source refuses are refused here, too."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.program.table_atoms import Column
from eric_fast.table.column_names import bind_columns
from eric_fast.table.table import as_table

VALUES = ("any", "no infinity", "finite", "binary")  # missing ones are NaN; binary ones are 0 and 1


def check_values(data: Any, columns: Sequence[Column], values: str, *, named: bool = True) -> Any:
    """The table, with its numbers in the type in which they are compared.

    Args:
        values: one of `VALUES`.
        named: see `RuleModel`.

    Raises:
        DataError: a value that is not allowed, and where; a column that is missing.
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
        _check_binary(numbers, columns, table.first_row)
        return numbers
    if _is_sum_finite(numbers):  # nearly always
        return numbers
    wrong = numbers.isinf() if values == "no infinity" else ~numbers.isfinite()
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        what = "missing" if bool(numbers[row, column].isnan()) else f"infinite, or too large for {columns[column].kind}"
        place = f"row {table.first_row + row}, column '{columns[column].name}'"
        raise DataError(f"{place}: the value is {what}, which this model doesn't take")
    return numbers


def _is_sum_finite(numbers: Tensor) -> bool:
    """Uses NumPy on the CPU: PyTorch would wake its threads and wait for all of them."""
    if numbers.device.type == "cpu":
        with np.errstate(over="ignore", invalid="ignore"):
            return bool(np.isfinite(numbers.numpy().sum()))
    return bool(numbers.sum().isfinite())


def _check_binary(numbers: Tensor, columns: Sequence[Column], first_row: int) -> None:
    if numbers.device.type == "cpu":  # see `_is_sum_finite`
        array = numbers.numpy()
        if ((array == 0) | (array == 1)).all():
            return
    wrong = (numbers != 0) & (numbers != 1)
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        raise DataError(
            f"row {first_row + row}, column '{columns[column].name}': the value is {float(numbers[row, column])}, but "
            "this model takes only 0 and 1"
        )
