"""The whole network: class rules over the highest layer, and rules for each layer's kernels over the one below."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.extract.tree import Leaf, TreeOptions, find_ends, grow_trees, list_leaves
from eric_fast.kernels import Forest, Stop, never_stop
from eric_fast.processes import Combine, keep
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress, ignore_progress

logger = logging.getLogger(__name__)
GROWN_RULES, GROWN_LITERALS = "rules_as_grown", "literals_as_grown"  # keys of a program's settings


def extract_program(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    options: TreeOptions | None = None,
    *,
    all_kernels: bool = False,
    simplify: bool = True,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
    combine: Combine = keep,
) -> Program:
    """A program from the lowest layer of the quantiser up to the classes (ERIC, arXiv 2010.09452).

    Every leaf of the class tree is one rule of its class; every leaf that says true in the tree of a kernel is one
    rule for that kernel. Kernels get rules only where rules above mention them, unless `all_kernels`. What the same
    trees would be without `simplify` stands in the program's settings: `rules_as_grown`, `literals_as_grown`.

    Args:
        bits: of the quantiser's atoms on the training images.
        target: int64 `[n_images]`, class indices: what the model predicts, or the labels.
        options: of all trees; class weights are the class tree's alone.
        classes: names of all classes, of those that never occur too.
        simplify: merge sibling leaves with one answer, and write the polarity of a kernel that takes fewer literals:
            its rules then say where it is false (`Program.negated`). No answer changes on any input.
        stop: asked before each tree of a kernel, from any thread. Once it is true, the program starts at the lowest
            layer above which all trees are finished, and that is logged.

    Raises:
        CaptureError: a target that never changes, or not as many targets as images.
    """
    options = options or TreeOptions()
    n_images = check_target(bits, quantiser, target, classes, combine)
    layers = quantiser.layers
    own, highest = _take_layer(bits, quantiser, layers[-1]), quantiser.rows_of_layer[layers[-1]].start
    of_classes = grow_classes(
        target, len(classes), own, highest, options, simplify=simplify, progress=progress, combine=combine
    )

    layers_rules: list[LayerRules] = []
    mentioned = {atom_of(literal) for rule in of_classes.rules for literal in rule.body}
    lowest = layers[-1]
    for below, layer in reversed(list(pairwise(layers))):
        heads = list(quantiser.rows_of_layer[layer]) if all_kernels else sorted(mentioned)
        targets = bits.select_atoms([bits.atoms[head] for head in heads])
        inputs, first = _take_layer(bits, quantiser, below), quantiser.rows_of_layer[below].start
        part = grow_layer(
            heads, targets, inputs, first, options, simplify=simplify, progress=progress, stop=stop, combine=combine
        )
        if part is None:
            logger.warning("stopped before all trees of layer '%s' were grown: the program starts at that layer", layer)
            break
        layers_rules.insert(0, part)
        mentioned = {atom_of(literal) for rule in part.rules for literal in rule.body}
        lowest = below
    sizes = [of_classes.size_grown, *(size for part in layers_rules for size in part.sizes_grown)]
    program = Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=tuple(of_classes.rules),
        kernel_rules=tuple(rule for part in layers_rules for rule in part.rules),
        negated=tuple(atom for part in layers_rules for atom in part.negated),
        n_images=n_images,
        settings=list_sizes_grown(sizes),
    )
    return program.start_at(lowest)


def check_target(
    bits: BitMatrix, quantiser: Quantiser, target: Tensor, classes: Sequence[str], combine: Combine = keep
) -> int:
    """Refuse what no program can be extracted from; see `extract_program`. How many images all processes have."""
    misfit = len(target) != bits.n_samples
    n_images, n_targets, n_misfits = combine(torch.tensor([bits.n_samples, len(target), misfit])).tolist()
    if n_misfits or not n_images:
        raise CaptureError(f"{n_targets} targets for {n_images} training images; trees need one for each")
    if not quantiser.atoms:
        raise CaptureError("the capture has no kernels, so there is nothing to build rules from")
    of_class = combine(target.bincount(minlength=len(classes)))
    if int((of_class > 0).sum()) < 2:
        raise CaptureError(
            f"the target is '{classes[int(of_class.argmax())]}' on all {n_images} training images, so there is nothing "
            "to tell apart; capture images of at least two classes, or mend the model if it predicts one class alone"
        )
    return int(n_images)


Size = tuple[int, int]  # rules, and literals in their bodies


def list_sizes_grown(sizes: Sequence[Size]) -> tuple[tuple[str, str], ...]:
    """The settings of a program whose trees, without simplifying, give rules of these sizes."""
    n_rules, n_literals = (sum(size[i] for size in sizes) for i in range(2))
    return ((GROWN_RULES, str(n_rules)), (GROWN_LITERALS, str(n_literals)))


class ClassRules(NamedTuple):
    """The leaves of a class tree. size_grown: of the same tree without simplifying."""

    rules: list[ClassRule]
    size_grown: Size


def grow_classes(
    target: Tensor,
    n_classes: int,
    inputs: BitMatrix,
    first_input: int,
    options: TreeOptions,
    *,
    simplify: bool = True,
    progress: Progress = ignore_progress,
    combine: Combine = keep,
) -> ClassRules:
    """Rules for the classes `target`, int64 `[n_images]`, over atoms `first_input` on, whose truth is `inputs`."""
    progress("class tree", 0, 1)
    forest = grow_trees(inputs, target, options, n_values=n_classes, combine=combine)
    progress("class tree", 1, 1)
    leaves, grown = _list_both(forest, 0, _find_both_ends(forest, options, simplify=simplify))
    rules = [ClassRule(leaf.answer, _shift(leaf.body, first_input), leaf.covered, leaf.correct) for leaf in leaves]
    return ClassRules(rules, (len(grown), sum(len(leaf.body) for leaf in grown)))


class LayerRules(NamedTuple):
    """Rules for the kernels of one layer.

    rules: by head, in the order of heads. negated: heads whose rules say where they are false.
    sizes_grown: of each head's tree without simplifying: a rule for each leaf that says true.
    """

    rules: list[Rule]
    negated: list[int]
    sizes_grown: list[Size]


def grow_layer(
    heads: Sequence[int],
    targets: BitMatrix,
    inputs: BitMatrix,
    first_input: int,
    options: TreeOptions,
    *,
    simplify: bool = True,
    progress: Progress = ignore_progress,
    stop: Stop = never_stop,
    combine: Combine = keep,
) -> LayerRules | None:
    """Rules for the atoms `heads`, whose truth is `targets`, over atoms `first_input` on, whose truth is `inputs`.

    None where `stop` came before the last tree.
    """
    stage = f"trees of {targets.atoms[0].rpartition(':')[0]}" if heads else "trees"
    progress(stage, 0, len(heads))
    forest = grow_trees(
        inputs,
        targets,
        replace(options, class_weight=None),
        stop=stop,
        progress=lambda n_trees: progress(stage, n_trees, len(heads)),
        combine=combine,
    )
    if len(forest.grown) < len(heads):
        return None
    ends = _find_both_ends(forest, options, simplify=simplify)
    rules: list[Rule] = []
    negated: list[int] = []
    sizes_grown: list[Size] = []
    for tree, head in enumerate(heads):
        leaves, grown = _list_both(forest, tree, ends)
        bodies = [leaf.body for leaf in grown if leaf.answer]
        sizes_grown.append((len(bodies), sum(map(len, bodies))))
        sides = [[leaf for leaf in leaves if leaf.answer == answer] for answer in (1, 0)]
        n_literals = [sum(len(leaf.body) for leaf in side) for side in sides]
        side = sides[0]
        if simplify and n_literals[1] < n_literals[0]:
            side = sides[1]
            negated.append(head)
        rules += [Rule(head, _shift(leaf.body, first_input), leaf.covered, leaf.correct) for leaf in side]
    return LayerRules(rules, negated, sizes_grown)


_BothEnds = tuple[NDArray[np.bool_], NDArray[np.bool_]]


def _find_both_ends(forest: Forest, options: TreeOptions, *, simplify: bool) -> _BothEnds:
    """Where branches end in the program, and where they would without simplifying."""
    plain = find_ends(forest, options, merge=False)
    return (find_ends(forest, options, merge=True) if simplify else plain), plain


def _list_both(forest: Forest, tree: int, ends: _BothEnds) -> tuple[list[Leaf], list[Leaf]]:
    simple, plain = ends
    leaves = list_leaves(forest, tree, simple)
    return leaves, leaves if simple is plain else list_leaves(forest, tree, plain)


def _take_layer(bits: BitMatrix, quantiser: Quantiser, layer: str) -> BitMatrix:
    return bits.select_atoms(quantiser.names_of_layer[layer])


def _shift(body: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Literals over columns as literals over atoms, where column 0 is atom `first`."""
    return tuple(literal + first if literal >= 0 else literal - first for literal in body)
