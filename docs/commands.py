"""The reference of the commands, from what `eric-fast COMMAND --help` is made of."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from eric_fast.cli import app

_WITHOUT_DEFAULT: tuple[Any, ...] = (None, False, True, "", (), [])


def list_commands() -> dict[str, Any]:
    """Name -> click's command, in the order of `eric-fast --help`."""
    group: Any = typer.main.get_command(app)
    return dict(group.commands)


def list_options(command: Any) -> list[str]:
    """The long names of a command's options, such as `--min-leaf`."""
    names = [name for option in command.params for name in (*option.opts, *option.secondary_opts)]
    return [name for name in names if name.startswith("--")]


def print_commands() -> str:
    """A section for each command: what it does, its arguments, its options."""
    return "\n".join(part for name, command in list_commands().items() for part in _print_command(name, command))


def _print_command(name: str, command: Any) -> Iterator[str]:
    arguments = [option for option in command.params if option.param_type_name == "argument"]
    options = [option for option in command.params if option.param_type_name == "option" and option.name != "help"]
    spelled = " ".join(_name_value(argument) for argument in arguments)
    yield f"(command-{name})=\n## eric-fast {name}\n"
    yield f"```{{program}} eric-fast {name}\n```\n"
    yield f"```sh\neric-fast {name} {spelled} [OPTIONS]\n```\n"
    yield f"{_print_help(command.help)}\n"
    if command.epilog:
        yield f"{_print_help(command.epilog)}\n"
    yield from _print_parameters("Arguments", arguments)
    groups: dict[str, list[Any]] = {}
    for option in options:
        groups.setdefault(getattr(option, "rich_help_panel", None) or "Options", []).append(option)
    for title, members in groups.items():
        yield from _print_parameters(title, members)


def _print_help(text: str | None) -> str:
    """Paragraphs as they are; what is indented, or stands after `\\b`, are examples of the shell."""
    parts = []
    for paragraph in re.split(r"\n\s*\n", (text or "").strip()):
        lines = paragraph.splitlines()
        if paragraph.startswith("\b") or all(
            line.startswith("    ") or line.lstrip().startswith("$ ") for line in lines
        ):
            parts.append("```console\n" + "\n".join(line.strip() for line in lines if line.strip("\b ")) + "\n```")
        else:
            parts.append(_escape(" ".join(line.strip() for line in lines)))
    return "\n\n".join(parts).replace("\n```\n\n```console\n", "\n")  # one block of several examples


def _print_parameters(title: str, parameters: list[Any]) -> Iterator[str]:
    if parameters:
        yield f"**{title}**\n"
    for parameter in parameters:
        facts = ["Required."] if parameter.required and parameter.param_type_name == "option" else []
        if parameter.default not in _WITHOUT_DEFAULT:
            facts.append(f"Default: `{parameter.default}`.")
        meaning = _escape(" ".join([*(parameter.help or "").split(), *facts]))
        if parameter.param_type_name == "argument":
            yield f"`{_name_value(parameter)}`\n: {meaning}\n"
        else:
            value = "" if parameter.is_flag else f" {_name_value(parameter)}"
            names = ", ".join(f"{name}{value}" for name in (*parameter.opts, *parameter.secondary_opts))
            yield f":::{{option}} {names}\n{meaning}\n:::\n"


def _name_value(parameter: Any) -> str:
    """What stands for the value: `FILE`, `N`, `MODEL`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).upper()
    kinds = {int: "N", float: "NUMBER", Path: "PATH"}
    return str(parameter.metavar or kinds.get(parameter.type_descriptor.annotation, "TEXT"))


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, but for code in backticks."""
    parts = text.split("`")
    for place in range(0, len(parts), 2):
        parts[place] = re.sub(r"([*_<>\[\]{}$|#~])", r"\\\1", parts[place])
    return "`".join(parts)
