"""`LoadedModel`: a network with its transform, classes and fingerprint."""

import copy
import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.export import ExportedProgram
from torchvision.transforms import v2 as transforms

from eric_fast.capture.exported import open_exported
from eric_fast.capture.layers import describe_error, report_failure, unwrap_network
from eric_fast.capture.outputs import OWN_CHOICE, OutputChoice, check_task
from eric_fast.capture.probes import Probes, probe_network
from eric_fast.errors import ModelError
from eric_fast.visible import make_encodable

_TASK_OF_CONFIG = {"regression": "regression", "multi_label_classification": "multilabel"}
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
        choice: which of the network's outputs are its logits, and what they mean.
        has_transform: whether the transform is the model's own, not the default one.
    """

    module: nn.Module
    transform: Transform
    transform_name: str
    classes: tuple[str, ...] | None
    name: str
    fingerprint: str
    choice: OutputChoice = OWN_CHOICE
    has_transform: bool = True


def wrap_model(
    module: nn.Module | ExportedProgram,
    transform: Transform | None = None,
    classes: Sequence[str] | None = None,
    name: str = "",
    *,
    output: str | int | None = None,
    task: str | None = None,
    probes: Probes | None = None,
    unit_axes: Mapping[str, int] | None = None,
) -> LoadedModel:
    """Wrap a network that is in memory.

    Args:
        module: the network; if a part of it is in training mode, a copy in evaluation mode is used. Also what
            `torch.export.export` returns, exported in evaluation mode and for any number of images.
        transform: PIL image -> float `[channels, height, width]`; by default values are from 0 to 1, not normalised.
        classes: names of the outputs, or of the two classes that one output tells apart; equal names are numbered. By
            default those of `module.config.id2label`, as Hugging Face's models have it.
        name: name of the model in reports; by default the name of its class.
        output: the key, field or index of the logits in what the network returns; by default `logits`, or the only
            tensor that can be logits.
        task: `multiclass` (the highest output is the class) or `binary` (one output: the second class where it is
            above 0, or above 0.5 if a sigmoid made it). By default one output is `binary`. `multilabel`: each output
            is a label, true where it is above 0, or above 0.5 if a sigmoid made it; outputs that a sigmoid made are
            taken for labels by default. `regression` is refused.
        probes: name -> (layer, module): the module runs on the layer's result, and what it gives, one tensor, is a
            layer of that name: `{"sae": ("blocks.3", encoder)}`. Probes are a part of the fingerprint.
        unit_axes: name of a layer -> the axis of its units, where it isn't known, or is another: `{"blocks.3": 2}`.

    Raises:
        ModelError: not a module; one whose layers can't be read, as of TorchScript; one that can't be copied, printed
            or hashed.
        SettingError: an unknown task; a probe without a layer.

    Examples:
        >>> from torch import nn
        >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 2))
        >>> ef.wrap_model(network.eval(), classes=["cat", "dog"]).classes
        ('cat', 'dog')
    """
    check_task(task)
    module = _open_module(module)
    if any(part.training for part in module.modules()):
        module = copy_model(module)
        with report_failure("the model can't be put in evaluation mode", "fix its eval()"):
            module.eval()
    own, config = module, getattr(module, "config", None)
    module = probe_network(module, probes, unit_axes)
    has_transform = transform is not None
    transform = transform or default_transform()
    if classes is None:
        classes = _find_names(config)
    task = task or _TASK_OF_CONFIG.get(str(getattr(config, "problem_type", None)))
    with report_failure("the model's transform can't be printed", "fix its __repr__"):
        transform_name = make_encodable(" ".join(_drop_addresses(repr(transform)).split()))
    return LoadedModel(
        module=module,
        transform=transform,
        transform_name=transform_name,
        classes=None if classes is None else make_unique(classes),
        name=make_encodable(name or type(own).__name__),
        fingerprint=fingerprint_model(module),
        choice=OutputChoice(output, task),
        has_transform=has_transform,
    )


def add_probes(
    model: LoadedModel,
    probes: Probes | None,
    unit_axes: Mapping[str, int] | None,
    layers: Sequence[str] | None = None,
) -> LoadedModel:
    """The model with probes and named axes; see `wrap_model` and `probe_network`."""
    module = probe_network(model.module, probes, unit_axes, layers)
    return model if module is model.module else replace(model, module=module, fingerprint=fingerprint_model(module))


def take_model(model: LoadedModel | nn.Module | ExportedProgram) -> LoadedModel:
    """Return a loaded model as it is, and wrap any other network as `wrap_model` does.

    Raises:
        ModelError: see `wrap_model`.
    """
    return model if isinstance(model, LoadedModel) else wrap_model(model)


def _open_module(module: Any) -> nn.Module:
    """Unwrap a network. Raises ModelError for what is none, and for one whose layers can't be read."""
    if isinstance(module, ExportedProgram):
        return open_exported(module)
    if isinstance(module, torch.jit.ScriptModule):
        raise ModelError(
            "the model is a TorchScript module, whose layers can't be read; give the torch.nn.Module that it was made "
            "from, or a program of torch.export"
        )
    if not isinstance(module, nn.Module):
        what = f"'{module}' is a text; load_model" if isinstance(module, str) else "load_model"
        raise ModelError(
            f"a model must be a torch.nn.Module, not {type(module).__name__}: {what} takes the names of models"
        )
    return unwrap_network(module)


def _find_names(config: Any) -> list[str] | None:
    """The class names of a Hugging Face config; None if it has none, or only numbers (`LABEL_0`)."""
    named = getattr(config, "id2label", None)
    if not isinstance(named, dict) or not named or any(not str(number).isdecimal() for number in named):
        return None
    by_number = {int(number): str(name) for number, name in named.items()}
    names = [by_number.get(number) for number in range(len(by_number))]
    if None in names or all(name == f"LABEL_{number}" for number, name in enumerate(names)):
        return None
    return [str(name) for name in names]


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
