"""Load models by name: torchvision's classifiers, and those of a user's Python file."""

import hashlib
import importlib.util
import inspect
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import ExportedProgram
from torchvision import models

from eric_fast.capture.layers import describe_error
from eric_fast.capture.models import LoadedModel, Transform, add_probes, wrap_model
from eric_fast.capture.outputs import OutputChoice, check_task
from eric_fast.capture.weights import fill_weights, read_weights
from eric_fast.errors import ModelError, suggest_nearest
from eric_fast.store.files import is_file


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


_log = logging.getLogger(__name__)


def load_user_model(name: str, weights: str | None) -> LoadedModel:
    """Load the module that `path/to/file.py:callable` returns, with `transform()` and `CLASSES` of the file.

    Raises:
        ModelError: see `load_model`.
    """
    place, _, function = name.rpartition(":")
    path = Path(place)
    if not place or not function:
        raise ModelError(f"'{name}' is not the name of a model; write path/to/file.py:callable, or a torchvision name")
    if weights == "DEFAULT":
        raise ModelError(f"{path} has no default weights; leave --weights out, or give a .safetensors or .pth file")
    source = _import_file(path)
    build = getattr(source, function, None)
    if not callable(build):
        functions = [key for key, value in vars(source).items() if callable(value) and not key.startswith("_")]
        raise ModelError(f"{path} has no callable '{function}'{suggest_nearest(function, functions)}")
    module = _call(build, path, function)
    if not isinstance(module, nn.Module | ExportedProgram):
        raise ModelError(f"{path}:{function} must return a torch.nn.Module, not {type(module).__name__}")
    if weights not in (None, "none"):
        if isinstance(module, ExportedProgram):
            raise ModelError(f"{path}:{function} returns a program of torch.export with its weights; leave them out")
        fill_weights(module, read_weights(Path(str(weights))), Path(str(weights)), name)
    if isinstance(module, nn.Module):
        _call(module.eval, path, "eval()")
    return wrap_model(module, _find_transform(source, path), _find_classes(source, path), name)


def _import_file(path: Path) -> ModuleType:
    if not is_file(path):
        raise ModelError(f"{path}: there is no such file; write path/to/file.py:callable")
    # A unique name, so that a file called `random.py` doesn't hide a module. It stays in sys.modules, where dataclasses
    # and pickle look their module up.
    name = f"eric_fast_model_{hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:16]}"
    spec = importlib.util.spec_from_file_location(name, path.absolute())
    loader = spec.loader if spec else None
    if path.suffix != ".py" or spec is None or loader is None:
        raise ModelError(f"{path} is not a Python file (.py); write path/to/file.py:callable")
    module = importlib.util.module_from_spec(spec)
    before = sys.modules.get(name)
    sys.modules[name] = module
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)  # for the modules beside it
    try:
        _call(partial(loader.exec_module, module), path, "import")
    except ModelError:
        del sys.modules[name]
        if before is not None:
            sys.modules[name] = before
        raise
    finally:
        if folder in sys.path:  # the file may have changed it
            sys.path.remove(folder)
    return module


def _call(function: Any, path: Path, what: str) -> Any:
    """Run the user's code, and report an error in one line with the file, and the line number if known."""
    file = str(path.absolute())  # as in tracebacks; the user's code may change the folder
    try:
        return function()
    except (Exception, SystemExit) as error:
        lines = []
        trace = error.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == file:
                lines.append(trace.tb_lineno)
            trace = trace.tb_next
        place = f"{path}:{lines[-1]}" if lines else str(path)
        raise ModelError(f"{place}: {what} fails ({describe_error(error)}); fix it") from error


def _find_transform(source: ModuleType, path: Path) -> Transform | None:
    make = getattr(source, "transform", None)
    if make is None:
        _log.warning("%s has no transform(), so images are scaled to 0..1 without normalisation", path)
        return None
    transform = _call(make, path, "transform()") if callable(make) else make
    if not callable(transform):
        raise ModelError(f"{path}: transform() must return a callable (PIL image -> tensor), not {transform!r}")
    return transform  # type: ignore[no-any-return]


def _find_classes(source: ModuleType, path: Path) -> list[str] | None:
    classes = getattr(source, "CLASSES", None)
    if classes is None:
        return None
    is_list = isinstance(classes, list | tuple) and len(classes) > 0
    if not is_list or not all(isinstance(name, str) and name for name in classes):
        raise ModelError(f"{path}: CLASSES must be a list of names, one per output; fix it, or leave it out")
    return list(classes)
