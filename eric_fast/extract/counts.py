"""What weight rules and votes are learned from: counts of pairs of bits, which add up over images and processes."""

import operator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import pack_bits
from eric_fast.extract.pursuit import Covariances
from eric_fast.processes import Combine

SCORE_BITS = 8


class PairCounts(NamedTuple):
    """Sums over images.

    Attributes:
        n_images: how many images there are.
        pairs: int64 `[n_inputs, n_inputs]`: on how many images two inputs are true.
        products: int64 `[n_inputs, n_targets]`: the sum of a target where an input is true.
        target_sums: int64 `[n_targets]`.
    """

    n_images: int
    pairs: NDArray[np.int64]
    products: NDArray[np.int64]
    target_sums: NDArray[np.int64]

    def __add__(self, other: tuple[object, ...]) -> "PairCounts":
        """The counts of both lots of images."""
        return PairCounts(*map(operator.add, self, other))

    def take_targets(self, first: int, last: int) -> "PairCounts":
        """Without the other targets."""
        own = slice(first, last)
        return self._replace(products=self.products[:, own], target_sums=self.target_sums[own])

    def add_digits(self, n_targets: int) -> "PairCounts":
        """Whole numbers as targets in place of their binary digits: `n_targets` for each digit, the lowest first."""
        digits = np.int64(1) << np.arange(len(self.target_sums) // n_targets)
        products = self.products.reshape(len(self.products), len(digits), n_targets)
        target_sums = self.target_sums.reshape(len(digits), n_targets)
        return self._replace(
            products=(products * digits[:, None]).sum(axis=1), target_sums=(target_sums * digits[:, None]).sum(axis=0)
        )

    def to_covariances(self) -> Covariances:
        """What a pursuit takes; see `Covariances.from_sums`."""
        return Covariances.from_sums(*self)


def count_pairs(inputs: Tensor, targets: Tensor, n_images: int, combine: Combine) -> PairCounts:
    """Counts of inputs and of other bits as targets, over the images of all processes.

    Args:
        inputs: int32 words `[n_inputs, n_words]`. targets: int32 words `[n_targets, n_words]`.
        n_images: of this process.
    """
    everywhere = torch.full((1, inputs.shape[1]), -1, dtype=torch.int32)  # the rows' tails are zero
    parts = [kernels.count(inputs, inputs), kernels.count(inputs, targets), kernels.count(targets, everywhere)]
    sizes = [part.numel() for part in parts]
    flat = torch.cat([torch.tensor([n_images]), *(part.flatten().long() for part in parts)])
    total, *counts = combine(flat).split([1, *sizes])
    pairs, products, target_sums = (
        part.reshape(shape).numpy()
        for part, shape in zip(counts, [parts[0].shape, parts[1].shape, [len(targets)]], strict=True)
    )
    return PairCounts(int(total), pairs, np.ascontiguousarray(products.T), target_sums)


def pack_digits(scores: Tensor) -> Tensor:
    """uint8 `[n_images, n_targets]` -> int32 words `[8 * n_targets, n_words]`: see `PairCounts.add_digits`."""
    return torch.cat([pack_bits((scores >> digit & 1).bool()) for digit in range(SCORE_BITS)])
