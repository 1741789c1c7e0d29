"""`eric-fast report`: a program, and what it was tried on, as one HTML file."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, open_stored, own_name, select_answers, select_program
from eric_fast.cli.options import DATA_HELP, MODEL_HELP, Force, GroupFile, Json, Label, Weights
from eric_fast.errors import SettingError
from eric_fast.output import REPORT, check_folder, write_json
from eric_fast.show.console import show_progress, stdout


def report(
    capture: Annotated[
        Path, typer.Argument(metavar="DIR", help="A capture of images from which the program wasn't extracted.")
    ],
    program: Annotated[Path, typer.Option("--program", metavar="FILE", help="A program file, as written by extract.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write.")],
    data: Annotated[
        str | None,
        typer.Option(help="The captured images, to show them; without it they only have names. " + DATA_HELP),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="The captured network, to draw heat maps of its kernels; needs --data. " + MODEL_HELP),
    ] = None,
    weights: Weights = None,
    start: Annotated[
        str | None,
        typer.Option(
            help="The lowest layer to show, with which the page opens. By default the page shows all layers, and opens "
            "with the one from which the program agrees best with the model. For a program with class rules for each "
            "start, the default is the highest start."
        ),
    ] = None,
    label: Label = None,
    groups: GroupFile = None,
    images: Annotated[
        int, typer.Option(help="The most images in the page; those on which model and program differ come first.")
    ] = 5000,
    json: Json = None,
    force: Force = False,
) -> None:
    """Write a report for any browser: classes, kernels, the program as a graph, images and proofs.

    DIR/index.html is a single file that loads nothing else. report.json (the figures) and the plots lie beside it.
    """
    check_paths([json], [output, capture, program], force=force)
    from eric_fast.class_groups import read_class_groups
    from eric_fast.show.page.build import PAGE, build_report, save_report
    from eric_fast.show.page.document import pick_start

    check_folder(output, force=force, kind=REPORT)
    if model is not None and data is None:
        raise SettingError("--model needs --data, the images that were captured")
    from eric_fast.capture import load_model, open_data
    from eric_fast.text import load_program

    loaded = select_program(load_program(program), label, "a report")
    lowest = start or pick_start(loaded)
    layers = loaded.layers_from(lowest) if loaded.layers else ()
    with show_progress() as progress:
        built = build_report(
            loaded,
            select_answers(open_stored(loaded, str(capture), layers).read_activations(layers), label),
            start=lowest,
            data=None if data is None else open_data(data),
            model=None if model is None else load_model(model, weights),
            most_images=images,
            file=program.name,
            groups=None if groups is None else read_class_groups(groups, loaded.classes),
            progress=progress,
        )
        save_report(built, output, force=force, progress=progress)
    figures = built.to_dict()
    write_json(figures, json, force=force)
    stdout.print(
        f"from {built.start}: fidelity {figures['fidelity']:.4f} on {figures['n_images']:,} images, of which the page "
        f"holds {built.n_embedded:,}\nwrote {output / PAGE} ({len(built.page.encode()) / 1e6:.1f} MB); open it in a "
        "browser",
        markup=False,
    )
    if start is None and lowest is not None:
        stdout.print(
            f"the page shows the class rules for start '{lowest}', the highest; for another one, give --start",
            markup=False,
        )
    if data is None:
        stdout.print(f"the page shows no pictures; to show them: {own_name()} report ... --data DATA", markup=False)
