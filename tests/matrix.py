"""What each source answers, whatever is asked: `python -m tests.matrix` prints how many answers are the same.

Every wrapper class x every objective x (object, saved file, reloaded estimator) x (predict, predict_proba,
decision_function, apply). An answer is the source's own, or is refused with a reason; it never differs.
"""

import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from eric_fast.errors import EricError
from eric_fast.frontends.registry import load
from tests.matrix_boosters import make_catboost, make_lightgbm, make_xgboost
from tests.matrix_cases import METHODS, Case, make_data
from tests.matrix_forests import make_onnx, make_sklearn, make_treelite

TOLERANCE = 1e-5  # sources that add up in float32 differ by their rounding


class Outcome(NamedTuple):
    """What became of one cell: `equal`, `refused`, `absent` on both sides, or `differs`; and why."""

    cell: str
    status: str
    reason: str


def list_cases(folder: Path) -> Iterator[Case]:
    """Every model in every form."""
    for make in (make_sklearn, make_xgboost, make_lightgbm, make_catboost, make_treelite, make_onnx):
        yield from make(folder)


def check_case(case: Case) -> Iterator[Outcome]:
    """The cells of one model in one form."""
    rows, _ = make_data()
    cell = f"{case.name} | {case.form}"
    try:
        model = load(case.source)
    except EricError as error:
        yield from (Outcome(f"{cell} | {method}", "refused", str(error)) for method in METHODS)
        return
    for method in METHODS:
        if not hasattr(model, method):
            if method in case.asks:
                yield Outcome(f"{cell} | {method}", "refused", _find_reason(model, method))
            else:
                yield Outcome(f"{cell} | {method}", "absent", "")
            continue
        if method not in case.asks:  # more than the source has; there is nothing to compare it with
            yield Outcome(f"{cell} | {method}", "absent", "")
            continue
        try:
            got = getattr(model, method)(rows)
        except EricError as error:
            yield Outcome(f"{cell} | {method}", "refused", str(error))
            continue
        wanted = case.asks[method](rows)
        reason = compare(got, wanted)
        yield Outcome(f"{cell} | {method}", "differs" if reason else "equal", reason)


def _find_reason(model: Any, method: str) -> str:
    try:
        getattr(model, method)
    except AttributeError as error:
        return str(error)
    return ""


def compare(got: Any, wanted: Any) -> str:
    """What differs; empty if nothing does."""
    if isinstance(wanted, list):
        wanted_parts, got_parts = list(wanted), list(got)
        if len(wanted_parts) != len(got_parts):
            return f"{len(got_parts)} answers for {len(wanted_parts)}"
        return next((why for a, b in zip(got_parts, wanted_parts, strict=True) if (why := compare(a, b))), "")
    got, wanted = np.asarray(got), np.asarray(wanted)
    if got.shape != wanted.shape:
        return f"shape {got.shape}, not {wanted.shape}"
    if wanted.dtype.kind in "fiub" and got.dtype.kind in "fiub":
        scale = max(1.0, float(np.abs(wanted.astype(float)).max(initial=0.0)))
        worst = float(np.abs(got.astype(float) - wanted.astype(float)).max(initial=0.0))
        return "" if worst <= TOLERANCE * scale else f"by {worst:.3g}"
    return "" if (got.astype(str) == wanted.astype(str)).all() else "labels differ"


def run_matrix() -> list[Outcome]:
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what sources say of their own settings
        return [outcome for case in list_cases(Path(folder)) for outcome in check_case(case)]


def main() -> None:
    import logging

    logging.disable()
    outcomes = run_matrix()
    for outcome in outcomes:
        if outcome.status == "differs" or (outcome.status == "refused" and not outcome.reason):
            print(f"{outcome.status}: {outcome.cell}: {outcome.reason}")
    for reason, number in Counter(o.reason for o in outcomes if o.status == "refused").most_common():
        print(f"{number:5,} refused: {reason}")
    counts = Counter(outcome.status for outcome in outcomes)
    print(f"{len(outcomes):,} cells: {', '.join(f'{number:,} {status}' for status, number in counts.most_common())}")


if __name__ == "__main__":
    main()
