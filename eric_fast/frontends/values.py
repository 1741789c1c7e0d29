"""Which numbers a table may hold: what the source of a model refuses is refused here, too."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.quantiser import Column

VALUES = ("any", "no infinity", "finite")  # missing ones are NaN


def check_values(data: Any, columns: Sequence[Column], values: str) -> Any:
    """The table, its numbers made what they are compared as, if they may be in it.

    Raises:
        DataError: a missing value or an infinite one, or one past float32, and where it is.
    """
    if values == "any":
        return data
    kind = torch.float32 if columns and columns[0].kind == "float32" else torch.float64
    numbers = data if isinstance(data, Tensor) else torch.from_numpy(np.asarray(data, np.float64))
    numbers = numbers.to(kind)
    if bool(numbers.sum().isfinite()):  # it is nearly always
        return numbers
    wrong = numbers.isinf() if values == "no infinity" else ~numbers.isfinite()
    if bool(wrong.any()):
        row, column = (int(place) for place in wrong.nonzero()[0])
        what = "missing" if bool(numbers[row, column].isnan()) else f"infinite, or too large for {columns[column].kind}"
        raise DataError(f"row {row}, column '{columns[column].name}': the value is {what}, which this model refuses")
    return numbers
