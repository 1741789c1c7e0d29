"""Layer upon layer, each grown on the network's own bits of the layers that feed it."""

import logging
from collections.abc import Sequence

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import GrownLayer, Growth, list_sizes_grown
from eric_fast.extract.learn import find_inputs, learn_classes, learn_layer
from eric_fast.program import Program, Rule, atom_of
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import TO_CLASSES, LayerGraph

logger = logging.getLogger(__name__)


def extract_on_true_bits(
    bits: BitMatrix,
    quantiser: Quantiser,
    graph: LayerGraph,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
    *,
    all_kernels: bool = False,
) -> Program:
    """`extract_program`, from the class tree down: only kernels that rules above mention need rules."""
    rows, n_atoms = quantiser.rows_of_layer, len(quantiser.atoms)
    inputs = find_inputs(quantiser, graph, TO_CLASSES)
    of_classes = learn_classes(target, len(classes), bits.select_atoms(inputs.names), inputs.atoms, n_atoms, growth)
    exceptions = list(of_classes.exceptions)

    grown: list[GrownLayer] = []
    mentioned = _list_mentioned([*of_classes.rules, *exceptions], n_atoms)
    start = graph.lowest
    for place, layer in reversed(list(enumerate(graph.layers))):
        if not graph.sources[layer]:
            continue
        heads = list(rows[layer]) if all_kernels else sorted(mentioned.intersection(rows[layer]))
        targets = bits.select_atoms([bits.atoms[head] for head in heads])
        inputs = find_inputs(quantiser, graph, layer)
        own = bits.select_atoms(inputs.names)
        part = learn_layer(heads, targets, [own], inputs.atoms, n_atoms + count_heads(exceptions), growth)
        if part is None:
            logger.warning("stopped before all trees of layer '%s' were grown: the program starts at that layer", layer)
            start = graph.find_border(graph.layers[: place + 1])
            break
        grown.insert(0, part)
        exceptions += part.exceptions
        mentioned |= _list_mentioned([*part.rules, *part.exceptions], n_atoms)
    program = Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=(),
        kernel_rules=(*(rule for part in grown for rule in part.rules), *exceptions),
        negated=tuple(atom for part in grown for atom in part.negated),
        n_images=n_images,
        derived=name_exceptions(count_heads(exceptions)),
        settings=list_sizes_grown([of_classes.size_grown, *(size for part in grown for size in part.sizes_grown)]),
        edges=graph.edges,
    )
    return of_classes.complete(program).start_at(start)


def extract_classes_alone(
    bits: BitMatrix,
    quantiser: Quantiser,
    graph: LayerGraph,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
) -> Program:
    """`extract_program` from the layers that feed the classes."""
    own = graph.select(graph.highest)
    alone = Quantiser(tuple(atom for layer in own.layers for atom in quantiser.atoms_of_layer(layer)), quantiser.norm)
    return extract_on_true_bits(bits, alone, own, target, classes, n_images, growth)


def _list_mentioned(rules: Sequence[Rule], n_atoms: int) -> set[int]:
    """The atoms that these rules mention, derived ones aside."""
    return {atom for rule in rules for literal in rule.body if (atom := atom_of(literal)) < n_atoms}
