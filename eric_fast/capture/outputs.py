"""What a network answers: its logits, found by name in whatever its `forward` returns."""

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from eric_fast.errors import ModelError, SettingError, suggest_nearest

_log = logging.getLogger(__name__)
TASKS = ("multiclass", "binary", "multilabel", "regression")
_RESHAPES = frozenset({"squeeze", "view", "reshape", "flatten", "getitem", "float", "to", "detach", "clone"})
_OPTION = "name one with --model-output (output= in Python)"
_LEAST_PROBABILITY = 2.0**-24


class OutputChoice(NamedTuple):
    """Where a user says that the logits are, and what they mean.

    output: a key, field or index of what `forward` returns, with dots between nested ones (`heads.1`). None: `logits`,
        or the only tensor that can be logits.
    task: one of `TASKS`; None: recognised, see `find_head`.
    """

    output: str | int | None = None
    task: str | None = None

    def describe(self) -> str:
        """Say what was chosen; empty if nothing was."""
        parts = ([] if self.output is None else [f"output {self.output}"]) + ([self.task] if self.task else [])
        return ", ".join(parts)


OWN_CHOICE = OutputChoice()


class NetworkHead(NamedTuple):
    """Where a network's logits are, and what they mean.

    path: names of the items that lead to them.
    task: `multiclass`, `binary` or `multilabel`.
    is_probability: of `binary` and `multilabel`: the outputs are probabilities instead of logits.
    is_given: whether the user named the task.
    """

    path: tuple[str, ...]
    task: str
    is_probability: bool = False
    is_given: bool = False


class SigmoidWatch(TorchFunctionMode):
    """A context that notes which tensors are results of a sigmoid, whichever way it is written."""

    def __init__(self) -> None:
        super().__init__()
        self._found: dict[int, Tensor] = {}  # by id; kept alive, so that no id is used twice

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            name = str(getattr(func, "__name__", "")).strip("_")
            is_same = name in _RESHAPES and bool(args) and id(args[0]) in self._found
            if is_same or name in ("sigmoid", "special_expit", "expit"):
                self._found[id(result)] = result
        return result

    def has_seen(self, tensor: Tensor) -> bool:
        return id(tensor) in self._found


def check_task(task: str | None) -> None:
    """Raise SettingError unless the task is one of `TASKS`, or None."""
    if task is not None and task not in TASKS:
        raise SettingError(f"--task '{task}' is not one of {', '.join(TASKS)}{suggest_nearest(task, TASKS)}")


def find_head(output: Any, n_images: int, choice: OutputChoice, watch: SigmoidWatch | None = None) -> NetworkHead:
    """Find the logits in a network's output on `n_images` images.

    The output is a tensor, or tuples, mappings, named tuples and dataclasses of tensors, nested in any way. Logits are
    float `[n_images, n_classes]`, with or without axes of size 1 behind; one logit an image may be `[n_images]`.

    The task, unless it is given: one column is `binary`, columns that a sigmoid made are `multilabel`, others are
    `multiclass`.

    Args:
        watch: the context that the network ran in.

    Raises:
        ModelError: no logits, or several tensors that could be; a regression.
    """
    if choice.task == "regression":
        raise ModelError(
            "the model is a regression: it answers with a number, not with a class, so there are no classes to give "
            "rules for; wrap it in a module whose outputs are classes of that number, such as low and high"
        )
    root = _resolve(output, choice.output)
    found = dict(_list_tensors(_follow(output, root), root))
    usable = {path: value for path, value in found.items() if _as_columns(value, n_images) is not None}
    if any(value.ndim > 1 for value in usable.values()):  # a vector of n_images values may be anything
        usable = {path: value for path, value in usable.items() if value.ndim > 1}
    if not usable:
        shown = _describe(found) or type(_follow(output, root)).__name__
        raise ModelError(f"the model's output must be (or hold) logits [{n_images}, n_classes], not {shown}")
    if len(usable) > 1:
        raise ModelError(f"the model gives several tensors that could be logits: {_describe(usable)}; {_OPTION}")
    ((path, value),) = usable.items()
    columns = _as_columns(value, n_images)
    assert columns is not None
    return _find_task(path, columns.shape[1], choice.task, watch is not None and watch.has_seen(value))


def _find_task(path: tuple[str, ...], n_outputs: int, asked: str | None, is_sigmoid: bool) -> NetworkHead:
    task = asked or ("binary" if n_outputs == 1 else "multilabel" if is_sigmoid else "multiclass")
    if (task == "binary") != (n_outputs == 1):
        other = "binary" if n_outputs == 1 else "multiclass"
        raise ModelError(f"--task {task} doesn't fit a model with {n_outputs} outputs; give --task {other}")
    if task == "binary" and asked is None:
        edge = "0.5, as a sigmoid makes it" if is_sigmoid else "0"
        _log.warning("the model has one output, so it is taken to tell two classes apart: the second is above %s", edge)
    if task == "multilabel" and asked is None:
        _log.warning(
            "a sigmoid makes the model's %d outputs, so each is taken for a label, true above 0.5; --task multiclass "
            "takes the highest as the class",
            n_outputs,
        )
    return NetworkHead(path, task, is_sigmoid and task != "multiclass", asked is not None)


def take_logits(output: Any, n_images: int, head: NetworkHead) -> Tensor:
    """Read the logits of a batch: `[n_images, n_classes]`, in the network's dtype; for one logit z columns 0 and z.

    Raises:
        ModelError: the output has another form than on the first image.
    """
    value = _follow(output, head.path)
    columns = _as_columns(value, n_images) if isinstance(value, Tensor) else None
    if columns is None:
        raise ModelError(f"the model's output must hold logits [{n_images}, n_classes], not {_describe({(): value})}")
    if head.task == "binary":
        z = _take_logit(columns, head)
        return torch.cat([torch.zeros_like(z), z], dim=1)
    return _take_logit(columns, head)


def _take_logit(columns: Tensor, head: NetworkHead) -> Tensor:
    """Logits of probabilities, above 0 where these are above 0.5; logits as they are."""
    return torch.logit(columns.float(), _LEAST_PROBABILITY) if head.is_probability else columns


def find_tensor(output: Any, head: NetworkHead | None) -> Any:
    """The tensor of the logits as the network gives it; without a head the first tensor, None if there is none."""
    if head is not None:
        return _follow(output, head.path)
    return next((value for _, value in _list_tensors(output, ())), None)


def _as_columns(value: Tensor, n_images: int) -> Tensor | None:
    """A tensor as `[n_images, n_columns]`; None if it isn't one."""
    if not value.is_floating_point() or value.ndim == 0 or len(value) != n_images or not value.numel():
        return None
    is_flat = all(size == 1 for size in value.shape[2:])
    return value.reshape(n_images, -1) if is_flat else None


def _list_items(value: Any) -> list[tuple[str, Any]]:
    """The items of a container with their names; none for anything else."""
    if isinstance(value, Tensor | str | bytes):
        return []
    if isinstance(value, Mapping):
        return [(str(key), item) for key, item in value.items()]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    if isinstance(value, Sequence):
        return list(zip(getattr(value, "_fields", map(str, range(len(value)))), value, strict=True))
    return []


def _list_tensors(value: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(value, Tensor):
        yield path, value
    for name, item in _list_items(value):
        yield from _list_tensors(item, (*path, name))


def _resolve(output: Any, name: str | int | None) -> tuple[str, ...]:
    """The path of the item that `name` means."""
    if name is None:
        return ("logits",) if isinstance(dict(_list_items(output)).get("logits"), Tensor | Sequence) else ()
    items = _list_items(output)
    text = str(name)
    names = [item for item, _ in items]
    if text in names:
        return (text,)
    if text.isdecimal() and int(text) < len(items):
        return (names[int(text)],)
    first, _, rest = text.partition(".")
    if rest and (first in names or (first.isdecimal() and int(first) < len(items))):
        head = first if first in names else names[int(first)]
        return (head, *_resolve(dict(items)[head], rest))
    raise ModelError(f"the model's output has no '{text}'{suggest_nearest(text, names) or '; it is one tensor'}")


def _follow(output: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        output = dict(_list_items(output)).get(name)
    return output


def _describe(found: Mapping[tuple[str, ...], Any]) -> str:
    """`'0' [1, 6], '1' [1, 2]`, or the types of other things."""
    return ", ".join(
        (f"'{'.'.join(path)}' " if path else "")
        + (
            f"{list(value.shape)}" + ("" if value.is_floating_point() else f" {value.dtype}")
            if isinstance(value, Tensor)
            else type(value).__name__
        )
        for path, value in found.items()
    )
