"""A chain of layers, each grown on the network's own bits of the layer below it."""

import logging
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.extract.layer import GrownLayer, Growth, grow_classes, grow_layer, list_sizes_grown
from eric_fast.program import Program, atom_of
from eric_fast.program.atoms import Quantiser

logger = logging.getLogger(__name__)


def extract_on_true_bits(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
    *,
    all_kernels: bool = False,
) -> Program:
    """`extract_program`, from the class tree down: only kernels that rules above mention need rules."""
    layers, rows = quantiser.layers, quantiser.rows_of_layer
    highest = bits.select_atoms(quantiser.names_of_layer[layers[-1]])
    of_classes = grow_classes(target, len(classes), highest, rows[layers[-1]].start, growth)

    grown: list[GrownLayer] = []
    mentioned = {atom_of(literal) for rule in of_classes.rules for literal in rule.body}
    lowest = layers[-1]
    for below, layer in reversed(list(pairwise(layers))):
        heads = list(rows[layer]) if all_kernels else sorted(mentioned)
        targets = bits.select_atoms([bits.atoms[head] for head in heads])
        inputs = bits.select_atoms(quantiser.names_of_layer[below])
        part = grow_layer(heads, targets, inputs, rows[below].start, growth)
        if part is None:
            logger.warning("stopped before all trees of layer '%s' were grown: the program starts at that layer", layer)
            break
        grown.insert(0, part)
        mentioned = {atom_of(literal) for rule in part.rules for literal in rule.body}
        lowest = below
    program = Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=(),
        kernel_rules=tuple(rule for part in grown for rule in part.rules),
        negated=tuple(atom for part in grown for atom in part.negated),
        n_images=n_images,
        settings=list_sizes_grown([of_classes.size_grown, *(size for part in grown for size in part.sizes_grown)]),
    )
    return of_classes.complete(program).start_at(lowest)
