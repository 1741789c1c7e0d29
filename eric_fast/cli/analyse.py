"""`eric-fast analyse`: key kernels, sub-classes and relations, as tables and JSON."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, select_program
from eric_fast.cli.options import As, Engine, Force, Json, Label, Start
from eric_fast.errors import SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress
from eric_fast.show.printer import Printer


def analyse(
    capture: Annotated[
        Path, typer.Argument(metavar="DIR", help="A capture, best not the one that the program was extracted from.")
    ],
    program_file: Annotated[
        Path, typer.Option("--program", metavar="PROGRAM", help="A program's text file, from extract.")
    ],
    start: Start = None,
    label: Label = None,
    limit: Annotated[int, typer.Option(help="Rows of each table at most; 0: all.")] = 10,
    permutations: Annotated[
        int, typer.Option(help="Random sets of images that each sub-class is held against; p-values end at 1/(1 + it).")
    ] = 999,
    seed: Annotated[int, typer.Option(help="Of the random sets.")] = 0,
    engine: Engine = "auto",
    json: Json = None,
    as_: As = None,
    force: Force = False,
) -> None:
    """Show which kernels a program depends on, what they stand for, and which rules cover a sub-class.

    Key kernels: fidelity and the share of answers that change, with the kernel's bit forced false and true on all
    images, and swapped with that of another image (the mean over all ways to swap); p says how likely flipping
    the bit would cost that much fidelity by chance.

    Sub-classes: a rule covers one if its images are at most half of their class, purer than chance, nearer to each
    other than random images of their class, and away from the others, in the norms of the last layer's kernels that the
    rule doesn't mention. Cohesion is by which share they are nearer.

    Kernels follow a class, or a sub-class that was found, where their bit does: phi is their correlation. They stand
    for it where 70 % of the images on which they are true are of it; else they are true for several. Two are redundant
    from a phi of 0.9 on, complementary from -0.9. All p-values are adjusted (Benjamini-Hochberg).
    """
    check_paths([json], [capture, program_file], force=force)
    printer = Printer(as_)
    if limit < 0:
        raise SettingError(f"--limit must be 0 (all) or more, not {limit}")
    from eric_fast.analyse import analyse_program
    from eric_fast.match import check_engine
    from eric_fast.show.analysis import describe_idle, describe_now, tabulate_analysis
    from eric_fast.store import open_capture
    from eric_fast.store.one_label import OneLabel
    from eric_fast.text import load_program

    program = select_program(load_program(program_file), label, "an analysis")
    program.layer_to_start(start)  # refused before anything is read
    check_engine(engine)
    with show_progress() as progress:
        analysis = analyse_program(
            program,
            open_capture(capture) if label is None else OneLabel(open_capture(capture), label),
            start=start,
            n_permutations=permutations,
            seed=seed,
            engine=engine,
            progress=progress,
        )
    if json is not None:
        write_json(analysis.to_dict(), json, force=force)
    printer.say(
        f"{analysis.n_images:,} images, from the bits of {analysis.start_layer}: {describe_now(analysis.effects.now)}; "
        f"{describe_idle(analysis)}"
    )
    for table in tabulate_analysis(analysis, limit):
        printer.show(table)
