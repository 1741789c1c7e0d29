"""`LayerBits`: the bits of layers, as rules predict them from a start."""

from collections.abc import Sequence

import torch

from eric_fast.bits import BitMatrix
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.program.layer_graph import TO_CLASSES


class LayerBits:
    """What is known from a start while layer after layer is learned: the network's bits of the start's layers, and what
    rules predict of those above, as long as these feed a layer that is still to be learned.
    """

    def __init__(self, training: TrainingBits, cut: Sequence[str]) -> None:
        self.cut = frozenset(cut)
        self.above = frozenset(training.graph.list_above(cut))
        self._training = training
        self._predicted: dict[str, BitMatrix] = {}

    def gather(self, target: str) -> BitMatrix:
        """The bits of all layers that feed a layer, or the classes."""
        parts = [
            self._predicted[source] if source in self.above else self._training.select_layer(source)
            for source in self._training.graph.sources[target]
        ]
        if len(parts) == 1:
            return parts[0]
        words = torch.cat([part.words for part in parts])
        return BitMatrix(words, parts[0].n_samples, tuple(name for part in parts for name in part.atoms))

    def add(self, layer: str, predicted: BitMatrix) -> None:
        """Add what rules predict of a layer, and forget what feeds no later one."""
        self._predicted[layer] = predicted
        graph = self._training.graph
        later = [*graph.layers[graph.layers.index(layer) + 1 :], TO_CLASSES]
        needed = {source for name in later for source in graph.sources[name]}
        self._predicted = {name: bits for name, bits in self._predicted.items() if name in needed}
