"""Sets of images as packed bits: those of each class, and how many each holds."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from eric_fast import kernels
from eric_fast.bits import BitMatrix, mask_tail


def pack_classes(classes: Tensor, names: Sequence[str]) -> BitMatrix:
    """Pack the images of each class: `classes` are integers `[n_images]`, indices of `names`, or -1 for no class."""
    return BitMatrix.from_bools(classes[:, None] == torch.arange(len(names), device=classes.device), names)


def count_true(words: Tensor, n_samples: int, *, engine: str = "auto") -> NDArray[np.int64]:
    """Count on how many samples each row is true: int64 `[n_atoms]`."""
    everywhere = mask_tail(words.new_full((1, words.shape[1]), -1), n_samples)
    return kernels.count(words, everywhere, engine=engine)[0].cpu().numpy().astype(np.int64)
