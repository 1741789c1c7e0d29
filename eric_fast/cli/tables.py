"""`eric-fast convert`, and what `eric-fast predict` does with a table."""

import csv
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eric_fast.cli.inputs import check_paths
from eric_fast.cli.options import Force
from eric_fast.errors import SettingError, say_count, suggest_nearest
from eric_fast.output import replace_file
from eric_fast.show.console import stderr, stdout
from eric_fast.visible import make_cell

if TYPE_CHECKING:
    from eric_fast.frontends.trees.rounds import Rounds
    from eric_fast.table import Table
    from eric_fast.table.model import RuleModel

_LANGUAGES = ("asp", "prolog", "python", "c", "aiger", "onnx")  # for each a method of Program: to_asp, to_prolog, ...
SOURCE_HELP = "A program or a model: any file that eric_fast.load takes."
RoundsOption = Annotated[
    str | None,
    typer.Option(
        "--rounds",
        metavar="N|best|all",
        help="For XGBoost, LightGBM and CatBoost: how many boosting rounds to use; by default as the source does.",
    ),
]


def convert(
    source: Annotated[str, typer.Argument(metavar="MODEL", help=SOURCE_HELP)],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The program to write.")],
    format: Annotated[str, typer.Option("--format", help=f"The format to write: {', '.join(_LANGUAGES)}.")] = "asp",
    rounds: RoundsOption = None,
    force: Force = False,
) -> None:
    """Convert a program or another tool's model to a program in ASP, the default, or in another language."""
    check_paths([output], [source], force=force)
    if format not in _LANGUAGES:
        raise SettingError(f"--format '{format}' is not a known format{suggest_nearest(format, _LANGUAGES)}")
    from eric_fast.program.words import describe_weights

    model = load_any(source, rounds)
    program = model.program
    if format != "asp":
        program = program.select_start()  # as code, it starts from its lowest layer
    content: str | bytes = model.to_onnx() if format == "onnx" else getattr(program, f"to_{format}")()
    with replace_file(output, force=force) as part:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
    stdout.print(
        f"wrote {output}: {say_count(len(program.class_rules), 'class rule')} and "
        f"{say_count(len(program.kernel_rules), 'other rule')}, "
        f"{say_count(program.n_literals, 'literal')}{describe_weights(program)}",
        markup=False,
    )


def load_any(source: str, rounds: str | None = None) -> "RuleModel":
    """What `eric_fast.load` makes of it; stderr says what it was taken for."""
    from eric_fast.frontends.registry import load

    model = load(source, n_rounds=_parse_rounds(rounds))
    stderr.print(f"{source}: {model.source}", markup=False)
    return model


def _parse_rounds(text: str | None) -> "Rounds":
    if text is None:
        return None
    if text in ("best", "all"):
        return "best" if text == "best" else "all"
    if not text.isdecimal():
        raise SettingError(f"--rounds '{text}' is neither a number of rounds nor 'best' or 'all'")
    return int(text)


def predict_table(
    model: "RuleModel", path: str, output: Path, *, engine: str, scores: bool, header: bool, force: bool
) -> None:
    """Write a CSV file of a row for each row of the table."""
    from eric_fast.table import read_table

    model = replace(model, engine=engine)
    columns = list_answers(model, read_table(path, header=header), scores=scores)
    with replace_file(output, force=force) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(map(make_cell, columns))
        writer.writerows(map(make_cell, row) for row in zip(*columns.values(), strict=True))
    n_rows = len(next(iter(columns.values()), ()))
    stdout.print(f"wrote {output}: {n_rows:,} rows", markup=False)


def list_answers(model: "RuleModel", table: "Table", *, scores: bool) -> dict[str, list[Any]]:
    """The columns to write, each by its name: `prediction`, or one for each output where there are several."""
    program = model.program
    answers = model.predict(table)
    if program.decision.gives_bits:
        columns = {name: answers[:, i].astype(int).tolist() for i, (name, _) in enumerate(program.outputs)}
    elif answers.ndim == 2:
        columns = {f"prediction {name}": answers[:, i].tolist() for i, name in enumerate(program.classes)}
    else:
        columns = {"prediction": answers.tolist()}
    if not scores:
        return columns
    if hasattr(model, "predict_proba"):
        numbers, what = model.predict_proba(table), "probability"
    elif hasattr(model, "decision_function"):
        numbers, what = model.decision_function(table), "score"
    else:
        raise SettingError(f"{model.source} has no scores, only answers; leave --scores out")
    if numbers.ndim == 1:
        return {**columns, what: numbers.tolist()}
    return {**columns, **{f"{what} {name}": numbers[:, i].tolist() for i, name in enumerate(program.classes)}}
