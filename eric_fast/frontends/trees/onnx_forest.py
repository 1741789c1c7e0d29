"""One ensemble of an ONNX graph, whose outputs are functions of its leaves."""

from dataclasses import dataclass

import numpy as np

from eric_fast.frontends.trees.nodes import StoredTree
from eric_fast.frontends.trees.onnx_answer import EnsembleAnswer
from eric_fast.frontends.trees.onnx_outputs import get_leaves
from eric_fast.frontends.trees.onnx_trees import Ensemble
from eric_fast.frontends.trees.onnx_values import (
    EnsembleOutput,
    HighestPlace,
    LeafSums,
    Leaves,
    RowValue,
    Share,
    compute,
)


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
            stacked = np.stack([np.broadcast_to(get_leaves(part), get_leaves(sums[0]).shape) for part in parts])
            return Leaves(self.first, np.asarray(table)[stacked.argmax(axis=0)])
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
