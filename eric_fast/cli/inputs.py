"""What commands do with their arguments before the work."""

import shlex
import shutil
import sys
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from eric_fast.cli.network import NETWORK_OPTIONS, load_network, read_network
from eric_fast.errors import CaptureError, OutputError, SettingError, suggest_nearest
from eric_fast.output import check_file

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from eric_fast.processes import Processes
    from eric_fast.program import Program
    from eric_fast.progress import Progress
    from eric_fast.store import Capture
    from eric_fast.store.activations import Activations


def find_source(
    context: typer.Context,
    program: "Program",
    source: str,
    layers: "Sequence[str]",
    progress: "Progress",
    options: dict[str, Any] | None = None,
) -> "Capture | Activations":
    """Open a capture, or capture these layers of images now.

    The network's options are read from the command's context, unless they are given: see `takes_network`.
    """
    from eric_fast.store import is_capture

    given = read_network(context) if options is None else dict(options)
    if is_capture(source):
        if options is None:
            refuse_useless(context, NETWORK_OPTIONS, f"{source} is a capture")
        return open_stored(program, source, layers)
    from eric_fast.capture import capture_activations, open_data  # torchvision takes seconds
    from eric_fast.evaluator.match import check_fingerprint

    images = open_data(source)
    if given["model"] is None:
        raise SettingError(f"{source} is {len(images):,} images, not a capture; also name the network with --model")
    network = load_network(given)
    check_fingerprint(program, network.fingerprint)
    quantiser = program.network_quantiser
    return capture_activations(
        network, images, layers=layers, norm=quantiser.norm, grid=quantiser.grid, progress=progress, **given
    )


def find_activations(
    context: typer.Context,
    program: "Program",
    source: str,
    layers: "Sequence[str]",
    progress: "Progress",
    options: dict[str, Any] | None = None,
) -> "Activations":
    """As `find_source`, in memory."""
    from eric_fast.store import Capture

    found = find_source(context, program, source, layers, progress, options)
    return found.read_activations(layers) if isinstance(found, Capture) else found


def open_stored(program: "Program", source: str, layers: "Sequence[str]") -> "Capture":
    """Open a capture, which must have these layers of the program."""
    from eric_fast.evaluator.match import check_fingerprint
    from eric_fast.store import open_capture

    opened = open_capture(source)
    missing = next((layer for layer in layers if layer not in opened.layers), None)
    if missing is not None:
        check_fingerprint(program, opened.settings.fingerprint)
        raise CaptureError(
            f"{source} lacks layer '{missing}' of the program{suggest_nearest(missing, opened.layers)}; capture the "
            f"images again with --layers '{','.join(layers)}'"
        )
    return opened


def select_program(program: "Program", label: str | None, what: str) -> "Program":
    """The program of one label, where a program gives several; `what` is about that one."""
    from eric_fast.program.label_programs import find_label_index

    if program.decision.gives_labels:
        return program.select_label(program.classes[find_label_index(program.classes, label, what)])
    if label is not None:
        raise SettingError(f"--label has no meaning, as the program's decision is '{program.decision}'; leave it out")
    return program


def select_answers(activations: "Activations", label: str | None) -> "Activations":
    """What the network says of one label, or all that it says."""
    return activations if label is None else activations.select_label(label)


def limit_memory(text: str | None) -> int:
    """Bytes that this process may use: as given, or its share of half of the free memory of this machine."""
    from eric_fast.processes import count_local
    from eric_fast.processes.memory import find_free_memory, parse_memory

    return find_free_memory() // (2 * count_local()) if text is None else parse_memory(text)


def describe_memory(limit: int) -> str:
    """Say how much memory this process used, and how much it might."""
    from eric_fast.processes.memory import find_peak_memory, format_bytes

    return f"memory: {format_bytes(find_peak_memory())} used at most, {format_bytes(limit)} allowed (--memory)"


def refuse_useless(context: typer.Context, names: "Collection[str]", why: str, *, even_usual: bool = False) -> None:
    """Refuse options that have no effect here.

    Args:
        even_usual: whether one that is given as it is by default is refused, too.
    """
    useless = []
    for option in context.command.params:
        value = context.params.get(str(option.name)) or None  # one that may be repeated is an empty list if not given
        is_given = getattr(context.get_parameter_source(str(option.name)), "name", "") == "COMMANDLINE"
        if option.name in names and is_given and (even_usual or value != (option.default or None)):
            useless.append(option.opts[0])
    if useless:
        verb, them = ("has", "it") if len(useless) == 1 else ("have", "them")
        raise SettingError(f"{why}, so {', '.join(useless)} {verb} no meaning; leave {them} out")


def check_same_task(processes: "Processes", capture: "Capture | None" = None, **texts: str) -> None:
    """Refuse, before the work, processes of one run that were given other options or other data; see the error."""
    from eric_fast.store import print_manifest

    if capture is not None:
        texts["data"] = print_manifest(capture.manifest)
    hashes = {name: sha256(text.encode(errors="surrogateescape")).hexdigest()[:16] for name, text in texts.items()}
    processes.check_agreement({"options": shlex.join(sys.argv[1:]), **hashes})


def own_name() -> str:
    """How this command can be called again: it may not be on the PATH."""
    if Path(sys.argv[0]).name != "eric-fast":
        return "python -m eric_fast"
    return "eric-fast" if shutil.which("eric-fast") else sys.argv[0]


def check_paths(files: "Sequence[Path | None]", others: "Sequence[Path | str]", *, force: bool) -> None:
    """Refuse, before any work, files that can't be written or that are another path of the same command."""
    taken = {Path(other).resolve() for other in others}
    for path in files:
        if path is None:
            continue
        check_file(path, force=force)
        if path.resolve() in taken:
            raise OutputError(f"{path} is given twice; write to another path")
        if any((other / "manifest.json").is_file() and path.resolve().is_relative_to(other) for other in taken):
            raise OutputError(f"{path} lies in a capture that this command reads; write to another path")
        taken.add(path.resolve())


def read_fields(context: typer.Context, kind: type) -> dict[str, Any]:
    """The command's options that have the names of a dataclass's fields, as they were given."""
    return {own.name: context.params[own.name] for own in fields(kind) if own.name in context.params}


def split_commas(names: list[str] | None) -> list[str] | None:
    """None where the option isn't given; an option given without a name stays, to be refused."""
    return None if names is None else [part.strip() for name in names for part in name.split(",")]
