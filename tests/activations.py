"""Activations made up for tests."""

from collections.abc import Sequence
from typing import Any

import torch

from eric_fast.store.activations import Activations, CaptureSettings


def make_activations(
    n_images: int = 300, n_kernels: Sequence[int] = (6, 5, 4), n_classes: int = 3, seed: int = 0, **changes: Any
) -> Activations:
    """Layers f0, f1, ... whose norms follow a hidden class, each layer noisier than the one above."""
    generator = torch.Generator().manual_seed(seed)
    hidden = torch.randint(n_classes, (n_images,), generator=generator)
    norms = {}
    for layer, n in enumerate(n_kernels):
        centres = torch.rand(n_classes, n, generator=torch.Generator().manual_seed(100 + layer))
        noise = torch.randn(n_images, n, generator=generator) * 0.2 * (len(n_kernels) - layer)
        norms[f"f{layer}"] = (centres[hidden] + noise).abs()
    flip = torch.rand(n_images, generator=generator) < 0.05
    content: dict[str, Any] = {
        "norms": norms,
        "ids": [f"image{i}" for i in range(n_images)],
        "labels": hidden,
        "predictions": torch.where(flip, (hidden + 1) % n_classes, hidden),
        "classes": tuple("abcdefghij"[:n_classes]),
        "settings": CaptureSettings(model="made", fingerprint="5eed", data="up"),
    }
    return Activations(**{**content, **changes})
