"""Columns of categories that are given as numbers: codes where a table has no names, else values."""

from collections.abc import Sequence

import torch
from torch import Tensor

from eric_fast.errors import DataError
from eric_fast.table.columns import OTHERS, KnownTexts, NumberColumn


def find_value_codes(
    data: NumberColumn, name: str, categories: Sequence[float | str], values: Sequence[float | str]
) -> Tensor:
    """What the codes of categories in an array stand for, as LightGBM and XGBoost read them.

    Args:
        data: `[n_rows]`: indices into `categories`.
        name: of the column, for errors.
        categories: the value of each code.
        values: those that the model compares.

    Returns:
        float32 `[n_rows]`: the index in `values` of each row's value, `OTHERS`, or NaN for a missing code.

    Raises:
        DataError: a number that is not whole.
    """
    numbers = data.to_numbers(torch.float64)
    odd = numbers != numbers.trunc()  # true for NaN, too
    odd &= ~numbers.isnan()
    if bool(odd.any()):
        raise DataError(
            f"column '{name}': {float(numbers[odd][0])} is not the code of a category: in an array without column "
            "names, this column holds codes; give a frame to give values"
        )
    place_of = {value: float(place) for place, value in enumerate(values)}
    targets = torch.tensor([*(place_of.get(value, OTHERS) for value in categories), OTHERS], device=numbers.device)
    known = (numbers >= 0) & (numbers < len(categories))
    found = targets[torch.where(known, numbers, float(len(categories))).long()]
    return torch.where(numbers.isnan(), torch.nan, found)


def refuse_numbers(data: NumberColumn, name: str, categories: Sequence[str]) -> None:
    """Refuse numbers in a column of texts, unless one of the texts spells a number, or all values are missing.

    Raises:
        DataError: numbers, which are likely codes of the texts.
    """
    if KnownTexts(categories, loose=False).has_numbers or bool(data.to_numbers(torch.float64).isnan().all()):
        return
    known = ", ".join(f"'{text}'" for text in categories[:3])
    more = ", ..." if len(categories) > 3 else ""
    raise DataError(
        f"column '{name}' holds numbers, but the model compares it with texts ({known}{more}); give the texts, "
        "not codes that stand for them"
    )
