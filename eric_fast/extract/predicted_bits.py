"""Upward: a chain whose every layer is grown on what the rules below it answer, not on the network's own bits."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.evaluator import Evaluator
from eric_fast.extract import TreeOptions, check_target, extract_program, grow_classes, grow_layer, list_sizes_grown
from eric_fast.kernels import Stop, never_stop
from eric_fast.processes import Combine, keep
from eric_fast.program import Program
from eric_fast.program.atoms import Quantiser
from eric_fast.program.simplify import drop_unmentioned, find_mentioned
from eric_fast.progress import Progress, ignore_progress

logger = logging.getLogger(__name__)


def extract_on_predicted_bits(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    options: TreeOptions | None = None,
    *,
    all_kernels: bool = False,
    simplify: bool = True,
    engine: str = "auto",
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
    combine: Combine = keep,
) -> Program:
    """`extract_program` on predicted bits: a program to be started at its lowest layer.

    The lowest layer's bits are true. Trees for all kernels of the next are grown on them; what their rules answer on
    the training images are the bits that the layer above is grown on, and so on up to the class tree. The targets are
    the network's own bits throughout. So a rule makes the best of inputs that are often wrong, as they are in use;
    started at a higher layer, on true bits, the program does worse than one grown on those. What no rule mentions is
    dropped at the end, unless `all_kernels`.

    A rule's `covered` and `correct` count training images by the bits that it was grown on, as predicted from the
    lowest layer. Of one layer, this is `extract_program`.

    Args:
        bits, quantiser, target, classes, options, all_kernels, simplify, combine: as of `extract_program`.
        engine: what evaluates the rules on the training images; see `predict_bits`.
        stop: asked before each tree of a kernel. Once it is true, there are class rules alone, grown on the true bits
            of the highest layer, and that is logged.

    Raises:
        CaptureError: see `extract_program`.
    """
    options = options or TreeOptions()
    n_images = check_target(bits, quantiser, target, classes, combine)
    layers, rows = quantiser.layers, quantiser.rows_of_layer
    program = Program(quantiser, tuple(classes), (), n_images=n_images)
    inputs = bits.select_atoms(quantiser.names_of_layer[layers[0]])
    sizes_grown: dict[int, tuple[int, int]] = {}
    for below, layer in pairwise(layers):
        targets = bits.select_atoms(quantiser.names_of_layer[layer])
        part = grow_layer(
            rows[layer],
            targets,
            inputs,
            rows[below].start,
            options,
            simplify=simplify,
            progress=progress,
            stop=stop,
            combine=combine,
        )
        if part is None:
            logger.warning("stopped before the trees of layer '%s' were grown: there are class rules alone", layer)
            alone = Quantiser(quantiser.atoms_of_layer(layers[-1]), quantiser.norm)
            return extract_program(
                bits, alone, target, classes, options, simplify=simplify, progress=progress, combine=combine
            )
        program = replace(
            program,
            kernel_rules=(*program.kernel_rules, *part.rules),
            negated=(*program.negated, *part.negated),
        )
        sizes_grown |= zip(rows[layer], part.sizes_grown, strict=True)
        inputs = Evaluator(program, below, engine=engine).truth(inputs, targets.atoms)
    of_classes = grow_classes(
        target,
        len(classes),
        inputs,
        rows[layers[-1]].start,
        options,
        simplify=simplify,
        progress=progress,
        combine=combine,
    )
    program = replace(program, class_rules=tuple(of_classes.rules))
    kept = set(sizes_grown) if all_kernels else find_mentioned(program)
    sizes = [of_classes.size_grown, *(size for head, size in sizes_grown.items() if head in kept)]
    program = replace(program, settings=list_sizes_grown(sizes))
    return program if all_kernels else drop_unmentioned(program)
