"""What the matrix of answers is made of: rows, targets, and a model in one form with its source's answers."""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

METHODS = ("predict", "predict_proba", "decision_function", "apply")
Ask = Callable[[NDArray[Any]], Any]


class Case(NamedTuple):
    """One model in one form: what to load, and what the source answers for each method that it has."""

    name: str
    form: str
    source: Any
    asks: dict[str, Ask]


@cache
def make_data() -> tuple[NDArray[np.float32], dict[str, NDArray[Any]]]:
    """Rows, and a target for each kind of objective."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(120, 4)).astype(np.float32)
    score = rows[:, 0] + 0.5 * rows[:, 1] + 0.3 * rng.normal(size=120)
    two = (score > 0).astype(int)
    return rows, {
        "two": two,
        "texts": np.array(["no", "yes"])[two],
        "three": np.digitize(score, [-0.5, 0.5]),
        "number": score,
        "positive": np.exp(score),
        "share": 1 / (1 + np.exp(-score)),
        "several": np.column_stack([score, -2 * score]),
        "labels": np.column_stack([two, (rows[:, 2] > 0).astype(int)]),
        "grade": np.digitize(score, [-0.5, 0.5]),
    }


def ask_methods(model: Any, names: tuple[str, ...] = METHODS) -> dict[str, Ask]:
    return {name: getattr(model, name) for name in names if hasattr(model, name)}
