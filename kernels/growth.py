"""What growing trees takes and gives on every engine, and the checks made first."""

from collections.abc import Callable
from typing import NamedTuple

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
    """Where a tree stops, in samples, whatever they weigh; the meaning is scikit-learn's.

    criterion: `ENTROPY` or `GINI`.
    max_depth, max_leaves: at least 1, `NO_LIMIT` for none. Where leaves are limited, what gains most is split first.
    min_leaf, min_split: samples in a leaf, and in a node that is split, at least; both at least 1.
    min_gain: what a split must lower the impurity by, weighted by the node's share of all weight, at least.
    """

    criterion: int = ENTROPY
    max_depth: int = NO_LIMIT
    max_leaves: int = NO_LIMIT
    min_leaf: int = 1
    min_split: int = 2
    min_gain: float = 0.0


class Forest(NamedTuple):
    """One tree per target that was finished, its nodes one after another: a node, its false branch, its true branch.

    grown: int64 `[n_trees]`, the targets' numbers, ascending: all, unless growth was stopped.
    offsets: int64 `[n_trees + 1]`: where each tree's nodes begin; node numbers count from there.
    feature: int32 `[n_nodes]`, the atom that a node asks about, -1 in a leaf.
    left, right: int32 `[n_nodes]`, the nodes where it is false and where it is true, -1 in a leaf.
    counts: int32 `[n_nodes, n_values]`, samples of weight above 0 that reach the node, by target value.
    weights: int32 `[n_nodes, n_values]`, what they weigh.
    """

    grown: Tensor
    offsets: Tensor
    feature: Tensor
    left: Tensor
    right: Tensor
    counts: Tensor
    weights: Tensor


Stop = Callable[[], bool]  # asked before each tree: whether to grow no more
TreeProgress = Callable[[int], None]  # told after each tree how many there are


def never_stop() -> bool:
    """Grow every tree."""
    return False


def ignore_trees(n_trees: int) -> None:
    """Report no progress."""


class GrownTree(NamedTuple):
    """A tree that is finished, its nodes as in `Forest`, numbered from 0."""

    feature: Tensor
    left: Tensor
    right: Tensor
    counts: Tensor
    weights: Tensor


class GrowControl(NamedTuple):
    """How growth is stopped, reported and shared among threads and processes; see `kernels.grow`."""

    stop: Stop = never_stop
    progress: TreeProgress = ignore_trees
    n_threads: int | None = None
    n_trees: int = MOST_TREES
    combine: Combine = keep


class Samples(NamedTuple):
    """What trees are grown on, checked.

    words: int32 `[n_atoms, n_words]`. n_samples: how many samples the rows hold.
    targets: int32 words `[n_targets, n_words]` of two values each, or int64 values `[n_targets, n_samples]`.
    n_values: how many values a target may have.
    weights: int32 `[n_samples]`, or None where every sample weighs 1. value_weights: int32 `[n_values]`.
    heaviest: what all samples may weigh together.
    """

    words: Tensor
    n_samples: int
    targets: Tensor
    n_values: int
    weights: Tensor | None
    value_weights: Tensor
    heaviest: int


def check_count(words: Tensor, masks: Tensor) -> None:
    """Refuse words and masks that are not packed rows of the same samples on one device."""
    packed = all(rows.dtype == torch.int32 and rows.ndim == 2 for rows in (words, masks))
    if not packed or words.shape[1] != masks.shape[1] or words.device != masks.device:
        raise EricError(
            "counting takes int32 words [n_atoms, n_words] and masks [n_masks, n_words] on one device, not "
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
) -> Samples:
    """The arguments of growth, with defaults filled in; `heaviest` is of all processes.

    Raises:
        EricError: tensors that don't belong together. SettingError: weights past what integers hold.
    """
    check_count(words, words)
    if words.shape[1] != count_words(n_samples):
        raise EricError(
            f"{n_samples} samples are {count_words(n_samples)} words, the atoms' rows have {words.shape[1]}"
        )
    if targets.dtype == torch.int32:
        check_count(words, targets)
        n_values = 2
    elif targets.dtype != torch.int64 or targets.ndim != 2 or targets.shape[1] != n_samples:
        raise EricError(
            "targets are int32 words [n_targets, n_words] or int64 values [n_targets, n_samples], "
            f"not {_describe(targets)} for {n_samples} samples"
        )
    elif combine is not keep and n_values is None:
        raise EricError("where targets are spread over processes, n_values must be given: none of them sees all")
    elif targets.numel():
        lowest, highest = int(targets.min()), int(targets.max())
        n_values = highest + 1 if n_values is None else n_values
        if lowest < 0 or highest >= n_values:
            raise EricError(f"target values lie between 0 and {n_values - 1}, not {lowest} and {highest}")
    n_values = n_values or 1
    for name, given, length in (("sample", weights, n_samples), ("value", value_weights, n_values)):
        if given is None:
            continue
        if given.dtype.is_floating_point or given.dtype == torch.bool or given.shape != (length,):
            raise EricError(f"{name} weights are {length} integers, not {_describe(given)}")
        if len(given) and int(given.min()) < 0:
            raise SettingError(f"a {name} weight is {int(given.min())}; weights are whole numbers from 0")
    if value_weights is None:
        value_weights = torch.ones(n_values, dtype=torch.int64)
    own_weight = n_samples if weights is None else int(weights.double().sum())
    heaviest = int(value_weights.max()) * int(combine(torch.tensor([own_weight]))[0])
    if heaviest > MAX_WEIGHT:
        raise SettingError(
            f"the samples weigh up to {heaviest:,} in all, more than the {MAX_WEIGHT:,} that growth counts exactly; "
            "divide the weights by a common factor, or take fewer samples"
        )
    if limits.criterion not in (ENTROPY, GINI) or min(limits[1:5]) < 1:
        raise SettingError(f"trees can't be grown to {limits}")
    weights = None if weights is None else weights.int()
    return Samples(words, n_samples, targets, n_values, weights, value_weights.int(), heaviest)


def join_trees(trees: dict[int, GrownTree], n_values: int) -> Forest:
    """Join trees, by the numbers of their targets, to one forest."""
    grown = sorted(trees)
    empty = torch.zeros(0, dtype=torch.int32)
    by_value = empty.view(0, 1).expand(0, n_values)
    parts = [GrownTree(empty, empty, empty, by_value, by_value), *(trees[target] for target in grown)]
    sizes = torch.tensor([0] + [len(trees[target].feature) for target in grown])
    return Forest(torch.tensor(grown, dtype=torch.int64), sizes.cumsum(0), *map(torch.cat, zip(*parts, strict=True)))


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)} on {tensor.device}"
