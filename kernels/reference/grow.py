"""`grow`: what it means, level by level in plain tensors on any device; the GPU grows so, too, with its own `count`.

A node is a row of bits, the samples that reach it: a child's row is the AND of its parent's and an atom's.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from heapq import heappop, heappush

import torch
from torch import Tensor

from eric_fast.bits import mask_tail, pack_bits
from eric_fast.kernels.fixed_point import MAX_WEIGHT, SCALE_BITS, make_entropy_table
from eric_fast.kernels.growth import (
    ENTROPY,
    NO_LIMIT,
    Forest,
    GrowControl,
    GrownSamples,
    GrownTree,
    Limits,
    join_grown_trees,
)
from eric_fast.kernels.reference.count import count
from eric_fast.processes import Combine

Count = Callable[[Tensor, Tensor], Tensor]


@dataclass
class _Node:
    """Its samples by target value, what they weigh; once a split is found its gain, and the same of its true side."""

    target: int
    number: int
    depth: int
    mask: Tensor
    counts: list[int]
    weights: list[int]
    atom: int = -1
    gain: int = 0
    true_counts: list[int] = field(default_factory=list)
    true_weights: list[int] = field(default_factory=list)
    children: tuple["_Node", "_Node"] | None = None


def grow(samples: GrownSamples, limits: Limits, control: GrowControl) -> Forest:
    """Grow a tree for every target; see `kernels.grow`."""
    return grow_by_level(samples, limits, control, count)


def grow_by_level(samples: GrownSamples, limits: Limits, control: GrowControl, count: Count) -> Forest:
    """As `grow`, with an engine's `count`. `control.stop` is asked between batches of targets.

    Every decision depends on counts alone, so samples may be spread over processes: `control.combine` adds them up.
    """
    trees: dict[int, GrownTree] = {}
    table = make_entropy_table(samples.heaviest if limits.criterion == ENTROPY else 0)
    grower = _Grower(samples, limits, count, torch.from_numpy(table).to(samples.words.device), control.combine)
    for first in range(0, len(samples.targets), control.n_trees):
        if int(control.combine(torch.tensor([int(control.stop())]))[0]):
            break
        numbers = range(first, min(first + control.n_trees, len(samples.targets)))
        for number, root in zip(numbers, grower.grow_batch(numbers), strict=True):
            trees[number] = _flatten(root)
            control.progress(len(trees))
    return join_grown_trees(trees, samples.n_values)


class _Grower:
    """What all batches share."""

    def __init__(self, samples: GrownSamples, limits: Limits, count: Count, table: Tensor, combine: Combine) -> None:
        self.samples, self.limits, self.table = samples, limits, table
        self.count: Count = lambda atoms, masks: combine(count(atoms, masks))
        self.device = samples.words.device
        self.value_weights = samples.value_weights.long().to(self.device)
        weights = torch.ones(samples.n_samples, dtype=torch.int32) if samples.weights is None else samples.weights
        lengths = torch.zeros(MAX_WEIGHT.bit_length() + 1, dtype=torch.int32)  # how long weights are, in bits
        lengths[int(weights.max()).bit_length() if len(weights) else 0] = 1
        n_planes = max(1, int(combine(lengths).nonzero().max()))
        planes = (weights[:, None] >> torch.arange(n_planes)) & 1
        self.planes = pack_bits(planes.bool().to(self.device))  # [n_planes, n_words]: the bits of the weights
        self.weighty = pack_bits((weights > 0)[:, None].to(self.device))  # [1, n_words]
        self.weighted = samples.weights is not None

    def grow_batch(self, numbers: range) -> list[_Node]:
        self.masks = self._mask_values(numbers)  # [n_targets, n_values, n_words]
        everyone = mask_tail(torch.full_like(self.weighty, -1), self.samples.n_samples)
        all_counts, all_weights = self._count_masks(everyone, self.masks.flatten(0, 1))
        shape = (len(numbers), self.samples.n_values)
        roots = []
        for i in range(len(numbers)):
            counts, weights = (part.view(shape)[i].tolist() for part in (all_counts, all_weights))
            mask = self.masks[i].sum(dim=0, dtype=torch.int32)  # values exclude each other: a sum is an OR
            roots.append(_Node(i, 0, 0, mask, counts, weights))
        self.needs = [
            int(self.limits.min_gain * float(sum(root.weights)) * 2.0**SCALE_BITS) - 3 * (self.samples.n_values + 1)
            for root in roots
        ]
        n_nodes, n_leaves = [1] * len(roots), [1] * len(roots)
        opened: list[list[tuple[int, int, _Node]]] = [[] for _ in roots]
        fresh = roots
        while True:
            for node in self._find_splits(fresh):
                heappush(opened[node.target], (-node.gain, node.number, node))
            chosen = []
            for target, heap in enumerate(opened):
                while heap and n_leaves[target] < self.limits.max_leaves:
                    node = heappop(heap)[2]
                    n_leaves[target] += 1
                    self._split(node, n_nodes[target])
                    n_nodes[target] += 2
                    chosen.append(node)
                    if self.limits.max_leaves != NO_LIMIT:
                        break  # its children may gain more than the next
            if not chosen:
                return roots
            fresh = [child for node in chosen for child in node.children or ()]

    def _mask_values(self, numbers: range) -> Tensor:
        targets = self.samples.targets[numbers.start : numbers.stop]
        if targets.dtype == torch.int32:
            masks = torch.stack((~targets, targets), dim=1)
        else:
            values = torch.arange(self.samples.n_values, device=self.device)
            masks = torch.stack([pack_bits(target[:, None] == values) for target in targets])
        return masks & self.weighty * (self.value_weights > 0).int()[:, None]

    def _count_masks(self, atoms: Tensor, masks: Tensor) -> tuple[Tensor, Tensor]:
        """Samples, and what they weigh: int64 `[n_masks, n_atoms]`; masks of one target value after the other."""
        counts = self.count(atoms, masks).long()
        weights = counts
        if self.weighted:
            weights = torch.zeros_like(counts)
            for bit, plane in enumerate(self.planes):
                weights += self.count(atoms, masks & plane).long() << bit
        return counts, weights * self.value_weights.repeat(len(masks) // len(self.value_weights))[:, None]

    def _find_splits(self, nodes: list[_Node]) -> list[_Node]:
        """Those of the nodes that may be split and have a split that gains enough, with the best one."""
        nodes = [node for node in nodes if self._may_split(node)]
        if not nodes or not len(self.samples.words) or self.limits.max_leaves == 1:
            return []
        masks = torch.stack([node.mask & self.masks[node.target] for node in nodes])  # [n, n_values, n_words]
        counts, weights = (
            part.view(len(nodes), self.samples.n_values, -1)
            for part in self._count_masks(self.samples.words, masks.flatten(0, 1))
        )
        n = torch.tensor([sum(node.counts) for node in nodes], device=self.device)[:, None]
        size = counts.sum(dim=1)
        inside = (size >= self.limits.min_leaf) & (n - size >= self.limits.min_leaf)  # [n, n_atoms]
        whole = torch.tensor([node.weights for node in nodes], device=self.device)[:, :, None]  # [n, n_values, 1]
        found = self._find_entropy if self.limits.criterion == ENTROPY else self._find_gini
        split = []
        for node, atom, gain in zip(nodes, *found(weights, whole, inside), strict=True):
            if atom >= 0 and gain >= self.needs[node.target]:
                node.atom, node.gain = atom, gain
                split.append(node)
        rows = [i for i, node in enumerate(nodes) if node.atom >= 0]
        atoms = [node.atom for node in split]
        for node, true_counts, true_weights in zip(
            split, counts[rows, :, atoms].tolist(), weights[rows, :, atoms].tolist(), strict=True
        ):
            node.true_counts, node.true_weights = true_counts, true_weights
        return split

    def _may_split(self, node: _Node) -> bool:
        enough = max(self.limits.min_split, 2 * self.limits.min_leaf)
        impure = sum(count > 0 for count in node.counts) > 1
        return impure and sum(node.counts) >= enough and node.depth < self.limits.max_depth

    def _find_entropy(self, true: Tensor, whole: Tensor, inside: Tensor) -> tuple[list[int], list[int]]:
        table = self.table
        gains = table[true].sum(dim=1) + table[whole - true].sum(dim=1)
        weight, t = whole.sum(dim=1), true.sum(dim=1)
        gains += table[weight] - table[whole].sum(dim=1) - table[t] - table[weight - t]
        gains = gains.where(inside, torch.iinfo(torch.int64).min)
        most = gains.max(dim=1, keepdim=True).values
        numbers = torch.arange(gains.shape[1], device=self.device)
        atoms = numbers.where((gains == most) & inside, gains.shape[1]).min(dim=1).values  # the lowest of equals
        atoms = atoms.where(inside.any(dim=1), -1)
        return atoms.tolist(), most[:, 0].tolist()

    def _find_gini(self, true: Tensor, whole: Tensor, inside: Tensor) -> tuple[list[int], list[int]]:
        false = whole - true
        sums = [part.square().sum(dim=1) for part in (false, true)]
        sides = [part.sum(dim=1) for part in (false, true)]
        # Float64 is off by a few roundings: it leaves a few atoms to be compared as fractions.
        purity = sum(s.double() / w.double().clamp(min=1) for s, w in zip(sums, sides, strict=True))
        purity = torch.as_tensor(purity).where(inside, -1.0)
        near = inside & (purity >= purity.max(dim=1, keepdim=True).values * (1 - 2.0**-50))
        atoms, gains = [], []
        for row in range(len(true)):
            best, most, gain = -1, Fraction(-1), 0
            for atom in near[row].nonzero().flatten().tolist():
                parts = [(int(s[row, atom]), int(w[row, atom])) for s, w in zip(sums, sides, strict=True)]
                exact = sum((Fraction(*part) for part in parts), Fraction(0))
                if exact > most:
                    best, most, gain = atom, exact, sum(_divide(*part) for part in parts)
            weights = whole[row, :, 0].tolist()
            atoms.append(best)
            gains.append(gain - _divide(sum(w * w for w in weights), sum(weights)))
        return atoms, gains

    def _split(self, node: _Node, number: int) -> None:
        row = self.samples.words[node.atom]
        sides = (
            (
                ~row,
                [a - b for a, b in zip(node.counts, node.true_counts, strict=True)],
                [a - b for a, b in zip(node.weights, node.true_weights, strict=True)],
            ),
            (row, node.true_counts, node.true_weights),
        )
        left, right = (
            _Node(node.target, number + i, node.depth + 1, node.mask & bits, counts, weights)
            for i, (bits, counts, weights) in enumerate(sides)
        )
        node.children = (left, right)
        node.mask = row[:0]  # its children's rows hold all that is still asked for


def _divide(number: int, by: int) -> int:
    return (number << SCALE_BITS) // by


def _flatten(root: _Node) -> GrownTree:
    """Number a tree's nodes as in `Forest`."""
    feature: list[int] = []
    left: list[int] = []
    right: list[int] = []
    counts, weights = [], []
    pending: list[tuple[_Node, int]] = [(root, -1)]  # a node, and whose true branch it is
    while pending:
        node, parent = pending.pop()
        number = len(feature)
        if parent >= 0:
            right[parent] = number
        feature.append(node.atom if node.children else -1)
        left.append(number + 1 if node.children else -1)
        right.append(-1)
        counts.append(node.counts)
        weights.append(node.weights)
        if node.children:
            pending += [(node.children[1], number), (node.children[0], -1)]
    return GrownTree(*(torch.tensor(part, dtype=torch.int32) for part in (feature, left, right, counts, weights)))
