"""A chain of layers, each grown on the network's own bits of the layer below it."""

import logging
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import GrownLayer, Growth, list_sizes_grown
from eric_fast.extract.learn import learn_classes, learn_layer
from eric_fast.program import Program, Rule, atom_of
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
    n_atoms = len(quantiser.atoms)
    of_classes = learn_classes(target, len(classes), highest, rows[layers[-1]].start, n_atoms, growth)
    exceptions = list(of_classes.exceptions)

    grown: list[GrownLayer] = []
    mentioned = _list_mentioned([*of_classes.rules, *exceptions], n_atoms)
    lowest = layers[-1]
    for below, layer in reversed(list(pairwise(layers))):
        heads = list(rows[layer]) if all_kernels else sorted(mentioned)
        targets = bits.select_atoms([bits.atoms[head] for head in heads])
        inputs = bits.select_atoms(quantiser.names_of_layer[below])
        part = learn_layer(heads, targets, [inputs], rows[below].start, n_atoms + count_heads(exceptions), growth)
        if part is None:
            logger.warning("stopped before all trees of layer '%s' were grown: the program starts at that layer", layer)
            break
        grown.insert(0, part)
        exceptions += part.exceptions
        mentioned = _list_mentioned([*part.rules, *part.exceptions], n_atoms)
        lowest = below
    program = Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=(),
        kernel_rules=(*(rule for part in grown for rule in part.rules), *exceptions),
        negated=tuple(atom for part in grown for atom in part.negated),
        n_images=n_images,
        derived=name_exceptions(count_heads(exceptions)),
        settings=list_sizes_grown([of_classes.size_grown, *(size for part in grown for size in part.sizes_grown)]),
    )
    return of_classes.complete(program).start_at(lowest)


def _list_mentioned(rules: Sequence[Rule], n_atoms: int) -> set[int]:
    """The atoms that these rules mention, derived ones aside."""
    return {atom for rule in rules for literal in rule.body if (atom := atom_of(literal)) < n_atoms}
