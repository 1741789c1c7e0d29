"""The categories of XGBoost's features: codes, or the values that a data frame had."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from eric_fast.frontends.parts import Part


@dataclass(frozen=True)
class Categories:
    """What the codes of categorical features stand for.

    Attributes:
        texts: feature -> what its codes are called.
        numbers: feature -> what its codes are, where that is not the codes themselves.
    """

    texts: dict[int, list[str]]
    numbers: dict[int, list[float]]

    def name_codes(self, feature: int, codes: list[int], part: Part) -> tuple[float | str, ...] | None:
        """The values that a column holds for these codes, which ascend; None where it holds the codes themselves.

        Raises:
            ProgramError: a code that can't be, or that stands for nothing.
        """
        known: list[Any] | None = self.texts.get(feature) or self.numbers.get(feature)
        if codes and (codes[0] < 0 or codes[-1] >= (2**24 if known is None else len(known))):
            raise part.fail(f"categories {codes[0]} to {codes[-1]} are not all categories of feature {feature}")
        return None if known is None else tuple(known[code] for code in codes)


def read_categories(forest: Part, n_features: int) -> Categories:
    """What the file says of categories; XGBoost writes it from 3.1 on, for models trained on data frames."""
    texts: dict[int, list[str]] = {}
    numbers: dict[int, list[float]] = {}
    cats = forest.get("cats")
    encodings = cats.get("enc") if cats else None
    for feature, encoding in enumerate(encodings.items() if encodings else []):
        if feature >= n_features:
            raise encoding.fail(f"there are only {n_features} features")
        values = encoding["values"].as_array(np.int64 if encoding.get("offsets") else np.float64)
        offsets = encoding.get("offsets")
        if offsets is None:
            numbers[feature] = np.asarray(values, np.float32).astype(np.float64).tolist()
            continue
        ends = offsets.as_array(np.int64)
        if len(ends) < 2:
            continue  # not categorical
        if ends[0] != 0 or ends[-1] != len(values) or (np.diff(ends) < 0).any():
            raise offsets.fail("these don't cut the values into texts")
        if ((values < 0) | (values > 127)).any():  # XGBoost counts characters and cuts bytes
            raise encoding.fail("categories past ASCII, which XGBoost stores cut short: train on others, or on codes")
        text = values.astype(np.uint8).tobytes().decode("ascii")
        texts[feature] = [text[a:z] for a, z in zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)]
    return Categories(texts, {i: v for i, v in numbers.items() if v})
