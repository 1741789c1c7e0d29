"""The meaning of tallying weighted sums, in plain tensors on any device."""

import torch
from torch import Tensor

from eric_fast.bits import unpack_words
from eric_fast.kernels.tallies import WeightedBodies, check_tally


def tally_sums(words: Tensor, targets: Tensor, n_samples: int, bodies: WeightedBodies) -> Tensor:
    """On how many samples each body has each sum, apart where its target is false and true.

    Args:
        words: int32 `[n_atoms, n_words]`. targets: int32 `[n_bodies, n_words]`, on the same device.
        bodies: a body for each target.

    Returns:
        int64 `[n_bodies, 2, most + 1]`, if no body has a sum of more than `most`.
    """
    check_tally(words, targets, bodies)
    atoms, goal = unpack_words(words, n_samples), unpack_words(targets, n_samples)
    width = bodies.find_most() + 1
    out = torch.zeros(len(targets), 2, width, dtype=torch.int64, device=words.device)
    for body in range(len(targets)):
        sums = torch.zeros(n_samples, dtype=torch.int64, device=words.device)
        for place in range(int(bodies.offsets[body]), int(bodies.offsets[body + 1])):
            literal = int(bodies.literals[place])
            is_true = atoms[:, literal] if literal >= 0 else ~atoms[:, ~literal]
            sums += int(bodies.weights[place]) * is_true
        out[body] = torch.bincount(sums + width * goal[:, body], minlength=2 * width).view(2, width)
    return out
