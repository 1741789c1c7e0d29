"""The options that say how a network runs: the same for every command that runs one."""

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from eric_fast.cli.options import MODEL_HELP, Weights

if TYPE_CHECKING:
    from eric_fast.capture import LoadedModel


class _Option(NamedTuple):
    """How the command line takes an option, and its value where nobody gives it."""

    annotation: Any
    default: Any


_OPTIONS = {
    "model": _Option(
        Annotated[str | None, typer.Option("--model", help=MODEL_HELP + " Required if images are given.")], None
    ),
    "weights": _Option(Weights, None),
    "model_output": _Option(
        Annotated[
            str | None,
            typer.Option(
                "--model-output",
                metavar="NAME|INDEX",
                help="Which part of the network's output holds the logits; by default 'logits', or the only tensor "
                "that fits.",
            ),
        ],
        None,
    ),
    "task": _Option(
        Annotated[
            str | None,
            typer.Option(
                help="What the outputs mean: multiclass (the class with the highest), binary (one output: the second "
                "class if it is above 0) or multilabel (each output is a label, true above 0). By default, one output "
                "is binary, and several outputs of a sigmoid are labels."
            ),
        ],
        None,
    ),
    "unit_axis": _Option(
        Annotated[
            list[str] | None,
            typer.Option(
                "--unit-axis",
                metavar="LAYER=AXIS",
                help="The axis that counts a layer's units, if it can't be inferred: blocks.3=2. May be repeated.",
            ),
        ],
        None,
    ),
    "dtype": _Option(
        Annotated[
            str,
            typer.Option(
                help="The network's data type: float32, bfloat16 or float16; or autocast-bfloat16 or "
                "autocast-float16, for float32 weights under torch.autocast."
            ),
        ],
        "float32",
    ),
    "device": _Option(Annotated[str, typer.Option(help="Where the network runs: auto, cpu or cuda.")], "auto"),
    "memory_format": _Option(
        Annotated[str, typer.Option(help="Memory format of the network: contiguous or channels-last.")], "contiguous"
    ),
    "compile": _Option(
        Annotated[
            bool,
            typer.Option(
                "--compile",
                help="Compile the network with torch.compile: takes a minute, and pays off for many images.",
            ),
        ],
        False,
    ),
    "batch_size": _Option(Annotated[int, typer.Option(help="Images per batch.")], 64),
    "workers": _Option(Annotated[int, typer.Option(help="Processes that decode images; 0: only this one.")], 0),
    "limit": _Option(
        Annotated[
            int | None,
            typer.Option(
                help="Use at most this many images, spread evenly over the data.", rich_help_panel="Network and images"
            ),
        ],
        None,
    ),
    "skip_bad_images": _Option(
        Annotated[bool, typer.Option("--skip-bad-images", help="Skip images that can't be read, and say how many.")],
        False,
    ),
}
NETWORK_OPTIONS = tuple(_OPTIONS)


def takes_network(*names: str, before: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command these options, or all `NETWORK_OPTIONS`, in front of its parameter `before`.

    The command finds them in its context: `read_network` gives them.
    """
    options = [
        Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=option.default, annotation=option.annotation)
        for name, option in _OPTIONS.items()
        if name in names or not names
    ]

    def add_options(command: Callable[..., None]) -> Callable[..., None]:
        own = signature(command)

        @wraps(command)
        def run(**arguments: Any) -> None:
            command(**{name: arguments[name] for name in own.parameters})

        parameters = list(own.parameters.values())
        place = list(own.parameters).index(before)
        run.__signature__ = own.replace(parameters=[*parameters[:place], *options, *parameters[place:]])  # type: ignore[attr-defined]
        run.__annotations__ = command.__annotations__ | {option.name: option.annotation for option in options}
        return run

    return add_options


def read_network(context: typer.Context) -> dict[str, Any]:
    """The options of the network that a command has, as they were given."""
    return {name: context.params[name] for name in _OPTIONS if name in context.params}


def load_network(given: dict[str, Any]) -> "LoadedModel":
    """Load the network that options name. They are taken out of `given`: those of how it runs are left."""
    from eric_fast.capture import load_model  # torchvision takes seconds
    from eric_fast.capture.probes import parse_unit_axes

    return load_model(
        given.pop("model"),
        given.pop("weights"),
        output=given.pop("model_output"),
        task=given.pop("task"),
        unit_axes=parse_unit_axes(given.pop("unit_axis", None)),
    )
