"""The whole network: class rules over the highest layer, and rules for each layer's kernels over the one below."""

from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
from joblib import Parallel, delayed
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.extract.tree import Leaf, TreeOptions, grow_tree
from eric_fast.program import ClassRule, Program, Rule, atom_of
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantiser import Quantiser


def extract_program(
    bits: BitMatrix,
    quantiser: Quantiser,
    target: Tensor,
    classes: Sequence[str],
    options: TreeOptions | None = None,
    *,
    all_kernels: bool = False,
    progress: Progress = ignore_progress,
) -> Program:
    """A program from the lowest layer of the quantiser up to the classes (ERIC, arXiv 2010.09452).

    Every leaf of the class tree is one rule of its class; every leaf that says true in the tree of a kernel is one
    rule for that kernel. Kernels get rules only where rules above mention them, unless `all_kernels`.

    Args:
        bits: of the quantiser's atoms on the training images.
        target: int64 `[n_images]`, class indices: what the model predicts, or the labels.
        classes: names of all classes, of those that never occur too.

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
    own = _to_columns(bits, quantiser, layers[-1])
    progress("class tree", 0, 1)
    leaves = grow_tree(own, target.numpy(), options)
    progress("class tree", 1, 1)
    class_rules = tuple(
        ClassRule(leaf.answer, _shift(leaf.body, highest.start), leaf.covered, leaf.correct) for leaf in leaves
    )

    kernel_rules: list[Rule] = []
    mentioned = {atom_of(literal) for rule in class_rules for literal in rule.body}
    for below, layer in reversed(list(pairwise(layers))):
        rows = quantiser.rows_of_layer[layer]
        heads = list(rows) if all_kernels else sorted(mentioned)
        columns = _to_columns(bits, quantiser, below)
        rules = _grow_kernel_rules(heads, rows.start, own, columns, options, progress, f"trees of {layer}")
        first_below = quantiser.rows_of_layer[below].start
        rules = [Rule(r.head, _shift(r.body, first_below), r.covered, r.correct) for r in rules]
        mentioned = {atom_of(literal) for rule in rules for literal in rule.body}
        kernel_rules = rules + kernel_rules
        own = columns
    return Program(
        quantiser=quantiser,
        classes=tuple(classes),
        class_rules=class_rules,
        kernel_rules=tuple(kernel_rules),
        n_images=bits.n_samples,
    )


def _grow_kernel_rules(
    heads: Sequence[int],
    first: int,
    own: NDArray[np.float32],
    below: NDArray[np.float32],
    options: TreeOptions,
    progress: Progress,
    stage: str,
) -> list[Rule]:
    """Rules for the atoms `heads` of one layer over the columns of the layer below, with columns as literals."""

    def grow(head: int) -> list[Leaf]:
        return grow_tree(below, own[:, head - first].astype(np.int64), options)

    # Growing holds no lock, so threads share the columns without a copy.
    trees: Iterable[list[Leaf]] = Parallel(n_jobs=-1, prefer="threads", return_as="generator")(
        delayed(grow)(head) for head in heads
    )
    rules: list[Rule] = []
    progress(stage, 0, len(heads))
    for done, (head, leaves) in enumerate(zip(heads, trees, strict=True), 1):
        rules += [Rule(head, leaf.body, leaf.covered, leaf.correct) for leaf in leaves if leaf.answer == 1]
        progress(stage, done, len(heads))
    return rules


def _to_columns(bits: BitMatrix, quantiser: Quantiser, layer: str) -> NDArray[np.float32]:
    names = [atom.name for atom in quantiser.atoms_of_layer(layer)]
    return np.ascontiguousarray(bits.select_atoms(names).to_bools().numpy(), dtype=np.float32)


def _shift(body: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Literals over columns as literals over atoms, where column 0 is atom `first`."""
    return tuple(literal + first if literal >= 0 else literal - first for literal in body)
