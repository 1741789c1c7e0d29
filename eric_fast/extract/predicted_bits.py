"""A chain of layers, each grown on the bits that the rules below it give."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.extract.chain import extract_on_true_bits
from eric_fast.extract.fold_rules import count_heads, name_exceptions
from eric_fast.extract.layer import Growth, list_sizes_grown
from eric_fast.extract.learn import add_layer, learn_classes, learn_layer
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.simplify import drop_unmentioned, find_mentioned

logger = logging.getLogger(__name__)


def extract_on_predicted_bits(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    n_images: int,
    growth: Growth,
    *,
    all_kernels: bool = False,
    engine: str = "auto",
) -> Program:
    """`extract_program` from the lowest layer up, for a program that is started there.

    The bits of the lowest layer are the network's. Trees for all kernels of the next layer are grown on them. The bits
    that their rules give on the training images are the inputs of the layer above, and so on up to the class tree. The
    targets are the network's own bits throughout. So rules make the best of inputs that are often wrong, as they are in
    use. Started at a higher layer, on true bits, the program is worse than one that was grown on those.

    The `covered` and `correct` of a rule count training images by the bits that it was grown on.
    """
    layers, rows = quantiser.layers, quantiser.rows_of_layer
    program = Program(quantiser, tuple(classes), (), n_images=n_images)
    inputs = bits.select_atoms(quantiser.names_of_layer[layers[0]])
    sizes_grown: dict[int, tuple[int, int]] = {}
    for below, layer in pairwise(layers):
        targets = bits.select_atoms(quantiser.names_of_layer[layer])
        first_derived = len(program.atoms)
        part = learn_layer(rows[layer], targets, [inputs], rows[below].start, first_derived, growth)
        if part is None:
            logger.warning("stopped before the trees of layer '%s' were grown: there are class rules alone", layer)
            alone = Quantiser(quantiser.atoms_of_layer(layers[-1]), quantiser.norm)
            return extract_on_true_bits(bits, alone, target, classes, n_images, growth)
        program = add_layer(program, part)
        sizes_grown |= zip(rows[layer], part.sizes_grown, strict=True)
        inputs = Evaluator(program, below, engine=engine).truth(inputs, targets.atoms)
    of_classes = learn_classes(target, len(classes), inputs, rows[layers[-1]].start, len(program.atoms), growth)
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
