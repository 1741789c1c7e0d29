"""Rules of one layer's kernels, and of the classes, from trees over the bits of the layer below."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.errors import CaptureError
from eric_fast.extract.options import TreeOptions
from eric_fast.extract.tree import Leaf, find_ends, grow_trees, list_leaves
from eric_fast.kernels import MOST_TREES, Forest, Stop, never_stop
from eric_fast.processes import Combine, keep
from eric_fast.program import ClassRule, Decision, Program, Rule
from eric_fast.program.atoms import Quantiser
from eric_fast.progress import Progress, ignore_progress
from eric_fast.quantise import ScaledLogits

GROWN_RULES, GROWN_LITERALS = "rules_as_grown", "literals_as_grown"  # keys of a program's settings
Size = tuple[int, int]  # rules, and literals in their bodies


@dataclass(frozen=True)
class Growth:
    """How all trees of a program are grown and turned into rules; see `extract_program`."""

    options: TreeOptions
    simplify: bool = True
    n_trees: int = MOST_TREES
    progress: Progress = ignore_progress
    stop: Stop = never_stop
    combine: Combine = keep
    scores: ScaledLogits | None = None


def check_target(
    bits: BitMatrix, quantiser: Quantiser, target: Tensor, classes: Sequence[str], combine: Combine = keep
) -> int:
    """Check that a program can be extracted; returns the number of images of all processes.

    Raises:
        CaptureError: see `extract_program`.
    """
    misfit = len(target) != bits.n_samples
    n_images, n_targets, n_misfits = combine(torch.tensor([bits.n_samples, len(target), misfit])).tolist()
    if n_misfits or not n_images:
        raise CaptureError(f"there are {n_targets} targets for {n_images} training images; trees need one for each")
    if not quantiser.atoms:
        raise CaptureError("the capture has no kernels, so there is nothing to build rules from")
    if target.ndim > 1:
        n_true = combine(target.sum(dim=0))
        if not bool(((n_true > 0) & (n_true < n_images)).any()):
            raise CaptureError(
                f"each label has one answer on all {n_images} training images, so there is nothing to tell apart; "
                "capture more images, or check the model"
            )
        return int(n_images)
    of_class = combine(target.bincount(minlength=len(classes)))
    if int((of_class > 0).sum()) < 2:
        raise CaptureError(
            f"the target is '{classes[int(of_class.argmax())]}' on all {n_images} training images, so there is nothing "
            "to tell apart; capture images of at least two classes, or check the model if it predicts only one class"
        )
    return int(n_images)


def list_sizes_grown(sizes: Sequence[Size]) -> tuple[tuple[str, str], ...]:
    """The settings of a program for the sizes of its rules as grown, without simplifying."""
    n_rules, n_literals = (sum(size[i] for size in sizes) for i in range(2))
    return ((GROWN_RULES, str(n_rules)), (GROWN_LITERALS, str(n_literals)))


class GrownClasses(NamedTuple):
    """The rules for the classes, and how they decide; see `Program`.

    size_grown: the size of the same tree without simplifying. exceptions: rules for derived atoms.
    """

    rules: list[ClassRule]
    size_grown: Size
    decision: Decision = Decision.FIRST
    base: tuple[float, ...] = ()
    default: int | None = None
    exceptions: Sequence[Rule] = ()

    def complete(self, program: Program) -> Program:
        """The program with these class rules."""
        return replace(
            program, class_rules=tuple(self.rules), decision=self.decision, base=self.base, default=self.default
        )


def grow_classes(target: Tensor, n_classes: int, inputs: BitMatrix, first_input: int, growth: Growth) -> GrownClasses:
    """Grow the class tree, or learn votes if `growth.options` asks for them.

    Args:
        target: int64 `[n_images]`, class indices.
        inputs: the truth of the atoms from `first_input` on.
    """
    options = growth.options
    if options.votes_by is not None:
        from eric_fast.extract.votes import learn_votes  # Numba loads when it is needed

        growth.progress("votes", 0, 1)
        votes = learn_votes(
            inputs,
            first_input,
            target,
            n_classes,
            options.n_votes,
            scores=None if growth.scores is None else growth.scores.values,
            unit=0.0 if growth.scores is None else growth.scores.unit,
            jointly=options.votes_by == "rows",
            by_logistic=options.fit == "logistic",
            combine=growth.combine,
        )
        growth.progress("votes", 1, 1)
        highest = max(range(n_classes), key=lambda c: votes.base[c])  # the lowest of equals
        base = tuple(map(float, votes.base))
        return GrownClasses(votes.rules, (len(votes.rules), len(votes.rules)), Decision.VOTE, base, highest)
    growth.progress("class tree", 0, 1)
    forest = grow_trees(inputs, target, options, n_values=n_classes, combine=growth.combine)
    growth.progress("class tree", 1, 1)
    leaves, grown = _list_both(forest, 0, _find_both_ends(forest, growth))
    rules = [ClassRule(leaf.answer, shift_body(leaf.body, first_input), leaf.covered, leaf.correct) for leaf in leaves]
    return GrownClasses(rules, (len(grown), sum(len(leaf.body) for leaf in grown)))


class GrownLayer(NamedTuple):
    """Rules for the kernels of one layer.

    rules: in the order of their heads. negated: heads whose rules say where they are false.
    sizes_grown: the size of each head's rules without simplifying: one for each leaf that says true.
    exceptions: rules for derived atoms.
    """

    rules: list[Rule]
    negated: list[int]
    sizes_grown: list[Size]
    exceptions: list[Rule]


def grow_layer(
    heads: Sequence[int], targets: BitMatrix, inputs: BitMatrix, first_input: int, growth: Growth
) -> GrownLayer | None:
    """Grow a tree for each of the atoms `heads`. None if `growth.stop` came before the last tree.

    Args:
        targets: the truth of the heads.
        inputs: the truth of the atoms from `first_input` on.
    """
    stage = f"trees of {targets.atoms[0].rpartition(':')[0]}" if heads else "trees"
    growth.progress(stage, 0, len(heads))
    forest = grow_trees(
        inputs,
        targets,
        replace(growth.options, class_weight=None),
        n_trees=growth.n_trees,
        stop=growth.stop,
        progress=lambda n_grown: growth.progress(stage, n_grown, len(heads)),
        combine=growth.combine,
    )
    if len(forest.grown) < len(heads):
        return None
    ends = _find_both_ends(forest, growth)
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
        if growth.simplify and n_literals[1] < n_literals[0]:
            side = sides[1]
            negated.append(head)
        rules += [Rule(head, shift_body(leaf.body, first_input), leaf.covered, leaf.correct) for leaf in side]
    return GrownLayer(rules, negated, sizes_grown, [])


class _Ends(NamedTuple):
    """Nodes at which branches end, bool `[n_nodes]`: in the program, and without simplifying."""

    simple: NDArray[np.bool_]
    plain: NDArray[np.bool_]


def _find_both_ends(forest: Forest, growth: Growth) -> _Ends:
    plain = find_ends(forest, growth.options, merge=False)
    return _Ends(find_ends(forest, growth.options, merge=True) if growth.simplify else plain, plain)


def _list_both(forest: Forest, tree: int, ends: _Ends) -> tuple[list[Leaf], list[Leaf]]:
    """The leaves of a tree in the program, and without simplifying."""
    leaves = list_leaves(forest, tree, ends.simple)
    return leaves, leaves if ends.simple is ends.plain else list_leaves(forest, tree, ends.plain)


def shift_body(body: tuple[int, ...], first: int) -> tuple[int, ...]:
    """Literals over columns as literals over atoms, if column 0 is atom `first`."""
    return tuple(literal + first if literal >= 0 else literal - first for literal in body)
