"""Parse the user's specification of thresholds."""

import re
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from eric_fast.errors import SettingError


@dataclass(frozen=True)
class Threshold:
    """How the threshold of a kernel depends on its norms on the training images.

    Attributes:
        kind: `linear` (constant + mean_factor * mean + std_factor * std, population std), `quantile`, or `split`
            (the value that splits the target best).
        or_equal: whether a norm that equals the threshold makes the bit true.
        two_sided: whether the threshold is of the size of the norm, with an atom on either side of 0.
    """

    kind: str
    mean_factor: float = 0.0
    std_factor: float = 0.0
    constant: float = 0.0
    quantile: float = 0.0
    or_equal: bool = False
    two_sided: bool = False


class LayerThresholds(NamedTuple):
    """Specifications of thresholds: of the layers that feed the classes, and of those below them."""

    last: str
    below: str


def split_threshold(spec: str) -> LayerThresholds:
    """The two specifications in `split,mean`; one alone is of all layers.

    Raises:
        SettingError: neither of these, even if there is no layer to which it would apply.
    """
    parts = [part.strip() for part in spec.split(",")]
    if len(parts) > 2 or (len(parts) == 2 and not all(parts)):
        raise SettingError(
            f"threshold '{spec}' must be one, or two as in 'split,mean': the last layer's, and that of the layers below"
        )
    for part in parts:
        parse_threshold(part)
    return LayerThresholds(parts[0], parts[-1])


def parse_threshold(spec: str) -> Threshold:
    """Parse `mean`, `0.6*mean+0.7*std`, `1.5`, `quantile:0.75` or `split`, and any of these after `>=`.

    `two-sided:mean`, and the like, is a threshold t on the size of the norm, for units that have a sign.

    Raises:
        SettingError: anything else.
    """
    text = "".join(spec.split())
    if "," in text:
        raise SettingError(f"threshold '{spec}' holds two, which only extract and chain take; give one for all layers")
    if text.startswith(">="):
        return replace(parse_threshold(text.removeprefix(">=")), or_equal=True)
    if text.startswith("two-sided:"):
        one_sided = parse_threshold(text.removeprefix("two-sided:"))
        if one_sided.two_sided:
            raise SettingError(f"threshold '{spec}' says two-sided twice")
        return replace(one_sided, two_sided=True)
    if text == "split":
        return Threshold("split")
    if text.startswith("quantile:"):
        share = _number(text.removeprefix("quantile:"))
        if share is None or not 0 <= share <= 1:
            raise SettingError(f"threshold '{spec}': a quantile must be between 0 and 1, as in 'quantile:0.75'")
        return Threshold("quantile", quantile=share)
    factors = {"mean": 0.0, "std": 0.0, "": 0.0}
    # A sign splits terms unless it belongs to an exponent: 1e-3*std
    terms = re.findall(r"[+-]?(?:[eE][+-]?|[^+-])+", text)
    for term in terms if terms and "".join(terms) == text else [""]:
        match = re.fullmatch(r"([+-]?)(?:([0-9.][^*]*)\*?)?(mean|std)?", term)
        factor = _number(match[2]) if match and match[2] else 1.0 if match and match[3] else None
        if match is None or factor is None or (match[2] and match[3] and "*" not in term):
            raise SettingError(
                f"threshold '{spec}' is not mean, split, quantile:0.75, a number, or a sum such as 0.6*mean+0.7*std, "
                "or one of these after two-sided:"
            )
        factors[match[3] or ""] += -factor if match[1] == "-" else factor
    return Threshold("linear", factors["mean"], factors["std"], factors[""])


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if np.isfinite(number) else None
