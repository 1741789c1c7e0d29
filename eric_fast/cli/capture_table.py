"""`eric-fast capture --table`: ready features as a capture on disk."""

from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.inputs import check_paths, own_name, refuse_useless
from eric_fast.errors import SettingError, say_count
from eric_fast.output import CAPTURE, check_folder, write_json
from eric_fast.show.console import stdout

TableFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="Instead of MODEL and DATA: a table of features (.parquet, .npy, .npz or .csv), with a row for each "
        "sample and a numeric column for each unit.",
    ),
]
AnswerSource = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN|FILE",
        help="With --table: the model's answers, in a column of the table or in another file: class names, numbers of "
        "classes or, in a .npy file, logits.",
    ),
]
LabelSource = Annotated[
    str | None,
    typer.Option(metavar="COLUMN|FILE", help="With --table: the true classes, in a column or in another file."),
]
ClassNames = Annotated[
    list[str] | None,
    typer.Option(
        help="With --table: the names of the classes in order, separated by commas; by default those that occur."
    ),
]
IdSource = Annotated[
    str | None,
    typer.Option(metavar="COLUMN|FILE", help="With --table: the names of the samples, in a column or in another file."),
]
TABLE_OPTIONS = ("predictions", "labels", "classes", "ids")  # which mean something with --table alone


def write_table(
    context: typer.Context,
    table: Path,
    output: Path,
    predictions: str | None,
    labels: str | None,
    classes: list[str] | None,
    ids: str | None,
    json: Path | None,
    *,
    force: bool,
) -> None:
    """Write the capture, whole or not at all, and say what it holds. Raises SettingError for options of networks."""
    of_networks = context.params.keys() - {"table", "output", *TABLE_OPTIONS, "json", "force"}
    refuse_useless(context, of_networks, "with --table no network runs", even_usual=True)
    if predictions is None:
        raise SettingError("--table needs --predictions, a column of the table or a file with the model's answers")
    check_paths([json], [output, table], force=force)
    check_folder(output, force=force, kind=CAPTURE)
    from eric_fast.store import save_activations
    from eric_fast.store.activations import share_correct
    from eric_fast.table.features import capture_table

    found = capture_table(table, predictions, labels, classes=classes, ids=ids)
    save_activations(found, output, force=force)
    accuracy = share_correct(found.predictions, found.labels)
    figures = {
        "n_images": found.n_images,
        "layers": found.n_kernels,
        "classes": list(found.classes),
        "model_accuracy": accuracy,
    }
    write_json(figures, json, force=force)
    shown = ", ".join(found.classes[:8]) + (", ..." if len(found.classes) > 8 else "")
    n_units = sum(found.n_kernels.values())
    stdout.print(
        f"captured {say_count(n_units, 'unit')} of {say_count(found.n_images, 'sample')} of {table}; "
        f"{say_count(len(found.classes), 'class')}: {shown}\n"
        f"model accuracy: {'unknown, as there are no labels' if accuracy is None else f'{accuracy:.4f}'}\n"
        f"wrote {output}; next: {own_name()} extract {output} -o program.lp",
        markup=False,
    )
