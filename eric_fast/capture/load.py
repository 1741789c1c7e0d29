"""Load a model by name."""

from collections.abc import Mapping
from dataclasses import replace

from eric_fast.capture.models import LoadedModel, add_probes
from eric_fast.capture.outputs import OutputChoice, check_task
from eric_fast.capture.torchvision_models import load_named_model
from eric_fast.capture.user_models import load_user_model
from eric_fast.errors import ModelError


def load_model(
    name: str,
    weights: str | None = None,
    *,
    output: str | int | None = None,
    task: str | None = None,
    unit_axes: Mapping[str, int] | None = None,
) -> LoadedModel:
    """Load a torchvision classifier (`vgg16`), or what a function of a Python file returns (`model.py:build`).

    Args:
        name: a torchvision name, or `path/to/file.py:callable`. The callable is called without arguments and returns
            an `nn.Module`; `transform()` and `CLASSES` of the same file are used if they exist.
        weights: needed for torchvision: `DEFAULT` (downloaded), `none` (random, and the same each time), or a path to a
            .safetensors or .pth file. For a Python file: a path, or None for the model as it is returned. Weights are
            never unpickled.
        output, task: which of the network's outputs are its logits, and what they mean; see `wrap_model`.
        unit_axes: name of a layer -> the axis of its units; see `wrap_model`.

    Raises:
        ModelError: an unknown name; weights that are missing, damaged or of another model; a file that fails.
        SettingError: an unknown task.

    Examples:
        >>> model = ef.load_model("eric-demo/digits_cnn.py:build")
        >>> model.classes[:3]
        ('0', '1', '2')
    """
    if weights == "":
        raise ModelError("--weights is empty: give DEFAULT, none, or a path to a .safetensors or .pth file")
    check_task(task)
    is_file = ":" in name or name.endswith(".py") or "/" in name
    model = load_user_model(name, weights) if is_file else load_named_model(name, weights)
    return add_probes(replace(model, choice=OutputChoice(output, task or model.choice.task)), None, unit_axes)
