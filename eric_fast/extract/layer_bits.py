"""`LayerBits`: the bits of layers, as rules predict them from a start."""

from collections.abc import Sequence

import torch

from eric_fast.bits import BitMatrix
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import TO_CLASSES, LayerGraph


class LayerBits:
    """What is known from a start while layer after layer is learned: the network's bits of its layers, predicted ones
    of those above, as long as a later layer is fed by them.
    """

    def __init__(self, bits: BitMatrix, quantiser: Quantiser, graph: LayerGraph, cut: Sequence[str]) -> None:
        self.cut = frozenset(cut)
        self.above = frozenset(graph.list_above(cut))
        self._bits = bits
        self._names = quantiser.names_of_layer
        self._graph = graph
        self._predicted: dict[str, BitMatrix] = {}

    def gather(self, target: str) -> BitMatrix:
        """The bits of all layers that feed a layer, or the classes."""
        parts = [
            self._predicted[source] if source in self.above else self._bits.select_atoms(self._names[source])
            for source in self._graph.sources[target]
        ]
        if len(parts) == 1:
            return parts[0]
        words = torch.cat([part.words for part in parts])
        return BitMatrix(words, self._bits.n_samples, tuple(name for part in parts for name in part.atoms))

    def add(self, layer: str, predicted: BitMatrix) -> None:
        """Add what rules predict of a layer, and forget what no later one is fed by."""
        self._predicted[layer] = predicted
        layers = self._graph.layers
        later = [*layers[layers.index(layer) + 1 :], TO_CLASSES]
        needed = {source for name in later for source in self._graph.sources[name]}
        self._predicted = {name: bits for name, bits in self._predicted.items() if name in needed}
