"""`eric-fast label`: names for kernels, kept in the program's file."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths
from eric_fast.cli.options import Force, Json, ProgramFile
from eric_fast.console import stdout
from eric_fast.errors import SettingError, say_count
from eric_fast.output import write_json


def label(
    program_file: ProgramFile,
    labels: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="KERNEL=LABEL...",
            help="Such as features.19:17=wheels or features_19_17='red wheels'; nothing after = takes a label away.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write the labelled program here; by default in its place."
        ),
    ] = None,
    json: Json = None,
    force: Force = False,
) -> None:
    """Give kernels names, which every command shows from then on; without any, list those that there are.

    The program's file is replaced, whole or not at all. Comments that a person wrote into it would be lost, so such a
    file is left alone unless --force is given.
    """
    check_paths([output, json], [program_file], force=force)
    from eric_fast.labels import label_atoms, parse_labels
    from eric_fast.text import load_program, print_program, save_program

    program = load_program(program_file)
    given = parse_labels(program, labels or [])
    labelled = label_atoms(program, given)
    if given or output is not None:
        if output is None and not force and program_file.read_text(encoding="utf-8") != print_program(program):
            raise SettingError(
                f"{program_file} is not as eric-fast writes it, and its comments and layout would be lost; "
                "give -o for another file, or --force"
            )
        save_program(labelled, output or program_file, force=force or output is None)
    names = {labelled.atoms[atom].name: text for atom, text in labelled.labels}
    if json is not None:
        write_json({"labels": names}, json, force=force)
    for name, text in names.items():
        stdout.print(f"{name}={text}", markup=False)
    stdout.print(f"{say_count(len(names), 'label')} in {output or program_file}", markup=False)
