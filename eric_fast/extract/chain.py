"""The whole network: class rules over the highest layer, and rules for each layer's kernels over the one below."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.extract.tree import TreeOptions, grow_trees, list_leaves
from eric_fast.kernels import Stop, never_stop
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantiser import Quantiser

logger = logging.getLogger(__name__)


def extract_program(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    options: TreeOptions | None = None,
    *,
    all_kernels: bool = False,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
) -> Program:
    """A program from the lowest layer of the quantiser up to the classes (ERIC, arXiv 2010.09452).

    Every leaf of the class tree is one rule of its class; every leaf that says true in the tree of a kernel is one
    rule for that kernel. Kernels get rules only where rules above mention them, unless `all_kernels`.

    Args:
        bits: of the quantiser's atoms on the training images.
        target: int64 `[n_images]`, class indices: what the model predicts, or the labels.
        options: of all trees; class weights are the class tree's alone.
        classes: names of all classes, of those that never occur too.
        stop: asked before each tree of a kernel, from any thread. Once it is true, the program starts at the lowest
            layer above which all trees are finished, and that is logged.

    Raises:
        CaptureError: a target that never changes, or not as many targets as images.
    """
    options = options or TreeOptions()
    if len(target) != bits.n_samples or not bits.n_samples:
        raise CaptureError(f"{len(target)} targets for {bits.n_samples} training images; trees need one for each")
    if not quantiser.atoms:
        raise CaptureError("the capture has no kernels, so there is nothing to build rules from")
    if len(target.unique()) < 2:
        raise CaptureError(
            f"the target is '{classes[int(target[0])]}' on all {len(target)} training images, so there is nothing to "
            "tell apart; capture images of at least two classes, or mend the model if it predicts one class alone"
        )
    layers = quantiser.layers
    highest = quantiser.rows_of_layer[layers[-1]]
    own = _take_layer(bits, quantiser, layers[-1])
    progress("class tree", 0, 1)
    forest = grow_trees(own, target, options, n_values=len(classes))
    progress("class tree", 1, 1)
    class_rules = tuple(
        ClassRule(leaf.answer, _shift(leaf.body, highest.start), leaf.covered, leaf.correct)
        for leaf in list_leaves(forest, 0)
    )

    kernel_rules: list[Rule] = []
    mentioned = {atom_of(literal) for rule in class_rules for literal in rule.body}
    lowest = layers[-1]
    for below, layer in reversed(list(pairwise(layers))):
        rows = quantiser.rows_of_layer[layer]
        heads = list(rows) if all_kernels else sorted(mentioned)
        inputs = _take_layer(bits, quantiser, below)
        rules = _grow_kernel_rules(heads, bits, inputs, options, progress, f"trees of {layer}", stop)
        if rules is None:
            logger.warning("stopped before all trees of layer '%s' were grown: the program starts at that layer", layer)
            break
        first_below = quantiser.rows_of_layer[below].start
        rules = [Rule(r.head, _shift(r.body, first_below), r.covered, r.correct) for r in rules]
        mentioned = {atom_of(literal) for rule in rules for literal in rule.body}
        kernel_rules = rules + kernel_rules
        lowest = below
    program = Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=class_rules,
        kernel_rules=tuple(kernel_rules),
        n_images=bits.n_samples,
    )
    return program.start_at(lowest)


def _grow_kernel_rules(
    heads: Sequence[int],
    bits: BitMatrix,
    inputs: BitMatrix,
    options: TreeOptions,
    progress: Progress,
    stage: str,
    stop: Stop,
) -> list[Rule] | None:
    """Rules for the atoms `heads` of one layer over the rows of `inputs` as literals; None where `stop` came first."""
    targets = bits.select_atoms([bits.atoms[head] for head in heads])
    progress(stage, 0, len(heads))
    forest = grow_trees(
        inputs,
        targets,
        replace(options, class_weight=None),
        stop=stop,
        report=lambda n_trees: progress(stage, n_trees, len(heads)),
    )
    if len(forest.grown) < len(heads):
        return None
    return [
        Rule(head, leaf.body, leaf.covered, leaf.correct)
        for tree, head in enumerate(heads)
        for leaf in list_leaves(forest, tree)
        if leaf.answer == 1
    ]


def _take_layer(bits: BitMatrix, quantiser: Quantiser, layer: str) -> BitMatrix:
    return bits.select_atoms([atom.name for atom in quantiser.atoms_of_layer(layer)])


def _shift(body: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Literals over columns as literals over atoms, where column 0 is atom `first`."""
    return tuple(literal + first if literal >= 0 else literal - first for literal in body)
