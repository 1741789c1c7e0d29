"""Load models from a user's Python file."""

import hashlib
import importlib.util
import logging
import os
import sys
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn
from torch.export import ExportedProgram

from eric_fast.capture.layers import describe_error
from eric_fast.capture.models import LoadedModel, Transform, wrap_model
from eric_fast.capture.weights import fill_weights, read_weights
from eric_fast.errors import ModelError, suggest_nearest
from eric_fast.store.files import is_file

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
