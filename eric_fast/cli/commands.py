"""The commands: each is a function of a module of this folder, but for the two that are short."""

from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from eric_fast.cli.analyse import analyse
from eric_fast.cli.capture import capture, pack, verify
from eric_fast.cli.chain import chain
from eric_fast.cli.compare import compare
from eric_fast.cli.evaluate import evaluate, predict
from eric_fast.cli.explain import explain
from eric_fast.cli.extract import extract
from eric_fast.cli.inputs import check_paths, own_name
from eric_fast.cli.label import label
from eric_fast.cli.options import Force, Json, ProgramFile
from eric_fast.cli.page import report
from eric_fast.cli.tables import convert
from eric_fast.errors import SettingError
from eric_fast.output import DEMO, check_folder, write_json
from eric_fast.processes import is_one_of_many
from eric_fast.show.console import show_notes, show_progress, stdout

SPREAD_COMMANDS = ("capture", "extract", "evaluate")  # what torchrun may start
app = typer.Typer(
    name="eric-fast",
    help="Turn a trained CNN into a logic program over its kernels (ERIC, arXiv 2010.09452), and evaluate it.\n\n"
    "The way: capture (run the network over images) -> extract (a program from the training capture) -> "
    "evaluate (the program on the test capture) -> show, predict. `eric-fast demo` does it all on real digits.",
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(invoke_without_command=True)
def _start(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    show_notes()
    if show_version:
        stdout.print(f"eric-fast {version('eric-fast')}")
    elif context.invoked_subcommand is None:
        stdout.print(context.get_help(), markup=False)
    elif is_one_of_many() and context.invoked_subcommand not in SPREAD_COMMANDS:
        raise SettingError(
            f"many processes share the work of {', '.join(SPREAD_COMMANDS)}; start '{context.invoked_subcommand}' "
            "without torchrun"
        )


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="Where everything goes.")] = Path(
        "eric-demo"
    ),
    json: Json = None,
    force: Force = False,
) -> None:
    """Train a small CNN on handwritten digits, extract its program, and score it: seconds, nothing to download."""
    check_paths([json], [], force=force)
    check_folder(output, force=force, kind=DEMO)
    with show_progress() as progress:
        progress("load torch", 0, 1)
        from eric_fast.demo import PAGE_FOLDER, WEIGHTS, run_demo
        from eric_fast.program.words import describe_class_rule, pick_covering_rules
        from eric_fast.show.scores import tabulate_scores

        progress("load torch", 1, 1)
        result = run_demo(output, force=force, progress=progress)
    top = result.scores[-1]
    if json is not None:
        write_json(result.to_dict(), json, force=force)
    stdout.print(f"\nA CNN for 8x8 digits: accuracy {top.model_accuracy:.4f} on {top.n_images} test images.")
    stdout.print("Its program, on the same images, given the bits of one layer and chained from there to the class.\n")
    stdout.print("Rules from trees:")
    stdout.print(tabulate_scores(result.scores))
    stdout.print("Weight rules, and votes for the classes from each start:")
    stdout.print(tabulate_scores(result.weight_scores))
    stdout.print(
        f"evaluated at {result.images_per_s:,.0f} images a second from the packed bits of {top.start_layer}, "
        f"{top.n_images} at a time\n"
    )
    for number in pick_covering_rules(result.program, 3):
        stdout.print(describe_class_rule(result.program, number), markup=False)
    stdout.print(
        f"\nwrote {output / 'program.lp'}, {output / WEIGHTS}, {output / DEMO.marker}, and the network and its "
        f"captures\nto look at: {output / PAGE_FOLDER / 'index.html'}, which opens in any browser\n"
        "next:\n"
        f"  {own_name()} show {output}/program.lp --class 8\n"
        f"  {own_name()} evaluate {output}/program.lp {output}/test --start conv3.2\n"
        f"  {own_name()} predict {output}/program.lp digits/test --model {output}/digits_cnn.py:build -o answers.csv",
        markup=False,
    )


app.command()(capture)


app.command()(extract)


app.command()(evaluate)


app.command()(pack)


app.command()(verify)


app.command()(chain)


app.command()(explain)


app.command()(compare)


app.command()(report)


app.command()(convert)


app.command()(predict)


@app.command()
def show(
    program_file: ProgramFile,
    class_name: Annotated[str | None, typer.Option("--class", metavar="NAME", help="Rules of this class.")] = None,
    kernel: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Rules that define this kernel, and that use it, such as features.19:17."),
    ] = None,
    limit: Annotated[int, typer.Option(help="Rules at most, the most covering first; 0: all.")] = 10,
) -> None:
    """Show rules in words, with their support, coverage and confidence on the training images; votes as a sheet."""
    from eric_fast.program.words import describe_program, select_rules
    from eric_fast.show.sheet import list_sheets
    from eric_fast.text import load_program

    program = load_program(program_file)
    if limit < 0:
        raise SettingError(f"--limit must be 0 (all) or more, not {limit}")
    stdout.print(describe_program(program), markup=False)
    sheets = [] if class_name or kernel else list(list_sheets(program, limit))
    for sheet in sheets:
        stdout.print(sheet)
    if sheets:
        return
    texts = select_rules(program, class_name, kernel)
    for text in texts[: limit or None]:
        stdout.print(text, markup=False)
    if limit and len(texts) > limit:
        stdout.print(f"... and {len(texts) - limit:,} more; --limit 0 shows all")


app.command()(analyse)


app.command()(label)
