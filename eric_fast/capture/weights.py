"""Read weights from files, without unpickling."""

import logging
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from eric_fast.capture.layers import describe_error
from eric_fast.errors import ModelError, say_count
from eric_fast.store.files import is_file

_log = logging.getLogger(__name__)
# Where training scripts keep a state dict in a checkpoint: the network's own before its moving average
_PLACES = ("state_dict", "model_state_dict", "model", "net", "module", "params", "weights")
_PLACES_OF_AVERAGES = ("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema")
_COUNTS = re.compile(r"(^|\.)(total_ops|total_params)$")  # thop adds these to every module
_WRAPPERS = re.compile(r"^(module\.|_orig_mod\.)+")  # of DataParallel and of torch.compile


def read_weights(path: Path) -> dict[str, Tensor]:
    """Read weights, name -> tensor, from a .safetensors file or one that `torch.load(weights_only=True)` accepts.

    A state dict inside a checkpoint is found, under `state_dict`, `model`, `net`, `ema` and the like; where there are
    several, the one taken is logged. The prefixes `module.` and `_orig_mod.` are removed, and the counters `total_ops`
    and `total_params` left out.

    Raises:
        ModelError: a missing or damaged file; one of TorchScript or torch.export; one that contains more than tensors,
            or no state dict.
    """
    if not is_file(path):
        raise ModelError(f"{path}: there is no such weights file; --weights takes a .safetensors or .pth file")
    if path.suffix != ".safetensors":
        _refuse_programs(path)
    try:
        loaded: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:
        raise _describe_damage(path, error) from error
    loaded = _find_state(loaded, path)
    counts = [name for name in loaded if _COUNTS.search(str(name))]
    if counts:
        _log.warning("%s: %s left out, such as '%s'", path, say_count(len(counts), "counter"), counts[0])
    return {_WRAPPERS.sub("", str(name)): loaded[name] for name in loaded if name not in counts}


def _describe_damage(path: Path, error: Exception) -> ModelError:
    return ModelError(
        f"{path} is damaged, or contains more than tensors ({describe_error(error)}); "
        "save the state dict with safetensors.torch.save_file"
    )


def _refuse_programs(path: Path) -> None:
    """Raise ModelError for a file of TorchScript or torch.export, or a damaged archive."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            names = [name.partition("/")[2] or name for name in archive.namelist()]
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise _describe_damage(path, error) from error
    if any(name == "constants.pkl" or name.startswith("code/") for name in names):
        raise ModelError(
            f"{path} is a TorchScript program, which torch unpickles when it is loaded, and whose layers can't be "
            "read; give the Python file of the network (model.py:build), and its state dict as --weights"
        )
    if any(name.startswith("models/") or name.startswith("serialized_exported_program") for name in names):
        raise ModelError(
            f"{path} is a program of torch.export, which torch unpickles when it is loaded; load it yourself, with "
            "torch.export.load in the function of model.py:build or in Python, and give what it returns"
        )


def _find_state(loaded: Any, path: Path) -> Mapping[Any, Tensor]:
    """Find the state dict in what a file holds. Raises ModelError if there is none."""
    where = ""
    while isinstance(loaded, Mapping) and not _is_state(loaded):
        places = [place for place in (*_PLACES, *_PLACES_OF_AVERAGES) if isinstance(loaded.get(place), Mapping)]
        places = [place for place in places if loaded[place]]
        if not places:
            break
        where, loaded = places[0], loaded[places[0]]
        if len(places) > 1 or where in _PLACES_OF_AVERAGES:
            others = ", not of " + ", ".join(f"'{place}'" for place in places[1:]) if len(places) > 1 else ""
            _log.warning("%s: the weights are those of '%s'%s", path, where, others)
    if not isinstance(loaded, Mapping) or not _is_state(loaded):
        raise ModelError(f"{path} contains no state dict (names and tensors); save model.state_dict()")
    return loaded


def _is_state(value: Mapping[Any, Any]) -> bool:
    return bool(value) and all(isinstance(item, Tensor) for item in value.values())


def fill_weights(module: nn.Module, weights: Mapping[str, Tensor], path: Path, model: str) -> None:
    """Load `weights` into `module`, in place.

    If they don't fit, one prefix of their names is removed (`model.`, as Lightning has it): the one behind which all
    names of the module are. Names without the prefix, such as those of a loss, are then left out, with a warning.

    Raises:
        ModelError: other names or shapes; several prefixes that fit.
    """
    own = module.state_dict()
    weights = _strip_prefix(weights, own, path)
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


def _strip_prefix(weights: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path) -> Mapping[str, Tensor]:
    """Remove the one prefix behind which all of the module's own names are; the same weights if there is none."""
    if not own or all(name in weights for name in own):
        return weights
    first = next(iter(own))
    ends = [name.removesuffix(first) for name in weights if name.endswith(f".{first}")]
    fitting = [prefix for prefix in ends if all(prefix + name in weights for name in own)]
    if len(fitting) > 1:
        shown = " and ".join(f"'{name}'" for name in fitting)
        raise ModelError(f"{path} holds several such networks, under {shown}; save the state dict of one of them")
    if not fitting:
        return weights
    (prefix,) = fitting
    others = [name for name in weights if not name.startswith(prefix)]
    left_out = f", and {say_count(len(others), 'tensor')} outside it left out, such as '{others[0]}'" if others else ""
    _log.warning("%s: the prefix '%s' of its names is removed%s", path, prefix, left_out)
    return {name.removeprefix(prefix): value for name, value in weights.items() if name.startswith(prefix)}
