"""`eric-fast label`: names for kernels, kept in the program's file."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eric_fast.cli.inputs import check_paths, refuse_useless
from eric_fast.cli.network import load_network, read_network, takes_network
from eric_fast.cli.options import DATA_HELP, MODEL_HELP, Force, Json, ProgramFile
from eric_fast.errors import SettingError, say_count
from eric_fast.output import lock_file, write_json
from eric_fast.show.console import show_progress, stdout

if TYPE_CHECKING:
    from collections.abc import Callable

    from eric_fast.analyse import ConceptShares
    from eric_fast.program import Program

_NETWORK = ("weights", "model_output", "task", "dtype", "device", "batch_size")
_MASK_OPTIONS = ("model", "data", *_NETWORK, "strongest", "least", "relabel")  # which mean something with --masks alone


@takes_network(*_NETWORK, before="strongest")
def label(
    context: typer.Context,
    program_file: ProgramFile,
    labels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KERNEL=LABEL...",
            help="Such as features.19:17=wheels or features_19_17='red wheels'. Nothing after = removes the label.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Where to write the labelled program; by default in place of PROGRAM.",
        ),
    ] = None,
    masks: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Label kernels by segmentation masks of some of the images."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="With --masks: " + MODEL_HELP)] = None,
    data: Annotated[str | None, typer.Option(help="With --masks: the images. " + DATA_HELP)] = None,
    strongest: Annotated[int, typer.Option(help="With --masks: images per kernel, those with the highest norms.")] = 10,
    least: Annotated[
        float,
        typer.Option(
            help="With --masks: the least share of the active area that a concept must cover to become the label."
        ),
    ] = 0.5,
    relabel: Annotated[bool, typer.Option("--relabel", help="With --masks: also replace existing labels.")] = False,
    json: Json = None,
    force: Force = False,
) -> None:
    """Give kernels names, which every command shows from then on. Without names, list the existing ones.

    The program file is replaced, whole or not at all. Comments in it would be lost, so a file with comments is left
    alone unless --force is given.

    With --masks, each kernel that the program mentions is named after the concept that its active area covers most on
    its strongest images. The active area is where the map is above the kernel's threshold. The mask of the image
    beach/7.jpg is DIR/beach/7.png, of the same size; its values are the numbers of concepts. Their names are in
    DIR/concepts.json, a list or an object such as {"12": "wheel"}, or in DIR/concepts.txt, one name per line from
    number 0. 0 and 255 may have no name.
    """
    check_paths([output, json], [program_file], force=force)
    if masks is None:
        refuse_useless(context, _MASK_OPTIONS, "there are no --masks")
    elif model is None or data is None:
        raise SettingError("--masks needs the network (--model) and its images (--data)")
    if not 0 < least <= 1:
        raise SettingError(f"--least must be above 0 and at most 1, not {least}")
    found: list[ConceptShares] = []

    def choose(program: "Program") -> dict[int, str]:
        given = parse_labels(program, labels or [])
        if masks is not None and data is not None:
            found.extend(_measure(program, masks, data, strongest, read_network(context)))
            of_masks = {row.atom: row.choose_label(least) for row in found}
            kept = set(given) if relabel else {*given, *program.label_of_atom}
            given |= {atom: text for atom, text in of_masks.items() if text is not None and atom not in kept}
        return given

    from eric_fast.program.labels import parse_labels

    is_rewrite = output is None and (masks is not None or bool(labels))
    labelled = _relabel(program_file, choose, output, is_rewrite=is_rewrite, force=force)
    names = {labelled.atoms[atom].name: text for atom, text in labelled.labels}
    write_json({"labels": names, "concepts": [row.to_dict() for row in found]}, json, force=force)
    for name, text in names.items():
        stdout.print(f"{name}={text}", markup=False)
    if found:
        n_clear = sum(row.choose_label(least) is not None for row in found)
        stdout.print(f"{n_clear:,} of {say_count(len(found), 'kernel')} cover one concept by {100 * least:g} % or more")
    stdout.print(f"{say_count(len(names), 'label')} in {output or program_file}", markup=False)


def _relabel(
    path: Path, choose: "Callable[[Program], dict[int, str]]", output: Path | None, *, is_rewrite: bool, force: bool
) -> "Program":
    """Read the program once, choose labels, and write it; in its own place, nobody else may change it meanwhile."""
    from eric_fast.program.labels import label_atoms
    from eric_fast.text import parse_program, print_program, save_program
    from eric_fast.text.files import decode_text, read_file

    with lock_file(path) if is_rewrite else nullcontext(read_file(path)) as content:
        text = decode_text(content, str(path))
        program = parse_program(text, str(path))
        given = choose(program)
        labelled = label_atoms(program, given)
        if output is not None:
            save_program(labelled, output, force=force)
        elif given:
            if not force and text != print_program(program):
                raise SettingError(
                    f"{path} was edited, and its comments and layout would be lost; "
                    "give -o for another file, or --force"
                )
            save_program(labelled, path, force=True, expected=content)
    return labelled


def _measure(
    program: "Program", masks: Path, data: str, strongest: int, network: dict[str, Any]
) -> "list[ConceptShares]":
    from eric_fast.analyse import MaskFolder, measure_concepts
    from eric_fast.capture import open_data

    folder, images = MaskFolder(masks), open_data(data)
    with show_progress() as progress:
        model = load_network(network)
        return measure_concepts(program, model, images, folder, n_strongest=strongest, progress=progress, **network)
