"""`eric-fast evaluate` and `predict`: what a program answers, and how well."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from eric_fast.cli.inputs import check_paths, check_same_task, find_source, limit_memory, refuse_useless
from eric_fast.cli.network import NETWORK_OPTIONS, takes_network
from eric_fast.cli.options import DATA_HELP, As, Engine, Force, GroupFile, Json, Memory, ProgramFile, Start
from eric_fast.cli.tables import SOURCE_HELP, RoundsOption, load_any, predict_table
from eric_fast.errors import SettingError
from eric_fast.output import replace_file, write_json
from eric_fast.processes import join_processes
from eric_fast.show.console import show_progress, stdout
from eric_fast.show.printer import Printer
from eric_fast.visible import make_cell

if TYPE_CHECKING:
    from eric_fast.label_score import LabelScore
    from eric_fast.program import Program


@takes_network(before="memory")
def evaluate(
    context: typer.Context,
    program_file: ProgramFile,
    source: Annotated[str, typer.Argument(metavar="DIR|DATA", help="A capture, or images: " + DATA_HELP)],
    chains: Annotated[bool, typer.Option("--chains", help="Score the program from each of its layers.")] = False,
    start: Start = None,
    groups: GroupFile = None,
    engine: Engine = "auto",
    memory: Memory = None,
    json: Json = None,
    as_: As = None,
    force: Force = False,
) -> None:
    """Score a program: fidelity to the model, accuracy, coverage, size and confusion.

    A capture is read shard by shard. `torchrun --nproc-per-node=K -m eric_fast evaluate ...` shares it among K
    processes.
    """
    check_paths([json], [program_file, source, *([] if groups is None else [groups])], force=force)
    printer = Printer(as_)
    from eric_fast.class_groups import read_class_groups, score_groups
    from eric_fast.evaluator.match import check_engine, is_trained_on
    from eric_fast.runs import evaluate_labels, evaluate_program
    from eric_fast.show.grid import fits_terminal
    from eric_fast.show.scores import (
        describe_bad_images,
        describe_baseline,
        describe_disagreements,
        list_cautions,
        tabulate_confusion,
        tabulate_group_confusion,
        tabulate_groups,
        tabulate_scores,
    )
    from eric_fast.store import is_capture, open_capture
    from eric_fast.text import load_program, print_program

    program = load_program(program_file)
    if groups is not None and program.decision.gives_labels:
        raise SettingError("--groups has no meaning for a program of several labels; leave it out")
    grouping = None if groups is None else read_class_groups(groups, program.classes)
    given = program.layer_to_start(start)
    every = program.list_starts() if chains else [given]
    layers = list(dict.fromkeys(layer for own in (*every, given) for layer in program.graph.find_start(own)))
    check_engine(engine)
    allowed = limit_memory(memory)
    starts = every if chains and start in (None, every[0]) else [*(every if chains else []), start]
    processes = join_processes()
    if processes.count > 1 and not is_capture(source):
        raise SettingError(
            f"{source} is not a capture; capture its images first, so that several processes can share them"
        )
    with show_progress() as progress:
        images = find_source(context, program, source, layers, progress)
        if processes.count > 1:
            check_same_task(processes, open_capture(source), program=print_program(program))
        run: dict[str, Any] = {"engine": engine, "processes": processes, "memory": allowed, "progress": progress}
        if program.decision.gives_labels:
            label_scores = [evaluate_labels(program, images, start=own, **run) for own in starts]
        else:
            scores = [evaluate_program(program, images, start=own, **run) for own in starts]
    if not processes.is_first:
        return
    n_rows, place = len(every) if chains else 0, 0 if starts is every else -1  # of the start that is asked for
    is_training, n_bad_images = is_trained_on(program, images), images.settings.n_bad_images
    if program.decision.gives_labels:
        _print_label_scores(
            label_scores[place],
            label_scores[:n_rows],
            printer,
            json,
            is_training=is_training,
            n_bad_images=n_bad_images,
            force=force,
        )
        return
    rows, score = scores[:n_rows], scores[place]
    by_group = None if grouping is None else score_groups(score, grouping)
    content = {
        **score.to_dict(),
        "baseline": score.baseline,
        "is_training": is_training,
        "classes": list(program.classes),
        "chains": [row.to_dict(with_confusion=False) for row in rows],
        **({} if by_group is None else {"by_group": by_group.to_dict()}),
        "n_bad_images": n_bad_images,
    }
    write_json(content, json, force=force)
    for line in list_cautions(score, is_training=is_training):
        printer.say(line)
    if n_bad_images:
        printer.say(describe_bad_images(n_bad_images))
    accuracy = "unknown, as there are no labels" if score.model_accuracy is None else f"{score.model_accuracy:.4f}"
    printer.say(f"{score.n_images:,} images; model accuracy {accuracy}; {describe_baseline(score)}")
    printer.show(tabulate_scores(rows or [score]))
    if by_group is not None:
        printer.show(tabulate_groups(by_group))
        if fits_terminal(by_group.names) or not printer.is_for_people:
            printer.show(tabulate_group_confusion(by_group))
    if fits_terminal(program.classes) or not printer.is_for_people:
        printer.show(tabulate_confusion(program, score))
    else:
        for line in describe_disagreements(program, score):
            printer.say(line)


@takes_network(before="force")
def predict(
    context: typer.Context,
    model_file: Annotated[str, typer.Argument(metavar="MODEL", help=SOURCE_HELP)],
    source: Annotated[
        str,
        typer.Argument(
            metavar="TABLE|DATA|DIR",
            help="For a model of tables: a .csv, .parquet, .npy or .npz file. For a program over a network's kernels: "
            "a capture, or images. " + DATA_HELP,
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE", help="The CSV file to write.")],
    scores: Annotated[bool, typer.Option("--scores", help="With a table: also write probabilities or scores.")] = False,
    header: Annotated[
        bool, typer.Option("--header/--no-header", help="Whether a CSV table starts with the names of its columns.")
    ] = True,
    rounds: RoundsOption = None,
    start: Start = None,
    engine: Engine = "auto",
    force: Force = False,
) -> None:
    """Write a CSV file with a program's answer to each row of a table, or to each image.

    For a table, its column is prediction: the class as the model spells it, or empty if no rule fires. For images, its
    columns are id, prediction, and rule, the number of the rule that decided. For a program of several labels they are
    id and labels, those that are true.
    """
    check_paths([output], [model_file, source], force=force)
    from eric_fast.evaluator.match import check_engine
    from eric_fast.program import TableQuantiser
    from eric_fast.runs import iterate_predictions

    check_engine(engine)
    loaded = load_any(model_file, rounds)
    program = loaded.program
    if isinstance(program.quantiser, TableQuantiser):
        refuse_useless(context, (*NETWORK_OPTIONS, "start"), f"{model_file} is a model of tables")
        predict_table(loaded, source, output, engine=engine, scores=scores, header=header, force=force)
        return
    refuse_useless(context, ("scores", "header"), f"{model_file} is over the kernels of a network")
    layers = program.graph.find_start(start)
    cells = [*map(make_cell, program.classes), ""]  # -1, nothing, is the last
    n_rows = 0
    with (
        show_progress() as progress,
        replace_file(output, force=force) as part,
        part.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        gives_labels = program.decision.gives_labels
        writer.writerow(["id", "labels"] if gives_labels else ["id", "prediction", "rule"])
        images = find_source(context, program, source, layers, progress)
        answers = iterate_predictions(program, images, start=start, engine=engine, progress=progress)
        for ids, found in answers:
            n_rows += len(ids)
            if found.labels is not None:
                for image, row in zip(ids, found.labels.tolist(), strict=True):
                    writer.writerow([make_cell(image), make_cell(list_true_labels(program, row))])
                continue
            for image, answer, rule in zip(ids, found.classes.tolist(), found.rules.tolist(), strict=True):
                writer.writerow([make_cell(image), cells[answer], rule + 1 if rule >= 0 else ""])
    stdout.print(f"wrote {output}: {n_rows:,} rows", markup=False)


def _print_label_scores(
    score: "LabelScore",
    chains: "Sequence[LabelScore]",
    printer: Printer,
    json: Path | None,
    *,
    is_training: bool,
    n_bad_images: int,
    force: bool,
) -> None:
    """Print the score of a program and of its labels; with `chains`, the scores from each start instead of its own."""
    from eric_fast.show.scores import (
        TRAINED_ON_THESE,
        describe_bad_images,
        tabulate_label_accuracy,
        tabulate_label_scores,
        tabulate_labels,
    )

    if json is not None:
        content = {**score.to_dict(), "chains": [row.to_dict() for row in chains], "is_training": is_training}
        write_json({**content, "n_bad_images": n_bad_images}, json, force=force)
    if is_training:
        printer.say(TRAINED_ON_THESE)
    if n_bad_images:
        printer.say(describe_bad_images(n_bad_images))
    printer.say(
        f"{score.n_images:,} images, {len(score.labels):,} labels; baseline (always the more frequent answer): "
        f"agreement {score.fidelity.baseline:.4f}"
    )
    printer.show(tabulate_label_scores(chains or [score]))
    accuracy = tabulate_label_accuracy(chains or [score])
    if accuracy is not None:
        printer.show(accuracy)
    printer.show(tabulate_labels(score))


def list_true_labels(program: "Program", row: Sequence[bool]) -> str:
    """The labels that are true, with semicolons between them; names that would be misread stand in quotes."""
    return "; ".join(_quote(name) for name, is_true in zip(program.classes, row, strict=True) if is_true)


def _quote(name: str) -> str:
    """A name as a field of CSV that semicolons separate: `cat`, or `"cat; dog"`."""
    if name and name == name.strip() and not set(name) & set(';"\n\r'):
        return name
    return '"' + name.replace('"', '""') + '"'
