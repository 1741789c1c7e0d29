"""`eric-fast explain`: why a program gives an image its class."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths
from eric_fast.cli.options import (
    MODEL_HELP,
    Device,
    Dtype,
    Force,
    Json,
    MemoryFormat,
    ModelOutput,
    Start,
    Task,
    Weights,
)
from eric_fast.errors import SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress, stdout

IMAGE_HELP = "An image file, or one of a data set: DATA#ID, or DATA:NUMBER (from 0), such as digits/test:17."


def explain(
    image: Annotated[str, typer.Argument(metavar="IMAGE", help=IMAGE_HELP)],
    program_file: Annotated[
        Path, typer.Option("--program", metavar="FILE", help="A program's text file, from extract.")
    ],
    model: Annotated[str, typer.Option("--model", help="The network of the program. " + MODEL_HELP)],
    weights: Weights = None,
    model_output: ModelOutput = None,
    task: Task = None,
    start: Start = None,
    depth: Annotated[
        int, typer.Option(help="Layers of the proof to print, from the class rules down; 0: all, however long.")
    ] = 2,
    earlier: Annotated[
        bool, typer.Option("--earlier", help="Print why each class rule that doesn't fire doesn't, too.")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Draw it: a file that ends in .png or .svg."),
    ] = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    memory_format: MemoryFormat = "contiguous",
    json: Json = None,
    force: Force = False,
) -> None:
    """Explain what a program says of an image: the rules that fired, down to the bits of the start layer.

    It prints what model and program say, the proof as a tree (each step of it is checked by an interpreter that shares
    no code with the evaluator), and for each other class the fewest bits that would have to flip. --json writes the
    whole proof; --png draws the proof's kernels over the image.
    """
    if depth < 0:
        raise SettingError(f"--depth must be 0 (all) or more, not {depth}")
    check_paths([json, png], [program_file, image], force=force)
    from eric_fast.capture import load_model
    from eric_fast.capture.pick import pick_image
    from eric_fast.explain import explain_image, to_dict
    from eric_fast.show.proof import render_explanation
    from eric_fast.show.proof_plot import save_explanation
    from eric_fast.show.style import check_plot
    from eric_fast.text import load_program

    if png is not None:
        check_plot(png)
    program = load_program(program_file)
    with show_progress():
        data, index = pick_image(image)
        explanation = explain_image(
            program,
            load_model(model, weights, output=model_output, task=task),
            data,
            index,
            start=start,
            with_maps=png is not None,
            dtype=dtype,
            device=device,
            memory_format=memory_format,
        )
    if json is not None:
        write_json(to_dict(explanation), json, force=force)
    if png is not None:
        save_explanation(explanation, png, force=force)
    stdout.print(render_explanation(explanation, depth=depth or None, earlier=earlier))
    if png is not None:
        stdout.print(f"wrote {png}", markup=False)
