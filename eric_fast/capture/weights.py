"""Read weights from files, without unpickling."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from eric_fast.capture.layers import describe_error
from eric_fast.errors import ModelError
from eric_fast.store.files import is_file


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights, name -> tensor, from a .safetensors file or one that `torch.load(weights_only=True)` accepts.

    A state dict under `state_dict`, `model_state_dict` or `model` is found, and the prefixes `module.` (of
    DataParallel) and `_orig_mod.` (of torch.compile) are removed.

    Raises:
        ModelError: a missing or damaged file; one that contains more than tensors, or no state dict.
    """
    if not is_file(path):
        raise ModelError(f"{path}: there is no such weights file; --weights takes a .safetensors or .pth file")
    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        raise ModelError(
            f"{path} is damaged, or contains more than tensors ({describe_error(error)}); "
            "save the state dict with safetensors.torch.save_file"
        ) from error
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(loaded, Mapping) and isinstance(loaded.get(key), Mapping):
            loaded = loaded[key]
    if not isinstance(loaded, Mapping) or not loaded or not all(isinstance(v, Tensor) for v in loaded.values()):
        raise ModelError(f"{path} contains no state dict (names and tensors); save model.state_dict()")
    return {re.sub(r"^(module\.|_orig_mod\.)+", "", str(name)): tensor for name, tensor in loaded.items()}


def fill_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path, model: str) -> None:
    """Load `weights` into `module`, in place.

    Raises:
        ModelError: other names or shapes.
    """
    own = module.state_dict()
    missing = [name for name in own if name not in weights]
    unknown = [name for name in weights if name not in own]
    wrong = [name for name in weights if name in own and weights[name].shape != own[name].shape]
    for names, what in ((missing, "lacks"), (unknown, "has, in addition,"), (wrong, "has another shape of")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise ModelError(
                f"{path} is not of model '{model}': it {what} '{names[0]}'{more}; give weights of this model"
            )
    module.load_state_dict(weights)
