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
        Path,
        typer.Argument(metavar="DIR", help="A capture, preferably not the one from which the program was extracted."),
    ],
    program_file: Annotated[
        Path, typer.Option("--program", metavar="PROGRAM", help="A program file, as written by extract.")
    ],
    start: Start = None,
    label: Label = None,
    limit: Annotated[int, typer.Option(help="The most rows of each table; 0: all.")] = 10,
    permutations: Annotated[
        int,
        typer.Option(
            help="Random sets of images with which each sub-class is compared. The smallest p-value is 1/(1 + this)."
        ),
    ] = 999,
    seed: Annotated[int, typer.Option(help="The seed of the random sets.")] = 0,
    engine: Engine = "auto",
    json: Json = None,
    as_: As = None,
    force: Force = False,
) -> None:
    """Show which kernels a program depends on, what they stand for, and which rules cover a sub-class.

    Key kernels: fidelity, and the share of answers that change, if the kernel's bit is false on all images, true on all
    images, or that of another image (the mean over all swaps). p is the probability that flipping the bit costs that
    much fidelity by chance.

    Sub-classes: a rule covers one if its images are at most half of their class, purer than chance, closer together
    than random images of the class, and apart from the rest of it. Distances are between the norms of those kernels of
    the last layer that the rule doesn't mention. Cohesion is the share by which the images are closer together.

    Phi is the correlation of a kernel's bit with a class, or with a sub-class that was found. The kernel stands for it
    if at least 70 % of the images on which the bit is true belong to it; otherwise the kernel is true for several. Two
    kernels are redundant from a phi of 0.9, and complementary from -0.9. All p-values are adjusted
    (Benjamini-Hochberg).
    """
    check_paths([json], [capture, program_file], force=force)
    printer = Printer(as_)
    if limit < 0:
        raise SettingError(f"--limit must be 0 (all) or more, not {limit}")
    from eric_fast.analyse import analyse_program
    from eric_fast.evaluator.match import check_engine
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
    write_json(analysis.to_dict(), json, force=force)
    printer.say(
        f"{analysis.n_images:,} images, from the bits of {analysis.start_layer}: {describe_now(analysis.effects.now)}; "
        f"{describe_idle(analysis)}"
    )
    for table in tabulate_analysis(analysis, limit):
        printer.show(table)
