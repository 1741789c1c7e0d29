"""Load torchvision's image classifiers."""

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision import models

from eric_fast.capture.layers import describe_error
from eric_fast.capture.models import LoadedModel, wrap_model
from eric_fast.capture.weights import fill_weights, read_weights
from eric_fast.errors import ModelError, suggest_nearest

_CHOICES = "--weights DEFAULT (downloaded), none (random), or a path to a .safetensors or .pth file"


def load_named_model(name: str, weights: str | None) -> LoadedModel:
    """Load a torchvision classifier with the transform of its published weights, and their class names if they fit.

    Raises:
        ModelError: see `load_model`.
    """
    classifiers = models.list_models(module=models)
    if name not in classifiers:
        if name in models.list_models():
            raise ModelError(f"'{name}' is not an image classifier; the method needs one output per class")
        raise ModelError(f"'{name}' is not a torchvision model{suggest_nearest(name, classifiers)}")
    if weights is None:
        raise ModelError(f"model '{name}' needs weights; give {_CHOICES}")
    published = models.get_model_weights(name).DEFAULT
    match weights:
        case "DEFAULT":
            module = _download(name)
        case "none":
            module = _build_random(name)
        case _:
            if Path(weights).suffix not in (".safetensors", ".pth", ".pt"):
                raise ModelError(f"--weights '{weights}' is invalid; give {_CHOICES}")
            module = _fill_from_file(name, Path(weights))
    categories = published.meta["categories"]
    n_outputs = _count_outputs(module)
    return wrap_model(module.eval(), published.transforms(), categories if n_outputs == len(categories) else None, name)


def _download(name: str) -> nn.Module:
    try:
        module: nn.Module = models.get_model(name, weights="DEFAULT")
    except Exception as error:  # URLError, a time-out, a full disk, a wrong hash
        raise ModelError(
            f"the weights of '{name}' can't be downloaded ({describe_error(error)}); "
            "give a file: --weights path.safetensors"
        ) from error
    return module


def _build_random(name: str, **settings: Any) -> nn.Module:
    """Build the model with random weights, the same each time, and keep the caller's random state."""
    # The initialisation of googlenet and inception_v3 takes half a minute and warns, unless it is turned off. (Their
    # builders hide the argument behind **kwargs.)
    parameters = inspect.signature(models.get_model_builder(name)).parameters
    if "init_weights" in parameters or name in ("googlenet", "inception_v3"):
        settings = {"init_weights": False, **settings}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        module: nn.Module = models.get_model(name, weights=None, **settings)
    return module


def _fill_from_file(name: str, path: Path) -> nn.Module:
    weights = read_weights(path)
    settings: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        # As torchvision does for the published weights, whose transform is used here too.
        settings = {"transform_input": True, "aux_logits": any("aux" in key.lower() for key in weights)}
    module = _build_random(name, **settings)
    n_outputs = _count_outputs(module, weights)
    if n_outputs not in (None, _count_outputs(module)):  # fine-tuned for other classes
        module = _build_random(name, num_classes=n_outputs, **settings)
    fill_weights(module, weights, path, name)
    return module


def _count_outputs(module: nn.Module, weights: dict[str, Tensor] | None = None) -> int | None:
    """Count the classes: the length of the last bias, in `weights` if given, else in the module."""
    own = module.state_dict()
    last = next((name for name in reversed(own) if name.endswith(".bias")), "")
    bias = (
        own.get(last)
        if weights is None
        else next((weights[name] for name in weights if f".{name}".endswith(f".{last}")), None)
    )
    return None if bias is None or bias.ndim != 1 else len(bias)
