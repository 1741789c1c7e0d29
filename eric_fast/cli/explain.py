"""`eric-fast explain`: why a program gives an image its class, or a row of a table its answer."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.explain_row import print_row
from eric_fast.cli.inputs import check_paths, refuse_useless
from eric_fast.cli.options import (
    MODEL_HELP,
    Device,
    Dtype,
    Force,
    Json,
    Label,
    MemoryFormat,
    ModelOutput,
    Start,
    Task,
    UnitAxis,
    Weights,
)
from eric_fast.errors import SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress, stdout

IMAGE_HELP = (
    "An image file, or an image of a data set: DATA#ID, or DATA:NUMBER (from 0), such as digits/test:17. With --row: a "
    "model of tables, any file that eric_fast.load takes."
)
_NETWORK_ALONE = {
    "program": None,
    "model": None,
    "weights": None,
    "model_output": None,
    "task": None,
    "unit_axis": None,
    "start": None,
    "against": None,
    "label": None,
    "png": None,
    "dtype": "float32",
    "device": "auto",
    "memory_format": "contiguous",
}


def explain(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE|MODEL", help=IMAGE_HELP)],
    program: Annotated[
        Path | None, typer.Option("--program", metavar="FILE", help="A program file, as written by extract.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The program's network. " + MODEL_HELP)] = None,
    weights: Weights = None,
    model_output: ModelOutput = None,
    task: Task = None,
    unit_axis: UnitAxis = None,
    start: Start = None,
    against: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS", help="Say why the answer isn't CLASS, instead of comparing with all other classes."
        ),
    ] = None,
    label: Label = None,
    depth: Annotated[
        int, typer.Option(help="How many layers of the proof to print, from the class rules down; 0: all.")
    ] = 2,
    earlier: Annotated[
        bool, typer.Option("--earlier", help="Also say why the class rules before the one that decided don't fire.")
    ] = False,
    png: Annotated[
        Path | None,
        typer.Option("--png", metavar="FILE", help="Draw the proof into this .png or .svg file."),
    ] = None,
    dtype: Dtype = "float32",
    device: Device = "auto",
    memory_format: MemoryFormat = "contiguous",
    row: Annotated[
        int | None, typer.Option("--row", metavar="NUMBER", help="Explain this row of --data, counted from 0.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option("--data", metavar="TABLE", help="With --row: a table, as a .csv, .parquet, .npy or .npz file."),
    ] = None,
    header: Annotated[
        bool,
        typer.Option(
            "--header/--no-header", help="With --row: whether a CSV file starts with the names of its columns."
        ),
    ] = True,
    json: Json = None,
    force: Force = False,
) -> None:
    """Explain a program's answer to an image or to a row of a table: the rules that fired, and what would change it.

    For an image, it prints the answers of model and program, the proof as a tree down to the bits of the start layer,
    and the fewest bits that would have to flip for the nearest classes. Each step of the proof is checked by an
    interpreter that shares no code with the evaluator. --json writes the whole proof, and --png draws the kernels of
    the proof over the image.

    For a row, as in explain forest.json --row 17 --data table.csv, it prints the rules that decided, with the row's
    values; what each column adds to a sum of votes; and for each other class the fewest columns that would have to
    change, within the values seen in the table.
    """
    if depth < 0:
        raise SettingError(f"--depth must be 0 (all) or more, not {depth}")
    if row is not None or table is not None:
        if row is None or table is None:
            raise SettingError("to explain a row, give both --row NUMBER and --data TABLE; one of them is missing")
        refuse_useless(context, _NETWORK_ALONE, "--row explains a row of a table")
        print_row(image, table, row, header=header, depth=depth or None, earlier=earlier, json=json, force=force)
        return
    if program is None or model is None:
        raise SettingError(
            "to explain an image, give --program FILE and --model NETWORK; for a row of a table, --row and --data"
        )
    refuse_useless(context, {"header": True}, f"{image} is an image")
    check_paths([json, png], [program, image], force=force)
    from eric_fast.capture import load_model
    from eric_fast.capture.pick import pick_image
    from eric_fast.capture.probes import parse_unit_axes
    from eric_fast.explain import explain_image, to_dict
    from eric_fast.show.proof import render_explanation
    from eric_fast.show.proof_plot import save_explanation
    from eric_fast.show.style import check_plot
    from eric_fast.text import load_program

    if png is not None:
        check_plot(png)
    loaded = load_program(program)
    with show_progress():
        data, index = pick_image(image)
        explanation = explain_image(
            loaded,
            load_model(model, weights, output=model_output, task=task, unit_axes=parse_unit_axes(unit_axis)),
            data,
            index,
            start=start,
            against=against,
            label=label,
            with_maps=png is not None,
            dtype=dtype,
            device=device,
            memory_format=memory_format,
        )
    if json is not None:
        write_json(to_dict(explanation), json, force=force)
    if png is not None:
        save_explanation(explanation, png, force=force)
    stdout.print(render_explanation(explanation, depth=depth or None, earlier=earlier), soft_wrap=False)
    if png is not None:
        stdout.print(f"wrote {png}", markup=False)
