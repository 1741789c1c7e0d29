"""What `tally_sums` takes: bodies with weights."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from eric_fast.errors import EricError
from eric_fast.kernels.growth import check_count

MOST_SUMS = 2**24  # numbers for each body


class WeightedBodies(NamedTuple):
    """Bodies, each a weighted sum of literals.

    Attributes:
        literals: int32 `[n_literals]`: the bodies one after another; `a` for an atom's row, `~a` for its negation.
        weights: int32 `[n_literals]`, from 1.
        offsets: int64 `[n_bodies + 1]`: body `i` has the literals `offsets[i]` to `offsets[i + 1]`.
    """

    literals: NDArray[np.int32]
    weights: NDArray[np.int32]
    offsets: NDArray[np.int64]

    def find_most(self) -> int:
        """The highest sum that a body can have."""
        before = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.weights, dtype=np.int64)])
        return int(np.diff(before[self.offsets]).max(initial=0))


def check_tally(words: Tensor, targets: Tensor, bodies: WeightedBodies) -> None:
    """Raises EricError for arguments of `tally_sums` that don't belong together."""
    check_count(words, targets)
    if len(bodies.offsets) != len(targets) + 1:
        raise EricError(f"{len(bodies.offsets) - 1} bodies need as many targets, not {len(targets)}")
    atoms = bodies.literals ^ (bodies.literals >> 31)
    if len(atoms) and int(atoms.max()) >= len(words):
        raise EricError(f"a body mentions atom {int(atoms.max())}, but there are only {len(words)}")
    if len(bodies.weights) and (int(bodies.weights.min()) < 1 or bodies.find_most() >= MOST_SUMS):
        raise EricError(f"weights must be from 1, and no body's may sum to {MOST_SUMS:,}")
