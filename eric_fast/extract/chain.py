"""Layer upon layer, each grown on the network's own bits of the layers that feed it."""

import logging
from collections.abc import Sequence

from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import GrownLayer, Growth, list_sizes_grown
from eric_fast.extract.learn import learn_classes, learn_layer
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.program import Program, Rule, atom_of
from eric_fast.program.atoms import Quantiser
from eric_fast.program.layer_graph import TO_CLASSES

logger = logging.getLogger(__name__)


def extract_on_true_bits(training: TrainingBits, growth: Growth, *, all_kernels: bool = False) -> Program:
    """`extract_program`, from the class tree down: only kernels that rules above mention need rules."""
    bits, quantiser, graph = training.bits, training.quantiser, training.graph
    rows, n_atoms = quantiser.rows_of_layer, len(quantiser.atoms)
    inputs = training.find_inputs(TO_CLASSES)
    own = bits.select_atoms(inputs.names)
    of_classes = learn_classes(training.target, len(training.classes), own, inputs.atoms, n_atoms, growth)
    exceptions = list(of_classes.exceptions)

    grown: list[GrownLayer] = []
    mentioned = _list_mentioned([*of_classes.rules, *exceptions], n_atoms)
    start = graph.lowest
    for place, layer in reversed(list(enumerate(graph.layers))):
        if not graph.sources[layer]:
            continue
        heads = list(rows[layer]) if all_kernels else sorted(mentioned.intersection(rows[layer]))
        targets = bits.select_atoms([bits.atoms[head] for head in heads])
        inputs = training.find_inputs(layer)
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
        classes=training.classes,
        class_rules=(),
        kernel_rules=(*(rule for part in grown for rule in part.rules), *exceptions),
        negated=tuple(atom for part in grown for atom in part.negated),
        n_images=training.n_images,
        derived=name_exceptions(count_heads(exceptions)),
        settings=list_sizes_grown([of_classes.size_grown, *(size for part in grown for size in part.sizes_grown)]),
        edges=graph.edges,
    )
    return of_classes.complete(program).start_at(start)


def extract_classes_alone(training: TrainingBits, growth: Growth) -> Program:
    """`extract_program` from the layers that feed the classes."""
    graph, quantiser = training.graph.select(training.graph.highest), training.quantiser
    atoms = tuple(atom for layer in graph.layers for atom in quantiser.atoms_of_layer(layer))
    own = training._replace(quantiser=Quantiser(atoms, quantiser.norm), graph=graph)
    return extract_on_true_bits(own, growth)


def _list_mentioned(rules: Sequence[Rule], n_atoms: int) -> set[int]:
    """The atoms that these rules mention, derived ones aside."""
    return {atom for rule in rules for literal in rule.body if (atom := atom_of(literal)) < n_atoms}
