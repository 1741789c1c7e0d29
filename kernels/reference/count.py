"""`count`: what it means, in plain tensors on any device."""

import torch
from torch import Tensor

from eric_fast.bits import WORD_BITS, unpack_words
from eric_fast.kernels.growth import check_count

CHUNK_WORDS = 256


def count(words: Tensor, masks: Tensor) -> Tensor:
    """Count in how many samples of each mask each atom is true: int32 `[n_masks, n_atoms]`.

    Growing a tree needs these counts: a mask marks the samples that reach a node and whose target has one value.

    Args:
        words: int32 `[n_atoms, n_words]`. masks: int32 `[n_masks, n_words]`, on the same device.
    """
    check_count(words, masks)
    counts = torch.zeros(len(masks), len(words), dtype=torch.float64, device=words.device)
    for atoms, inside in zip(words.split(CHUNK_WORDS, dim=1), masks.split(CHUNK_WORDS, dim=1), strict=True):
        n_samples = atoms.shape[1] * WORD_BITS
        counts += unpack_words(inside, n_samples).T.double() @ unpack_words(atoms, n_samples).double()  # whole numbers
    return counts.int()
