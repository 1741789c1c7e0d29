"""`ModelFields`: what a `RuleModel` holds, checked."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.processes.pickling import PickledByFields
from eric_fast.program import Program
from eric_fast.table.allowed_values import VALUES
from eric_fast.table.leaf_numbers import LeafNumbers
from eric_fast.table.link_functions import LINKS
from eric_fast.table.settings import ModelSettings, spell_labels, write_model_settings


@dataclass(frozen=True, eq=False)
class ModelFields(PickledByFields):
    """The attributes of a `RuleModel`, which documents them.

    A class of their own, since scikit-learn's pipelines set attributes of their own on the estimators that they fit:
    only these can't be assigned.
    """

    program: Program
    source: str = "a program"
    labels: Sequence[Any] | NDArray[Any] | None = None
    link: str = field(default="identity", kw_only=True)
    divisor: float = field(default=1.0, kw_only=True)
    scale: float = field(default=1.0, kw_only=True)
    values: str = field(default="any", kw_only=True)
    named: bool = field(default=True, kw_only=True)
    categories: Mapping[str, tuple[float | str, ...]] = field(default_factory=dict, kw_only=True)
    optional: tuple[str, ...] = field(default=(), kw_only=True)
    leaves: LeafNumbers | None = field(default=None, kw_only=True)
    engine: str = field(default="auto", kw_only=True)

    def __post_init__(self) -> None:
        if self.link not in LINKS or self.values not in VALUES:
            known = f"{', '.join(LINKS)}; values: {', '.join(VALUES)}"
            raise ModelError(f"link '{self.link}' or values '{self.values}' is unknown; links: {known}")
        if not (math.isfinite(self.scale) and math.isfinite(self.divisor) and self.divisor > 0):
            raise ModelError(f"scale {self.scale} and divisor {self.divisor} must be finite, the divisor positive")
        if self.labels is not None and spell_labels(self.labels) != list(self.program.classes):
            raise ModelError("the names of the program's classes must spell the labels")
        settings = ModelSettings(
            self.source,
            self.link,
            float(self.divisor),
            float(self.scale),
            self.values,
            self.named,
            self.categories,
            self.optional,
        )
        object.__setattr__(self, "program", write_model_settings(self.program, settings, self.labels))
