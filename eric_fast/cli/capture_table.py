"""`eric-fast capture --table`: ready features as a capture on disk."""

from pathlib import Path
from typing import Annotated, Any

import typer

from eric_fast.cli.inputs import check_paths, own_name
from eric_fast.errors import SettingError, say_count
from eric_fast.output import CAPTURE, check_folder, write_json
from eric_fast.show.console import stdout

TableFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help="In place of MODEL and DATA: ready features, a row for each sample and a numeric column for each unit "
        "(.parquet, .npy, .npz, .csv).",
    ),
]
AnswerSource = Annotated[
    str | None,
    typer.Option(
        metavar="COLUMN|FILE",
        help="With --table: the model's answers, class names, numbers or (in a .npy file) logits: a column of the "
        "table, or a file of its own.",
    ),
]
LabelSource = Annotated[str | None, typer.Option(metavar="COLUMN|FILE", help="With --table: true classes, likewise.")]
ClassNames = Annotated[
    list[str] | None,
    typer.Option(help="With --table: names of the classes in order, with commas; by default those that occur."),
]
IdSource = Annotated[str | None, typer.Option(metavar="COLUMN|FILE", help="With --table: names of the samples.")]
TABLE_DEFAULTS: dict[str, Any] = {"predictions": None, "labels": None, "classes": None, "ids": None}
_USEFUL = frozenset(("table", "output", *TABLE_DEFAULTS, "json", "force"))


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
    useless = [
        parameter.opts[0]
        for parameter in context.command.params
        if parameter.name not in _USEFUL
        and getattr(context.get_parameter_source(str(parameter.name)), "name", "") == "COMMANDLINE"
    ]
    if useless:
        raise SettingError(f"with --table no network runs, so {', '.join(useless)} means nothing; leave it out")
    if predictions is None:
        raise SettingError("--table needs --predictions: a column of the table, or a file, with the model's answers")
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
    if json is not None:
        write_json(figures, json, force=force)
    shown = ", ".join(found.classes[:8]) + (", ..." if len(found.classes) > 8 else "")
    n_units = sum(found.n_kernels.values())
    stdout.print(
        f"took {say_count(n_units, 'unit')} of {say_count(found.n_images, 'sample')} of {table}; "
        f"{say_count(len(found.classes), 'class')}: {shown}\n"
        f"model accuracy: {'unknown, as labels are' if accuracy is None else f'{accuracy:.4f}'}\n"
        f"wrote {output}; next: {own_name()} extract {output} -o program.lp",
        markup=False,
    )
