"""A chain of layers, each grown on the bits that the rules below it give."""

import logging
from dataclasses import replace

from eric_fast.evaluator import Evaluator
from eric_fast.extract.chain import extract_classes_alone
from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import Growth, list_sizes_grown
from eric_fast.extract.layer_bits import LayerBits
from eric_fast.extract.learn import add_layer, learn_classes, learn_layer
from eric_fast.extract.training_bits import TrainingBits
from eric_fast.program import Program
from eric_fast.program.layer_graph import TO_CLASSES
from eric_fast.program.simplify import drop_unmentioned, find_mentioned

logger = logging.getLogger(__name__)


def extract_on_predicted_bits(
    training: TrainingBits, growth: Growth, *, all_kernels: bool = False, engine: str = "auto"
) -> Program:
    """`extract_program` from the lowest layer up, for a program that is started there.

    The bits of the lowest layer are the network's. Trees for all kernels of the next layer are grown on them. The bits
    that their rules give on the training images are the inputs of the layer above, and so on up to the class tree. The
    targets are the network's own bits throughout. So rules make the best of inputs that are often wrong, as they are in
    use. Started at a higher layer, on true bits, the program is worse than one that was grown on those.

    The `covered` and `correct` of a rule count training images by the bits that it was grown on.
    """
    graph, rows = training.graph, training.quantiser.rows_of_layer
    program = Program(training.quantiser, training.classes, (), n_images=training.n_images, edges=graph.edges)
    found = LayerBits(training, graph.lowest)
    sizes_grown: dict[int, tuple[int, int]] = {}
    for layer in graph.layers:
        if not graph.sources[layer]:
            continue
        inputs, own = training.find_inputs(layer), found.gather(layer)
        targets = training.select_layer(layer)
        part = learn_layer(rows[layer], targets, [own], inputs.atoms, len(program.atoms), growth)
        if part is None:
            logger.warning("stopped before the trees of layer '%s' were grown: there are class rules alone", layer)
            return extract_classes_alone(training, growth)
        program = add_layer(program, part)
        sizes_grown |= zip(rows[layer], part.sizes_grown, strict=True)
        evaluator = Evaluator(program, given=inputs.names, wanted=targets.atoms, engine=engine)
        found.add(layer, evaluator.truth(own, targets.atoms))
    inputs, own = training.find_inputs(TO_CLASSES), found.gather(TO_CLASSES)
    n_classes = len(training.classes)
    of_classes = learn_classes(training.target, n_classes, own, inputs.atoms, len(program.atoms), growth)
    program = replace(
        program,
        kernel_rules=(*program.kernel_rules, *of_classes.exceptions),
        derived=name_exceptions(len(program.derived) + count_heads(of_classes.exceptions)),
    )
    program = of_classes.complete(program)
    kept = set(sizes_grown) if all_kernels else find_mentioned(program)
    sizes = [of_classes.size_grown, *(size for head, size in sizes_grown.items() if head in kept)]
    program = replace(program, settings=list_sizes_grown(sizes))
    return program if all_kernels else drop_unmentioned(program)
