"""True labels where there are several: of each image a row with a number for each label.

1 where the label is true, 0 where it isn't, `UNKNOWN` (-1) where that isn't known.
"""

import torch
from torch import Tensor

from eric_fast.errors import CaptureError


def spread_labels(labels: Tensor, n_labels: int) -> Tensor:
    """Rows of indices `[n]`, each for that label alone: int8 `[n, n_labels]`; -1 all along for an index of -1."""
    rows = (labels[:, None] == torch.arange(n_labels)).to(torch.int8)
    return torch.where(labels[:, None] < 0, -1, rows)


def check_label_rows(rows: Tensor, n_images: int, n_labels: int) -> None:
    """Raise CaptureError unless these are rows `[n_images, n_labels]`."""
    if rows.dtype != torch.int8 or rows.shape != (n_images, n_labels):
        shown = f"{str(rows.dtype).removeprefix('torch.')} {list(rows.shape)}"
        raise CaptureError(
            f"labels must be int8 {[n_images, n_labels]}, not {shown}: of each image which of the {n_labels} labels "
            "are true"
        )
    if rows.numel() and not -1 <= int(rows.min()) <= int(rows.max()) <= 1:
        raise CaptureError("labels must be 1 (true), 0 or -1 (unknown)")
