"""What the sums of an ONNX tree ensemble mean: labels, where sums start, how they become scores."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.trees.onnx_attributes import Attributes
from eric_fast.frontends.trees.onnx_trees import Ensemble

ABOVE_HALF = 0.5 + 2**-25  # up to here a sum is 0.5 once it is rounded to float32, as a runtime's is: no more than half
_LINKS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoids", "SOFTMAX_ZERO": "softmax zero"}


@dataclass(frozen=True)
class Answer:
    """See `RuleModel`; `shift`: the outputs of trees are those of the classes so many later."""

    labels: list[str] | NDArray[np.int64] | None
    base: list[float]
    link: str
    divisor: float = 1.0
    shift: int = 0


def read_answer(attributes: Attributes, ensemble: Ensemble, link: str, is_single: bool) -> Answer:
    """What the operator answers.

    Args:
        link: what the graph applies to the sums of a regression.
        is_single: whether a runtime adds up in float32.

    Raises:
        ModelError: a meaning that runtimes don't agree on. ProgramError: base values that are not one for each output.
    """
    base = attributes.get_array("base_values").tolist()
    if not np.isfinite(base).all():
        raise attributes.fail("'base_values' must be finite")
    if ensemble.transform == "PROBIT":
        raise ModelError(f"{attributes.place}: runtimes compute post_transform PROBIT differently")
    labels: Any = attributes.get_texts("classlabels_strings") or None
    if labels is None and "classlabels_int64s" in attributes.values:
        labels = attributes.get_array("classlabels_int64s", whole=True)
    if labels is None:
        return _answer_sums(attributes, ensemble, base, link)
    if ensemble.averages:
        raise attributes.fail("'aggregate_function' is not for classes")
    if ensemble.n_outputs == 1:
        raise ModelError(f"{attributes.place}: one class is told from no other")
    if ensemble.n_outputs == 2 and len(ensemble.weighted) < 2:
        return _answer_two(attributes, ensemble, labels, base, ABOVE_HALF if is_single else 0.5)
    if base and (len(base) != ensemble.n_outputs or ensemble.n_outputs == 2):
        raise ModelError(
            f"{attributes.place}: runtimes read {len(base)} base values of {ensemble.n_outputs} classes differently"
        )
    # onnxruntime leaves out classes that no leaf has a weight for: it matters where others are below 0.
    if len(ensemble.always) < ensemble.n_outputs and not (ensemble.positive and not base):
        raise ModelError(
            f"{attributes.place}: some leaves have no weight for some class, which runtimes read differently"
        )
    probable = "average" if ensemble.positive else "identity"
    return Answer(labels, base, _LINKS.get(ensemble.transform, probable))


def _answer_two(attributes: Attributes, ensemble: Ensemble, labels: Any, base: list[float], half: float) -> Answer:
    """Two classes told apart by the weights of one, which are the second's, whatever they say: as onnxruntime does."""
    if ensemble.weighted != [0] or len(base) > 1 or ensemble.transform not in ("NONE", "LOGISTIC"):
        raise ModelError(
            f"{attributes.place}: two classes by weights of class {ensemble.weighted}, with {len(base)} base values "
            f"and post_transform {ensemble.transform}, mean different things to different runtimes"
        )
    # A weight below 0 tells that sums are margins, not probabilities.
    threshold = half if ensemble.positive else 0.0
    link = "sigmoid" if ensemble.transform == "LOGISTIC" else "probability" if ensemble.positive else "margin"
    return Answer(labels, [threshold, *(base or [0.0])], link, shift=1)


def _answer_sums(attributes: Attributes, ensemble: Ensemble, base: list[float], link: str) -> Answer:
    n_outputs, n_trees = ensemble.n_outputs, max(1, len(ensemble.trees))
    if base and len(base) != n_outputs:
        raise attributes.fail(f"'base_values' has {len(base)} numbers for {n_outputs} outputs")
    if ensemble.transform != "NONE":
        if n_outputs == 1 or link != "identity":
            raise ModelError(
                f"{attributes.place}: runtimes read post_transform {ensemble.transform} of one sum differently"
            )
        link = _LINKS[ensemble.transform]
    if ensemble.averages:  # what is divided starts so many times higher
        base = [value * n_trees for value in base]
    return Answer(None, base, link, divisor=float(n_trees) if ensemble.averages else 1.0)
