"""`eric-fast compare`: two programs on the same images, and rule by rule."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from eric_fast.cli.inputs import check_paths, find_activations, select_answers, select_program
from eric_fast.cli.network import read_network, takes_network
from eric_fast.cli.options import DATA_HELP, MODEL_HELP, As, Engine, Force, GroupFile, Json, Label, Start, Weights
from eric_fast.errors import SettingError
from eric_fast.output import write_json
from eric_fast.show.console import show_progress
from eric_fast.show.printer import Printer

Second = Annotated[
    str | None,
    typer.Option(
        metavar="DIR|DATA", help="If the second program is of another model: that model's capture of the images."
    ),
]


@takes_network(before="json")
def compare(
    context: typer.Context,
    first_file: Annotated[Path, typer.Argument(metavar="P1", help="The first program's text file.")],
    second_file: Annotated[Path, typer.Argument(metavar="P2", help="The second program's text file.")],
    source: Annotated[str, typer.Argument(metavar="DIR|DATA", help="A capture, or images: " + DATA_HELP)],
    data2: Second = None,
    start: Start = None,
    label: Label = None,
    start2: Annotated[str | None, typer.Option(help="As --start, for the second program.")] = None,
    model2: Annotated[
        str | None, typer.Option(help="The second program's network, if it is another one. " + MODEL_HELP)
    ] = None,
    weights2: Weights = None,
    groups: GroupFile = None,
    show: Annotated[int, typer.Option(help="The most rules and images of each kind to print; 0: all.")] = 5,
    engine: Engine = "auto",
    json: Json = None,
    as_: As = None,
    force: Force = False,
) -> None:
    """Compare two programs: on which images they agree and differ, and which rules are new, gone or changed.

    Two programs of one model (with other thresholds, or of another size) need one capture, or images and --model.
    Programs of two models (two training runs) need a capture of the same images for each, the second with --data2, or
    images with --model and --model2. Images are matched by their ids.
    """
    if show < 0:
        raise SettingError(f"--show must be 0 (all) or more, not {show}")
    others: list[Path | str] = [first_file, second_file, source, *([] if data2 is None else [data2])]
    check_paths([json], others, force=force)
    printer = Printer(as_)
    from eric_fast.class_groups import read_class_groups, score_groups
    from eric_fast.compare import compare_programs
    from eric_fast.evaluator.match import check_engine
    from eric_fast.show.comparison import tabulate_comparison
    from eric_fast.show.scores import tabulate_both_groups
    from eric_fast.store import is_capture
    from eric_fast.text import load_program

    check_engine(engine)
    first, second = (select_program(load_program(file), label, "a comparison") for file in (first_file, second_file))
    cuts = first.graph.find_start(start), second.graph.find_start(start2)
    groupings = [] if groups is None else [read_class_groups(groups, own.classes) for own in (first, second)]
    is_of_two = data2 is not None or model2 is not None
    if weights2 is not None and model2 is None:
        raise SettingError("--weights2 needs --model2, which isn't given")
    if model2 is not None and is_capture(source if data2 is None else data2):
        raise SettingError("--model2 has no meaning for a capture; give images, or leave it out")
    with show_progress() as progress:
        if not is_of_two and first.network_quantiser.norm == second.network_quantiser.norm:
            layers = list(dict.fromkeys(cuts[0] + cuts[1]))
            activations, other = find_activations(context, first, source, layers, progress), None
        else:
            activations = find_activations(context, first, source, cuts[0], progress)
            options = read_network(context)
            if model2 is not None:
                options |= {"model": model2, "weights": weights2}
            other = find_activations(context, second, source if data2 is None else data2, cuts[1], progress, options)
        activations = select_answers(activations, label)
        other = None if other is None else select_answers(other, label)
        comparison = compare_programs(
            first, second, activations, other, start=cuts[0], other_start=cuts[1], engine=engine
        )
    by_group = [score_groups(score, own) for score, own in zip(comparison.scores, groupings, strict=False)]
    if json is not None:
        content = comparison.to_dict()
        if groups is not None:
            content["by_group"] = [scores.to_dict() for scores in by_group]
        write_json(content, json, force=force)
    printer.say(f"first: {first_file}\nsecond: {second_file}")
    for part in tabulate_comparison(comparison, show):
        if isinstance(part, Table):
            printer.show(part)
        else:
            printer.say(str(part))
    if groups is not None:
        printer.show(tabulate_both_groups(*by_group))
