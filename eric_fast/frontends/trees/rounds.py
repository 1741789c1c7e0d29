"""How many of the boosting rounds that a model holds are used."""

import logging
from typing import Literal

from eric_fast.errors import ModelError, say_count

logger = logging.getLogger(__name__)

Rounds = int | Literal["best", "all"] | None


def choose_rounds(asked: Rounds, place: str, n_held: int, *, best: int | None, stops_at_best: bool) -> int:
    """The number of rounds to use, from the first.

    Args:
        asked: a number; `best`, those up to the best one of a model that stopped early; `all`; or None, as the source's
            own `predict` does.
        place: what notes and errors call the model.
        n_held: the rounds that the model holds.
        best: the number of rounds up to the best one; None if the model doesn't say it.
        stops_at_best: whether the source's own `predict` uses these alone.

    Raises:
        ModelError: a negative number, or `best` where no round is known to be.
    """
    if asked == "best" and best is None:
        raise ModelError(f"{place}: no best round is known, as the training didn't stop early; give a number of rounds")
    if isinstance(asked, int) and asked < 0:
        raise ModelError(f"{place}: n_rounds must be at least 0, not {asked}")
    stops = best is not None and (asked == "best" or (asked is None and stops_at_best))
    used = best if stops else n_held if asked is None or isinstance(asked, str) else asked
    assert used is not None
    if asked is None and best is not None and best < n_held:
        what = (
            f"the first {best:,} are used, as the best"
            if stops
            else f"all are used, though the first {best:,} did best"
        )
        other = "all" if stops else "best"
        logger.warning(
            "%s holds %s: %s; --rounds %s, or n_rounds, changes this", place, say_count(n_held, "round"), what, other
        )
    return min(used, n_held)
