"""How sums become what a model answers: one row of `LINKS` for each way."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
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


def _soften_others(scores: Floats) -> Floats:
    """ONNX's SOFTMAX_ZERO: a score of zero stays so, within 1e-7, and is nothing in the sum but what it was."""
    highest = scores.max(axis=1, keepdims=True)
    small = np.abs(scores) <= 1e-7
    powers = np.where(small, scores * np.exp(-highest), np.exp(scores - highest))
    shares: Floats = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _square(scores: Floats) -> Floats:
    return np.copysign(scores * scores, scores)


LINKS = {
    "identity": Link(_keep),
    "average": Link(_keep, probabilities=True, scores=False),  # the sums are probabilities
    "margin": Link(_keep, margin=True),
    "sigmoid": Link(expit, probabilities=True, margin=True),
    "softmax": Link(softmax, probabilities=True),
    "softmax only": Link(softmax, probabilities=True, scores=False),  # the sums aren't shown
    "probability": Link(_keep, probabilities=True, margin=True, scores=False),  # the one sum is the second class's
    "softmax zero": Link(_soften_others, probabilities=True),
    "exp": Link(np.exp),
    "sigmoids": Link(expit, probabilities=True),  # of each class against the others
    "softplus": Link(partial(np.logaddexp, 0)),  # log(1 + exp(score))
    "signed square": Link(_square),
}
