"""Rules of a layer's kernels, and of the classes, by the learner that the options name."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from torch import Tensor

from eric_fast.bits import BitMatrix
from eric_fast.extract.fold_rules import count_heads, fold_classes, fold_layer, name_exceptions
from eric_fast.extract.label_rules import learn_labels
from eric_fast.extract.layer import GrownClasses, GrownLayer, Growth, grow_classes, grow_layer
from eric_fast.program import Program, Rule, atom_of

_AnyRule = TypeVar("_AnyRule", bound=Rule)


def learn_classes(
    target: Tensor, n_classes: int, inputs: BitMatrix, atoms: Sequence[int], first_derived: int, growth: Growth
) -> GrownClasses:
    """Learn class rules, or votes.

    Args:
        target: int64 `[n_images]`, class indices; or bool `[n_images, n_labels]`, for rules of labels.
        inputs: the truth of `atoms`.
        first_derived: the number of the first atom for exceptions.
    """
    first = atoms[0] if isinstance(atoms, range) else 0
    if target.ndim > 1:
        found = learn_labels(target, inputs, first, first_derived, growth)
    elif growth.options.classes_by == "fold" and growth.options.votes_by is None:
        found = fold_classes(target, n_classes, inputs, first, first_derived, growth)
    else:
        found = grow_classes(target, n_classes, inputs, first, growth)
    if isinstance(atoms, range):
        return found
    return found._replace(rules=_move_bodies(found.rules, atoms), exceptions=_move_bodies(found.exceptions, atoms))


def learn_layer(
    heads: Sequence[int],
    targets: BitMatrix,
    inputs: Sequence[BitMatrix],
    atoms: Sequence[int],
    first_derived: int,
    growth: Growth,
) -> GrownLayer | None:
    """Learn rules for each of the atoms `heads`. None if `growth.stop` came before the last of them was learned.

    Args:
        targets: the truth of the heads.
        inputs: the truth of `atoms`; weight rules may learn from several lots of it.
        first_derived: see `learn_classes`.
    """
    first = atoms[0] if isinstance(atoms, range) else 0
    found = _learn_layer(heads, targets, inputs, first, first_derived, growth)
    if found is None or isinstance(atoms, range):
        return found
    return found._replace(rules=_move_bodies(found.rules, atoms), exceptions=_move_bodies(found.exceptions, atoms))


def _learn_layer(
    heads: Sequence[int],
    targets: BitMatrix,
    inputs: Sequence[BitMatrix],
    first_input: int,
    first_derived: int,
    growth: Growth,
) -> GrownLayer | None:
    if growth.options.kernels_by == "weights":
        from eric_fast.extract.heads import learn_heads  # Numba loads when it is needed

        return None if growth.stop() else learn_heads(heads, targets, inputs, first_input, growth)
    (own,) = inputs
    if growth.options.kernels_by == "fold":
        return fold_layer(heads, targets, own, first_input, first_derived, growth)
    return grow_layer(heads, targets, own, first_input, growth)


def _move_bodies(rules: Sequence[_AnyRule], atoms: Sequence[int]) -> list[_AnyRule]:
    """Rules over columns as rules over the atoms of these; literals of derived atoms, which are past all, stay."""

    def move(literal: int) -> int:
        atom = atom_of(literal)
        place = atoms[atom] if atom < len(atoms) else atom
        return place if literal >= 0 else ~place

    return [replace(rule, body=tuple(map(move, rule.body))) for rule in rules]


def add_layer(program: Program, part: GrownLayer) -> Program:
    """The program with the rules of one more layer, and its exceptions as derived atoms after those that it has."""
    return replace(
        program,
        kernel_rules=(*program.kernel_rules, *part.rules, *part.exceptions),
        negated=(*program.negated, *part.negated),
        derived=name_exceptions(len(program.derived) + count_heads(part.exceptions)),
    )
