"""`eric-fast explain`: why a program gives an image its class, or a row of a table its answer."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, refuse_useless
from eric_fast.cli.network import load_network, read_network, takes_network
from eric_fast.cli.options import MODEL_HELP, Force, Json, Label, Start
from eric_fast.cli.tables import load_any
from eric_fast.errors import DataError, SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress, stdout

IMAGE_HELP = (
    "An image file, or an image of a data set: DATA#ID, or DATA:NUMBER (from 0), such as digits/test:17. With --row: a "
    "model of tables, any file that eric_fast.load takes."
)
_NETWORK = ("weights", "model_output", "task", "unit_axis", "dtype", "device", "memory_format")


@takes_network(*_NETWORK, before="start")
def explain(
    context: typer.Context,
    image: Annotated[str, typer.Argument(metavar="IMAGE|MODEL", help=IMAGE_HELP)],
    program: Annotated[
        Path | None, typer.Option("--program", metavar="FILE", help="A program file, as written by extract.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="The program's network. " + MODEL_HELP)] = None,
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
        of_images = ("program", "model", *_NETWORK, "start", "against", "label", "png")
        refuse_useless(context, of_images, "--row explains a row of a table")
        _print_row(image, table, row, header=header, depth=depth or None, earlier=earlier, json=json, force=force)
        return
    if program is None or model is None:
        raise SettingError(
            "to explain an image, give --program FILE and --model NETWORK; for a row of a table, --row and --data"
        )
    refuse_useless(context, ("header",), f"{image} is an image")
    check_paths([json, png], [program, image], force=force)
    from eric_fast.capture.sources import pick_image
    from eric_fast.explain import explain_image, to_dict
    from eric_fast.show.proof import render_explanation
    from eric_fast.show.proof_plot import save_explanation
    from eric_fast.show.style import check_plot
    from eric_fast.text import load_program

    if png is not None:
        check_plot(png)
    loaded, given = load_program(program), read_network(context)
    with show_progress():
        data, index = pick_image(image)
        explanation = explain_image(
            loaded,
            load_network(given),
            data,
            index,
            start=start,
            against=against,
            label=label,
            with_maps=png is not None,
            **given,
        )
    write_json(to_dict(explanation), json, force=force)
    if png is not None:
        save_explanation(explanation, png, force=force)
    stdout.print(render_explanation(explanation, depth=depth or None, earlier=earlier), soft_wrap=False)
    if png is not None:
        stdout.print(f"wrote {png}", markup=False)


def _print_row(
    source: str,
    path: Path,
    row: int,
    *,
    header: bool,
    depth: int | None,
    earlier: bool,
    json: Path | None,
    force: bool,
) -> None:
    """Print why a model answers as it does about one row of a table; write it as JSON too.

    Raises:
        DataError: the table has no such row.
    """
    check_paths([json], [source, path], force=force)
    from eric_fast.show.row_proof import render_row_explanation
    from eric_fast.table import read_table
    from eric_fast.table.explain.content import describe_row_explanation
    from eric_fast.table.explain.explain_row import explain_row

    model = load_any(source)
    data = read_table(path, header=header)
    if not data.n_rows:
        raise DataError(f"{path} has no rows")
    if not 0 <= row < data.n_rows:
        raise DataError(f"{path} has no row {row}, only 0 to {data.n_rows - 1}")
    explanation = explain_row(model, data.take_rows(row, row + 1), data=data, name=f"row {row}")
    write_json(describe_row_explanation(explanation), json, force=force)
    shown = render_row_explanation(explanation, depth=depth, earlier=earlier)
    stdout.print(shown, soft_wrap=False)  # else a tree's long lines are cut off
