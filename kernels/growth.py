"""What `grow` takes and returns on every engine, and the checks made first."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from eric_fast.bits import count_words
from eric_fast.errors import EricError, SettingError
from eric_fast.kernels.fixed_point import MAX_WEIGHT
from eric_fast.processes import Combine, keep

ENTROPY, GINI = 0, 1
NO_LIMIT = 2**31 - 1
MOST_TREES = 64  # at the same time: enough to hide the time that a message between processes takes


class Limits(NamedTuple):
    """When a tree stops growing, as in scikit-learn. Limits count samples, whatever they weigh.

    Attributes:
        criterion: `ENTROPY` or `GINI`.
        max_depth, max_leaves: at least 1, or `NO_LIMIT`. With `max_leaves`, the node that gains most is split first.
        min_leaf, min_split: the fewest samples of a leaf, and of a node that is split; both at least 1.
        min_gain: the least by which a split must lower the impurity, weighted by the node's share of all weight.
    """

    criterion: int = ENTROPY
    max_depth: int = NO_LIMIT
    max_leaves: int = NO_LIMIT
    min_leaf: int = 1
    min_split: int = 2
    min_gain: float = 0.0


class Forest(NamedTuple):
    """The trees that were finished. A tree's nodes are in depth-first order: a node, its false branch, its true branch.

    Attributes:
        grown: int64 `[n_trees]`, the targets' numbers, ascending: all, unless growth was stopped.
        offsets: int64 `[n_trees + 1]`: where each tree's nodes begin; node numbers count from there.
        feature: int32 `[n_nodes]`: the atom that a node tests, -1 in a leaf.
        left, right: int32 `[n_nodes]`: the children where it is false and where it is true, -1 in a leaf.
        counts: int32 `[n_nodes, n_values]`: samples of weight above 0 that reach the node, by target value.
        weights: int32 `[n_nodes, n_values]`: what they weigh.
    """

    grown: Tensor
    offsets: Tensor
    feature: Tensor
    left: Tensor
    right: Tensor
    counts: Tensor
    weights: Tensor


Stop = Callable[[], bool]  # called before each tree; True ends growth
TreeProgress = Callable[[int], None]  # called after each tree with the number of trees so far


def never_stop() -> bool:
    """Grow every tree."""
    return False


def ignore_trees(n_trees: int) -> None:
    """Report no progress."""


class GrownTree(NamedTuple):
    """A tree that is finished, its nodes as in `Forest`, numbered from 0: tensors, or arrays where Numba makes them."""

    feature: Any
    left: Any
    right: Any
    counts: Any
    weights: Any


class GrowControl(NamedTuple):
    """How growth is stopped, reported and shared among threads and processes; see `kernels.grow`."""

    stop: Stop = never_stop
    progress: TreeProgress = ignore_trees
    n_threads: int | None = None
    n_trees: int = MOST_TREES
    combine: Combine = keep


class GrownSamples(NamedTuple):
    """What trees are grown on, checked.

    Attributes:
        words: int32 `[n_atoms, n_words]`, bits of `n_samples` samples.
        targets: int32 words `[n_targets, n_words]` of two values each, or int64 values `[n_targets, n_samples]`.
        n_values: how many values a target may have.
        weights: int32 `[n_samples]`, or None where every sample weighs 1.
        value_weights: int32 `[n_values]`: multiply the weights of samples with this target value.
        heaviest: an upper bound on the weight of all samples together, of all processes.
    """

    words: Tensor
    n_samples: int
    targets: Tensor
    n_values: int
    weights: Tensor | None
    value_weights: Tensor
    heaviest: int


def check_count(words: Tensor, masks: Tensor) -> None:
    """Raise EricError unless words and masks are packed rows of the same samples on one device."""
    packed = all(rows.dtype == torch.int32 and rows.ndim == 2 for rows in (words, masks))
    if not packed or words.shape[1] != masks.shape[1] or words.device != masks.device:
        raise EricError(
            "words must be int32 [n_atoms, n_words] and masks int32 [n_masks, n_words] on one device, not "
            f"{_describe(words)} and {_describe(masks)}"
        )


def check_samples(
    words: Tensor,
    n_samples: int,
    targets: Tensor,
    limits: Limits,
    n_values: int | None,
    weights: Tensor | None,
    value_weights: Tensor | None,
    combine: Combine = keep,
) -> GrownSamples:
    """Check the arguments of `kernels.grow`, and fill in defaults.

    Raises:
        EricError: tensors that don't fit each other.
        SettingError: negative weights, weights of more than `MAX_WEIGHT` in all, or limits out of range.
    """
    check_count(words, words)
    if words.shape[1] != count_words(n_samples):
        raise EricError(
            f"{n_samples} samples need {count_words(n_samples)} words, but the atoms' rows have {words.shape[1]}"
        )
    if targets.dtype == torch.int32:
        check_count(words, targets)
        n_values = 2
    elif targets.dtype != torch.int64 or targets.ndim != 2 or targets.shape[1] != n_samples:
        raise EricError(
            "targets must be int32 words [n_targets, n_words] or int64 values [n_targets, n_samples], "
            f"not {_describe(targets)} for {n_samples} samples"
        )
    elif combine is not keep and n_values is None:
        raise EricError("with several processes, n_values must be given: no process sees every target value")
    elif targets.numel():
        lowest, highest = int(targets.min()), int(targets.max())
        n_values = highest + 1 if n_values is None else n_values
        if lowest < 0 or highest >= n_values:
            raise EricError(
                f"target values must lie between 0 and {n_values - 1}, but these lie between {lowest} and {highest}"
            )
    n_values = n_values or 1
    for name, given, length in (("sample", weights, n_samples), ("value", value_weights, n_values)):
        if given is None:
            continue
        if given.dtype.is_floating_point or given.dtype == torch.bool or given.shape != (length,):
            raise EricError(f"{name} weights must be {length} integers, not {_describe(given)}")
        if len(given) and int(given.min()) < 0:
            raise SettingError(f"a {name} weight is {int(given.min())}, but weights can't be negative")
    if value_weights is None:
        value_weights = torch.ones(n_values, dtype=torch.int64)
    own_weight = n_samples if weights is None else int(weights.double().sum())
    heaviest = int(value_weights.max()) * int(combine(torch.tensor([own_weight]))[0])
    if heaviest > MAX_WEIGHT:
        raise SettingError(
            f"the samples weigh up to {heaviest:,} in all, but trees are grown exactly up to {MAX_WEIGHT:,} only; "
            "divide the weights by a common factor, or use fewer samples"
        )
    if limits.criterion not in (ENTROPY, GINI) or min(limits[1:5]) < 1:
        raise SettingError(f"the criterion must be ENTROPY or GINI and other limits at least 1, not {limits}")
    weights = None if weights is None else weights.int()
    return GrownSamples(words, n_samples, targets, n_values, weights, value_weights.int(), heaviest)


def join_grown_trees(trees: dict[int, GrownTree], n_values: int) -> Forest:
    """Join trees, by the numbers of their targets, to one forest."""
    grown = sorted(trees)
    empty = torch.zeros(0, dtype=torch.int32)
    by_value = empty.view(0, 1).expand(0, n_values)
    parts = [GrownTree(empty, empty, empty, by_value, by_value), *(trees[target] for target in grown)]
    sizes = torch.tensor([0] + [len(trees[target].feature) for target in grown])
    return Forest(torch.tensor(grown, dtype=torch.int64), sizes.cumsum(0), *map(torch.cat, zip(*parts, strict=True)))


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} on {tensor.device}"
