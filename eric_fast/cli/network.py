"""The options that say how a network runs: the same for every command that takes images in the place of a capture."""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

import typer

from eric_fast.cli.options import (
    BatchSize,
    Compile,
    Device,
    Dtype,
    Limit,
    MemoryFormat,
    Model,
    ModelOutput,
    SkipBad,
    Task,
    UnitAxis,
    Weights,
    Workers,
)

_OPTIONS: dict[str, tuple[Any, Any]] = {  # name -> how the command line takes it, and what it is where nobody gives it
    "model": (Model, None),
    "weights": (Weights, None),
    "model_output": (ModelOutput, None),
    "task": (Task, None),
    "unit_axis": (UnitAxis, None),
    "dtype": (Dtype, "float32"),
    "device": (Device, "auto"),
    "memory_format": (MemoryFormat, "contiguous"),
    "compile": (Compile, False),
    "batch_size": (BatchSize, 64),
    "workers": (Workers, 0),
    "limit": (Limit, None),
    "skip_bad_images": (SkipBad, False),
}
NETWORK_DEFAULTS: dict[str, Any] = {name: default for name, (_, default) in _OPTIONS.items()}
_LAST = ("memory", "json", "force")  # options that stand after those of the network


def takes_network(command: Callable[..., None]) -> Callable[..., None]:
    """A command with the network's options, before `--memory`, `--json` and `--force`.

    It finds them in its context: `read_network` gives them.
    """

    @wraps(command)
    def run(**arguments: Any) -> None:
        command(**{name: value for name, value in arguments.items() if name not in _OPTIONS})

    signature = inspect.signature(command)
    own = list(signature.parameters.values())
    place = next(i for i, parameter in enumerate(own) if parameter.name in _LAST)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    options = [
        inspect.Parameter(name, kind, default=default, annotation=annotation)
        for name, (annotation, default) in _OPTIONS.items()
    ]
    run.__signature__ = signature.replace(parameters=[*own[:place], *options, *own[place:]])  # type: ignore[attr-defined]
    run.__annotations__ = {**command.__annotations__, **{name: option[0] for name, option in _OPTIONS.items()}}
    return run


def read_network(context: typer.Context) -> dict[str, Any]:
    """The network's options as they were given."""
    return {name: context.params[name] for name in _OPTIONS}
