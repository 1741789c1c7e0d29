"""Link functions: how a model's sums become its answers. `LINKS` holds them by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Link:
    """From scores, float64 `[n_rows, n_outputs]`, to answers of the same shape; `[n_rows]` of a margin.

    Attributes:
        apply: the function; it may overwrite the scores.
        probabilities: whether answers are class probabilities.
        margin: whether two classes share one score, the second's.
        scores: whether `decision_function` shows the scores.
    """

    apply: Callable[[Scores], Any]
    probabilities: bool = False
    margin: bool = False
    scores: bool = True


def _keep(scores: Scores) -> Scores:
    return scores


@cache
def _load_expit() -> Callable[[Scores], Scores]:
    """Loads when it is needed, and once: even what is loaded takes a microsecond to import."""
    from scipy.special import expit

    return cast("Callable[[Scores], Scores]", expit)


def _sigmoid(scores: Scores) -> Scores:
    return _load_expit()(scores)


def _softmax(scores: Scores) -> Scores:
    from sklearn.utils.extmath import softmax  # loads when it is needed

    shares: Scores = softmax(scores)
    return shares


def _soften_others(scores: Scores) -> Scores:
    """ONNX's SOFTMAX_ZERO: scores within 1e-7 of zero are scaled instead of raised to a power."""
    highest = scores.max(axis=1, keepdims=True)
    small = np.abs(scores) <= 1e-7
    powers = np.where(small, scores * np.exp(-highest), np.exp(scores - highest))
    shares: Scores = powers / powers.sum(axis=1, keepdims=True)
    return shares


def _share(scores: Scores) -> Scores:
    """Each score by the sum of all; 0 where that is 0."""
    totals = np.abs(scores).sum(axis=1, keepdims=True)
    shares: Scores = np.divide(scores, totals, out=np.zeros_like(scores), where=totals != 0)
    return shares


def _square(scores: Scores) -> Scores:
    return np.copysign(scores * scores, scores)


LINKS = {
    "identity": Link(_keep),
    "average": Link(_keep, probabilities=True, scores=False),  # the sums are probabilities
    "margin": Link(_keep, margin=True),
    "sigmoid": Link(_sigmoid, probabilities=True, margin=True),
    "softmax": Link(_softmax, probabilities=True),
    "softmax only": Link(_softmax, probabilities=True, scores=False),  # the sums aren't shown
    "probability": Link(_keep, probabilities=True, margin=True, scores=False),  # the one sum is the second class's
    "softmax zero": Link(_soften_others, probabilities=True),
    "exp": Link(np.exp),
    "shares": Link(_share, probabilities=True),  # of positive sums
    "sigmoid shares": Link(lambda scores: _share(_sigmoid(scores)), probabilities=True),
    "sigmoids": Link(_sigmoid, probabilities=True),  # of each class against the others
    "softplus": Link(partial(np.logaddexp, 0)),  # log(1 + exp(score))
    "signed square": Link(_square),
}
