"""What an ONNX tree ensemble answers: labels, where sums start, how they become scores; all as functions of leaves."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from eric_fast.errors import ModelError
from eric_fast.frontends.fields import Field
from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.onnx_attributes import get_array, get_texts
from eric_fast.frontends.trees.onnx_trees import Ensemble
from eric_fast.frontends.trees.onnx_values import (
    EnsembleOutput,
    HighestPlace,
    LeafSums,
    Leaves,
    RowValue,
    Share,
    compute,
    stack_leaves,
)

ROUNDED_HALF = 0.5 + 2**-25  # the largest sum that rounds to 0.5 in float32, in which runtimes add up
_LINKS = {"SOFTMAX": "softmax", "LOGISTIC": "sigmoids", "SOFTMAX_ZERO": "softmax zero"}


@dataclass(frozen=True)
class EnsembleAnswer:
    """What the sums of an ensemble become; see `make_tree_model` and `RuleModel`.

    Attributes:
        threshold: of the second of two classes that share one output; None of any other ensemble.
    """

    labels: list[str] | NDArray[np.int64] | None
    base: list[float]
    link: str
    divisor: float = 1.0
    threshold: float | None = None


def read_answer(attributes: Field, ensemble: Ensemble, *, is_single: bool) -> EnsembleAnswer:
    """What the operator answers.

    Args:
        is_single: whether a runtime adds up in float32.

    Raises:
        ModelError: runtimes disagree on the meaning. ProgramError: base values that are not one for each output.
    """
    base = get_array(attributes, "base_values").tolist()
    if not np.isfinite(base).all():
        raise attributes.fail("'base_values' must be finite")
    if ensemble.transform == "PROBIT":
        raise ModelError(f"{attributes.place}: runtimes compute post_transform PROBIT differently")
    labels: Any = get_texts(attributes, "classlabels_strings") or None
    if labels is None and "classlabels_int64s" in attributes.value:
        labels = get_array(attributes, "classlabels_int64s", whole=True)
    if labels is None:
        return _answer_sums(attributes, ensemble, base)
    if ensemble.averages:
        raise attributes.fail("'aggregate_function' can't be used with classes")
    if ensemble.n_outputs == 1:
        raise ModelError(f"{attributes.place}: a classifier needs at least two classes")
    if ensemble.n_outputs == 2 and len(ensemble.weighted) < 2:
        return _answer_two(attributes, ensemble, labels, base, ROUNDED_HALF if is_single else 0.5)
    if base and (len(base) != ensemble.n_outputs or ensemble.n_outputs == 2):
        raise ModelError(
            f"{attributes.place}: runtimes read {len(base)} base values of {ensemble.n_outputs} classes differently"
        )
    if ensemble.n_outputs == 2 and not _agree_on_two(ensemble):
        raise ModelError(
            f"{attributes.place}: two classes by weights of both mean different things to different runtimes: "
            "onnxruntime answers the second wherever its sum is above 0; write the weights of one class"
        )
    # onnxruntime leaves out classes without a weight, which matters if the sums of others are below 0.
    if len(ensemble.always) < ensemble.n_outputs and not (ensemble.positive and not base):
        raise ModelError(
            f"{attributes.place}: some leaves have no weight for some class, which runtimes read differently"
        )
    probable = "average" if ensemble.positive else "identity"
    return EnsembleAnswer(labels, base, _LINKS.get(ensemble.transform, probable))


def _agree_on_two(ensemble: Ensemble) -> bool:
    """Whether the second class's sum is above 0 just where it is the higher: the first's opposite, or of one tree.

    Else onnxruntime answers the second class wherever its sum is above 0, ONNX's reference the one of the higher sum.
    """
    if any(tree.values.ndim == 1 for tree in ensemble.trees):
        return False
    leaves = [tree.values[tree.column < 0] for tree in ensemble.trees]
    if all((each[:, 0] == -each[:, 1]).all() for each in leaves):
        return True
    return len(leaves) == 1 and bool(((leaves[0][:, 1] > 0) == (leaves[0][:, 1] > leaves[0][:, 0])).all())


def _answer_two(attributes: Field, ensemble: Ensemble, labels: Any, base: list[float], half: float) -> EnsembleAnswer:
    """Two classes and the weights of one, which onnxruntime takes for the second's."""
    if ensemble.weighted != [0] or len(base) > 1 or ensemble.transform not in ("NONE", "LOGISTIC"):
        raise ModelError(
            f"{attributes.place}: two classes by weights of class {ensemble.weighted}, with {len(base)} base values "
            f"and post_transform {ensemble.transform}, mean different things to different runtimes"
        )
    # A negative weight means that sums are margins, not probabilities.
    threshold = half if ensemble.positive else 0.0
    link = "sigmoid" if ensemble.transform == "LOGISTIC" else "probability" if ensemble.positive else "margin"
    return EnsembleAnswer(labels, base or [0.0], link, threshold=threshold)


def _answer_sums(attributes: Field, ensemble: Ensemble, base: list[float]) -> EnsembleAnswer:
    n_outputs, n_trees = ensemble.n_outputs, max(1, len(ensemble.trees))
    if base and len(base) != n_outputs:
        raise attributes.fail(f"'base_values' has {len(base)} numbers for {n_outputs} outputs")
    if ensemble.transform != "NONE" and n_outputs == 1:
        raise ModelError(
            f"{attributes.place}: runtimes read post_transform {ensemble.transform} of one sum differently"
        )
    if ensemble.averages:  # base values are added after sums are divided
        base = [value * n_trees for value in base]
    link = _LINKS.get(ensemble.transform, "identity")
    return EnsembleAnswer(None, base, link, divisor=float(n_trees) if ensemble.averages else 1.0)


@dataclass(frozen=True)
class GraphForest:
    """One ensemble of the graph.

    Attributes:
        trees: its trees, over the columns of the graph's inputs.
        first: the number of its first tree among those of all ensembles.
        dtype: of its scores.
    """

    ensemble: Ensemble
    answer: EnsembleAnswer
    trees: list[StoredTree]
    first: int
    dtype: str

    @property
    def n_sums(self) -> int:
        """The number of sums of leaves: one for each output, or the only one of a margin."""
        return self.ensemble.n_outputs if self.answer.threshold is None else 1

    def expand(self, output: EnsembleOutput, sums: tuple[RowValue, ...]) -> RowValue:
        """What an output is of leaves; `sums` are those that `add_leaves` gives."""
        answer = self.answer
        is_margin = answer.threshold is not None
        one = np.dtype(self.dtype).type(1)
        if output.role == "label":
            if is_margin and answer.threshold:
                parts: tuple[RowValue, ...] = (np.float64(answer.threshold), sums[0])
            else:
                parts = (np.float32(0), sums[0]) if is_margin else sums
            table = tuple(np.asarray(answer.labels).tolist())
            if len(self.trees) > 1:
                return HighestPlace(parts, tuple(np.asarray(answer.labels)))
            return Leaves(self.first, np.asarray(table)[stack_leaves(parts).argmax(axis=0)])
        if is_margin:
            score = sums[0]
            if answer.link == "sigmoid":
                score = compute("Sigmoid", [score])
            if output.place == 1:
                return score
            return compute("Neg", [score]) if answer.link == "margin" else compute("Sub", [one, score])
        if answer.link in ("softmax", "softmax zero"):
            return Share(answer.link, sums, output.place)
        if answer.link == "sigmoids":
            return compute("Sigmoid", [sums[output.place]])
        return sums[output.place]

    def add_leaves(self, output: int) -> RowValue:
        """One output's sum of leaves; of one tree in the runtime's own dtype."""
        base = self.answer.base[output] if self.answer.base else 0.0
        terms = {}
        for number, tree in enumerate(self.trees, self.first):
            values = tree.values[np.asarray(tree.column) < 0]
            if values.ndim == 2:
                terms[number] = values[:, output]
            elif tree.output == output:
                terms[number] = values
        if len(self.trees) == 1:
            zero = np.zeros((np.asarray(self.trees[0].column) < 0).sum())
            values = np.asarray(terms.get(self.first, zero)).astype(self.dtype)
            return Leaves(self.first, values + np.dtype(self.dtype).type(base))
        divisor = self.answer.divisor
        return LeafSums({number: term / divisor for number, term in terms.items()}, base / divisor)
