"""How weight rules are learned."""

from dataclasses import dataclass

from eric_fast.errors import SettingError

MOST_LITERALS = 4096
MOST_WEIGHT = 1000


@dataclass(frozen=True)
class WeightOptions:
    """How large a rule of a kernel becomes that is a weighted sum of literals.

    Attributes:
        n_literals: literals of a rule, at most; `auto`: the fewest of some that do as well on held-back images.
        max_weight: the largest weight of a rule; the others are rounded to whole numbers beside it.

    Raises:
        SettingError: an invalid value.
    """

    n_literals: int | str = 16
    max_weight: int = 7

    def __post_init__(self) -> None:
        for name, value, most in (
            ("the number of literals", self.n_literals, MOST_LITERALS),
            ("max weight", self.max_weight, MOST_WEIGHT),
        ):
            if value == "auto" and name != "max weight":
                continue
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise SettingError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")

    @property
    def most_literals(self) -> int:
        """The number of literals. Raises SettingError for `auto`, which `choose_options` replaces."""
        if isinstance(self.n_literals, str):
            raise SettingError("the number of literals is chosen on images: call approximate_model, or give a number")
        return self.n_literals

    def list_changes(self) -> list[tuple[str, object]]:
        """Names and values, as settings of a program."""
        return [("literals", self.n_literals), ("max_weight", self.max_weight)]
