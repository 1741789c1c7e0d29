"""How weight rules are learned."""

from dataclasses import dataclass

from eric_fast.errors import SettingError

MOST_LITERALS = 4096
MOST_WEIGHT = 1000


@dataclass(frozen=True)
class WeightOptions:
    """How large a rule of a kernel becomes that is a weighted sum of literals.

    Attributes:
        n_literals: literals of a rule, at most.
        max_weight: the largest weight of a rule; the others are rounded to whole numbers beside it.

    Raises:
        SettingError: an invalid value.
    """

    n_literals: int = 16
    max_weight: int = 7

    def __post_init__(self) -> None:
        for name, value, most in (
            ("the number of literals", self.n_literals, MOST_LITERALS),
            ("max weight", self.max_weight, MOST_WEIGHT),
        ):
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
                raise SettingError(f"{name} must be a whole number from 1 to {most:,}, not {value!r}")

    def list_changes(self) -> list[tuple[str, object]]:
        """Names and values, as settings of a program."""
        return [("literals", self.n_literals), ("max_weight", self.max_weight)]
