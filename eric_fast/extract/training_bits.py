"""`TrainingBits`: what a program is learned from."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import LayerGraph


class Inputs(NamedTuple):
    """The atoms that rules may mention, in order, and their names."""

    atoms: Sequence[int]
    names: tuple[str, ...]


class TrainingBits(NamedTuple):
    """What a program is learned from.

    Attributes:
        bits: the network's bits of the quantiser's atoms on the training images of this process.
        quantiser: the atoms.
        graph: which of the quantiser's layers feed which.
        target: int64 `[n]`, class indices; or bool `[n, n_labels]`.
        classes: their names, or those of the labels.
        n_images: the number of images of all processes.
    """

    bits: BitMatrix
    quantiser: Quantiser
    graph: LayerGraph
    target: Tensor
    classes: tuple[str, ...]
    n_images: int

    def find_inputs(self, target: str) -> Inputs:
        """What rules for a layer, or for `TO_CLASSES`, are learned from: the atoms of all layers that feed it."""
        return self.list_inputs(self.graph.sources[target])

    def list_inputs(self, layers: Sequence[str]) -> Inputs:
        """The atoms of some layers; numbers without gaps as a range."""
        atoms: Sequence[int] = [atom for layer in layers for atom in self.quantiser.rows_of_layer[layer]]
        if atoms and list(atoms) == list(range(atoms[0], atoms[0] + len(atoms))):
            atoms = range(atoms[0], atoms[0] + len(atoms))
        return Inputs(atoms, tuple(self.quantiser.atoms[atom].name for atom in atoms))

    def select_layer(self, layer: str) -> BitMatrix:
        """The network's bits of a layer."""
        return self.bits.select_atoms(self.quantiser.names_of_layer[layer])
