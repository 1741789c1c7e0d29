"""`FrontEnd`: what each front end tells the registry."""

from collections.abc import Callable
from typing import Any, NamedTuple

from eric_fast.table.model import RuleModel


class FrontEnd(NamedTuple):
    """One kind of model that can be loaded.

    Attributes:
        name: what users call it, such as `XGBoost`.
        matches: whether an object or a path is of this kind; cheap, and imports no optional package.
        load: converts it. Raises EricError if it can't.
        has_rounds: whether `load` takes `n_rounds`.
    """

    name: str
    matches: Callable[[Any], bool]
    load: Callable[..., RuleModel]
    has_rounds: bool = False


def is_from(source: Any, package: str) -> bool:
    """Whether an object's class is defined in this package; false for a subclass that a user defined."""
    return type(source).__module__.partition(".")[0] == package
