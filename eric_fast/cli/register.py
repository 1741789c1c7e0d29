"""How commands come to the command line: their options in groups, and examples below."""

import inspect
from collections.abc import Callable
from typing import Any

import typer

_PANELS = {
    "Network and images": (
        "model model_output task weights dtype device memory_format compile batch_size workers skip_bad_images "
        "model2 weights2 data2"
    ),
    "Rules": (
        "layers threshold grid criterion max_depth min_leaf max_rules min_split min_gain preset rules kernel_rules "
        "class_rules literals max_weight ratio confidence votes n_votes vote_layers fit target grown_on all_kernels "
        "simplify ccp_alpha max_loss hold_back"
    ),
    "What is stored": "store norm norm_dtype thresholds statistics shard_size logits",
    "Running": "memory engine time_limit permutations seed",
    "Output": "output json as_ plot png force",
}
_PANEL_OF = {name: panel for panel, names in _PANELS.items() for name in names.split()}
_WIDTH = 100  # of help that goes to no terminal


def add_command(app: typer.Typer, command: Callable[..., None], *examples: str) -> None:
    """Add a function as the command of its name.

    Args:
        examples: two lines that run as they stand where `eric-fast demo` has run, in the order of the commands' help;
            `tests/test_shell.py` runs them all.
    """
    for parameter in inspect.signature(command).parameters.values():
        for info in getattr(parameter.annotation, "__metadata__", ()):
            if isinstance(info, typer.models.OptionInfo) and info.rich_help_panel is None:
                info.rich_help_panel = _PANEL_OF.get(parameter.name)
    lines = "\n\n".join(["Examples, after `eric-fast demo`:", *(f"$ eric-fast {example}" for example in examples)])
    settings = {"max_content_width": _WIDTH}
    app.command(command.__name__, epilog=lines, context_settings=settings)(command)


def list_examples(app: typer.Typer) -> dict[str, list[str]]:
    """The examples of each command, without `eric-fast`."""
    found: dict[str, Any] = {}
    for command in app.registered_commands:
        lines = (command.epilog or "").split("\n\n")
        found[command.name or ""] = [line.removeprefix("$ eric-fast ") for line in lines[1:]]
    return found
