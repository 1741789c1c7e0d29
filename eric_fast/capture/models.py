"""`LoadedModel`: a network with its transform, classes and fingerprint."""

import copy
import hashlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms import v2 as transforms

from eric_fast.capture.layers import describe_error, report_failure, unwrap_network
from eric_fast.capture.paths import make_encodable
from eric_fast.errors import ModelError

Transform = Callable[[Image.Image], Tensor]


@dataclass(frozen=True)
class LoadedModel:
    """A network that is ready for a capture.

    Attributes:
        module: the network, in evaluation mode.
        transform: PIL image -> float tensor `[channels, height, width]`.
        transform_name: the transform in words.
        classes: names of the network's outputs, all different; None if unknown.
        name: the name that the user gave the model.
        fingerprint: see `fingerprint_model`.
    """

    module: nn.Module
    transform: Transform
    transform_name: str
    classes: tuple[str, ...] | None
    name: str
    fingerprint: str


def wrap_model(
    module: nn.Module, transform: Transform | None = None, classes: Sequence[str] | None = None, name: str = ""
) -> LoadedModel:
    """Wrap a network that is in memory.

    Args:
        module: the network; if a part of it is in training mode, a copy in evaluation mode is used.
        transform: PIL image -> float `[channels, height, width]`; by default values are from 0 to 1, not normalised.
        classes: names of the outputs; equal names are numbered.
        name: name of the model in reports; by default the name of its class.

    Raises:
        ModelError: not a module, or one that can't be copied, printed or hashed.
    """
    if not isinstance(module, nn.Module):
        raise ModelError(f"a model must be a torch.nn.Module, not {type(module).__name__}")
    module = unwrap_network(module)
    if any(part.training for part in module.modules()):
        module = copy_model(module)
        with report_failure("the model can't be put in evaluation mode", "fix its eval()"):
            module.eval()
    transform = transform or default_transform()
    with report_failure("the model's transform can't be printed", "fix its __repr__"):
        transform_name = make_encodable(" ".join(_drop_addresses(repr(transform)).split()))
    return LoadedModel(
        module=module,
        transform=transform,
        transform_name=transform_name,
        classes=None if classes is None else make_unique(classes),
        name=make_encodable(name or type(module).__name__),
        fingerprint=fingerprint_model(module),
    )


def fingerprint_model(module: nn.Module) -> str:
    """Hash a network's architecture and weights, on any device: SHA-256 in hex.

    The hash covers the printed modules, and name, dtype, shape and bytes of every parameter and buffer. It doesn't
    cover code in `forward` that is not part of a module.

    Raises:
        ModelError: a parameter without values (of a lazy module, or on the meta device).
    """
    with report_failure("the model can't be printed, so it has no fingerprint", "fix its extra_repr() or __repr__"):
        digest = hashlib.sha256(_drop_addresses(str(module)).encode(errors="backslashreplace"))
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        try:
            values = tensor.detach().cpu().contiguous().reshape(-1)
            digest.update(f"\n{name} {values.dtype} {list(tensor.shape)}\n".encode())
            digest.update(values.view(torch.uint8).numpy().data)
        except Exception as error:
            raise ModelError(
                f"the values of '{name}' can't be read ({describe_error(error)}); give the model its weights first"
            ) from error
    return digest.hexdigest()


def _drop_addresses(text: str) -> str:
    """Drop the addresses of printed functions, which differ from run to run."""
    return re.sub(r" at 0x[0-9a-f]+", "", text)


def copy_model(module: nn.Module) -> nn.Module:
    """Copy a module with all its parameters."""
    with report_failure("the model can't be copied", "pass it in evaluation mode"):
        return copy.deepcopy(module)


def default_transform() -> Transform:
    """Make a transform to float32 `[channels, height, width]` with values from 0 to 1, not normalised or resized."""
    chain: Any = transforms.Compose([transforms.ToImage(), transforms.ToDtype(torch.float32, scale=True)])
    return chain  # type: ignore[no-any-return]


def make_unique(names: Sequence[str]) -> tuple[str, ...]:
    """Make names unique: a repeated name gets its index. (torchvision has two of `crane` and `maillot`.)"""
    unique: list[str] = []
    for i, name in enumerate(make_encodable(str(name)) for name in names):
        while name in unique:
            name = f"{name} ({i})"
        unique.append(name)
    return tuple(unique)
