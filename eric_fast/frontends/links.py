"""How sums become what a model answers: one row of `LINKS` for each way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.utils.extmath import softmax

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Link:
    """From scores, float64 `[n_rows, n_outputs]`, to answers of the same shape.

    Attributes:
        apply: takes the scores and may overwrite them.
        probabilities: whether answers are probabilities of classes.
        margin: whether two classes are told apart by one score, the second's: it is all that there is of them.
        scores: whether the scores themselves are shown by `decision_function`.
    """

    apply: Callable[[Floats], Any]
    probabilities: bool = False
    margin: bool = False
    scores: bool = True


def _keep(scores: Floats) -> Floats:
    return scores


LINKS = {
    "identity": Link(_keep),
    "average": Link(_keep, probabilities=True, scores=False),  # the sums are probabilities
    "margin": Link(_keep, margin=True),
    "chance": Link(_keep, probabilities=True, margin=True, scores=False),  # the second class's
    "sigmoid": Link(expit, probabilities=True, margin=True),
    "softmax": Link(softmax, probabilities=True),
    "chances": Link(softmax, probabilities=True, scores=False),
    "exp": Link(np.exp),
}
